"""An order in, DENY out when the clock that times it is too far from the database's, or nobody knows how far."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Usage
from oms_kernel.domain.decision import Outcome, Verdict, denied
from oms_kernel.domain.money import ratio, to_text
from oms_risk_rules.verdicts import exceeded

MICROSECOND = timedelta(microseconds=1)
THOUSAND = Decimal(1_000)
AFTERWARDS = "the same order when the clocks agree"


class ClockLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far the clock may be out."""

    max_offset_ms: Annotated[int, described("Largest offset with which orders are let in", "ms", ge=1)] = 1_000
    warn_offset_ms: Annotated[int, described("Offset above which the passing verdict says so", "ms", ge=0)] = 50


class ClockGuard:
    """Denies every order while the process's clock and the database's differ by more than `max_offset_ms`.

    The host measures the difference with each transaction: it is the least that the two readings prove, so that a slow
    network never looks like a clock. Above `warn_offset_ms` the order passes with the code `clock_drift`. A host that
    does not measure: `no_clock_offset`. Where the ledger lives in SQLite there is one clock, and the difference is 0:
    compare that with a time service outside. A liquidation passes.
    """

    name: ClassVar[str] = "clock_guard"
    title: ClassVar[str] = "No order while the clock is out"
    source: ClassVar[str] = "FINRA 4590; RTS 25 (Regulation (EU) 2017/574)"
    rank: ClassVar[int] = 20
    Params: ClassVar[type[msgspec.Struct]] = ClockLimit

    def __init__(self, params: ClockLimit) -> None:
        self.limit = Decimal(params.max_offset_ms)
        self.warning = Decimal(params.warn_offset_ms)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the largest offset, either way."""
        offset = view.market.clock_offset
        if offset is None:
            if intent.request.liquidation_id is not None:
                return Verdict(rule=self.name, outcome=Outcome.PASS)
            return denied(self.name, "no_clock_offset", "it is not known how far the clock is out")
        observed = _milliseconds(offset)
        if observed > self.limit and intent.request.liquidation_id is None:
            text = "the clock's offset from the database's of"
            return exceeded(self.name, self.name, text, observed, self.limit, "ms", would_pass=AFTERWARDS)
        drifts = observed > self.warning
        return Verdict(
            rule=self.name,
            outcome=Outcome.PASS,
            code="clock_drift" if drifts else "",
            message=f"the clock is {to_text(observed)} ms away from the database's" if drifts else "",
            observed=observed,
            limit=self.limit,
            unit="ms",
        )

    def usage(self, view: RuleView, state: Any) -> Iterator[Usage]:
        """How far the clock is out now."""
        if view.market.clock_offset is not None:
            yield Usage(used=_milliseconds(view.market.clock_offset), limit=self.limit, unit="ms")


def _milliseconds(offset: timedelta) -> Decimal:
    return ratio(Decimal(abs(offset) // MICROSECOND), THOUSAND)
