"""`oms-sim-broker`: a broker as a process of its own, on a loopback socket, until it is told to stop."""

import argparse
import asyncio
import json
import logging
import os
import secrets
import signal
import sys
from collections import Counter
from pathlib import Path

from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.money import to_text
from oms_sim_broker.config import SimBrokerConfig, read_config
from oms_sim_broker.ledger import FILE_NAME, CorruptLedger, FileLedger, LedgerLocked, read_records
from oms_sim_broker.link import ENDPOINT_FILE, Endpoint, write_endpoint
from oms_sim_broker.service import SimBrokerService
from oms_sim_broker.state import BrokerState

LOOPBACK = "127.0.0.1"
_POLL_SECONDS = 0.25
log = logging.getLogger("oms_sim_broker")


def main(arguments: list[str] | None = None) -> int:
    """Run the server, or show a ledger; the exit code: 0 done, 2 wrong use, 3 the ledger or port cannot be used."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        if options.command == "ledger":
            return show_ledger(options.home, as_json=options.json)
        if options.config is None:
            raise InvalidRequest("--config FILE is needed to run the server", field="config")
        config = read_config(options.config)
        options.home.mkdir(parents=True, exist_ok=True)
        ledger = FileLedger(options.home / FILE_NAME)
        (options.home / ENDPOINT_FILE).unlink(missing_ok=True)  # of a server that was killed
        try:
            asyncio.run(serve(options, config, ledger))
        finally:
            ledger.close()
    except InvalidRequest as error:
        print(f"oms-sim-broker: {error.detail}", file=sys.stderr)
        return 2
    except (LedgerLocked, CorruptLedger, OSError) as error:
        print(f"oms-sim-broker: {error}", file=sys.stderr)
        return 3
    return 0


async def serve(options: argparse.Namespace, config: SimBrokerConfig, ledger: FileLedger) -> None:
    """Serve until SIGTERM, SIGINT or the end of the process to exit with. Raises what ends it otherwise."""
    token = secrets.token_urlsafe(32)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    service = SimBrokerService(config, ledger, token, secrets.token_hex(4).upper())
    loop.add_signal_handler(signal.SIGHUP, _read_again, service, options.config)
    server = await asyncio.start_server(service.accept, LOOPBACK, options.port)
    service.start()
    port = server.sockets[0].getsockname()[1]
    endpoint = write_endpoint(options.home, Endpoint(LOOPBACK, port, token, os.getpid()))
    log.info("listening on %s:%d", LOOPBACK, port)
    watching = asyncio.create_task(_watch(options.exit_with_pid, stopping))
    waiting = asyncio.create_task(_until(stopping))
    try:
        await asyncio.wait({waiting, service.failed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        watching.cancel()
        waiting.cancel()
        endpoint.unlink(missing_ok=True)
        server.close()
        await service.stop()
    if service.failed.done():
        service.failed.result()


def show_ledger(home: Path, *, as_json: bool) -> int:
    """Print every order and execution of a home's ledger, also while a server runs; 0 when no wire id is double."""
    path = home / FILE_NAME
    if not path.exists():
        raise InvalidRequest(f"{path} does not exist; name the home of a simulated broker", field="home")
    state = BrokerState()
    for record in read_records(path):
        state.fold(record)
    shown = ledger_as_json(state)
    if as_json:
        print(json.dumps(shown, indent=1))
        return 0
    for order in shown["orders"]:
        print(
            f"{order['received_at']}  {order['wire_id']:28}  {order['symbol']:8} {order['side']:4} "
            f"{order['filled_quantity']}/{order['quantity']} {order['order_type']} {order['status']}"
        )
    print(f"{len(shown['orders'])} orders, {len(shown['executions'])} executions, double wire ids: {shown['doubled']}")
    return 0


def ledger_as_json(state: BrokerState) -> dict[str, list[dict[str, str]]]:
    """The orders and executions of a ledger as plain JSON values, and the wire ids that came more than once."""
    counts = Counter(known.order.wire_id for known in state.orders.values())
    return {
        "orders": [
            {
                "wire_id": known.order.wire_id,
                "broker_order_id": known.order.broker_order_id,
                "broker_account_id": known.order.broker_account_id,
                "instrument_id": known.order.instrument_id,
                "symbol": state.symbol(known.order.instrument_id),
                "side": known.order.side.value,
                "order_type": known.order.order_type.value,
                "status": known.status,
                "reason": known.reason,
                "quantity": to_text(known.quantity),
                "filled_quantity": to_text(known.filled),
                "received_at": known.received_at.isoformat(),
            }
            for known in state.orders.values()
        ],
        "executions": [
            {
                "exec_id": fill.exec_id,
                "wire_id": fill.wire_id or "",
                "broker_order_id": fill.broker_order_id or "",
                "broker_account_id": fill.broker_account_id,
                "instrument_id": fill.instrument_id,
                "side": fill.side.value,
                "quantity": to_text(fill.quantity),
                "price": to_text(fill.price),
                "fee": "" if fill.fee is None else to_text(fill.fee),
                "broker_at": fill.broker_at.isoformat(),
                "written_at": written_at.isoformat(),
            }
            for written_at, fill in state.executions
        ],
        "doubled": [{"wire_id": wire_id, "count": str(count)} for wire_id, count in counts.items() if count > 1],
    }


def _read_again(service: SimBrokerService, config_path: Path) -> None:
    try:
        config: SimBrokerConfig = read_config(config_path)
    except InvalidRequest as error:
        log.error("the configuration was not read again: %s", error.detail)
        return
    service.configure(config)
    log.info("the configuration was read again")


async def _until(event: asyncio.Event) -> None:
    await event.wait()


async def _watch(pid: int | None, stopping: asyncio.Event) -> None:
    """Stop when that process has ended: no orphan stays behind a supervisor that was killed."""
    if pid is None:
        return
    is_child = os.getppid() == pid  # a parent that was killed may stay a zombie, but it is no parent any more
    while (os.getppid() == pid) if is_child else _is_alive(pid):  # noqa: ASYNC110 - the end of a process is no event
        await asyncio.sleep(_POLL_SECONDS)
    log.info("process %d has ended", pid)
    stopping.set()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="oms-sim-broker", description="A simulated broker on a loopback socket, with a ledger of its own."
    )
    parser.add_argument("command", nargs="?", choices=["serve", "ledger"], default="serve")
    parser.add_argument("--home", type=Path, required=True, help=f"folder of {FILE_NAME} and {ENDPOINT_FILE}")
    parser.add_argument("--config", type=Path, help="JSON configuration; read again on SIGHUP")
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1, 0 for any free one")
    parser.add_argument("--exit-with-pid", type=int, help="stop when this process has ended")
    parser.add_argument("--json", action="store_true", help="ledger: print JSON")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
