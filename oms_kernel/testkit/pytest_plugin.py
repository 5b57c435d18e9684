"""The test kit as pytest sees it: loaded by entry point wherever the kernel and pytest are installed.

The suites are base classes to derive from; what this adds is that their assertions show both sides when they fail.
"""

import pytest

pytest.register_assert_rewrite(
    "oms_kernel.testkit.broker_suite",
    "oms_kernel.testkit.contributions",
    "oms_kernel.testkit.rule_suite",
    "oms_kernel.testkit.sink_suite",
    "oms_kernel.testkit.strategy_suite",
)
