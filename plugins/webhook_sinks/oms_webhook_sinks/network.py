"""A host name in, a connection to one of its checked addresses out, which ends altogether at a deadline.

The name is resolved once; every address that it has must be allowed, and the connection goes to an address that was
checked, never to the name. No proxy, no redirect, no socket of another family.
"""

import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore2

from oms_webhook_sinks.addresses import is_allowed

Resolve = Callable[[str, int], list[str]]


class AddressRefused(Exception):
    """The name stands for an address that webhooks may not go to."""


class Deadline:
    """A moment after which nothing waits any more."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_at = clock() + seconds

    def remaining(self) -> float:
        """Seconds left, above 0. Raises TimeoutError when there are none."""
        left = self._ends_at - self._clock()
        if left <= 0:
            raise TimeoutError
        return left


class CheckedBackend(httpcore2.NetworkBackend):
    """Connects to checked addresses only, within one deadline for everything."""

    def __init__(self, deadline: Deadline, resolve: Resolve, *, private: bool) -> None:
        self._deadline = deadline
        self._resolve = resolve
        self._private = private

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """A connection to the first address that answers. Raises AddressRefused, OSError, TimeoutError."""
        addresses = resolve_within(self._resolve, host, port, self._deadline)
        if not addresses or not all(is_allowed(address, private=self._private) for address in addresses):
            raise AddressRefused
        failure: OSError = OSError("no address")
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.settimeout(self._deadline.remaining())
                connection.connect((address, port))
            except OSError as error:
                connection.close()
                failure = error
                continue
            return DeadlineStream(connection, self._deadline)
        raise failure

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.NetworkStream:
        """Never."""
        raise AddressRefused


class DeadlineStream(httpcore2.NetworkStream):
    """A socket of which every operation ends at the deadline, however slowly the other side drips."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What came, at least one byte, or nothing at the end."""
        self._connection.settimeout(self._deadline.remaining())
        return self._connection.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send everything."""
        rest = memoryview(buffer)
        while rest:
            self._connection.settimeout(self._deadline.remaining())
            rest = rest[self._connection.send(rest) :]

    def close(self) -> None:
        """Close the socket."""
        self._connection.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """The same stream in TLS; the certificate must be the name's."""
        self._connection.settimeout(self._deadline.remaining())
        secured = ssl_context.wrap_socket(self._connection, server_hostname=server_hostname)
        return DeadlineStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """Nothing but the TLS object."""
        return self._connection if info == "ssl_object" and isinstance(self._connection, ssl.SSLSocket) else None


def resolve_with_system(host: str, port: int) -> list[str]:
    """Every address of the name, in the system's order. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def resolve_within(resolve: Resolve, host: str, port: int, deadline: Deadline) -> list[str]:
    """What `resolve` says, within the deadline: the system's resolver knows none. Raises OSError, TimeoutError."""
    answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(resolve(host, port))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="oms-webhook-resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.remaining())
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise OSError("the name has no address") from answer
    return answer
