"""What waits, what died and who works on the queues, read from Redis; dead letters back to their queue when asked.

The keys are Dramatiq's own: NAMESPACE:<queue> with .msgs, <queue>.DQ for delayed and <queue>.XQ for dead messages.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from oms_app.flow.chores import Queue

NAMESPACE = "oms"
SEEN_WITHIN_S = 60.0
CONNECT_S = 1.0
ANSWER_S = 5.0


class QueuesUnavailable(Exception):
    """Redis is not configured or does not answer; nothing was changed."""

    code = "queues_unavailable"


class QueueState(msgspec.Struct, frozen=True):
    """One queue: messages that wait, that are being worked on, that wait for their hour, and that nobody could do."""

    queue: str
    waiting: int
    taken: int
    delayed: int
    dead: int


class WorkerSeen(msgspec.Struct, frozen=True):
    """A worker process that asked for messages within the last minute."""

    worker_id: str
    seen_at: datetime


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that was given up: by its age, or after its last retry."""

    letter_id: str
    queue: str
    actor: str
    arguments: tuple[str, ...]
    sent_at: datetime
    died_at: datetime
    retries: int
    error: str


class QueueBoard:
    """Looks at the queues of one Redis. Every method raises QueuesUnavailable."""

    def __init__(self, redis_url: str | None) -> None:
        self._url = redis_url
        self._client: Any = None

    @property
    def is_shared(self) -> bool:
        """False in the embedded home: the queues are in the worker's own memory and cannot be seen from here."""
        return self._url is not None

    def queues(self) -> list[QueueState]:
        """Every queue of the table, in its order."""
        return [self._asked(lambda client, name=queue.value: _state(client, name)) for queue in Queue]

    def workers(self) -> list[WorkerSeen]:
        """Who was seen lately, the latest first."""
        since = (time.time() - SEEN_WITHIN_S) * 1000
        found = self._asked(
            lambda client: client.zrangebyscore(f"{NAMESPACE}:__heartbeats__", since, "+inf", withscores=True)
        )
        seen = [WorkerSeen(_text(worker_id), _instant(at)) for worker_id, at in found]
        return sorted(seen, key=lambda one: one.seen_at, reverse=True)

    def dead(self, queue: str | None = None, limit: int = 200) -> list[DeadLetter]:
        """The dead letters of a queue or of all, the latest first, at most `limit` of each queue."""
        names = [one.value for one in Queue if queue in (None, one.value)]
        letters = [letter for name in names for letter in self._dead(name, limit)]
        return sorted(letters, key=lambda one: one.died_at, reverse=True)

    def replay(self, letter_ids: Sequence[str] = (), *, queue: str | None = None) -> list[DeadLetter]:
        """The dead letters that wait in their queue again: those named, or all (of one queue).

        A letter is put back before it is taken off the dead ones: a crash between the two runs it twice, never not.
        """
        wanted = set(letter_ids)
        chosen = [one for one in self.dead(queue, limit=10_000) if not wanted or one.letter_id in wanted]
        for letter in chosen:
            self._asked(lambda client, one=letter: _put_back(client, one))
        return chosen

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def _dead(self, queue: str, limit: int) -> list[DeadLetter]:
        key = f"{NAMESPACE}:{queue}.XQ"

        def read(client: Any) -> list[DeadLetter]:
            found = client.zrevrange(key, 0, limit - 1, withscores=True)
            if not found:
                return []
            texts = client.hmget(f"{key}.msgs", [letter_id for letter_id, _at in found])
            return [
                _letter(queue, _text(letter_id), at, text)
                for (letter_id, at), text in zip(found, texts, strict=True)
                if text is not None
            ]

        letters: list[DeadLetter] = self._asked(read)
        return letters

    def _asked(self, ask: Any) -> Any:
        from redis import RedisError

        if self._url is None:
            raise QueuesUnavailable("without OMS_REDIS_URL the queues are in the worker's own memory")
        if self._client is None:
            self._client = redis_client(self._url)
        try:
            return ask(self._client)
        except (RedisError, OSError) as error:
            raise QueuesUnavailable(f"Redis does not answer: {error}") from error


def redis_client(url: str) -> Any:
    """A client that gives up within seconds and leaves trying again to its user."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Redis.from_url(url, socket_timeout=ANSWER_S, socket_connect_timeout=CONNECT_S, retry=Retry(NoBackoff(), 0))


def _state(client: Any, queue: str) -> QueueState:
    key = f"{NAMESPACE}:{queue}"
    with client.pipeline(transaction=False) as pipe:
        pipe.llen(key)
        pipe.hlen(f"{key}.msgs")
        pipe.hlen(f"{key}.DQ.msgs")
        pipe.zcard(f"{key}.XQ")
        waiting, messages, delayed, dead = pipe.execute()
    return QueueState(queue, waiting, max(0, messages - waiting), delayed, dead)


def _letter(queue: str, letter_id: str, died_at_ms: float, text: bytes) -> DeadLetter:
    message = msgspec.json.decode(text)
    options = message.get("options", {})
    error = str(options.get("traceback", "")).strip().splitlines()
    return DeadLetter(
        letter_id=letter_id,
        queue=queue,
        actor=message["actor_name"],
        arguments=tuple(str(argument) for argument in message["args"]),
        sent_at=_instant(message["message_timestamp"]),
        died_at=_instant(died_at_ms),
        retries=options.get("retries", 0),
        error=error[-1] if error else "",
    )


def _put_back(client: Any, letter: DeadLetter) -> None:
    key = f"{NAMESPACE}:{letter.queue}"
    text = client.hget(f"{key}.XQ.msgs", letter.letter_id)
    if text is None:
        return  # somebody else was quicker
    message = msgspec.json.decode(text)
    # A fresh age and fresh retries; as if sent by hand, so that no schedule finds it late.
    message["message_timestamp"] = int(time.time() * 1000)
    message["queue_name"] = letter.queue
    message["options"] = {"redis_message_id": letter.letter_id}
    with client.pipeline(transaction=True) as pipe:
        pipe.hset(f"{key}.msgs", letter.letter_id, msgspec.json.encode(message))
        pipe.rpush(key, letter.letter_id)
        pipe.zrem(f"{key}.XQ", letter.letter_id)
        pipe.hdel(f"{key}.XQ.msgs", letter.letter_id)
        pipe.execute()


def _instant(ms: float) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
