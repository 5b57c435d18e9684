"""The simulated broker keeps the connector contract, in the same process and over the socket."""

import pytest

from oms_kernel.testkit.broker_harness import BrokerHarness
from oms_kernel.testkit.broker_suite import BrokerConformanceSuite
from oms_sim_broker.testing import InProcessHarness, SocketHarness


class TestInProcess(BrokerConformanceSuite):
    """Without socket and file."""

    @pytest.fixture
    def harness(self) -> BrokerHarness:
        """The broker in this process."""
        return InProcessHarness()


class TestOverTheSocket(BrokerConformanceSuite):
    """As a process of its own."""

    @pytest.fixture
    def harness(self) -> BrokerHarness:
        """The broker as a process."""
        return SocketHarness()
