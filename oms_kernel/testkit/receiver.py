"""A webhook receiver on loopback: requests in, scripted answers out, and every connection counted."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from types import TracebackType

import msgspec


class Received(msgspec.Struct, frozen=True):
    """One request. Header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(msgspec.Struct, frozen=True):
    """What the receiver sends back. drip_s: pause before each byte of the head. endless: a body without end."""

    status: int = 200
    headers: dict[str, str] = {}
    body: bytes = b""
    drip_s: float = 0.0
    endless: bool = False


class Receiver:
    """Listens on a free port of 127.0.0.1, or on a given loopback address, until it is closed.

    answer: chooses the answer to each request. connections: how many were made, answered or not. tls: speak https.
    """

    def __init__(
        self,
        answer: Callable[[Received], Answer] = lambda received: Answer(),
        *,
        address: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answer = answer
        self._tls = tls
        self.received: list[Received] = []
        self.connections = 0
        self._closing = threading.Event()
        self._listener = socket.create_server((address or "127.0.0.1", 0), family=_family(address))
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, name="receiver", daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and end every connection."""
        self._closing.set()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), name="receiver-connection", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(5)
        try:
            connection = self._tls.wrap_socket(plain, server_side=True) if self._tls is not None else plain
        except OSError:
            plain.close()
            return
        with connection:
            try:
                received = _read(connection)
                if received is None:
                    return
                self.received.append(received)
                self._write(connection, self.answer(received))
            except OSError:
                return

    def _write(self, connection: socket.socket, answer: Answer) -> None:
        length = 10**12 if answer.endless else len(answer.body)
        lines = [f"HTTP/1.1 {answer.status} Told", f"content-length: {length}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        if answer.drip_s:
            for place in range(len(head)):
                if self._closing.wait(answer.drip_s):
                    return
                connection.sendall(head[place : place + 1])
        else:
            connection.sendall(head)
        connection.sendall(answer.body)
        while answer.endless and not self._closing.is_set():
            connection.sendall(b"x" * 65_536)
            time.sleep(0.001)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _read(connection: socket.socket) -> Received | None:
    """One request with a content-length, or None when the other side hung up."""
    read = b""
    while b"\r\n\r\n" not in read:
        chunk = connection.recv(65_536)
        if not chunk:
            return None
        read += chunk
    head, _, body = read.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        chunk = connection.recv(65_536)
        if not chunk:
            return None
        body += chunk
    return Received(method, path, headers, body)
