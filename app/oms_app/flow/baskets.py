"""The orders of one request in, each account's basket out: how many they are and what they are worth together.

It is made before the first of them is judged, so that a rule over the whole can refuse every leg and none is sent.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from oms_app.flow.desk import Turn
from oms_app.flow.errors import FlowError
from oms_app.flow.pretrade import OrderDraft
from oms_app.flow.routing import find_instrument
from oms_kernel.contracts.rules import Basket
from oms_kernel.domain.errors import InvalidRequest, KernelError
from oms_kernel.domain.ids import AccountId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.money import ONE, ZERO, add, multiply, notional, quantise

NO_BASKETS: Mapping[AccountId, Basket] = {}


def baskets_of(
    turn: Turn, drafts: Sequence[OrderDraft], named: Sequence[AccountId | FlowError | KernelError]
) -> Mapping[AccountId, Basket]:
    """The basket of each account that the drafts are for; none when no rule asks for one, or an order came alone.

    named: the account of each draft, or why it has none. A draft that names no instrument is no order and counts
    nowhere; one without a price, or in a currency without a rate, makes the value of its basket None.
    """
    if len(drafts) < 2 or not any(rule.needs_basket for rule in turn.batch.rules):
        return NO_BASKETS
    valuer = _Valuer(turn)
    orders: dict[AccountId, int] = {}
    totals: dict[AccountId, Decimal | None] = {}
    for account_id, draft, instrument in _legs(turn, drafts, named):
        orders[account_id] = orders.get(account_id, 0) + 1
        total = totals.get(account_id, ZERO)
        value = valuer.value(account_id, draft, instrument) if total is not None else None
        totals[account_id] = add(total, value) if total is not None and value is not None else None
    return {account_id: Basket(orders=count, notional=totals[account_id]) for account_id, count in orders.items()}


def _legs(
    turn: Turn, drafts: Sequence[OrderDraft], named: Sequence[AccountId | FlowError | KernelError]
) -> Iterator[tuple[AccountId, OrderDraft, Instrument]]:
    """(account, draft, instrument) of every draft that names both."""
    for account_id, draft in zip(named, drafts, strict=True):
        if isinstance(account_id, Exception):
            continue
        try:
            instrument = find_instrument(turn.catalogue, draft.instrument_id, draft.symbol, draft.exchange)
        except (FlowError, InvalidRequest):
            continue
        yield account_id, draft, instrument


class _Valuer:
    """Values drafts in their accounts' base currencies, at the prices at which they would count as exposure."""

    def __init__(self, turn: Turn) -> None:
        self._view = turn.view
        self._rates: dict[tuple[str, str], Decimal | None] = {}

    def value(self, account_id: AccountId, draft: OrderDraft, instrument: Instrument) -> Decimal | None:
        """What the draft is worth; None without a price or a rate, or when the figure is too large to be one."""
        price = self._price(draft, instrument)
        rate = self._rate(instrument.currency, self._view.account(account_id).base_currency)
        if price is None or rate is None:
            return None
        try:
            worth = notional(draft.quantity, price, instrument.multiplier)
            return worth if rate == ONE else quantise(multiply(worth, rate))
        except KernelError:
            return None

    def _price(self, draft: OrderDraft, instrument: Instrument) -> Decimal | None:
        if draft.limit_price is not None:
            return draft.limit_price
        if draft.stop_price is not None:
            return draft.stop_price
        quote = self._view.market.fresh(instrument.instrument_id)
        return quote.opposite(draft.side) if quote is not None else None

    def _rate(self, currency: str, base: str) -> Decimal | None:
        if currency == base:
            return ONE
        if (currency, base) not in self._rates:
            self._rates[currency, base] = self._view.fx_rate(currency, base)
        return self._rates[currency, base]
