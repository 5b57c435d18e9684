"""Let an instrument name the largest order that its venue takes."""

import sqlalchemy as sa
from alembic import op

from oms_app.store import types
from oms_app.store.migrations import roles

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    roles.become_owner()
    op.add_column("instruments", sa.Column("max_order_quantity", types.ExactDecimal(), nullable=True))


def downgrade() -> None:
    """Take it back."""
    roles.become_owner()
    op.drop_column("instruments", "max_order_quantity")
