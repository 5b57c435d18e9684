"""What this distribution registers with the host: the connector of the simulated broker."""

from oms_kernel.hookspecs import RegisterBrokerConnector, hookimpl
from oms_sim_broker.connector import SimBrokerConnector


@hookimpl
def register_broker_connectors(register: RegisterBrokerConnector) -> None:
    """Register the simulated broker."""
    register(SimBrokerConnector)
