"""How much of the intake's throughput stays when a plugin with five rules that do nothing stands before every order."""

from pathlib import Path
from typing import Any

from benchmarks.generator import Generator
from benchmarks.loads import IntakeLoad, compared
from benchmarks.record import PER_SECOND, record
from benchmarks.rounds import Plan, Say, measured
from benchmarks.stock import Stock
from benchmarks.system import System, add_limits

RULES = tuple(f"noop_{number}" for number in range(1, 6))
_MODULE = '''"""Five rules that do nothing."""

from oms_kernel.contracts.plugin import NoParams
from oms_kernel.domain.decision import passed
from oms_kernel.hookspecs import hookimpl


def make(rule_name):
    class Rule:
        """Lets everything through."""

        name = rule_name
        title = "Lets everything through"
        Params = NoParams

        def __init__(self, params):
            self.verdict = passed(rule_name)

        def assess(self, intent, view, state):
            return self.verdict

    return Rule


@hookimpl
def register_risk_rules(register):
    for number in range(1, 6):
        register(make(f"noop_{number}"))
'''
_METADATA = "Metadata-Version: 2.1\nName: oms-noop-rules\nVersion: 0.1.0\nRequires-Dist: oms-kernel>=0.1,<0.2\n"


def run(plan: Plan, generator: Generator, say: Say, stock: Stock) -> list[dict[str, Any]]:
    """The record `plugins_kept`: value with the five rules more, floor without."""
    with stock.system() as plain, stock.system() as loaded:
        loaded.add_path(install(loaded.home / "plugins"))
        add_limits(loaded, {name: {} for name in RULES})
        for system in (plain, loaded):
            system.start("api")
        require_rules(loaded)
        loads = {"without": IntakeLoad(plain, plan, generator), "with": IntakeLoad(loaded, plan, generator)}
        for load in loads.values():
            load.warm()
        rates = measured({name: load.rate for name, load in loads.items()}, plan, say, PER_SECOND)
        say(f"  checked: {' and '.join(str(load.check()) for load in loads.values())} orders stored")
        more = compared(loads["with"], loads["without"])
        return [record("plugins_kept", PER_SECOND, rates["with"], rates["without"], seed=plan.seed, **more)]


def install(folder: Path) -> Path:
    """A folder for the import path, with the plugin's distribution in it."""
    metadata = folder / "oms_noop_rules-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(_METADATA)
    (metadata / "entry_points.txt").write_text("[oms.plugins]\nnoop_rules = oms_noop_rules\n")
    (folder / "oms_noop_rules.py").write_text(_MODULE)
    return folder


def require_rules(system: System) -> None:
    """Nothing, when every one of the rules judged an order. Raises RuntimeError: else less would be measured."""
    verdicts = {verdict["rule"] for verdict in system.verdicts_of_one_order()}
    if not verdicts.issuperset(RULES):
        raise RuntimeError(f"only these rules judged: {', '.join(sorted(verdicts))}")
