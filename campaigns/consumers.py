"""Readers of the log outside of the system: what webhooks and the stream told them, held to every seq of the log."""

import http.client
import json
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from campaigns.checks import Kind, Violation

REFUSED = 0.005
"""The share of webhook messages that is answered with 500, so that it comes again."""


class Hooks:
    """One receiver with several endpoints; each remembers which seq came under which message id, in the order heard."""

    def __init__(self, count: int, seed: int) -> None:
        self.heard: dict[str, list[tuple[int, str]]] = {f"/hook/{number}": [] for number in range(count)}
        self.slow_s = 0.0
        """How long an answer takes."""
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = hooks.take(self.path, self.headers["webhook-id"], body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def urls(self) -> list[str]:
        """Where the endpoints are."""
        return [f"http://127.0.0.1:{self._server.server_address[1]}{path}" for path in self.heard]

    def take(self, path: str, message_id: str, body: bytes) -> int:
        """Remember a message, unless it is refused; the status of the answer."""
        seq = json.loads(body)["data"]["seq"]
        time.sleep(self.slow_s)
        with self._lock:
            if self._random.random() < REFUSED:
                return 500
            self.heard[path].append((seq, message_id))
            return 204

    def missing(self, wanted: Set[int]) -> int:
        """How many messages endpoints still have to hear."""
        with self._lock:
            return sum(len(wanted - {seq for seq, _ in heard}) for heard in self.heard.values())

    def repeated(self) -> int:
        """How many messages came once more than needed: at least once is the promise."""
        return sum(len(heard) - len({seq for seq, _ in heard}) for heard in self.heard.values())

    def violations(self, wanted: Set[int]) -> Iterator[Violation]:
        """Each wanted seq that an endpoint never heard, heard under two ids, or heard first after a later one."""
        for path, heard in self.heard.items():
            ids: defaultdict[int, set[str]] = defaultdict(set)
            highest = 0
            for seq, message_id in heard:
                if seq not in ids and seq < highest:
                    yield Violation(Kind.SKIPPED, f"webhook {path} heard event {seq} after event {highest}")
                ids[seq].add(message_id)
                highest = max(highest, seq)
            for seq in sorted(wanted | set(ids)):
                if seq not in ids:
                    yield Violation(Kind.SKIPPED, f"webhook {path} never heard event {seq}")
                elif seq not in wanted:
                    yield Violation(Kind.CONTRADICTION, f"webhook {path} heard event {seq}, which it did not ask for")
                elif len(ids[seq]) > 1:
                    yield Violation(Kind.DOUBLED, f"webhook {path} heard event {seq} under {len(ids[seq])} ids")

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class StreamReader:
    """Reads the event stream from event 1 on, and goes on after its last event whenever it is cut."""

    def __init__(self, port: int, api_key: str) -> None:
        self.seqs: list[int] = []
        self.resumed = 0
        self._port = port
        self._api_key = api_key
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream reader", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; within the pause between two signs of life of the stream at the latest."""
        self._stopping.set()
        self._thread.join(5)

    def has(self, last: int) -> bool:
        """Whether this event was heard."""
        return bool(self.seqs) and self.seqs[-1] >= last

    def violations(self, due: Sequence[int]) -> Iterator[Violation]:
        """Each gap, repetition and step back. due: every event that it is to hear, in order."""
        following = dict(zip((0, *due), due, strict=False))
        told = 0
        for seq in self.seqs:
            if seq != following.get(told):
                yield Violation(Kind.SKIPPED, f"the stream told event {seq} where {following.get(told)} was due")
            told = seq
        if told != (due[-1] if due else 0):
            yield Violation(Kind.SKIPPED, f"the stream told nothing after event {told} of {due[-1] if due else 0}")

    def _run(self) -> None:
        while not self._stopping.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2)
            try:
                last = self.seqs[-1] if self.seqs else 0
                headers = {"X-API-Key": self._api_key, "Last-Event-ID": str(last)}
                connection.request("GET", "/api/v1/stream", headers=headers)
                answer = connection.getresponse()
                if answer.status == 200:
                    self.resumed += 1
                    self._read(answer)
            except (OSError, http.client.HTTPException):
                pass  # it was cut, or nobody listens yet
            finally:
                connection.close()
            time.sleep(0.05)

    def _read(self, answer: http.client.HTTPResponse) -> None:
        """Whole events only: one ends with an empty line."""
        seq = None
        while not self._stopping.is_set():
            line = answer.readline()
            if not line:
                return
            if line.startswith(b"id:"):
                seq = int(line[3:])
            elif line in (b"\n", b"\r\n") and seq is not None:
                self.seqs.append(seq)
                seq = None
