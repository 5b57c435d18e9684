"""Installed distributions in, frozen registries of what they contribute out; a broken plugin is reported, not fatal.

For each entry point: the handshake reads the distribution's own metadata before anything of it is imported, then the
module is loaded, checked against the hooks and asked for its classes. A plugin is taken whole or not at all.
Only a plugin that the configuration requires stops the host. An import that never returns is not guarded against.
"""

import importlib.metadata
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from importlib.metadata import Distribution, EntryPoint
from typing import Any

import msgspec
import pluggy
from packaging.utils import canonicalize_name
from packaging.version import Version

from oms_kernel import hookspecs
from oms_kernel.contribution import defect_of
from oms_kernel.domain.errors import KernelError
from oms_kernel.guard import Guard
from oms_kernel.handshake import KERNEL, Refusal, check_handshake
from oms_kernel.hookspecs import ENTRY_POINT_GROUP, PROJECT
from oms_kernel.registry import FIELDS, Kind, Registered, Registries, Registry
from oms_kernel.soundness import describe
from oms_kernel.watchdog import Watchdog

log = logging.getLogger(__name__)
_NAME_HEADER = re.compile(r"^Name:[ \t]*(\S+)[ \t]*$", re.MULTILINE)


class PluginStatus(StrEnum):
    """What became of a plugin at start."""

    LOADED = "LOADED"
    REFUSED = "REFUSED"
    """The host did not want it: handshake, unknown hook, a name that is taken."""
    BROKEN = "BROKEN"
    """It failed: import, hook, or a contribution that is none."""
    DISABLED = "DISABLED"


class Contribution(msgspec.Struct, frozen=True):
    """One contributed class, for people."""

    kind: Kind
    name: str
    title: str


class PluginReport(msgspec.Struct, frozen=True):
    """One plugin: what became of it, why, and how its calls went so far. Times in milliseconds and microseconds."""

    name: str
    distribution: str
    version: str
    status: PluginStatus
    reason: str = ""
    load_ms: float = 0.0
    contributions: tuple[Contribution, ...] = ()
    calls: int = 0
    errors: int = 0
    mean_us: float = 0.0
    max_us: float = 0.0
    last_error: str | None = None
    quarantined: str = ""


class RequiredPluginMissing(KernelError):
    """A plugin that the configuration requires is not loaded; install or repair it, or drop the requirement."""

    code = "required_plugin_missing"


class Breakage(Exception):
    """Why a plugin is broken."""


class _Candidate(msgspec.Struct, frozen=True):
    name: str
    distribution: str
    version: str
    requires: Callable[[], Sequence[str]]
    load: Callable[[], object]
    shakes_hands: bool = True


class PluginHost:
    """Discovers, checks and loads plugins once; afterwards it answers for their counters.

    disabled, required: names of plugins (the entry point's name) or of distributions. modules: further plugins by
    name, given by hand and without a handshake, for tests. order: kind -> names of contributions that come first.
    distributions: where to look, the environment by default.
    """

    def __init__(
        self,
        *,
        disabled: Iterable[str] = (),
        required: Iterable[str] = (),
        modules: Mapping[str, object] | None = None,
        order: Mapping[Kind, Sequence[str]] | None = None,
        watchdog: Watchdog | None = None,
        distributions: Callable[[], Iterable[Distribution]] = importlib.metadata.distributions,
        kernel_version: str | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.disabled = frozenset(disabled)
        self.required = tuple(required)
        self.watchdog = watchdog or Watchdog()
        self._modules = dict(modules or {})
        self._order = dict(order or {})
        self._distributions = distributions
        self._kernel_version = kernel_version
        self._clock = clock
        self._guards: dict[str, Guard] = {}
        self._reports: list[PluginReport] = []

    def load(self) -> Registries:
        """What the plugins contribute; call it once. Raises RequiredPluginMissing."""
        kernel = Version(self._kernel_version or importlib.metadata.version(KERNEL))
        entries: dict[Kind, dict[str, Registered[Any]]] = {kind: {} for kind in Kind}
        for candidate in self._candidates():
            started = self._clock()
            contributed: dict[Kind, list[Registered[Any]]] = {}
            status, reason = PluginStatus.LOADED, ""
            if {candidate.name, candidate.distribution} & self.disabled:
                status, reason = PluginStatus.DISABLED, "disabled by the configuration"
            else:
                try:
                    contributed = self._take(candidate, kernel, entries)
                except Refusal as refusal:
                    status, reason = PluginStatus.REFUSED, str(refusal)
                    log.warning("plugin %s of %s is refused: %s", candidate.name, candidate.distribution, reason)
                except Breakage as breakage:
                    status, reason = PluginStatus.BROKEN, str(breakage)
                    log.warning("plugin %s of %s is broken", candidate.name, candidate.distribution, exc_info=True)
            for kind, items in contributed.items():
                entries[kind].update((item.name, item) for item in items)
            if status is PluginStatus.LOADED:
                self._guards[candidate.name] = Guard(candidate.name, self.watchdog)
            self._reports.append(
                PluginReport(
                    name=candidate.name,
                    distribution=candidate.distribution,
                    version=candidate.version,
                    status=status,
                    reason=reason,
                    load_ms=round((self._clock() - started) * 1000, 3),
                    contributions=tuple(
                        Contribution(kind, item.name, item.contributed.title)
                        for kind, items in contributed.items()
                        for item in items
                    ),
                )
            )
        self._check_required()
        return Registries(
            **{FIELDS[kind]: Registry(entries[kind].values(), self._order.get(kind, ())) for kind in Kind}
        )

    def report(self) -> tuple[PluginReport, ...]:
        """All plugins in the order in which they were found, with the counters of this process so far."""
        return tuple(
            self._counted(report) if report.status is PluginStatus.LOADED else report for report in self._reports
        )

    def guard(self, plugin: str) -> Guard:
        """The guard of a loaded plugin. Raises KeyError."""
        return self._guards[plugin]

    def _candidates(self) -> list[_Candidate]:
        found: dict[str, list[_Candidate]] = {}
        for distribution in self._distributions():
            try:
                name = _name_of(distribution)
                points = distribution.entry_points.select(group=ENTRY_POINT_GROUP)
                candidates = [_candidate(name, distribution, point) for point in points]
            except Exception:  # noqa: S112 - half-removed distributions have no readable metadata, and no plugin either
                continue
            # The first on the path is the one that an import would find.
            found.setdefault(name, candidates)
        ordered = sorted(
            (candidate for candidates in found.values() for candidate in candidates),
            key=lambda candidate: (candidate.distribution, candidate.name),
        )
        return [*ordered, *(_by_hand(name, module) for name, module in self._modules.items())]

    def _take(
        self, candidate: _Candidate, kernel: Version, entries: Mapping[Kind, Mapping[str, Registered[Any]]]
    ) -> dict[Kind, list[Registered[Any]]]:
        """The contributions of one plugin, all sound and all with free names. Raises Refusal or Breakage."""
        holder = next((r for r in self._reports if r.name == candidate.name), None)
        if holder is not None:
            raise Refusal(f"the plugin name {candidate.name} is taken by {holder.distribution or 'a module'}")
        if candidate.shakes_hands:
            check_handshake(candidate.requires, kernel)
        contributed = _collect(candidate)
        for kind, items in contributed.items():
            names: set[str] = set()
            for item in items:
                taken = entries[kind].get(item.name)
                if taken is not None or item.name in names:
                    owner = taken.plugin if taken is not None else candidate.name
                    raise Refusal(f"{kind.value}: the name {item.name} is taken by plugin {owner}")
                names.add(item.name)
        return contributed

    def _check_required(self) -> None:
        loaded = [report for report in self._reports if report.status is PluginStatus.LOADED]
        for wanted in self.required:
            if not any(wanted in (report.name, report.distribution) for report in loaded):
                found = next((r for r in self._reports if wanted in (r.name, r.distribution)), None)
                why = f"{found.status.value}: {found.reason}" if found else "not installed"
                raise RequiredPluginMissing(f"the required plugin {wanted} is missing: {why}", field="required_plugins")

    def _counted(self, report: PluginReport) -> PluginReport:
        guard = self._guards[report.name]
        calls = guard.calls
        return msgspec.structs.replace(
            report,
            calls=calls,
            errors=guard.errors,
            mean_us=round(guard.total_s / calls * 1e6, 3) if calls else 0.0,
            max_us=round(guard.max_s * 1e6, 3),
            last_error=guard.last_error,
            quarantined=guard.quarantined,
        )


def _name_of(distribution: Distribution) -> str:
    """Its normalised name. Raises whatever unreadable metadata raises.

    Read from the headers alone where they can be: parsing the long descriptions of a whole environment takes most of
    the time of a start.
    """
    headers = (distribution.read_text("METADATA") or "").partition("\n\n")[0]
    written = _NAME_HEADER.search(headers)
    return canonicalize_name(written[1] if written is not None else distribution.metadata["Name"])


def _candidate(distribution_name: str, distribution: Distribution, point: EntryPoint) -> _Candidate:
    return _Candidate(
        name=point.name,
        distribution=distribution_name,
        version=distribution.version,
        requires=lambda: distribution.requires or (),
        load=point.load,
    )


def _by_hand(name: str, module: object) -> _Candidate:
    return _Candidate(name=name, distribution="", version="", requires=tuple, load=lambda: module, shakes_hands=False)


def _collect(candidate: _Candidate) -> dict[Kind, list[Registered[Any]]]:
    """What the plugin registers, checked class by class. Raises Refusal or Breakage.

    A plugin manager of its own: one plugin's bad hook cannot fail another's, and nothing stays behind.
    """
    module = _survive("import", candidate.load)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        _survive("its hooks", lambda: manager.register(module, name=candidate.name), pluggy.PluginValidationError)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise Refusal(f"its hooks do not fit: {describe(error)}") from None
    contributed: dict[Kind, list[Registered[Any]]] = {}
    for kind in Kind:
        given: list[object] = []
        _survive(kind.hook, partial(getattr(manager.hook, kind.hook), register=given.append))
        for item in given:
            defect = defect_of(kind, item)
            if defect is not None:
                raise Breakage(f"{kind.hook}: {defect}")
            registered: Registered[Any] = Registered(
                name=item.name,  # type: ignore[attr-defined]
                plugin=candidate.name,
                distribution=candidate.distribution,
                contributed=item,  # type: ignore[arg-type]
            )
            contributed.setdefault(kind, []).append(registered)
    return contributed


def _survive(what: str, call: Callable[[], Any], *let_through: type[Exception]) -> Any:
    """The call's result; SystemExit and everything else that a plugin can raise becomes Breakage, Ctrl-C does not."""
    try:
        return call()
    except let_through:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Breakage(f"{what} failed: {describe(error)}") from error
