"""Traders at a seeded pace: orders, changes, cancels and repeats through real intake, each noted before it is asked.

Their API process dies now and then in the middle of a request; they ask again under the same idempotency key.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from campaigns.history import Answer, History, Told
from campaigns.simulated.database import Killed
from oms_app.flow.amendment import Amendment
from oms_app.flow.control import Control
from oms_app.flow.desk import Desk
from oms_app.flow.errors import DuplicateClientOrderId, FlowError, OutcomeUnknown, Unavailable
from oms_app.flow.intake import IdempotencyKey, Intake, ItemResult, OrderDraft
from oms_app.flow.lane import Lanes
from oms_app.flow.principal import Principal
from oms_app.flow.routing import Directory
from oms_app.store.unit_of_work import StoreUnavailable
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import AccountId, ClientOrderId, OrderId
from oms_kernel.domain.order import OrderType, Side
from oms_kernel.engine import NewTerms

ATTEMPTS = 8
REPEATS = 5
"""So many in a hundred settled requests are made again all the same."""
WAITS = 10
"""So many in a hundred orders may wait for a session."""
SIDES = tuple(Side)


class Api:
    """The process that answers; `new_desk` begins another one after a death."""

    def __init__(self, new_desk: Callable[[], Desk]) -> None:
        self._new_desk = new_desk
        self.begin()

    def begin(self) -> None:
        """Forget everything, as a new process."""
        self.desk = self._new_desk()
        lanes, directory = Lanes(self.desk.ledger), Directory(self.desk)
        self.intake = Intake(self.desk, lanes, directory)
        self.amendment = Amendment(self.desk, lanes, directory)
        self.control = Control(self.desk, directory)


class Trader:
    """One caller. `history` holds what was asked and told."""

    def __init__(
        self,
        api: Api,
        principal: Principal,
        account_id: AccountId,
        symbols: Sequence[str],
        randomness: random.Random,
        history: History,
        die: Callable[[str], None],
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._principal = principal
        self._account_id = account_id
        self._symbols = symbols
        self._random = randomness
        self._history = history
        self._die = die
        self._now = now
        self._count = 0
        self.orders: list[OrderId] = []

    async def trade(self, acts: int, pause_s: float) -> None:
        """So many acts, one after the other."""
        for _ in range(acts):
            choice = self._random.randrange(100)
            if choice < 62 or not self.orders:
                await self.place(1)
            elif choice < 68:
                await self.place(self._random.randint(2, 4))
            elif choice < 82:
                self._change()
            else:
                self._cancel()
            await asyncio.sleep(self._random.uniform(0.2, 1.8) * pause_s)

    async def place(self, count: int) -> None:
        """Place orders under ids of their own, and ask again until there is an answer that promises something."""
        self._count += 1
        ids = [f"c{self._count}-{index}" for index in range(count)]
        drafts = [self._draft(client_order_id) for client_order_id in ids]
        for client_order_id in ids:
            self._history.ask(client_order_id, {})
        fingerprint = hashlib.sha256(repr(ids).encode()).digest()
        key = IdempotencyKey(key=f"k{self._count}", operation="POST /orders", fingerprint=fingerprint)
        for _ in range(ATTEMPTS):
            answers = self._ask(drafts, key)
            for client_order_id, answer in zip(ids, answers, strict=True):
                self._history.hear(client_order_id, answer)
            settled = not any(answer.told in (Told.UNKNOWN, Told.NOTHING) for answer in answers)
            if settled and self._random.randrange(100) >= REPEATS:
                return
            await asyncio.sleep(self._random.uniform(0.5, 12))

    def _ask(self, drafts: Sequence[OrderDraft], key: IdempotencyKey) -> list[Answer]:
        if self._random.randrange(100) < 4:
            self._die(self._random.choice(("before", "after")))
        try:
            result = self._api.intake.place(self._principal, drafts, idempotency=key)
        except Killed:
            self._api.begin()
            return [Answer(Told.UNKNOWN)] * len(drafts)
        except OutcomeUnknown:
            return [Answer(Told.UNKNOWN)] * len(drafts)
        except (Unavailable, StoreUnavailable):
            return [Answer(Told.NOTHING)] * len(drafts)
        finally:
            self._die("")
        return [self._told(item, replayed=result.replayed) for item in result.items]

    def _told(self, item: ItemResult, *, replayed: bool) -> Answer:
        if isinstance(item.error, DuplicateClientOrderId):
            return Answer(Told.KNOWN, item.error.extra["order_id"])
        if item.order is None or item.decision is None:
            return Answer(Told.NOTHING)
        if not item.decision.accepted:
            return Answer(Told.DENIED, item.order.order_id)
        if item.order.order_id not in self.orders:
            self.orders.append(item.order.order_id)
        return Answer(Told.KNOWN if replayed else Told.STORED, item.order.order_id)

    def _draft(self, client_order_id: str) -> OrderDraft:
        rests = self._random.randrange(3) > 0
        price = Decimal(9_950 + self._random.randrange(100)) / 100
        return OrderDraft(
            account_id=self._account_id,
            symbol=self._random.choice(self._symbols),
            side=self._random.choice(SIDES),
            quantity=Decimal(self._random.randint(1, 40)),
            order_type=OrderType.LIMIT if rests else OrderType.MARKET,
            limit_price=price if rests else None,
            client_order_id=ClientOrderId(client_order_id),
            queue_until=self._now() + timedelta(seconds=90) if self._random.randrange(100) < WAITS else None,
        )

    def _change(self) -> None:
        order_id = self._random.choice(self.orders[-8:])
        terms = NewTerms(quantity=Decimal(self._random.randint(1, 60)))
        self._attempt(lambda: self._api.amendment.replace(self._principal, order_id, terms))

    def _cancel(self) -> None:
        order_id = self._random.choice(self.orders[-8:])
        self._attempt(lambda: self._api.amendment.cancel(self._principal, order_id))

    def set_state(self, state: TradingState) -> None:
        """Steer the account, as a person."""
        self._attempt(lambda: self._api.control.set_trading_state(self._principal, self._account_id, state, "a person"))

    def cancel_all(self) -> None:
        """Cancel whatever is active."""
        self._attempt(lambda: self._api.amendment.cancel_all(self._principal))

    def _attempt(self, ask: Callable[[], Any]) -> None:
        try:
            ask()
        except (FlowError, StoreUnavailable, OrderConflict, InvalidRequest):
            return
        except Killed:
            self._api.begin()
