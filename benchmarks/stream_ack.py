"""Milliseconds from a POST to the broker's acknowledgement on the event stream, at 200 orders a second; the p99.

API, session, simulated broker and stream run; beside it the p99 of the POST's own answer, of the same orders.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.generator import MARK, Generator
from benchmarks.paced_client import Paced, Seen
from benchmarks.record import record
from benchmarks.rounds import Plan, Say, middle
from benchmarks.stock import Stock
from benchmarks.system import System, as_json

PER_SECOND = 200


def run(plan: Plan, generator: Generator, say: Say, stock: Stock) -> list[dict[str, Any]]:
    """The record `stream_ack`: value is the p99 until seen, floor the p99 until answered."""
    rounds: list[Seen] = []
    with stock.system() as system:
        system.start("sim_broker", "session", "stream", "api")
        _one_round(system, plan, 1)
        for number in range(1, plan.rounds + 1):
            seen = _one_round(system, plan, number * 1_000_000)
            if seen.failed or seen.unseen:
                raise RuntimeError(f"of {seen.orders} orders {seen.unseen} were never seen, failed: {seen.failed}")
            say(f"  round {number}: seen p50 {seen.seen_p50_ms:.1f}, p99 {seen.seen_p99_ms:.1f} ms")
            rounds.append(seen)
    more = {
        "p50_ms": middle([one.seen_p50_ms for one in rounds]),
        "p99_ms": middle([one.seen_p99_ms for one in rounds]),
        "floor_p50_ms": middle([one.answer_p50_ms for one in rounds]),
        "floor_p99_ms": middle([one.answer_p99_ms for one in rounds]),
        "per_second": PER_SECOND,
    }
    values, floors = [one.seen_p99_ms for one in rounds], [one.answer_p99_ms for one in rounds]
    return [record("stream_ack", "ms", values, floors, seed=plan.seed, **more)]


def _one_round(system: System, plan: Plan, first: int) -> Seen:
    """Orders that rest at the broker, from a process of their own."""
    body = as_json(system.order(order_type="LIMIT", limit_price="400", client_order_id=f"ack-{MARK}", quantity="1"))
    body = body.replace('"quantity":"1"', f'"quantity":"{MARK}"')
    paced = Paced(
        url=f"{system.url}/api/v1/orders", stream_url=system.stream_url, headers=system.headers, body=body,
        first=first, per_second=PER_SECOND, seconds=plan.seconds, kind="order_acknowledged",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.paced_client"], input=msgspec.json.encode(paced), capture_output=True,
        check=False, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-2000:])
    return msgspec.json.decode(done.stdout, type=Seen)
