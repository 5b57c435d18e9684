"""One event in, one signed HTTP POST out (Standard Webhooks 1.0): delivered, or an error that tells nothing inside.

Source: the Standard Webhooks specification, headers webhook-id, webhook-timestamp, webhook-signature.
"""

import base64
import binascii
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, ClassVar

import httpcore2
import msgspec
import standardwebhooks

from oms_kernel.contracts.plugin import Secret, described
from oms_kernel.contracts.webhook import Delivered, DeliveryFailed, SinkHost, SinkMessage
from oms_webhook_sinks.network import AddressRefused, CheckedBackend, Deadline, Resolve, resolve_with_system
from oms_webhook_sinks.target import BadTarget, parse_target

LONGEST_ANSWER = 64 * 1024
LONGEST_WAIT_S = 24 * 3600
SECRET_BYTES = range(24, 65)
GONE = 410

UNREACHABLE = "the endpoint could not be reached in time"
NOT_ALLOWED = "the endpoint's address is not allowed"
"""One text for every failure of the network: a tenant learns nothing about ports and hosts."""


class SignedPostParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to send and how to sign."""

    url: Annotated[str, described("https URL of the endpoint, port 443 or 8443")]
    secret: Annotated[Secret, described("Signing secret: whsec_ and base64 of 24 to 64 random bytes")]
    previous_secret: Annotated[Secret, described("The secret before, while it is being changed: both sign")] | None = (
        None
    )
    timeout_s: Annotated[int, described("Time for one attempt, from the name to the answer", "s", ge=1, le=15)] = 15

    def __post_init__(self) -> None:
        for secret in (self.secret, self.previous_secret):
            if secret is not None and not is_signing_secret(secret.reveal()):
                raise ValueError("secret must be whsec_ and the base64 of 24 to 64 bytes")


class SignedPost:
    """Posts each event with an HMAC-SHA256 signature over id, time and body.

    2xx is delivered, everything else is tried again, 410 disables the endpoint; Retry-After is told to the host.
    Redirects are not followed, proxies of the environment not used. Only public addresses over https unless the
    tenant allows private ones. An answer is read up to 64 kB.
    """

    name: ClassVar[str] = "signed_post"
    title: ClassVar[str] = "Signed HTTP POST (Standard Webhooks)"
    Params: ClassVar[type[msgspec.Struct]] = SignedPostParams

    def __init__(
        self,
        params: SignedPostParams,
        host: SinkHost,
        *,
        resolve: Resolve = resolve_with_system,
        tls: ssl.SSLContext | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._params = params
        self._host = host
        self._resolve = resolve
        self._tls = tls
        self._now = now

    def deliver(self, message: SinkMessage) -> Delivered:
        """One attempt. Raises DeliveryFailed."""
        started = time.monotonic()
        deadline = Deadline(self._params.timeout_s)
        status, retry_after_s = self._post(message, deadline)
        if 200 <= status < 300:
            return Delivered(status_code=status, duration_ms=round((time.monotonic() - started) * 1000))
        raise DeliveryFailed(
            f"the endpoint answered {status}",
            retry=status != GONE,
            retry_after_s=retry_after_s,
            status_code=status,
            disable=status == GONE,
        )

    def close(self) -> None:
        """Nothing is kept open between deliveries."""

    def headers(self, message: SinkMessage) -> dict[bytes | str, bytes | str]:
        """The headers of one attempt, signature included. Raises DeliveryFailed for a body that is not UTF-8."""
        try:
            body = message.body.decode()
        except UnicodeDecodeError:
            raise DeliveryFailed("the message is not UTF-8", retry=False) from None
        at = self._now().astimezone(UTC).replace(microsecond=0)
        secrets = [self._params.secret, self._params.previous_secret]
        signatures = [
            standardwebhooks.Webhook(secret.reveal()).sign(message.message_id, at, body)
            for secret in secrets
            if secret is not None
        ]
        return {
            "content-type": "application/json",
            "user-agent": "oms-webhooks/0.1",
            "webhook-id": message.message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    def _post(self, message: SinkMessage, deadline: Deadline) -> tuple[int, int | None]:
        """(status, seconds that the endpoint asks to wait)."""
        private = self._host.allow_private_addresses
        try:
            target = parse_target(self._params.url, private=private)
        except BadTarget as bad:
            raise DeliveryFailed(str(bad), retry=False) from None
        url = httpcore2.URL(
            scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
        )
        headers = self.headers(message)
        backend = CheckedBackend(deadline, self._resolve, private=private)
        try:
            with (
                httpcore2.ConnectionPool(
                    ssl_context=self._tls_context() if target.scheme == "https" else None,
                    max_connections=1,
                    max_keepalive_connections=0,
                    retries=0,
                    network_backend=backend,
                ) as pool,
                pool.stream("POST", url, headers=headers, content=message.body) as answer,
            ):
                self._drain(answer)
                asked = {name.lower(): value for name, value in answer.headers}.get(b"retry-after")
                return answer.status, retry_after(asked, self._now())
        except AddressRefused:
            raise DeliveryFailed(NOT_ALLOWED, retry=True) from None
        except (
            OSError,
            ValueError,  # a name that TLS cannot ask for
            httpcore2.NetworkError,
            httpcore2.TimeoutException,
            httpcore2.ProtocolError,
        ):
            raise DeliveryFailed(UNREACHABLE, retry=True) from None

    def _drain(self, answer: httpcore2.Response) -> None:
        """Read the answer up to its cap: the status is known, what the endpoint writes does not matter."""
        size = 0
        for chunk in answer.iter_stream():
            size += len(chunk)
            if size > LONGEST_ANSWER:
                return

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def is_signing_secret(text: str) -> bool:
    """Whether the text is a symmetric secret of Standard Webhooks."""
    if not text.startswith("whsec_"):
        return False
    try:
        return len(base64.b64decode(text.removeprefix("whsec_"), validate=True)) in SECRET_BYTES
    except binascii.Error:
        return False


def retry_after(header: bytes | None, now: datetime) -> int | None:
    """The seconds of a Retry-After header, number or date, between 0 and one day; None when it says nothing clear."""
    if header is None:
        return None
    text = header.decode("latin-1").strip()
    if text.isascii() and text.isdecimal():
        return min(int(text[:9]), LONGEST_WAIT_S)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0, min(int((at - now).total_seconds()), LONGEST_WAIT_S))
