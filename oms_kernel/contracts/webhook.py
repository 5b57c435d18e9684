"""The contract of a webhook sink: one event in, delivered once or an error that says whether to try again."""

from datetime import datetime
from typing import Any, ClassVar, Protocol

import msgspec


class SinkMessage(msgspec.Struct, frozen=True):
    """One event for one endpoint. `message_id` stays the same through all attempts; `body` is UTF-8 JSON."""

    message_id: str
    event_kind: str
    occurred_at: datetime
    body: bytes
    attempt: int
    """1 for the first attempt."""


class Delivered(msgspec.Struct, frozen=True):
    """The receiver took the message."""

    status_code: int
    duration_ms: int


class DeliveryFailed(Exception):
    """The receiver did not take the message. `text` reveals nothing about ports or hosts inside.

    retry: whether trying again may help. retry_after_s: how long the receiver asked to wait.
    disable: the receiver is gone for good (HTTP 410).
    """

    def __init__(
        self,
        text: str,
        *,
        retry: bool,
        retry_after_s: int | None = None,
        status_code: int | None = None,
        disable: bool = False,
    ) -> None:
        super().__init__(text)
        self.text = text
        self.retry = retry
        self.retry_after_s = retry_after_s
        self.status_code = status_code
        self.disable = disable


class SinkHost(Protocol):
    """What the host gives to a sink. `allow_private_addresses` is a tenant's setting, off by default."""

    allow_private_addresses: bool


class WebhookSink(Protocol):
    """A way to tell the outside what happened. One instance for each endpoint and worker; called from worker threads.

    deliver makes one attempt within 15 s in all and returns Delivered or raises DeliveryFailed.
    On failure the host tries again: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h with jitter, then the
    message is a dead letter. Any other exception counts as DeliveryFailed with retry. Order is kept within one ledger
    and endpoint.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    Params: ClassVar[type[msgspec.Struct]]

    def __init__(self, params: Any, host: SinkHost) -> None:
        """Keep both; do no I/O."""

    def deliver(self, message: SinkMessage) -> Delivered:
        """One attempt."""

    def close(self) -> None:
        """Free connections."""
