"""Tenants' slugs and domains, people's profiles, members' roles, invitations, one-time tokens, mail to be sent."""

import sqlalchemy as sa
from alembic import op

from oms_app.store import types
from oms_app.store.migrations import roles

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

PLATFORM_TABLES = ("tenant_directory", "one_time_tokens", "outgoing_mails")
PERISHABLE_TABLES = ("one_time_tokens", "outgoing_mails")
_BEFORE = ("ADMIN", "TRADER", "VIEWER")
_AFTER = ("ADMIN", "COMPLIANCE", "MANAGER", "TRADER", "VIEWER")
_KEPT = "tenant_id, user_id, role, scopes, is_active, created_at, updated_at"
_OPEN = sa.text("accepted_at IS NULL AND revoked_at IS NULL")
_PENDING = sa.text("status = 'PENDING'")


def upgrade() -> None:
    """Add tables and columns; give every tenant that is there a slug."""
    roles.become_owner()
    for column in _user_columns():
        op.add_column("users", column)
    for column in _tenant_columns():
        op.add_column("tenants", column)
    _let_members_be(_AFTER, sa.Column("removed_at", types.UtcDateTime(), nullable=True))
    _create_tables()
    for table in (*PLATFORM_TABLES, "invitations"):
        roles.let_serve(table)
    for table in PERISHABLE_TABLES:
        roles.let_delete(table)
    roles.fence("invitations")
    _unfenced(
        "tenants",
        "INSERT INTO tenant_directory (tenant_id, slug, created_at, updated_at)"
        " SELECT tenant_id, 'tenant-' || CAST(tenant_id AS VARCHAR(36)), created_at, updated_at FROM tenants",
    )


def downgrade() -> None:
    """Take all of it back; managers and compliance officers become viewers, removed members stay inactive."""
    roles.become_owner()
    op.drop_index("ix_outgoing_mails_due", table_name="outgoing_mails")
    op.drop_index(op.f("ix_outgoing_mails_address_created_at"), table_name="outgoing_mails")
    op.drop_table("outgoing_mails")
    op.drop_index(op.f("ix_one_time_tokens_kind_subject"), table_name="one_time_tokens")
    op.drop_table("one_time_tokens")
    op.drop_table("tenant_directory")
    op.drop_index("ix_invitations_open", table_name="invitations")
    op.drop_table("invitations")
    _unfenced("memberships", "UPDATE memberships SET role = 'VIEWER' WHERE role IN ('MANAGER', 'COMPLIANCE')")
    _let_members_be(_BEFORE, None)
    for column in _tenant_columns():
        op.drop_column("tenants", column.name)
    for column in _user_columns():
        op.drop_column("users", column.name)


def _user_columns() -> tuple[sa.Column, ...]:  # type: ignore[type-arg]
    return (
        sa.Column("first_name", sa.String(length=100), server_default="", nullable=False),
        sa.Column("last_name", sa.String(length=100), server_default="", nullable=False),
        sa.Column("phone_number", sa.String(length=32), server_default="", nullable=False),
        sa.Column("date_of_birth", types.Day(), nullable=True),
        sa.Column("locale", sa.String(length=35), server_default="", nullable=False),
        sa.Column("time_zone", sa.String(length=60), server_default="", nullable=False),
        sa.Column("preferences", types.Json, server_default="{}", nullable=False),
        sa.Column("email_verified_at", types.UtcDateTime(), nullable=True),
        sa.Column("is_superuser", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )


def _tenant_columns() -> tuple[sa.Column, ...]:  # type: ignore[type-arg]
    return (
        sa.Column("time_zone", sa.String(length=60), server_default="UTC", nullable=False),
        sa.Column("base_currency", sa.String(length=12), server_default="USD", nullable=False),
    )


def _let_members_be(words: tuple[str, ...], removed_at: sa.Column | None) -> None:  # type: ignore[type-arg]
    """Let the role be one of the words; SQLite cannot change a CHECK, so there the rows move to a new table."""
    known = f"role IN ({', '.join(repr(word) for word in words)})"
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("ck_memberships_role_known", "memberships")
        op.create_check_constraint(op.f("ck_memberships_role_known"), "memberships", known)
        if removed_at is not None:
            op.add_column("memberships", removed_at)
        else:
            op.drop_column("memberships", "removed_at")
        return
    op.create_table(
        "new_memberships",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("scopes", types.Json, nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        *([removed_at] if removed_at is not None else []),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(known, name=op.f("ck_memberships_role_known")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name="fk_tenants"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_memberships_users")),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", name=op.f("pk_memberships")),
    )
    op.execute(f"INSERT INTO new_memberships ({_KEPT}) SELECT {_KEPT} FROM memberships")  # noqa: S608
    op.drop_table("memberships")
    op.rename_table("new_memberships", "memberships")


def _unfenced(table: str, statement: str) -> None:
    """Run the work of no tenant on a table whose fence binds the owner too."""
    on_postgres = op.get_bind().dialect.name == "postgresql"
    if on_postgres:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(statement)
    if on_postgres:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def _create_tables() -> None:
    stamps = ("created_at", "updated_at")
    op.create_table(
        "invitations",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("invitation_id", types.Id(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("first_name", sa.String(length=100), server_default="", nullable=False),
        sa.Column("last_name", sa.String(length=100), server_default="", nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("scopes", types.Json, nullable=False),
        sa.Column("invited_by", sa.String(length=100), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("accepted_at", types.UtcDateTime(), nullable=True),
        sa.Column("accepted_by", types.Id(), nullable=True),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        *(sa.Column(name, types.UtcDateTime(), nullable=False) for name in stamps),
        sa.CheckConstraint(
            "role IN ('ADMIN', 'COMPLIANCE', 'MANAGER', 'TRADER', 'VIEWER')", name=op.f("ck_invitations_role_known")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name="fk_tenants"),
        sa.PrimaryKeyConstraint("tenant_id", "invitation_id", name=op.f("pk_invitations")),
    )
    op.create_index(
        "ix_invitations_open",
        "invitations",
        ["tenant_id", "email"],
        unique=True,
        postgresql_where=_OPEN,
        sqlite_where=_OPEN,
    )
    op.create_table(
        "tenant_directory",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("slug", sa.String(length=63), nullable=False),
        sa.Column("domain", sa.String(length=253), nullable=True),
        *(sa.Column(name, types.UtcDateTime(), nullable=False) for name in stamps),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenant_directory")),
        sa.UniqueConstraint("domain", name=op.f("uq_tenant_directory_domain")),
        sa.UniqueConstraint("slug", name=op.f("uq_tenant_directory_slug")),
    )
    op.create_table(
        "one_time_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=254), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=True),
        sa.Column("params", types.Json, nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("used_at", types.UtcDateTime(), nullable=True),
        *(sa.Column(name, types.UtcDateTime(), nullable=False) for name in stamps),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_one_time_tokens")),
    )
    op.create_index(op.f("ix_one_time_tokens_kind_subject"), "one_time_tokens", ["kind", "subject"], unique=False)
    op.create_table(
        "outgoing_mails",
        sa.Column("mail_id", types.Id(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("address", sa.String(length=254), nullable=False),
        sa.Column("subject", sa.String(length=254), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=True),
        sa.Column("params", types.Json, nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", types.UtcDateTime(), nullable=False),
        sa.Column("sent_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        *(sa.Column(name, types.UtcDateTime(), nullable=False) for name in stamps),
        sa.CheckConstraint("status IN ('DEAD', 'PENDING', 'SENT')", name=op.f("ck_outgoing_mails_status_known")),
        sa.PrimaryKeyConstraint("mail_id", name=op.f("pk_outgoing_mails")),
    )
    op.create_index(
        op.f("ix_outgoing_mails_address_created_at"), "outgoing_mails", ["address", "created_at"], unique=False
    )
    op.create_index(
        "ix_outgoing_mails_due",
        "outgoing_mails",
        ["due_at"],
        unique=False,
        postgresql_where=_PENDING,
        sqlite_where=_PENDING,
    )
