"""What campaigns ask until it is answered, what they tell a person who waits, and how they count what they found."""

import http.client
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from campaigns.checks import Kind, Violation
from campaigns.clients import Client, Refused
from campaigns.timing import scaled

ANSWER_S = 30.0

_SAYING = threading.Lock()


def say(text: str) -> None:
    """Tell a person who waits; standard output is for the result."""
    with _SAYING:
        print(text, file=sys.stderr, flush=True)


class Stuck(Exception):
    """The set did not become well in time."""


def must(client: Client, method: str, path: str, body: Any, wanted: int) -> Any:
    """The answer's body; asked again while the set is not able to answer. Raises Stuck."""
    deadline = time.monotonic() + scaled(ANSWER_S)
    status, answer = 0, None
    while time.monotonic() < deadline:
        with suppress(Refused):
            status, answer = client.ask(method, path, body)
            if status == wanted:
                return answer
            if status not in (0, 503, 504):
                break
        time.sleep(0.1)
    raise Stuck(f"{method} {path} was answered {status} {answer}")


def counted(found: Sequence[Violation]) -> dict[str, int]:
    """The violations as a campaign's line counts them."""
    kinds = Counter(one.kind for one in found)
    return {
        "lost": kinds[Kind.LOST],
        "doubled": kinds[Kind.DOUBLED],
        "skipped": kinds[Kind.SKIPPED],
        "violations": len(found),
    }


def answers_ready(port: int) -> bool:
    """Whether an API says that it is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/api/v1/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
