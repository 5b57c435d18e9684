"""The control socket of a session process: one line of JSON in, one out, with the database gone as well.

Guarantee: only the user that runs the process can reach it (a socket of mode 0600 in a folder of mode 0700).
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog

from oms_kernel.domain.ids import AccountId, ConnectionId, TenantId

log = structlog.get_logger(__name__)

LONGEST_PATH = 100
"""In bytes; systems allow 104 to 108."""
LONGEST_LINE = 65_536


class CancelAll(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="command", tag="cancel_all"):
    """Cancel every active order now: of one account or one connection, if given."""

    account_id: AccountId | None = None
    connection_id: ConnectionId | None = None


class HaltAll(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="command", tag="halt"):
    """Let nothing new out from now on, until the switch that this becomes is released; cancel what works, if asked."""

    account_id: AccountId | None = None
    tenant_id: TenantId | None = None
    connection_id: ConnectionId | None = None
    reason: str = ""
    cancel_working: bool = True


Command = CancelAll | HaltAll


class ControlSocket:
    """The socket `session-<pid>.sock` in `folder`; where that path is too long, `session-<pid>.path` names another."""

    def __init__(self, folder: Path, carry_out: Callable[[Command], Awaitable[list[Any]]]) -> None:
        self._folder = folder
        self._carry_out = carry_out
        self._decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
        self._server: asyncio.Server | None = None
        self._short: Path | None = None

    async def open(self) -> None:
        """Listen; what dead processes left in the folder is removed."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _bury_the_dead(self._folder)
        path = self._folder / f"session-{os.getpid()}.sock"
        if len(os.fsencode(path)) >= LONGEST_PATH:
            self._short = Path(tempfile.mkdtemp(prefix="oms-"))
            pointer = path.with_suffix(".path")
            path = self._short / "session.sock"
            pointer.write_text(str(path))
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path, limit=LONGEST_LINE)
        path.chmod(0o600)

    async def close(self) -> None:
        """Listen no more, and leave nothing behind."""
        if self._server is not None:
            self._server.close()
        for suffix in (".sock", ".path"):
            (self._folder / f"session-{os.getpid()}{suffix}").unlink(missing_ok=True)
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
            await writer.drain()
        except (OSError, ValueError) as error:
            log.warning("control_connection_failed", error=str(error))
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        """What was done, or `error`."""
        try:
            asked = self._decoder.decode(line)
        except msgspec.MsgspecError as error:
            return {"error": f"not understood: {error}"}
        name = asked.__struct_config__.tag
        log.warning("control_command", command=name, account_id=asked.account_id)
        try:
            return {"connections": await self._carry_out(asked)}
        except Exception as error:
            log.exception("control_command_failed", command=name)
            return {"error": f"{type(error).__name__}: {error}"}


def _bury_the_dead(folder: Path) -> None:
    for left in folder.glob("session-*.*"):
        pid = left.stem.removeprefix("session-")
        if not pid.isdigit() or _lives(int(pid)):
            continue
        if left.suffix == ".path":
            named = Path(left.read_text())
            if named.parent.name.startswith("oms-"):
                shutil.rmtree(named.parent, ignore_errors=True)
        left.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
