"""A tenant that can trade, on the in-memory store with the real flow: what the order stories of flow are told with."""

import itertools
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from oms_app.flow.amendment import Amendment
from oms_app.flow.consequences import act_on_triggers
from oms_app.flow.control import Control
from oms_app.flow.desk import Desk
from oms_app.flow.intake import Intake, OrderDraft, PlaceResult
from oms_app.flow.lane import Lanes
from oms_app.flow.principal import Principal
from oms_app.flow.routing import Directory
from oms_app.store.memory import MemoryStore, ready_connection
from oms_app.store.unit_of_work import LedgerConfig, Route
from oms_kernel.batch import RememberingRule
from oms_kernel.contracts.broker import BrokerCapabilities, EvidenceQuery
from oms_kernel.domain.decision import Gate
from oms_kernel.domain.events import Event
from oms_kernel.domain.ids import ConnectionId, LedgerId, TenantId
from oms_kernel.domain.instrument import AssetClass
from oms_kernel.domain.order import Order, OrderType, Side, TimeInForce
from oms_kernel.guard import Guard, GuardedRule
from oms_kernel.terms import Terms
from oms_kernel.testkit.builders import ACCOUNT_ID, BROKER_ACCOUNT_ID, NOON, a_quote, a_uuid, an_instrument
from oms_kernel.watchdog import Watchdog

TENANT = TenantId(a_uuid("tenant"))
LEDGER = LedgerId(a_uuid("ledger"))
CONNECTION = ConnectionId(a_uuid("connection"))

CAPABILITIES = BrokerCapabilities(
    order_types=frozenset(OrderType) - {OrderType.MARKET_IF_TOUCHED},
    time_in_force=frozenset(TimeInForce),
    asset_classes=frozenset(AssetClass),
    evidence=EvidenceQuery.COMPLETE,
)


class Trading:
    """`trading.place(quantity=5)` is a market order of ACME; time moves by `wait`."""

    def __init__(
        self,
        rules: Sequence[Any] = (),
        watchdog: Watchdog | None = None,
        *,
        monitors: Sequence[Any] = (),
        terms: Terms = Terms(),  # noqa: B008
    ) -> None:
        self.now: datetime = NOON
        self.instrument = an_instrument()
        self.store = MemoryStore(lambda: self.now)
        self.store.add_ledger(TENANT, LEDGER)
        self.store.put_instrument(self.instrument)
        self.store.put_route(
            TENANT,
            Route(
                account_id=ACCOUNT_ID,
                broker_account_id=BROKER_ACCOUNT_ID,
                connection_id=CONNECTION,
                broker="sim_broker",
            ),
        )
        self.connect()
        self.store.put_quote(a_quote(self.instrument, at=NOON + timedelta(days=1)))
        self.rules = list(rules)
        self.monitors = list(monitors)
        self.terms = terms
        self.watchdog = watchdog or Watchdog()
        self._counter = itertools.count(1)
        self.principal = Principal(principal_id="user:test", tenant_id=TENANT, scopes=frozenset())
        self._wire(self.new_desk())
        self.control.open_account(TENANT, LEDGER, ACCOUNT_ID, base_currency="USD", cash={"USD": Decimal(1_000_000)})

    def new_desk(self) -> Desk:
        """The desk of one more process on the same store."""
        return Desk(
            self.store,
            make_rules=self._make_rules,
            make_monitors=self._make_monitors,
            after_work=act_on_triggers,
            capabilities=lambda broker: CAPABILITIES if broker == "sim_broker" else None,
            new_id=lambda: str(uuid.UUID(int=next(self._counter))),
        )

    def restart(self) -> None:
        """Forget everything that a process remembers."""
        self._wire(self.new_desk())

    def _wire(self, desk: Desk) -> None:
        self.desk = desk
        lanes, directory = Lanes(desk.ledger), Directory(desk)
        self.intake = Intake(desk, lanes, directory)
        self.amendment = Amendment(desk, lanes, directory)
        self.control = Control(desk, directory)

    def _make_rules(self, config: LedgerConfig) -> list[RememberingRule]:
        return [self._guarded(f"limit-{index}", rule) for index, rule in enumerate(self.rules)]

    def _make_monitors(self, config: LedgerConfig) -> list[GuardedRule]:
        return [self._guarded(f"watch-{index}", monitor) for index, monitor in enumerate(self.monitors)]

    def _guarded(self, limit_id: str, rule: Any) -> GuardedRule:
        terms = msgspec.structs.replace(self.terms, limit_id=limit_id, version=1)
        guard = Guard(f"plugin-{rule.name}", self.watchdog)
        return GuardedRule(limit_id, f"plugin-{rule.name}", rule.name, Gate.RISK, terms, rule, guard)

    def connect(self, token: int = 1) -> None:
        """The broker session is ready under this lease token."""
        self.store.put_connection(TENANT, ready_connection(CONNECTION, NOON + timedelta(days=9), token))

    def wait(self, **time: float) -> None:
        """Let time pass."""
        self.now += timedelta(**time)

    def draft(self, side: Side = Side.BUY, quantity: int | str = 10, **fields: Any) -> OrderDraft:
        """LIMIT when `limit_price` is given, else MARKET."""
        limit_price = fields.pop("limit_price", None)
        values: dict[str, Any] = {
            "account_id": ACCOUNT_ID,
            "symbol": "ACME",
            "side": side,
            "quantity": Decimal(quantity),
            "order_type": OrderType.MARKET if limit_price is None else OrderType.LIMIT,
            "limit_price": None if limit_price is None else Decimal(limit_price),
        }
        return OrderDraft(**{**values, **fields})

    def submit(self, *drafts: OrderDraft, **options: Any) -> PlaceResult:
        """The results of one request."""
        return self.intake.place(self.principal, drafts, **options)

    def place(self, side: Side = Side.BUY, quantity: int | str = 10, **fields: Any) -> Order:
        """The accepted order. Fails the test when it was not accepted."""
        (item,) = self.submit(self.draft(side, quantity, **fields)).items
        assert item.order is not None, item.error
        assert item.decision is not None
        assert item.decision.accepted, item.decision
        return item.order

    def order(self, order_id: Any) -> Order:
        """The order as the ledger has it now."""
        return self.in_turn(lambda turn: turn.batch.book.orders[order_id])

    def in_turn(self, work: Any) -> Any:
        """The result of work in one transaction."""
        return self.desk.transact(TENANT, LEDGER, work)

    def record(self, *events: Event) -> None:
        """Put events into the log."""
        self.in_turn(lambda turn: turn.batch.record(*events))

    def kinds(self) -> list[str]:
        """The kinds of all events after the account's opening."""
        return [recorded.event.kind for recorded in self.store.events(TENANT, LEDGER, 2, 10_000)]
