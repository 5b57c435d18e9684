"""When we asked, what a server's clock showed and when it answered in, how far apart the clocks surely are out."""

from datetime import datetime, timedelta

NO_OFFSET = timedelta(0)


def least_offset(asked_at: datetime, server_at: datetime, answered_at: datetime) -> timedelta:
    """By how much our clock is at least ahead of the server's, negative when it is behind.

    The server read its clock between our question and its answer: only what lies outside of that is an offset, so that
    neither a slow network nor a long wait for a lock looks like one.
    """
    if server_at < asked_at:
        return asked_at - server_at
    return min(NO_OFFSET, answered_at - server_at)
