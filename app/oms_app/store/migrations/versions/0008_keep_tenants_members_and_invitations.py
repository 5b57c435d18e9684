"""Tenants' slugs and domains, people's profiles, members' roles, invitations."""

from oms_app.store.migrations import roles

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    roles.become_owner()


def downgrade() -> None:
    """Take it away."""
    roles.become_owner()
