"""What this distribution registers with the host."""

from oms_kernel.hookspecs import RegisterStrategy, hookimpl
from oms_strategies.echo import Echo
from oms_strategies.moving_average_cross import MovingAverageCross


@hookimpl
def register_strategies(register: RegisterStrategy) -> None:
    """The two strategies."""
    register(Echo)
    register(MovingAverageCross)
