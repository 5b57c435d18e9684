"""People's words in; their salted hash for an event, and what keeps them beside the log under that event's id, out."""

import os
from collections.abc import Callable

from oms_app.flow.desk import Turn
from oms_app.flow.pretrade import salted_hash
from oms_kernel.domain.ids import EventId, OrderId

SALT_BYTES = 16

Keep = Callable[[Turn, EventId, str], None]
"""Stores the words in the turn's transaction: under which id, and of which kind they are."""


def keep_text(text: str) -> tuple[str | None, Keep]:
    """(the hash that the event holds, what stores the words); no hash and nothing to store for an empty text."""
    words = text.strip()
    if not words:
        return None, _keep_nothing
    salt = os.urandom(SALT_BYTES)

    def keep(turn: Turn, event_id: EventId, kind: str) -> None:
        turn.unit.put_text(OrderId(event_id), kind, words, salt)

    return salted_hash(words, salt), keep


def _keep_nothing(turn: Turn, event_id: EventId, kind: str) -> None:
    return None
