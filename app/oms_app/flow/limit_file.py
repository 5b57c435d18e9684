"""The values of a file of limits in, its sections out: the firm's, and a tenant's each; every fault with path and line.

A section holds `settings` and `limits`. At the top they are those of the tenant that the caller means; under `tenants`
each section is named by the tenant's slug; under `firm` stand the limits of the whole installation.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from oms_app.flow.errors import FlowError
from oms_app.flow.yaml_text import BadYaml, Document, read_yaml
from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import RuleSeverity

FORM = 1
"""Of the file, where it says `version`."""
SECTION_KEYS = ("settings", "limits")
TOP_KEYS = ("version", "firm", "tenants", *SECTION_KEYS)
LIMIT_KEYS = (
    "rule", "params", "name", "id", "account", "strategy", "instrument", "severity", "action", "from", "until",
)  # fmt: skip
RISK_SETTINGS = (
    "required_limits", "second_person_limits", "second_person_release", "approval_window_s", "strategy_dead_man_s",
)  # fmt: skip
"""The settings of a tenant that a file may hold."""
Word = TypeVar("Word", bound=StrEnum)


class Fault(msgspec.Struct, frozen=True):
    """What is wrong at one place. line: counted from 1; 0 where there are no lines."""

    path: str
    detail: str
    fix: str
    line: int = 0


class BadLimits(FlowError):
    """The file of limits has faults; nothing was stored: correct what is named."""

    code = "invalid_request"

    def __init__(self, faults: Sequence[Fault]) -> None:
        first = faults[0]
        place = f"line {first.line}, {first.path}" if first.line else first.path
        more = f" ({len(faults)} faults in all)" if len(faults) > 1 else ""
        super().__init__(f"{place}: {first.detail}{more}")
        self.faults = tuple(faults)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of a file. words: account, strategy and instrument, as far as they are named."""

    path: str
    rule: str
    params: dict[str, Any]
    name: str
    limit_id: str
    words: dict[str, str]
    severity: RuleSeverity
    action: Action | None
    effective_from: datetime | None
    effective_until: datetime | None


class Section(msgspec.Struct, frozen=True):
    """What a file says of one tenant, or of the firm. tenant: its slug; empty for the one that the caller means."""

    path: str
    tenant: str
    is_firm: bool
    settings: dict[str, Any]
    limits: tuple[Entry, ...]


class Faults:
    """Collects what is wrong, with the line of each."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.found: list[Fault] = []

    def add(self, path: str, detail: str, fix: str) -> None:
        """Note a fault."""
        self.found.append(Fault(path, detail, fix, self._document.line_of(path)))

    def check(self) -> None:
        """Nothing, when there is none. Raises BadLimits."""
        if self.found:
            raise BadLimits(sorted(self.found, key=lambda fault: fault.line))


def document_of(text: str) -> Document:
    """The document in a YAML text. Raises BadLimits."""
    try:
        return read_yaml(text)
    except BadYaml as error:
        fault = Fault(
            "", error.detail.partition(": ")[2] if error.line else error.detail, "correct the YAML", error.line
        )
        raise BadLimits([fault]) from None


def sections_of(document: Document) -> list[Section]:
    """The sections, the firm's first. Raises BadLimits with every fault of form."""
    faults = Faults(document)
    top = _mapping(document.value, "", TOP_KEYS, faults)
    if top.get("version", FORM) != FORM:
        faults.add("version", f"is not {FORM}", f"write version: {FORM}, or leave it out")
    sections = []
    if "firm" in top:
        sections.append(_section(top["firm"], "firm", "", True, faults))
    if set(top) & set(SECTION_KEYS):
        own = {name: top[name] for name in SECTION_KEYS if name in top}
        sections.append(_section(own, "", "", False, faults))
    tenants = top.get("tenants") or {}
    if not isinstance(tenants, Mapping):
        faults.add("tenants", "must be a mapping", "write the slug of each tenant as a key")
        tenants = {}
    for slug, values in tenants.items():
        sections.append(_section(values, f"tenants.{slug}", str(slug), False, faults))
    faults.check()
    return sections


def _section(value: Any, path: str, tenant: str, is_firm: bool, faults: Faults) -> Section:
    known = ("limits",) if is_firm else SECTION_KEYS
    values = _mapping(value, path, known, faults)
    settings_path = _below(path, "settings")
    settings = _mapping(values.get("settings"), settings_path, RISK_SETTINGS, faults)
    limits = values.get("limits")
    limits_path = _below(path, "limits")
    if limits is not None and not isinstance(limits, list):
        faults.add(limits_path, "must be a list", "begin each limit with a dash")
        limits = []
    entries = [_entry(one, f"{limits_path}[{place}]", faults) for place, one in enumerate(limits or [])]
    return Section(path, tenant, is_firm, dict(settings), tuple(one for one in entries if one is not None))


def _entry(value: Any, path: str, faults: Faults) -> Entry | None:
    before = len(faults.found)
    values = _mapping(value, path, LIMIT_KEYS, faults)
    texts = {name: _text(values, name, path, faults) for name in ("rule", "name", "id", "account", "strategy")}
    texts["instrument"] = _text(values, "instrument", path, faults)
    if not texts["rule"]:
        faults.add(path, "names no rule", "write `rule:` and a name that `oms risk rules` shows")
    params = values.get("params")
    if params is not None and not isinstance(params, Mapping):
        faults.add(f"{path}.params", "must be a mapping", "write each parameter as a key")
        params = {}
    severity = _word(values, "severity", RuleSeverity, path, faults)
    action = _word(values, "action", Action, path, faults)
    begin, end = _instant(values, "from", path, faults), _instant(values, "until", path, faults)
    if len(faults.found) > before:
        return None
    return Entry(
        path=path,
        rule=texts["rule"],
        params=dict(params or {}),
        name=texts["name"],
        limit_id=texts["id"],
        words={name: texts[name] for name in ("account", "strategy", "instrument") if texts[name]},
        severity=severity or RuleSeverity.HARD,
        action=action,
        effective_from=begin,
        effective_until=end,
    )


def _mapping(value: Any, path: str, known: Sequence[str], faults: Faults) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        faults.add(path, "must be a mapping", f"write keys of {', '.join(known)}")
        return {}
    for name in value:
        if name not in known:
            faults.add(_below(path, name), "is unknown", f"remove it; known are {', '.join(known)}")
    return {name: item for name, item in value.items() if name in known}


def _text(values: Mapping[str, Any], name: str, path: str, faults: Faults) -> str:
    value = values.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    faults.add(f"{path}.{name}", "must be a text", "write it in quotes")
    return ""


def _word(values: Mapping[str, Any], name: str, words: type[Word], path: str, faults: Faults) -> Word | None:
    value = values.get(name)
    if value is None:
        return None
    if value not in tuple(words):
        faults.add(f"{path}.{name}", f"{value!r} is no such word", f"write one of {', '.join(words)}")
        return None
    return words(value)


def _instant(values: Mapping[str, Any], name: str, path: str, faults: Faults) -> datetime | None:
    value = values.get(name)
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    faults.add(f"{path}.{name}", "must be a time with its zone", "write it such as 2026-01-31T15:30:00Z")
    return None


def _below(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
