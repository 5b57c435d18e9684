"""The host takes sound plugins whole, refuses or reports the others, and goes on."""

import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from oms_kernel.contracts.plugin import NoParams
from oms_kernel.contracts.tables import RowsOf
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.hookspecs import hookimpl
from oms_kernel.host import PluginHost, PluginReport, PluginStatus, RequiredPluginMissing
from oms_kernel.registry import Kind

GOOD = """
    from oms_kernel.contracts.plugin import NoParams
    from oms_kernel.domain.decision import passed
    from oms_kernel.hookspecs import hookimpl

    class Rule:
        name = "{rule}"
        title = "Lets everything through"
        Params = NoParams
        def __init__(self, params): ...
        def assess(self, intent, view, state):
            return passed(self.name)

    @hookimpl
    def register_risk_rules(register):
        register(Rule)
"""

Install = Callable[..., None]


class Site:
    """A folder of installed distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        plugin: str,
        source: str = GOOD,
        *,
        distribution: str | None = None,
        requires: str | None = "oms-kernel>=0.1,<0.2",
        rule: str = "",
        extra_lines: str = "",
    ) -> None:
        module = f"planted_{plugin}_{distribution or 'own'}".replace("-", "_")
        name = distribution or f"planted-{plugin}"
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source.replace("{rule}", rule or plugin)))
        info = self.folder / f"{name.replace('-', '_')}-1.2.dist-info"
        info.mkdir(exist_ok=True)
        lines = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.2"]
        lines += [f"Requires-Dist: {requires}"] if requires else []
        (info / "METADATA").write_text("\n".join([*lines, *extra_lines.splitlines()]) + "\n")
        with (info / "entry_points.txt").open("a") as points:
            if points.tell() == 0:
                points.write("[oms.plugins]\n")
            points.write(f"{plugin} = {module}\n")

    def host(self, **settings: Any) -> PluginHost:
        def found() -> Iterator[Distribution]:
            return iter(distributions(path=[str(self.folder)]))

        return PluginHost(distributions=found, kernel_version="0.1.7", **settings)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Site(tmp_path)
    for name in [name for name in sys.modules if name.startswith("planted_")]:
        del sys.modules[name]


def only(host: PluginHost) -> PluginReport:
    (report,) = host.report()
    return report


def test_a_sound_plugin_is_loaded_with_its_names_version_and_time(site: Site) -> None:
    site.add("alpha")
    host = site.host()
    registries = host.load()
    assert list(registries.risk_rules) == ["alpha"]
    entry = registries.risk_rules["alpha"]
    assert (entry.plugin, entry.distribution, entry.contributed.title) == (
        "alpha",
        "planted-alpha",
        "Lets everything through",
    )
    report = only(host)
    assert (report.name, report.distribution, report.version) == ("alpha", "planted-alpha", "1.2")
    assert (report.status, report.reason) == (PluginStatus.LOADED, "")
    assert report.load_ms > 0
    assert [(item.kind, item.name) for item in report.contributions] == [(Kind.RISK_RULE, "alpha")]


def test_the_installed_first_party_plugins_are_loaded() -> None:
    host = PluginHost()
    registries = host.load()
    assert [report.reason for report in host.report() if report.status is not PluginStatus.LOADED] == []
    assert set(registries.of(Kind.RISK_RULE)) >= {"max_order_quantity", "price_collar"}


HANDSHAKES = {
    "other_major": ("oms-kernel>=0.2", PluginStatus.REFUSED, "it needs oms-kernel>=0.2, this is 0.1.7"),
    "none_at_all": (None, PluginStatus.REFUSED, "does not require oms-kernel"),
    "of_others_only": ("requests>=1", PluginStatus.REFUSED, "does not require oms-kernel"),
    "for_another_python": ('oms-kernel>=0.1; python_version < "3"', PluginStatus.REFUSED, "does not require"),
    "for_an_extra": ('oms-kernel>=0.1; extra == "oms"', PluginStatus.REFUSED, "does not require"),
    "unreadable": ("oms-kernel >>= one", PluginStatus.REFUSED, "unreadable requirement"),
    "marker_holds": ('oms-kernel>=0.1,<0.2; python_version >= "3.11"', PluginStatus.LOADED, ""),
    "spelled_otherwise": ("OMS_Kernel>=0.1", PluginStatus.LOADED, ""),
    "any_version": ("oms-kernel", PluginStatus.LOADED, ""),
}


@pytest.mark.parametrize("case", HANDSHAKES)
def test_the_handshake_reads_the_distributions_metadata(site: Site, case: str) -> None:
    requires, status, reason = HANDSHAKES[case]
    site.add("alpha", requires=requires)
    host = site.host()
    host.load()
    assert only(host).status is status
    assert reason in only(host).reason


def test_nothing_of_a_refused_plugin_is_imported(site: Site, tmp_path: Path) -> None:
    trace = tmp_path / "imported"
    site.add("alpha", f"open({str(trace)!r}, 'w')", requires="oms-kernel>=9")
    site.host().load()
    assert not trace.exists()


def test_nothing_of_a_disabled_plugin_is_imported(site: Site, tmp_path: Path) -> None:
    trace = tmp_path / "imported"
    site.add("alpha", f"open({str(trace)!r}, 'w')")
    host = site.host(disabled=["alpha"])
    host.load()
    assert only(host).status is PluginStatus.DISABLED
    assert not trace.exists()


BREAKAGES = {
    "import_error": ("import no_such_module_anywhere", "ModuleNotFoundError"),
    "syntax_error": ("def", "SyntaxError"),
    "raises": ("raise RuntimeError('at import')", "at import"),
    "exits": ("import sys; sys.exit(3)", "SystemExit"),
    "cancels": ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
    "hook_raises": (GOOD.replace("register(Rule)", "raise ValueError('in the hook')"), "in the hook"),
    "hook_exits": (GOOD.replace("register(Rule)", "raise SystemExit"), "SystemExit"),
    "no_class": (GOOD.replace("register(Rule)", "register(Rule(None))"), "is no class"),
    "nothing": (GOOD.replace("register(Rule)", "register(None)"), "is no class"),
    "no_name": (GOOD.replace('name = "{rule}"', ""), "needs a `name`"),
    "number_name": (GOOD.replace('"{rule}"', "7"), "needs a `name`"),
    "spaced_name": (GOOD.replace('"{rule}"', '"My Rule"'), "needs a `name`"),
    "no_title": (GOOD.replace('title = "Lets everything through"', ""), "needs a `title`"),
    "two_line_title": (GOOD.replace("Lets everything", "Lets\\neverything"), "needs a `title`"),
    "no_params": (GOOD.replace("Params = NoParams", ""), "needs `Params`"),
    "dict_params": (GOOD.replace("Params = NoParams", "Params = dict"), "needs `Params`"),
    "no_method": (GOOD.replace("def assess", "def judge"), "lacks the method assess"),
    "wrong_arity": (GOOD.replace("intent, view, state", "intent"), "assess must take"),
    "coroutine": (GOOD.replace("def assess", "async def assess"), "must be synchronous"),
    "half_a_memory": (GOOD.replace("def assess", "def fold(self, s, e): ...\n        def assess"), "needs both"),
}


@pytest.mark.parametrize("case", BREAKAGES)
def test_a_broken_plugin_is_reported_with_its_reason_and_the_others_are_loaded(site: Site, case: str) -> None:
    source, reason = BREAKAGES[case]
    site.add("alpha")
    site.add("broken", source)
    site.add("omega")
    host = site.host()
    assert list(host.load().risk_rules) == ["alpha", "omega"]
    report = {report.name: report for report in host.report()}["broken"]
    assert report.status is PluginStatus.BROKEN
    assert reason in report.reason
    assert report.contributions == ()


@pytest.mark.parametrize(
    "source",
    [
        GOOD.replace("def register_risk_rules", "def register_riskrules"),
        GOOD.replace("def register_risk_rules(register)", "def register_risk_rules(register, config)"),
    ],
    ids=["unknown_hook", "unknown_argument"],
)
def test_a_plugin_with_hooks_that_do_not_fit_is_refused(site: Site, source: str) -> None:
    site.add("alpha", source)
    host = site.host()
    assert len(host.load().risk_rules) == 0
    assert only(host).status is PluginStatus.REFUSED
    assert "do not fit" in only(host).reason


def test_the_later_of_two_plugins_with_one_name_is_refused(site: Site) -> None:
    site.add("same", distribution="planted-a", rule="one")
    site.add("same", distribution="planted-b", rule="two")
    host = site.host()
    assert list(host.load().risk_rules) == ["one"]
    assert [report.status for report in host.report()] == [PluginStatus.LOADED, PluginStatus.REFUSED]
    assert "the plugin name same is taken by planted-a" in host.report()[1].reason


def test_the_later_of_two_plugins_with_one_contributed_name_is_refused_whole(site: Site) -> None:
    site.add("alpha", rule="shared")
    both = GOOD.replace("register(Rule)", "register(type('Other', (Rule,), {'name': 'other'})); register(Rule)")
    site.add("beta", both, rule="shared")
    host = site.host()
    registries = host.load()
    assert list(registries.risk_rules) == ["shared"]
    assert registries.risk_rules["shared"].plugin == "alpha"
    assert "the name shared is taken by plugin alpha" in host.report()[1].reason


def test_a_plugin_that_contributes_a_name_twice_is_refused(site: Site) -> None:
    site.add("alpha", GOOD.replace("register(Rule)", "register(Rule); register(Rule)"))
    host = site.host()
    host.load()
    assert "the name alpha is taken by plugin alpha" in only(host).reason


@pytest.mark.parametrize("wanted", ["alpha", "planted-alpha"])
def test_a_required_plugin_may_be_named_by_plugin_or_distribution(site: Site, wanted: str) -> None:
    site.add("alpha")
    assert len(site.host(required=[wanted]).load().risk_rules) == 1


@pytest.mark.parametrize(
    ("source", "why"), [(None, "not installed"), ("raise ValueError('so')", "BROKEN: import failed: ValueError: so")]
)
def test_a_required_plugin_that_is_not_loaded_stops_the_host_with_the_reason(
    site: Site, source: str | None, why: str
) -> None:
    if source is not None:
        site.add("alpha", source)
    with pytest.raises(RequiredPluginMissing) as missing:
        site.host(required=["alpha"]).load()
    assert why in missing.value.detail


def test_disabling_a_required_plugin_stops_the_host(site: Site) -> None:
    site.add("alpha")
    with pytest.raises(RequiredPluginMissing, match="DISABLED"):
        site.host(required=["alpha"], disabled=["alpha"]).load()


def test_a_distribution_without_readable_metadata_is_passed_over(site: Site, tmp_path: Path) -> None:
    (tmp_path / "ruin-1.dist-info").mkdir()
    site.add("alpha")
    host = site.host()
    host.load()
    assert only(host).name == "alpha"


def test_order_is_by_plugin_and_name_unless_data_says_otherwise(site: Site) -> None:
    for plugin in ("gamma", "alpha", "beta"):
        site.add(plugin, rule=f"rule_of_{plugin}")
    assert list(site.host().load().risk_rules) == ["rule_of_alpha", "rule_of_beta", "rule_of_gamma"]
    ordered = site.host(order={Kind.RISK_RULE: ["rule_of_gamma", "rule_of_absent"]}).load()
    assert list(ordered.risk_rules) == ["rule_of_gamma", "rule_of_alpha", "rule_of_beta"]


class Quiet:
    """A rule given by hand."""

    name = "quiet"
    title = "Says nothing"
    Params: type[msgspec.Struct] = NoParams

    def __init__(self, params: Any) -> None: ...

    def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
        return passed(self.name)


def test_a_module_given_by_hand_is_a_plugin_too(site: Site) -> None:
    module = ModuleType("by_hand")

    @hookimpl
    def register_risk_rules(register: Callable[[type], None]) -> None:
        register(Quiet)

    module.register_risk_rules = register_risk_rules  # type: ignore[attr-defined]
    host = site.host(modules={"by_hand": module})
    assert host.load().risk_rules["quiet"].contributed is Quiet
    assert only(host).distribution == ""


def test_registries_cannot_be_changed(site: Site) -> None:
    site.add("alpha")
    registries = site.host().load()
    with pytest.raises(AttributeError):
        registries.risk_rules = registries.strategies  # type: ignore[misc, assignment]
    with pytest.raises(TypeError):
        registries.risk_rules["x"] = registries.risk_rules["alpha"]  # type: ignore[index]


def test_the_report_counts_calls_errors_and_latency(site: Site) -> None:
    site.add("alpha")
    host = site.host()
    host.load()
    guard = host.guard("alpha")
    tally = guard.tally()
    with pytest.raises(ValueError, match="no"), guard.measured(tally):
        raise ValueError("no")
    report = only(host)
    assert (report.calls, report.errors, report.last_error) == (1, 1, "ValueError: no")
    assert report.max_us >= report.mean_us > 0


def test_a_declaration_of_a_table_is_taken_when_it_says_whose_rows_it_holds() -> None:
    class Notes:
        name = "notes"
        title = "Notes of people"
        Params = NoParams
        rows_of = RowsOf.TENANT

    class Silent:
        name = "silent"
        title = "Says nothing of its rows"
        Params = NoParams

    def load(declared: type) -> tuple[PluginReport, list[str]]:
        module = ModuleType("planted")
        module.register_tables = hookimpl(lambda register: register(declared))  # type: ignore[attr-defined]
        host = PluginHost(modules={"planted": module}, distributions=list)
        registries = host.load()
        return host.report()[0], list(registries.tables)

    report, tables = load(Notes)
    assert (report.status, tables) == (PluginStatus.LOADED, ["notes"])
    report, tables = load(Silent)
    assert (report.status, tables) == (PluginStatus.BROKEN, [])
    assert "rows_of" in report.reason
