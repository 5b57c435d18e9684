"""How long a session waits for what."""

import msgspec


class Timing(msgspec.Struct, frozen=True):
    """How long a session waits for what, in seconds; tests scale them together."""

    connect_s: float = 15
    snapshot_s: float = 30
    idle_poll_s: float = 0.1
    busy_poll_s: float = 0.01
    busy_for_s: float = 1.0
    longest_rest_s: float = 0.02
    """A session rests as long as its last transaction took, at most this: more comes together, and others get turns."""
    housekeeping_s: float = 0.5
    quotes_s: float = 0.25
    maximum_pause_s: float = 10
    settle_every_s: float = 1.0
    first_backoff_s: float = 0.25
    longest_backoff_s: float = 15
    ack_timeout_factor: float = 1.0
    store_silence_s: float = 3.0
    """So long without word of the database, and nothing that adds exposure goes out any more."""
    compare_every_s: float = 60
    """How often broker and book are compared."""
    confirm_s: float = 1.0
    """How long a difference has to last to be a break."""
    look_for_requests_s: float = 1.0
    window: int = 16
    """How many cancels may be on their way to the wire at once when all are cancelled."""
