"""One call into a plugin in, its result or the contract's answer to its failure out: a rule that fails denies.

A guarded rule never raises but for RuleHung, counts and times every call, and completes the verdict with the names of
the plugin, the rule and the gate. What a plugin's error says goes to the log and the counters, not into the verdict.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import msgspec

from oms_kernel.contracts.plugin import parse_params
from oms_kernel.contracts.rules import OrderIntent, RuleView, Trigger, Usage
from oms_kernel.domain.decision import Gate, Outcome, RuleSeverity, Verdict, passed
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.events import Event, Recorded
from oms_kernel.domain.order import OrderRequest
from oms_kernel.domain.scope import Scope, ScopeLevel
from oms_kernel.registry import Registered
from oms_kernel.soundness import complete, describe, is_sound, is_sound_trigger, is_sound_usage, known_of
from oms_kernel.terms import Terms
from oms_kernel.watchdog import PluginHung, Watchdog, framed

log = logging.getLogger(__name__)

_WIDE = (ScopeLevel.FIRM, ScopeLevel.TENANT)
MOST_USAGES = 1000
"""How many figures of one limit are taken."""
PLUGIN_FAILED = "plugin_failed"
PLUGIN_QUARANTINED = "plugin_quarantined"


class RuleHung(KernelError):
    """A rule ran longer than the watchdog allows: roll back, quarantine the plugin for the ledger, assess again."""

    code = "rule_hung"

    def __init__(self, plugin: str, rule: str, elapsed_s: float) -> None:
        super().__init__(f"rule {rule} of plugin {plugin} did not return within {elapsed_s:.2f} s")
        self.plugin = plugin
        self.rule = rule
        self.elapsed_s = elapsed_s


class MonitorFailed(KernelError):
    """A monitor raised or returned garbage: tell people, and ask it again."""

    code = "monitor_failed"

    def __init__(self, plugin: str, monitor: str, text: str) -> None:
        super().__init__(f"monitor {monitor} of plugin {plugin} {text}")
        self.plugin = plugin
        self.monitor = monitor


class FoldFailed(msgspec.Struct, frozen=True):
    """The state of a rule whose memory is lost: it denies until its state is rebuilt from the log."""

    reason: str


class Tally(msgspec.Struct):
    """Counts of one caller, written by one thread at a time."""

    calls: int = 0
    errors: int = 0
    total_s: float = 0.0
    max_s: float = 0.0
    last_error: str | None = None


class Guard:
    """The counters of one plugin and its quarantine in this process.

    quarantined: why no rule of the plugin may be called in this process, or empty; the quarantine of one ledger is
    GuardedRule's own.
    """

    def __init__(self, plugin: str, watchdog: Watchdog | None = None) -> None:
        self.plugin = plugin
        self.watchdog = watchdog or Watchdog()
        self.quarantined = ""
        self._tallies: list[Tally] = []

    def tally(self) -> Tally:
        """New counters that are summed into this guard's."""
        tally = Tally()
        self._tallies.append(tally)
        return tally

    @property
    def calls(self) -> int:
        """How often the plugin was called."""
        return sum(tally.calls for tally in self._tallies)

    @property
    def errors(self) -> int:
        """How many calls failed: raised, returned garbage or hung."""
        return sum(tally.errors for tally in self._tallies)

    @property
    def total_s(self) -> float:
        """Seconds spent inside the plugin."""
        return sum(tally.total_s for tally in self._tallies)

    @property
    def max_s(self) -> float:
        """The longest call in seconds."""
        return max((tally.max_s for tally in self._tallies), default=0.0)

    @property
    def last_error(self) -> str | None:
        """The latest failure's type and text, or None."""
        return next((tally.last_error for tally in reversed(self._tallies) if tally.last_error), None)

    @contextmanager
    def measured(self, tally: Tally) -> Iterator[None]:
        """Count and time the body; its exceptions are counted and go on. For sinks, connectors, feeds; not watched."""
        started = self.watchdog.clock()
        try:
            yield
        except Exception as error:
            self.failed(tally, "", error)
            raise
        finally:
            count(tally, self.watchdog.clock() - started)

    def failed(self, tally: Tally, where: str, error: object) -> None:
        """Count a failure and log it: the first, the tenth, the hundredth."""
        tally.errors += 1
        tally.last_error = describe(error)
        if str(tally.errors).strip("0") == "1":
            log.error(
                "plugin %s failed%s: %s (failure %d)",
                self.plugin,
                f" in {where}" if where else "",
                tally.last_error,
                tally.errors,
                exc_info=error if isinstance(error, BaseException) else None,
            )


class GuardedRule:
    """A rule, check or monitor as the host calls it. One ledger uses it, one batch at a time.

    key: names the memory of one version of one row of limits. terms: the row's scope, severity and dates.
    quarantined: why the plugin is quarantined in this ledger, or empty.
    """

    __slots__ = (
        "_assess",
        "_enter_assess",
        "_enter_fold",
        "_known",
        "_lost",
        "_passed",
        "_plain",
        "_tally",
        "gate",
        "guard",
        "horizon",
        "is_everywhere",
        "is_plain",
        "key",
        "name",
        "needs_basket",
        "observes",
        "plugin",
        "quarantined",
        "rule",
        "stateful",
        "terms",
    )

    def __init__(
        self,
        key: str,
        plugin: str,
        name: str,
        gate: Gate,
        terms: Terms,
        rule: Any,
        guard: Guard | None = None,
    ) -> None:
        self.key = key
        self.plugin = plugin
        self.name = name
        self.gate = gate
        self.terms = terms
        self.is_everywhere = terms.holds_always and terms.scope.level in _WIDE
        self.is_plain = terms.severity is RuleSeverity.HARD
        self.rule = rule
        self.guard = guard or Guard(plugin)
        self.quarantined = ""
        self.stateful = callable(getattr(rule, "fold", None)) and callable(getattr(rule, "initial_state", None))
        self.observes = _observed(rule)
        self.horizon = _horizon(rule)
        self.needs_basket = getattr(rule, "needs_basket", False) is True
        self._assess = getattr(rule, "assess", _no_rule)
        self._tally = self.guard.tally()
        self._plain = passed(name)
        self._known = known_of(name, plugin, gate, terms)
        self._passed = complete(self._plain, self._known)
        self._enter_assess = framed(plugin, f"{name}.assess")
        self._enter_fold = framed(plugin, f"{name}.fold")
        self._lost = FoldFailed("the rule's memory is lost")

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """The rule's verdict with all names filled in; DENY with `plugin_failed` when it raises or returns garbage.

        state: what `fold` made; None before the first event.
        DENY with `plugin_quarantined` without a call while quarantined. Raises RuleHung, nothing else.
        """
        if self.quarantined or self.guard.quarantined:
            return self._denied(PLUGIN_QUARANTINED, "is quarantined until a person releases it")
        if state.__class__ is FoldFailed:
            return self._denied(PLUGIN_FAILED, "has lost its memory until it is rebuilt from the log")
        if state is None and self.stateful:
            state = self.initial_state()
        outcome = self._call(self._enter_assess, self._assess, intent, view, state)
        if outcome is self._plain:
            return self._passed
        if outcome.__class__ is Verdict and is_sound(outcome):
            completed = complete(outcome, self._known)
            if completed == self._passed:  # a rule that has no figures to tell mostly returns one and the same object
                self._plain = outcome
                return self._passed
            return completed
        error = outcome.error if outcome.__class__ is _Failure else TypeError(f"no verdict: {describe(outcome)}")
        self.guard.failed(self._tally, f"{self.name}.assess", error)
        return self._denied(PLUGIN_FAILED, f"failed ({type(error).__name__})")

    def tampered(self) -> Verdict:
        """The denial in place of a verdict of a rule that changed the order it was shown; counted as a failure."""
        self.guard.failed(self._tally, f"{self.name}.assess", TypeError("it changed the order that it was shown"))
        return self._denied(PLUGIN_FAILED, "changed the order that it was shown")

    def covers(self, request: OrderRequest, now: datetime) -> bool:
        """Whether the limit holds for such an order now."""
        return self.is_everywhere or self.terms.covers(request, now)

    def watch(self, view: RuleView, state: Any) -> tuple[Trigger, ...]:
        """What a monitor finds overstepped. Raises MonitorFailed when it raises or returns garbage, RuleHung."""
        if self.quarantined or self.guard.quarantined or state.__class__ is FoldFailed:
            raise MonitorFailed(self.plugin, self.name, "is quarantined, or has lost its memory")
        if state is None and self.stateful:
            state = self.initial_state()
        outcome = self._call(self._enter_assess, self.rule.watch, view, state)
        if outcome.__class__ is tuple and all(is_sound_trigger(one) for one in outcome):
            found: tuple[Trigger, ...] = outcome
            return found
        error = outcome.error if outcome.__class__ is _Failure else TypeError(f"no triggers: {describe(outcome)}")
        self.guard.failed(self._tally, f"{self.name}.watch", error)
        raise MonitorFailed(self.plugin, self.name, f"failed ({type(error).__name__})")

    def usage(self, view: RuleView, state: Any) -> tuple[Usage, ...]:
        """How much of the limit is used, as the rule tells it; nothing when it cannot, or fails. Raises RuleHung."""
        measure = getattr(self.rule, "usage", None)
        if measure is None or self.quarantined or self.guard.quarantined or state.__class__ is FoldFailed:
            return ()
        if state is None and self.stateful:
            state = self.initial_state()
        outcome = self._call(self._enter_assess, _gathered, measure, view, state)
        if outcome.__class__ is tuple and all(is_sound_usage(one) for one in outcome):
            found: tuple[Usage, ...] = outcome
            return found
        error = outcome.error if outcome.__class__ is _Failure else TypeError(f"no usage: {describe(outcome)}")
        self.guard.failed(self._tally, f"{self.name}.usage", error)
        return ()

    def initial_state(self) -> Any:
        """The rule's state before the first event; None for a rule without memory.

        FoldFailed when it raises or the plugin is quarantined. Raises RuleHung, nothing else.
        """
        if not self.stateful:
            return None
        if self.quarantined or self.guard.quarantined:
            return self._lost
        outcome = self._call(self._enter_fold, self.rule.initial_state)
        if outcome.__class__ is _Failure:
            self.guard.failed(self._tally, f"{self.name}.initial_state", outcome.error)
            return self._lost
        return outcome

    def fold(self, state: Any, recorded: Recorded) -> tuple[Any, tuple[Any, ...]]:
        """(the state after the event, triggers). A fold that fails loses the memory: FoldFailed from then on.

        A quarantined plugin is not called and loses it too: an incomplete memory is none. Rebuild it from the log at
        the release. Raises RuleHung, nothing else.
        """
        if not self.stateful or state.__class__ is FoldFailed:
            return state, ()
        if self.quarantined or self.guard.quarantined:
            return self._lost, ()
        outcome = self._call(self._enter_fold, self.rule.fold, state, recorded)
        if outcome.__class__ is tuple and len(outcome) == 2 and outcome[1].__class__ is tuple:
            if not outcome[1] or all(is_sound_trigger(one) for one in outcome[1]):
                return outcome
        error = outcome.error if outcome.__class__ is _Failure else TypeError("fold returned no (state, triggers)")
        self.guard.failed(self._tally, f"{self.name}.fold", error)
        return self._lost, ()

    def _call(self, enter: Callable[..., Any], call: Callable[..., Any], *arguments: Any) -> Any:
        """What the plugin returned, or _Failure. Every path out of here goes through the slot's protocol."""
        watchdog = self.guard.watchdog
        slot = watchdog.local.slot
        clock = watchdog.clock
        slot.plugin = self.plugin
        started = clock()
        struck = False
        try:
            slot.started = started
            try:
                outcome = enter(call, *arguments)
            except (PluginHung, KeyboardInterrupt):
                raise
            except BaseException as error:
                outcome = _Failure(error)
            slot.started = None
            if slot.alarm:
                struck = slot.settle()
        except PluginHung:
            slot.abandon()
            struck = True
        except KeyboardInterrupt:
            slot.abandon()
            raise
        elapsed = clock() - started
        tally = self._tally
        tally.calls += 1
        tally.total_s += elapsed
        if elapsed > tally.max_s:
            tally.max_s = elapsed
        if struck:
            hung = RuleHung(self.plugin, self.name, elapsed)
            self.guard.failed(tally, self.name, hung)
            raise hung
        return outcome

    def _denied(self, code: str, text: str) -> Verdict:
        return Verdict(
            rule=self.name,
            outcome=Outcome.DENY,
            gate=self.gate,
            plugin=self.plugin,
            code=code,
            message=f"rule {self.name} of plugin {self.plugin} {text}",
            severity=RuleSeverity.SHADOW if self.terms.severity is RuleSeverity.SHADOW else RuleSeverity.HARD,
            limit_id=self.terms.limit_id,
            limit_version=self.terms.version,
            scope=self.terms.scope.level,
        )


class _Failure:
    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _gathered(measure: Callable[..., Any], view: RuleView, state: Any) -> tuple[Any, ...]:
    """What the rule measures, run through while the guard still watches."""
    return tuple(islice(measure(view, state), MOST_USAGES))


class _Unbuilt:
    """Stands for a rule that could not be made from its parameters: it fails at every order."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        raise self.error


def guard_rule(
    registered: Registered[Any],
    params: object,
    *,
    key: str,
    gate: Gate,
    terms: Terms,
    guard: Guard,
) -> GuardedRule:
    """The guarded instance of a registered rule, check or monitor for one row of limits.

    params: plain JSON values, as stored. A rule that cannot be made from them denies every order, as a failing one.
    """
    try:
        rule = make_rule(registered.contributed, params, terms.scope)
    except Exception as error:
        rule = _Unbuilt(error)
    return GuardedRule(key, registered.plugin, registered.name, gate, terms, rule, guard)


def make_rule(contributed: Any, params: object, scope: Scope) -> Any:
    """An instance of a rule, check or monitor class for one limit. Raises InvalidParams, and what the class raises."""
    arguments = [parse_params(contributed, params)]
    if hasattr(contributed, "watch") or getattr(contributed, "takes_scope", False):
        arguments.append(scope)
    return contributed(*arguments)


def making_error(contributed: Any, params: object, scope: Scope) -> Exception | None:
    """What is raised when a rule is made for such a limit; None when it can be made."""
    try:
        make_rule(contributed, params, scope)
    except Exception as error:
        return error
    return None


def count(tally: Tally, elapsed_s: float) -> None:
    """Count one call."""
    tally.calls += 1
    tally.total_s += elapsed_s
    tally.max_s = max(tally.max_s, elapsed_s)


def _observed(rule: Any) -> frozenset[type[Event]] | None:
    """The events that the rule says its memory takes in; None, all of them, unless it says so properly."""
    kinds = getattr(rule, "observes", None)
    return kinds if isinstance(kinds, frozenset) else None


def _horizon(rule: Any) -> timedelta | None:
    """How far back the rule says its memory reaches; None, to the first event, unless it says so properly."""
    horizon = getattr(rule, "horizon", None)
    return horizon if isinstance(horizon, timedelta) else None


def _no_rule(intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
    raise TypeError("the rule has no assess")
