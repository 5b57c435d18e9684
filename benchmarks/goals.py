"""Records in, the same records with their bars and aims out, and what users asked for beside what was measured."""

import operator
from collections.abc import Sequence
from typing import Any

import msgspec


class Goal(msgspec.Struct, frozen=True):
    """What one figure of a record is held to. at_most: the smaller the better."""

    figure: str
    """The record's field: `ratio`, `value` or another of its own."""
    bar: float
    aim: float
    at_most: bool = False


GOALS: dict[str, tuple[Goal, ...]] = {
    "post_order_intake_pg": (Goal("ratio", 0.6, 1.0),),
    "post_order_p99": (Goal("ratio", 2, 1, at_most=True),),
    "post_order_sustained_pg": (Goal("ratio", 0.35, 0.6), Goal("backlog_s", 1, 0.2, at_most=True)),
    "stream_ack": (Goal("value", 150, 50, at_most=True),),
    "streams_open": (Goal("ratio", 0.9, 0.98),),
    "bulk_100_pg": (Goal("ratio", 4, 10),),
    "plugins_kept": (Goal("ratio", 0.95, 0.98),),
    "recovery": (Goal("value", 15, 5, at_most=True),),
    "table_1m": (Goal("ratio", 0.85, 0.95),),
    "sessions_3": (Goal("ratio", 2, 2.8),),
    "get_orders_pg": (Goal("value", 1000, 2000), Goal("p99_ms", 150, 50, at_most=True)),
    "idle_cpu": (Goal("value", 6, 3, at_most=True),),
    "api_memory": (Goal("value", 250, 150, at_most=True),),
    "alert_by_mark": (Goal("value", 1000, 400, at_most=True),),
    "alert_by_fill": (Goal("value", 1000, 400, at_most=True),),
    "rule_chain_p99": (Goal("value", 5_000, 1_000, at_most=True),),
    "rule_chain_batched_p99": (Goal("value", 5_000, 1_000, at_most=True),),
    "rule_chain_one_instrument_p99": (Goal("value", 5_000, 1_000, at_most=True),),
    "rule_chain_marginal": (Goal("value", 5, 2.5, at_most=True),),
    "rules_30": (Goal("ratio", 0.8, 0.9),),
    "access_cost": (Goal("added_percent", 15, 8, at_most=True),),
}
"""The table of speed: a record that is not named here has no bar."""

ASKED: tuple[tuple[str, str, str, float, bool], ...] = (
    ("reads under 150 ms (p99)", "get_orders_pg", "p99_ms", 150, True),
    ("placing under 500 ms, POST to acknowledgement (p99)", "stream_ack", "value", 500, True),
    ("placing under 500 ms, the POST alone at 32 connections (p99)", "post_order_intake_pg", "p99_ms", 500, True),
    ("1,000 orders/s taken in", "post_order_intake_pg", "value", 1000, False),
    ("1,000 orders/s sent, filled and booked", "post_order_sustained_pg", "value", 1000, False),
    ("1,000 requests/s of lists", "get_orders_pg", "value", 1000, False),
)
"""What users asked for in absolute numbers: words, record, figure, limit, whether at most."""


def judged(record: dict[str, Any]) -> dict[str, Any]:
    """The record with `goals`: each figure that has a bar, with bar, aim and how it stands."""
    goals = [
        {
            "figure": goal.figure,
            "value": record[goal.figure],
            "bar": goal.bar,
            "aim": goal.aim,
            "stands": _stands(record[goal.figure], goal),
        }
        for goal in GOALS.get(record["name"], ())
        if goal.figure in record
    ]
    return {**record, "goals": goals} if goals else record


def bars(records: Sequence[dict[str, Any]]) -> str:
    """Figures with bar and aim for people, one line each; empty when no record has any."""
    lines = []
    for one in records:
        for goal in one.get("goals", ()):
            lines.append(
                f"{one['name']:26} {goal['figure']:10} {goal['value']:>9g}  bar {goal['bar']:>6g}  "
                f"aim {goal['aim']:>6g}  {goal['stands']}"
            )
    return "\n".join(lines)


def asked(records: Sequence[dict[str, Any]]) -> str:
    """What users asked for in absolute numbers beside what was measured, one line each."""
    by_name = {one["name"]: one for one in records}
    lines = []
    for words, name, figure, limit, at_most in ASKED:
        value = by_name.get(name, {}).get(figure)
        if value is not None:
            holds = value <= limit if at_most else value >= limit
            lines.append(f"{words:62} {value:>9g}  {'yes' if holds else 'NO'}")
    return "\n".join(lines)


def _stands(value: float, goal: Goal) -> str:
    reaches = operator.le if goal.at_most else operator.ge
    return "aim reached" if reaches(value, goal.aim) else "bar met" if reaches(value, goal.bar) else "MISSED"
