"""A contributed object in, the first thing that is wrong with it by its contract out: name, title, Params, methods."""

import inspect
import re
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from oms_kernel.contracts.broker import BrokerCapabilities, BrokerConnector
from oms_kernel.contracts.plugin import params_schema
from oms_kernel.contracts.rules import ComplianceCheck, MeasuredRule, Monitor, RiskRule, StatefulRule
from oms_kernel.contracts.strategy import Strategy
from oms_kernel.contracts.tables import PluginTable, RowsOf
from oms_kernel.contracts.webhook import WebhookSink
from oms_kernel.domain.controls import Action, Category
from oms_kernel.registry import Kind

CONTRACTS: dict[Kind, type[Any]] = {
    Kind.BROKER: BrokerConnector,
    Kind.RISK_RULE: RiskRule,
    Kind.COMPLIANCE_CHECK: ComplianceCheck,
    Kind.MONITOR: Monitor,
    Kind.STRATEGY: Strategy,
    Kind.WEBHOOK_SINK: WebhookSink,
    Kind.TABLE: PluginTable,
}
LONGEST_TITLE = 120
_JUDGING = (Kind.RISK_RULE, Kind.COMPLIANCE_CHECK, Kind.MONITOR)
_TERMS: dict[str, type] = {
    "rank": int,
    "takes_scope": bool,
    "needs_basket": bool,
    "needs_equity": bool,
    "source": str,
    "default_action": Action,
    "category": Category,
}
"""Optional class attributes of rules, checks and monitors, and what each has to be."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_SOUND: WeakKeyDictionary[type, set[Kind]] = WeakKeyDictionary()
"""What each class was found to be a sound contribution of."""


def defect_of(kind: Kind, contributed: object) -> str | None:
    """What makes the object no contribution of this kind, in words for its author; None when it is sound.

    A class that was found sound is not asked again in this process: what a class is does not change.
    """
    if not isinstance(contributed, type):
        return f"{contributed!r:.100} is no class"
    if kind in _SOUND.get(contributed, ()):
        return None
    defect = _first_defect(kind, contributed)
    if defect is None:
        _SOUND.setdefault(contributed, set()).add(kind)
    return defect


def _first_defect(kind: Kind, contributed: type) -> str | None:
    return (
        _naming_defect(contributed)
        or _params_defect(contributed)
        or _methods_defect(contributed, CONTRACTS[kind])
        or (_memory_defect(contributed) if kind in _JUDGING else None)
        or (_terms_defect(contributed) if kind in _JUDGING else None)
        or (_usage_defect(contributed) if kind in _JUDGING else None)
        or (_capabilities_defect(contributed) if kind is Kind.BROKER else None)
        or (_rows_defect(contributed) if kind is Kind.TABLE else None)
    )


def methods_of(contract: type[Any]) -> dict[str, inspect.Signature]:
    """The methods that a contract asks for, those of its bases included, with their signatures."""
    return {
        name: inspect.signature(member)
        for base in reversed(contract.__mro__)
        if base.__module__.startswith("oms_kernel.")
        for name, member in vars(base).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


def _naming_defect(contributed: type) -> str | None:
    name = getattr(contributed, "name", None)
    if not isinstance(name, str) or not _NAME.match(name):
        return f"{contributed.__qualname__} needs a `name` in lower_snake_case, at most 64 characters"
    title = getattr(contributed, "title", None)
    if not isinstance(title, str) or not title.strip() or len(title) > LONGEST_TITLE or not title.isprintable():
        return f"{name} needs a `title` of one line, at most {LONGEST_TITLE} characters"
    return None


def _params_defect(contributed: Any) -> str | None:
    params = getattr(contributed, "Params", None)
    if not isinstance(params, type) or not issubclass(params, msgspec.Struct):
        return f"{contributed.name} needs `Params`, a frozen msgspec Struct (NoParams when it has none)"
    if not params.__struct_config__.frozen or not params.__struct_config__.forbid_unknown_fields:
        return f"{contributed.name}.Params must be declared frozen=True, forbid_unknown_fields=True"
    try:
        params_schema(contributed)
    except Exception as error:
        return f"{contributed.name}.Params has no JSON Schema: {type(error).__name__}: {error}"
    return None


def _methods_defect(
    contributed: Any, contract: type[Any], methods: dict[str, inspect.Signature] | None = None
) -> str | None:
    for method, wanted in (methods if methods is not None else methods_of(contract)).items():
        given = getattr(contributed, method, None)
        if not callable(given):
            return f"{contributed.name} lacks the method {method}{wanted}"
        if inspect.iscoroutinefunction(getattr(contract, method)) != inspect.iscoroutinefunction(given):
            kind = "a coroutine function" if inspect.iscoroutinefunction(getattr(contract, method)) else "synchronous"
            return f"{contributed.name}.{method} must be {kind}"
        try:
            inspect.signature(given).bind(*wanted.parameters)
        except TypeError as error:
            return f"{contributed.name}.{method} must take {wanted}: {error}"
        except ValueError:
            # Functions of compiled modules may have no readable signature.
            continue
    return None


def _terms_defect(contributed: Any) -> str | None:
    for name, wanted in _TERMS.items():
        if hasattr(contributed, name) and not isinstance(getattr(contributed, name), wanted):
            return f"{contributed.name}.{name} must be of type {wanted.__name__}"
    return None


def _usage_defect(contributed: Any) -> str | None:
    if not hasattr(contributed, "usage"):
        return None
    return _methods_defect(contributed, MeasuredRule, {"usage": methods_of(MeasuredRule)["usage"]})


def _memory_defect(contributed: Any) -> str | None:
    has = [callable(getattr(contributed, method, None)) for method in ("initial_state", "fold")]
    if has[0] != has[1]:
        return f"{contributed.name} needs both `initial_state` and `fold`, or neither"
    if not all(has):
        return None
    memory = {name: wanted for name, wanted in methods_of(StatefulRule).items() if name != "assess"}
    return _methods_defect(contributed, StatefulRule, memory)


def _capabilities_defect(contributed: Any) -> str | None:
    if not isinstance(getattr(contributed, "capabilities", None), BrokerCapabilities):
        return f"{contributed.name} needs `capabilities`, a BrokerCapabilities"
    return None


def _rows_defect(contributed: Any) -> str | None:
    if not isinstance(getattr(contributed, "rows_of", None), RowsOf):
        return f"{contributed.name} needs `rows_of`, RowsOf.TENANT or RowsOf.PLATFORM"
    return None
