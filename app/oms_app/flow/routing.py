"""Which ledger, broker account and connection an order belongs to, and whether that connection takes orders now."""

import threading
from collections.abc import Iterator

from oms_app.flow.desk import Desk, Turn
from oms_app.flow.errors import NoSession, UnknownAccount, UnknownOrder, UnknownSymbol
from oms_app.flow.principal import Principal
from oms_app.store.unit_of_work import AccountDirectory, InstrumentCatalogue
from oms_kernel.contracts.broker import BrokerCapabilities
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import AccountId, BrokerAccountId, InstrumentId, LedgerId, OrderId, TenantId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.order import Order
from oms_kernel.engine import Destination


class Directory:
    """Accounts to ledgers, remembered; an account never moves, so only a miss reads again."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tenants: dict[TenantId, AccountDirectory] = {}
        self._lock = threading.Lock()

    def account(
        self, principal: Principal, account_id: AccountId | None, broker_account_id: BrokerAccountId | None
    ) -> tuple[AccountId, LedgerId]:
        """The trading account that a request names, and its ledger. Raises UnknownAccount, InvalidRequest."""
        if account_id is None and broker_account_id is None:
            raise InvalidRequest("account_id is needed; GET /accounts lists yours", field="account_id")
        for directory in self._known_then_fresh(principal.tenant_id):
            named = account_id if account_id is not None else directory.by_broker_account.get(broker_account_id)  # type: ignore[arg-type]
            if named is not None and named in directory.ledgers and principal.may_use(named):
                if broker_account_id is not None and directory.by_broker_account.get(broker_account_id) != named:
                    raise InvalidRequest("broker_account_id is not routed to account_id", field="broker_account_id")
                return named, directory.ledgers[named]
        field = "account_id" if account_id is not None else "broker_account_id"
        raise UnknownAccount(f"{field} names no account of yours", field=field, fix="GET /api/v1/accounts lists them")

    def order(self, principal: Principal, order_id: OrderId) -> LedgerId:
        """The ledger that holds an order. Raises UnknownOrder.

        The only ledger that this process has seen orders decided in needs no reading, as long as it knows the order.
        """
        directory = next(iter(self._known_then_fresh(principal.tenant_id)))
        ledgers = set(directory.ledgers.values())
        if len(ledgers) == 1:
            only = next(iter(ledgers))
            if self._desk.ledger(principal.tenant_id, only).state.book.orders.get(order_id) is not None:
                return only
        ledger_id = self._desk.store.ledger_of_order(principal.tenant_id, order_id)
        if ledger_id is None:
            raise UnknownOrder(f"there is no order {order_id}", field="order_id")
        return ledger_id

    def ledgers(self, principal: Principal) -> tuple[LedgerId, ...]:
        """All ledgers of the tenant's accounts."""
        directory = self._desk.store.account_directory(principal.tenant_id)
        return tuple(sorted(set(directory.ledgers.values())))

    def _known_then_fresh(self, tenant_id: TenantId) -> Iterator[AccountDirectory]:
        with self._lock:
            known = self._tenants.get(tenant_id)
        if known is not None and known.ledgers:
            yield known
        directory = self._desk.store.account_directory(tenant_id)
        with self._lock:
            self._tenants[tenant_id] = directory
        yield directory


def find_instrument(
    catalogue: InstrumentCatalogue, instrument_id: InstrumentId | None, symbol: str | None, exchange: str | None
) -> Instrument:
    """The instrument that a request names. Raises UnknownSymbol, InvalidRequest."""
    if instrument_id is not None:
        found = catalogue.instruments.get(instrument_id)
        if found is None:
            raise UnknownSymbol("instrument_id names no instrument", field="instrument_id", fix=_LIST_INSTRUMENTS)
        if symbol is not None and found.symbol != symbol:
            raise InvalidRequest("symbol and instrument_id name different instruments", field="symbol")
        return found
    if not symbol:
        raise InvalidRequest("symbol or instrument_id is needed", field="symbol")
    candidates = catalogue.by_symbol.get(symbol if exchange is None else f"{exchange}:{symbol}", ())
    if not candidates:
        where = f" at {exchange}" if exchange else ""
        raise UnknownSymbol(f"no instrument is called {symbol}{where}", field="symbol", fix=_LIST_INSTRUMENTS)
    if len(candidates) > 1:
        venues = ", ".join(sorted(catalogue.instruments[candidate].venue for candidate in candidates))
        raise UnknownSymbol(f"{symbol} is traded at {venues}", field="symbol", fix="give exchange, or instrument_id")
    return catalogue.instruments[candidates[0]]


_LIST_INSTRUMENTS = "GET /api/v1/instruments lists what can be traded"


def route(turn: Turn, account_id: AccountId, *, may_wait: bool) -> Destination:
    """Where the account's orders go. Raises NoSession when no session is ready and the order may not wait."""
    known = turn.destinations.get((account_id, may_wait))
    if known is None:
        known = turn.destinations[account_id, may_wait] = _destination(turn, account_id, may_wait=may_wait)
    return known


def _destination(turn: Turn, account_id: AccountId, *, may_wait: bool) -> Destination:
    found = turn.config.routes.get(account_id)
    if found is None:
        raise NoSession("the account is routed to no broker account", field="account_id", fix="route it first")
    capabilities = turn.desk.capabilities(found.broker)
    if capabilities is None:
        raise NoSession(f"the broker plugin {found.broker} is not installed here", fix="install the plugin")
    connection = turn.connections.get(found.connection_id)
    if not may_wait and (connection is None or not connection.is_ready(turn.unit.now)):
        detail = connection.detail if connection is not None and connection.detail else "not connected"
        raise NoSession(
            f"no broker session is ready for the account ({detail}); nothing was stored",
            fix="try again shortly, or give queue_until",
        )
    return Destination(
        broker_account_id=found.broker_account_id, connection_id=found.connection_id, capabilities=capabilities
    )


def capabilities_of(turn: Turn, order: Order) -> BrokerCapabilities:
    """What the order's broker can do. Raises NoSession when its plugin is not installed."""
    return route(turn, order.request.account_id, may_wait=True).capabilities
