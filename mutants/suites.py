"""Where changes are planted, and which tests must notice: a file in, its module and its tests out."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

_KERNEL_TESTS = ("tests/domain", "tests/kernel", "tests/engine")
_RISK_TESTS = "plugins/risk_rules/tests"
_COMPLIANCE_TESTS = "plugins/compliance_checks/tests"


class Suite(msgspec.Struct, frozen=True):
    """Sources, by patterns below the root, and the folders of tests that run them. package: where they are imported."""

    sources: Sequence[str]
    tests: Sequence[str]
    package: str = ""

    def files(self, root: Path) -> Iterator[str]:
        """The sources, sorted."""
        for pattern in self.sources:
            yield from sorted(str(found.relative_to(root)) for found in root.glob(pattern))

    def module(self, path: str) -> str:
        """The name under which a source is imported."""
        below = Path(path).relative_to(self.package) if self.package else Path(path)
        return ".".join(below.with_suffix("").parts).removesuffix(".__init__")


SUITES = (
    Suite(
        sources=(
            "oms_kernel/domain/*.py", "oms_kernel/engine.py", "oms_kernel/judging.py", "oms_kernel/settlement.py",
            "oms_kernel/exposures.py",
        ),
        tests=(*_KERNEL_TESTS, _RISK_TESTS, _COMPLIANCE_TESTS),
    ),
    Suite(("plugins/risk_rules/oms_risk_rules/*.py",), (_RISK_TESTS,), "plugins/risk_rules"),
    Suite(("plugins/compliance_checks/oms_compliance_checks/*.py",), (_COMPLIANCE_TESTS,), "plugins/compliance_checks"),
)  # fmt: skip
"""What is sampled: domain, engine and rules, with the fast tests that belong to them."""
