"""Name the tables that a batch writes: key, columns, types, and what a second row of the same key means.

A row is a tuple in the order of its Projection's columns, without tenant and ledger; bytes are JSON text, a bytearray
is binary.
"""

from typing import Any, NamedTuple

Row = tuple[Any, ...]
Rows = list[Row]


class Projection(NamedTuple):
    """One table that a batch writes, and how: `changing` columns are updated when the key exists already.

    changing None: a plain insert, so that a second row of the same key is a conflict.
    only_update: the rows exist; nothing is inserted. of_ledger: the table has a column ledger_id.
    types: the columns' types on PostgreSQL.
    """

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    types: tuple[str, ...]
    changing: tuple[str, ...] | None = None
    only_update: bool = False
    of_ledger: bool = True


_TYPES = {
    "": "text",
    "b": "boolean",
    "d": "date",
    "i": "bigint",
    "json": "json",
    "n": "numeric",
    "o": "bytea",
    "t": "timestamptz",
    "u": "uuid",
}


def _projection(
    table: str,
    key: str,
    columns: str,
    changing: str | None = None,
    *,
    only_update: bool = False,
    of_ledger: bool = True,
) -> Projection:
    """`columns` is "name:type name:type ...", the types by the letters of `_TYPES`."""
    pairs = [column.partition(":") for column in columns.split()]
    return Projection(
        table=table,
        key=("tenant_id", *key.split()),
        columns=tuple(name for name, _, _ in pairs),
        types=tuple(_TYPES[kind] for _, _, kind in pairs),
        changing=tuple(changing.split()) if changing is not None else None,
        only_update=only_update,
        of_ledger=of_ledger,
    )


ACCOUNTS = _projection(
    "trading_accounts",
    "account_id",
    "account_id:u name base_currency time_zone day_roll trading_state state_reason is_opened:b created_at:t"
    " updated_at:t",
    "base_currency time_zone day_roll trading_state state_reason is_opened updated_at",
)
LOG = _projection(
    "event_log",
    "ledger_id seq",
    "seq:i event_id:u kind version:i account_id:u order_id:u recorded_at:t payload:json hash:o",
)
"""Rows of the log come without `hash`: the unit that holds the ledger's lock chains them."""
CLIENT_IDS = _projection("client_order_ids", "account_id client_order_id", "account_id:u client_order_id order_id:u")
EXECUTION_IDS = _projection("execution_ids", "broker_account_id exec_id", "broker_account_id:u exec_id kind restates")
ORDERS = _projection(
    "orders",
    "order_id",
    "order_id:u account_id:u broker_account_id:u connection_id:u instrument_id:u symbol currency side order_type"
    " time_in_force product client_order_id strategy_id:u strategy_run_id:u group_id:u accepted_at:t updated_at:t"
    " version:i status state quantity:n filled_quantity:n limit_price:n stop_price:n reason_code trading_date:d"
    " document:json",
    "updated_at version status state quantity filled_quantity limit_price stop_price reason_code document",
)
EXECUTIONS = _projection(
    "executions",
    "broker_account_id exec_id",
    "broker_account_id:u exec_id execution_id:u seq:i booked_at:t order_id:u account_id:u instrument_id:u book side"
    " quantity:n price:n currency multiplier:n executed_at:t trading_date risk_date fee:n liquidity is_busted:b"
    " updated_at:t",
)
EXECUTION_CHANGES = _projection(
    "executions",
    "broker_account_id exec_id",
    "broker_account_id:u exec_id quantity:n price:n fee:n is_busted:b updated_at:t",
    "quantity price fee is_busted updated_at",
    only_update=True,
)
POSITIONS = _projection(
    "positions",
    "account_id book instrument_id",
    "account_id:u book instrument_id:u currency multiplier:n quantity:n cost:n realised_pnl:n fees:n bought_quantity:n"
    " sold_quantity:n is_open:b updated_at:t closed_at:t",
    "quantity cost realised_pnl fees bought_quantity sold_quantity is_open updated_at closed_at",
)
CASH = _projection(
    "cash_balances", "account_id currency", "account_id:u currency amount:n updated_at:t", "amount updated_at"
)
DAYS = _projection(
    "day_counters",
    "account_id currency risk_date",
    "account_id:u currency risk_date:d accepted:i denied:i fills:i traded_value:n realised_pnl:n fees:n updated_at:t",
    "accepted denied fills traded_value realised_pnl fees updated_at",
)
QUARANTINES = _projection("plugin_quarantines", "ledger_id plugin", "plugin reason updated_at:t", "reason updated_at")
DENIALS = _projection(
    "rule_denials",
    "ledger_id seq position",
    "seq:i position:i order_id:u account_id:u rule plugin gate code message observed:n limit_value:n unit"
    " recorded_at:t severity limit_id would_pass",
)
BREACHES = _projection(
    "breaches",
    "breach_id",
    "breach_id:u limit_id key rule account_id:u strategy_id:u instrument_id:u category action message observed:n"
    " limit_value:n unit breached_at:t assigned_to closed_at:t closed_by finding updated_at:t",
    "assigned_to closed_at closed_by finding updated_at",
)
KILL_SWITCHES = _projection(
    "kill_switches",
    "switch_id",
    "switch_id:u account_id:u strategy_id:u instrument_id:u level trading_state cause reason_code cancel_working:b"
    " flatten:b breach_id:u firm_switch_id activated_at:t activated_by release_asked_by released_at:t released_by"
    " updated_at:t",
    "release_asked_by released_at released_by updated_at",
)
SWITCH_EVENTS = _projection(
    "kill_switch_events",
    "event_id",
    "event_id:u seq:i kind switch_id:u account_id:u strategy_id:u instrument_id:u trading_state reason_code principal"
    " order_count:i position_count:i elapsed_ms:i recorded_at:t",
)
LIQUIDATIONS = _projection(
    "liquidations",
    "liquidation_id",
    "liquidation_id:u account_id:u strategy_id:u instrument_id:u reason_code switch_id:u started_at:t started_by"
    " ended_at:t outcome updated_at:t",
    "ended_at outcome updated_at",
)
ALERTS = _projection(
    "alerts",
    "alert_id",
    "alert_id:u seq:i account_id:u order_id:u severity source text what_to_do raised_at:t acknowledged_at:t"
    " acknowledged_by updated_at:t",
)
ALERT_CHANGES = _projection(
    "alerts",
    "alert_id",
    "alert_id:u acknowledged_at:t acknowledged_by updated_at:t",
    "acknowledged_at acknowledged_by updated_at",
    only_update=True,
)
BREAKS = _projection(
    "reconciliation_breaks",
    "break_id",
    "break_id:u broker_account_id:u account_id:u order_id:u instrument_id:u currency symbol break_type severity"
    " subject ours theirs proposed_fix found_at:t as_of:t acknowledged_at:t acknowledged_by resolved_at:t resolved_by"
    " resolution auto_fixed:b updated_at:t",
    "ours theirs as_of acknowledged_at acknowledged_by resolved_at resolved_by resolution auto_fixed updated_at",
)
ANSWERS = _projection(
    "idempotency_keys",
    "principal operation key",
    "principal operation key fingerprint:o status_code:i order_versions:json extra:json created_at:t",
    of_ledger=False,
)
RENEWED_ANSWERS = ANSWERS._replace(
    changing=("fingerprint", "status_code", "order_versions", "extra", "created_at"), only_update=True
)
TEXTS = _projection("order_texts", "order_id kind", "order_id:u kind text salt:o created_at:t", of_ledger=False)
UNBOOKED = _projection(
    "unbooked_reports",
    "report_id",
    "report_id:u connection_id:u report:json error status created_at:t updated_at:t",
)
PROJECTIONS = (
    ACCOUNTS,
    LOG,
    CLIENT_IDS,
    EXECUTION_IDS,
    ORDERS,
    EXECUTIONS,
    EXECUTION_CHANGES,
    POSITIONS,
    CASH,
    DAYS,
    QUARANTINES,
    DENIALS,
    ALERTS,
    ALERT_CHANGES,
    BREAKS,
    BREACHES,
    KILL_SWITCHES,
    SWITCH_EVENTS,
    LIQUIDATIONS,
)
"""In the order in which they are written: what others refer to comes first."""
