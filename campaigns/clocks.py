"""A number of seconds in, a process whose own clock is wrong by so much out.

What is shifted is the clock that the process hands to its parts (tokens, keys, control, strategies) and the one that a
connector is given. The database's clock, which dates leases, intents and events, is the server's own and stays right,
and so does the monotonic clock, which no step changes on a real machine either.
"""

from datetime import UTC, datetime, timedelta

from oms_app import bootstrap
from oms_app.bootstrap import processes
from oms_app.sessions.host import ConnectorHost

VARIABLE = "OMS_CAMPAIGN_CLOCK_S"


def shift(seconds: float) -> None:
    """Let every clock of this process that can be set be wrong from now on."""
    step = timedelta(seconds=seconds)

    def wrong() -> datetime:
        return datetime.now(UTC) + step

    bootstrap.clock = wrong
    processes.clock = wrong  # type: ignore[attr-defined]
    ConnectorHost.clock = lambda self: wrong()  # type: ignore[method-assign]
