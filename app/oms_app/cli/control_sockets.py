"""Ask the session processes of this machine directly: a command in, what each connection did out; no API, no database.

Each process listens on a unix socket in OMS_HOME/control that only its own user can reach.
"""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from oms_app.cli.errors import Unavailable

ANSWER_LIMIT_S = 30.0


class Asked(msgspec.Struct, frozen=True):
    """One process: what its connections did, or why it did not answer."""

    process: str
    connections: list[dict[str, Any]] = []
    problem: str = ""


def cancel_all_now(home: Path, account_id: str | None, connection_id: str | None) -> list[Asked]:
    """What every session process of this home did. Raises Unavailable when there is none."""
    return _ask_all(home, {"command": "cancel_all", "account_id": account_id, "connection_id": connection_id})


def halt_now(
    home: Path, account_id: str | None, tenant_id: str | None, reason: str, *, cancel_working: bool
) -> list[Asked]:
    """What every session process of this home did: it lets nothing new out. Raises Unavailable when there is none."""
    told = {"account_id": account_id, "tenant_id": tenant_id, "reason": reason, "cancel_working": cancel_working}
    return _ask_all(home, {"command": "halt", **told})


def _ask_all(home: Path, command: dict[str, Any]) -> list[Asked]:
    sockets = _sockets(home / "control")
    if not sockets:
        raise Unavailable(
            f"no session process listens in {home / 'control'}\n"
            "  fix: run this as the user and on the machine of `oms session`, with its OMS_HOME"
        )
    with ThreadPoolExecutor(max_workers=len(sockets)) as pool:
        asking = [pool.submit(_ask, process, path, command) for process, path in sorted(sockets.items())]
        return [one.result() for one in asking]


def _sockets(folder: Path) -> dict[str, Path]:
    """Process -> its socket; a `.path` file names one whose own path would be too long."""
    found = {path.stem: path for path in folder.glob("session-*.sock")}
    found.update((path.stem, Path(path.read_text().strip())) for path in folder.glob("session-*.path"))
    return found


def _ask(process: str, path: Path, command: dict[str, Any]) -> Asked:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(ANSWER_LIMIT_S)
            client.connect(str(path))
            client.sendall(msgspec.json.encode(command) + b"\n")
            with client.makefile("rb") as file:
                answer = msgspec.json.decode(file.readline(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        return Asked(process, problem=f"no answer: {error}")
    if answer.get("error"):
        return Asked(process, problem=str(answer["error"]))
    return Asked(process, connections=answer["connections"])
