"""What people and the clock do to a ledger besides trading: open accounts, move cash, halt, sweep, release, alert."""

from collections.abc import Callable, Mapping
from datetime import time
from decimal import Decimal

from oms_app.flow.consequences import end_unsent
from oms_app.flow.desk import Desk, Turn
from oms_app.flow.errors import UnknownAccount
from oms_app.flow.principal import Principal
from oms_app.flow.routing import Directory
from oms_kernel import engine
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import STRICTNESS, TradingState
from oms_kernel.domain.ids import AccountId, LedgerId, OrderId, TenantId
from oms_kernel.domain.lifecycle import OrderStatus
from oms_kernel.domain.order import Order
from oms_kernel.domain.scope import Scope


class Control:
    """The one door for everything that steers a ledger."""

    def __init__(
        self, desk: Desk, directory: Directory, begin_under: Callable[[Turn], None] = lambda turn: None
    ) -> None:
        """begin_under: puts a ledger in which an account is opened under what holds for the whole firm."""
        self._desk = desk
        self._directory = directory
        self._begin_under = begin_under

    def open_account(
        self,
        tenant_id: TenantId,
        ledger_id: LedgerId,
        account_id: AccountId,
        *,
        base_currency: str,
        time_zone: str = "UTC",
        day_roll: time = time(0),
        cash: Mapping[str, Decimal] | None = None,
    ) -> None:
        """Begin a trading account in its ledger, with opening cash by currency; a second call changes nothing."""

        def work(turn: Turn) -> None:
            if account_id in turn.batch.book.accounts:
                return
            self._begin_under(turn)
            turn.batch.record(
                ev.AccountOpened(
                    account_id=account_id, base_currency=base_currency, time_zone=time_zone, day_roll=day_roll
                )
            )
            for currency, amount in sorted((cash or {}).items()):
                turn.batch.record(
                    ev.CashChanged(account_id=account_id, currency=currency, amount=amount, reason_code="opening")
                )

        self._desk.transact(tenant_id, ledger_id, work)

    def set_trading_state(
        self,
        principal: Principal,
        account_id: AccountId,
        trading_state: TradingState,
        reason_code: str,
        *,
        before_loosening: Callable[[], None] = lambda: None,
    ) -> None:
        """Change what the account lets in; HALTED also ends its unsent orders. Raises UnknownAccount.

        before_loosening: called when the account is to let in more than now; what it raises leaves all as it is.
        """
        account_id, ledger_id = self._directory.account(principal, account_id, None)

        def work(turn: Turn) -> None:
            account = turn.batch.book.accounts.get(account_id)
            if account is None:
                raise UnknownAccount("account_id names no account of yours", field="account_id")
            if account.trading_state is trading_state:
                return
            if STRICTNESS[trading_state] < STRICTNESS[account.trading_state]:
                before_loosening()
            turn.batch.record(
                ev.TradingStateChanged(
                    account_id=account_id,
                    trading_state=trading_state,
                    reason_code=reason_code,
                    principal=principal.principal_id,
                )
            )
            if trading_state is TradingState.HALTED:
                end_unsent(turn, Scope(account_id=account_id), principal.principal_id)

        self._desk.transact(principal.tenant_id, ledger_id, work)

    def release_plugin(self, principal: Principal, ledger_id: LedgerId, plugin: str) -> None:
        """Let a quarantined plugin judge this ledger's orders again."""

        def work(turn: Turn) -> None:
            if turn.batch.book.quarantined.get(plugin):
                turn.batch.record(ev.PluginReleased(plugin=plugin, principal=principal.principal_id))

        self._desk.transact(principal.tenant_id, ledger_id, work)

    def quarantine_plugin(self, tenant_id: TenantId, ledger_id: LedgerId, plugin: str, reason: str) -> None:
        """Shut a plugin out of a ledger: what a process does that finds the report of its predecessor's hang."""

        def work(turn: Turn) -> None:
            if not turn.batch.book.quarantined.get(plugin):
                turn.batch.record(
                    ev.PluginQuarantined(plugin=plugin, reason=reason),
                    ev.AlertRaised(
                        severity=ev.Severity.CRITICAL,
                        source="guard",
                        text=f"plugin {plugin} is quarantined: {reason}",
                        what_to_do="Fix or remove the plugin, then `oms plugins release` it.",
                    ),
                )

        self._desk.transact(tenant_id, ledger_id, work)

    def sweep(self, tenant_id: TenantId, ledger_id: LedgerId) -> tuple[OrderId, ...]:
        """End the orders that were not sent in time (EXPIRED, never_sent); returns which."""

        def work(turn: Turn) -> tuple[OrderId, ...]:
            late = [(order, why) for order in turn.batch.book.open_order_list() if (why := _late(order, turn))]
            for order, why in late:
                turn.batch.record(engine.never_sent(order, ev.OrderExpired, why))
            return tuple(order.order_id for order, _ in late)

        return self._desk.transact(tenant_id, ledger_id, work)

    def alert(self, tenant_id: TenantId, ledger_id: LedgerId, alert: ev.AlertRaised) -> None:
        """Tell people something through the log."""
        self._desk.transact(tenant_id, ledger_id, lambda turn: turn.batch.record(alert))


def _late(order: Order, turn: Turn) -> str:
    """Why an order can be sent no more, or an empty text."""
    if not engine.is_unsent(order):
        return ""
    if order.send_before is not None and turn.batch.now > order.send_before:
        return "approval_expired" if order.status is OrderStatus.HELD else "send_before_passed"
    expire_at = order.request.expire_at
    return "expired_before_send" if expire_at is not None and turn.batch.now >= expire_at else ""
