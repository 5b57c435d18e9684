"""Leaky buckets in the database, so that all processes share them: one atomic statement takes, however many race."""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import case, delete, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from oms_app.store.tables import THROTTLES
from oms_app.store.unit_of_work import RowsUnit

_SECOND_US = 1_000_000


class Pace(msgspec.Struct, frozen=True):
    """How many may come at once, and how long it takes until one more may."""

    burst: int
    every: timedelta

    @property
    def step_us(self) -> int:
        """What one costs, in microseconds."""
        return max(1, int(self.every.total_seconds() * _SECOND_US))


def take(unit: RowsUnit, bucket: str, pace: Pace, now: datetime) -> float:
    """0 when one more was let through, else the seconds until one more may come; then nothing was taken."""
    step, now_us = pace.step_us, _micros(now)
    latest = now_us + step * (pace.burst - 1)
    insert = postgres_insert if unit.connection.dialect.name == "postgresql" else sqlite_insert
    busy = THROTTLES.c.busy_until_us
    taken = unit.connection.execute(
        insert(THROTTLES)
        .values(bucket=bucket, busy_until_us=now_us + step)
        .on_conflict_do_update(
            index_elements=["bucket"],
            set_={"busy_until_us": case((busy > now_us, busy), else_=now_us) + step},
            where=busy <= latest,
        )
        .returning(THROTTLES.c.bucket)
    ).first()
    if taken is not None:
        return 0.0
    busy_until = unit.connection.scalar(select(busy).where(THROTTLES.c.bucket == bucket)) or now_us
    return max(1.0, (busy_until - latest) / _SECOND_US)


def give_back(unit: RowsUnit, bucket: str, pace: Pace) -> None:
    """Undo one take: what was let through did no harm."""
    unit.connection.execute(
        update(THROTTLES)
        .where(THROTTLES.c.bucket == bucket)
        .values(busy_until_us=THROTTLES.c.busy_until_us - pace.step_us)
    )


def empty(unit: RowsUnit, bucket: str) -> None:
    """Forget what was taken from the bucket."""
    unit.connection.execute(delete(THROTTLES).where(THROTTLES.c.bucket == bucket))


def _micros(at: datetime) -> int:
    return int(at.timestamp() * _SECOND_US)
