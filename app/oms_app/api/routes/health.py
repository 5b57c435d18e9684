"""Whether this process lives, and whether orders can be placed: for load balancers, people and the command line."""

from collections.abc import Callable
from functools import lru_cache

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import DatabaseError

from oms_app.api.call import Access, Answer, Call, Endpoint
from oms_app.api.paths import V1, v1
from oms_app.api.rate_limit import Bucket
from oms_app.store import monitoring_rounds
from oms_app.store.migrate import current, newest_revision
from oms_app.store.tables import LEASES
from oms_app.store.unit_of_work import StoreUnavailable


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    status: str
    detail: str = ""


def live(call: Call) -> Answer:
    """200 while the process answers at all."""
    return Answer({"status": "ok", "checks": []})


def ready(call: Call) -> Answer:
    """200 when the database answers, its tables are up to date and a broker session holds its lease; else 503.

    A warning is shown and changes neither: orders can be placed although their monitors are late.
    """
    checks = [check(call) for check in _CHECKS]
    well = all(check.status != "failed" for check in checks)
    body = {
        "status": "ok" if well else "not_ready",
        "checks": [msgspec.to_builtins(check) for check in checks],
    }
    return Answer(body, 200 if well else 503, {} if well else {"Retry-After": "2"})


def _database(call: Call) -> Check:
    try:
        with call.services.store.read_unit(None) as unit:
            unit.connection.exec_driver_sql("SELECT 1").scalar_one()
    except StoreUnavailable:
        return Check("database", "failed", "the database cannot be reached")
    return Check("database", "ok")


def _migrations(call: Call) -> Check:
    try:
        with call.services.store.read_unit(None) as unit:
            revision = current(unit.connection)
    except StoreUnavailable:
        return Check("migrations", "failed", "the database cannot be reached")
    if revision != _newest():
        return Check("migrations", "failed", f"the tables are at {revision}, not {_newest()}; run `oms db upgrade`")
    return Check("migrations", "ok")


@lru_cache(maxsize=1)
def _newest() -> str:
    return newest_revision()


def _sessions(call: Call) -> Check:
    try:
        with call.services.store.read_unit(None) as unit:
            wanted = select(LEASES.c.resource, LEASES.c.expires_at).where(
                LEASES.c.kind == "connection", LEASES.c.is_wanted
            )
            rows = unit.connection.execute(wanted).all()
            held = [row for row in rows if row.expires_at is not None and row.expires_at > unit.now]
    except (StoreUnavailable, DatabaseError):
        return Check("sessions", "failed", "the leases cannot be read")
    if len(held) < len(rows):
        return Check("sessions", "failed", f"{len(rows) - len(held)} of {len(rows)} connections have no session")
    return Check("sessions", "ok", f"{len(held)} connections have a session")


def _monitoring(call: Call) -> Check:
    try:
        with call.services.store.read_unit(None) as unit:
            watched, late = monitoring_rounds.count_late(unit)
    except (StoreUnavailable, DatabaseError):
        return Check("monitoring", "failed", "the rounds of monitoring cannot be read")
    if late:
        return Check("monitoring", "warning", f"the monitors of {late} of {watched} ledgers are late; see `oms doctor`")
    return Check("monitoring", "ok", f"{watched} ledgers are watched")


_CHECKS: tuple[Callable[[Call], Check], ...] = (_database, _migrations, _sessions, _monitoring)


def _endpoint(path: str, view: Callable[[Call], Answer], *aliases: str) -> Endpoint:
    return Endpoint(
        method="GET",
        path=path,
        view=view,
        scope=Access.PUBLIC,
        tag="health",
        answers={200: "Health"},
        aliases=tuple(("GET", alias) for alias in aliases),
        problems=(503,),
        bucket=Bucket.NONE,
    )


ENDPOINTS = (
    _endpoint(v1("/health/live"), live, "/health/live"),
    _endpoint(v1("/health/ready"), ready, V1 + "/health", "/health", "/health/ready", "/healthz"),
)
