"""Run migrations on the connection that `oms_app.store.migrate` hands over; alembic alone cannot start this."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection

from oms_app.store import tables, types
from oms_app.store.migrations import roles

OWN_TYPES = (types.ExactDecimal, types.UtcDateTime, types.Id, types.Day)


def render_item(kind: str, item: Any, autogen_context: Any) -> str | Literal[False]:
    """How a column type of ours is written in a revision."""
    if kind == "type" and isinstance(item, OWN_TYPES):
        autogen_context.imports.add("from oms_app.store import types")
        return f"types.{type(item).__name__}()"
    return False


def run(connection: Connection) -> None:
    """Migrate within one transaction."""
    context.configure(
        connection=connection,
        target_metadata=tables.METADATA,
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=render_item,
        compare_server_default=False,
    )
    if context.get_context().get_current_revision() is not None:
        roles.become_owner(connection)
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
