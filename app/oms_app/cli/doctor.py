"""`oms doctor`: look at this machine and its settings, change nothing, and say for each finding what to do."""

from __future__ import annotations

import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import msgspec

from oms_app.cli.errors import CommandFailed
from oms_app.cli.output import json_option, print_table, show
from oms_app.config import Settings, mask_url, read_settings

LEAST_DISK_BYTES = 200 * 1024 * 1024
OLDEST_PYTHON = (3, 11)
CALENDARS_AHEAD = timedelta(days=30)
EARLIEST_CLOCK = datetime(2026, 1, 1, tzinfo=UTC)


class Finding(msgspec.Struct, frozen=True):
    """One look at one thing: ok, warning or failed; `fix` says what to do about it."""

    name: str
    status: str
    detail: str
    fix: str = ""


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check this machine and its settings, and say what to fix."""
    settings = read_settings()
    findings = [finding for check in CHECKS for finding in check(settings)]
    rows = [msgspec.to_builtins(finding) for finding in findings]
    facts: dict[str, Any] = {"findings": rows, "settings": settings.shown()}
    show(as_json, facts, lambda: print_table("Doctor", ("name", "status", "detail", "fix"), rows, empty=""))
    if any(finding.status == "failed" for finding in findings):
        raise CommandFailed("something needs fixing")


def check_python(settings: Settings) -> Iterator[Finding]:
    """The interpreter's version."""
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info[:2] >= OLDEST_PYTHON
    yield Finding("python", "ok" if good else "failed", version, "" if good else "use Python 3.11 or newer")


def check_clock(settings: Settings) -> Iterator[Finding]:
    """Whether the clock is plausible and ticks."""
    now = datetime.now(UTC)
    if now < EARLIEST_CLOCK:
        yield Finding("clock", "failed", f"the clock says {now:%Y-%m-%d}", "set the clock, better: use NTP")
        return
    before, wall = time.monotonic(), time.time()
    time.sleep(0.05)
    drift_ms = abs((time.time() - wall) - (time.monotonic() - before)) * 1000
    good = drift_ms < 20
    fix = "" if good else "the wall clock jumps: look at the time service"
    yield Finding("clock", "ok" if good else "warning", f"{now:%Y-%m-%dT%H:%M:%SZ}", fix)


def check_home(settings: Settings) -> Iterator[Finding]:
    """Whether the home is private and has room."""
    if not settings.home.exists():
        yield Finding("home", "ok", f"{settings.home} will be made on first start")
        return
    mode = settings.home.stat().st_mode & 0o777
    if mode & 0o077:
        yield Finding("home", "warning", f"{settings.home} has mode {mode:o}", f"chmod 700 {settings.home}")
    else:
        yield Finding("home", "ok", str(settings.home))
    for name in ("secret_key", "demo.json"):
        path = settings.home / name
        if path.exists() and path.stat().st_mode & 0o077:
            yield Finding(name, "failed", f"{path} can be read by others", f"chmod 600 {path}")


def check_disk(settings: Settings) -> Iterator[Finding]:
    """Whether there is room for the database and the logs."""
    place = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free = shutil.disk_usage(place).free
    good = free >= LEAST_DISK_BYTES
    yield Finding("disk", "ok" if good else "failed", f"{free // 2**20} MiB free", "" if good else "make room")


def check_database(settings: Settings) -> Iterator[Finding]:
    """Whether the database answers and has the newest schema."""
    from sqlalchemy.exc import SQLAlchemyError

    from oms_app.store import migrate

    shown = mask_url(settings.database_url)
    if settings.database_url.startswith("sqlite") and not _sqlite_exists(settings):
        yield Finding("database", "ok", f"{shown} will be made on first start")
        return
    try:
        migrate.check(settings.migrate_database_url)
    except migrate.SchemaDiffers as error:
        yield Finding("database", "ok", shown)
        yield Finding("migrations", "failed", "; ".join(error.differences), "oms db upgrade")
    except (SQLAlchemyError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        yield Finding("database", "failed", f"{shown}: {reason}", "start it, or correct OMS_DATABASE_URL")
    else:
        yield Finding("database", "ok", shown)
        yield Finding("migrations", "ok", f"at {migrate.newest_revision()}")


def check_isolation(settings: Settings) -> Iterator[Finding]:
    """Whether the role and every table of the database keep tenants apart."""
    from oms_app.bootstrap import build_plugins, build_store
    from oms_app.store.unit_of_work import StoreUnavailable, UnfencedTables, UnsafeRole

    if settings.database_url.startswith("sqlite") and not _sqlite_exists(settings):
        return
    store = build_store(settings, build_plugins(settings)[1])
    try:
        store.check_serving()
    except UnfencedTables as error:
        for found in error.found:
            table, _, fix = found.partition(": ")
            yield Finding("isolation", "failed", table, fix)
    except UnsafeRole as error:
        role, _, fix = str(error).partition(": ")
        yield Finding("isolation", "failed", role, fix)
    except StoreUnavailable:
        return  # the check of the database tells
    else:
        yield Finding("isolation", "ok", "no table shows a tenant another one's rows")
    finally:
        store.close()


def check_sessions(settings: Settings) -> Iterator[Finding]:
    """Which build's sessions hold the broker connections, where that can be read."""
    from sqlalchemy.exc import SQLAlchemyError

    from oms_app.bootstrap import build_store
    from oms_app.bootstrap.installation import build_name
    from oms_app.store import leases
    from oms_app.store.unit_of_work import StoreUnavailable

    if settings.database_url.startswith("sqlite") and not _sqlite_exists(settings):
        return
    own = build_name()
    store = build_store(settings)
    try:
        with store.read_unit(None) as unit:
            held = [
                lease
                for lease in leases.list_leases(unit, "connection", wanted_only=False)
                if lease.expires_at is not None and lease.expires_at > unit.now
            ]
    except (SQLAlchemyError, StoreUnavailable, OSError):
        return  # check_database tells why
    finally:
        store.close()
    others = sorted({f"build {lease.build or 'unknown'} ({lease.holder})" for lease in held if lease.build != own})
    if others:
        detail = f"waiting: {', '.join(others)} holds connections; this is build {own}"
        yield Finding("sessions", "warning", detail, "stop the sessions of the other build, then these take over")
    else:
        yield Finding("sessions", "ok", f"{len(held)} connections held by build {own}")


def check_monitoring(settings: Settings) -> Iterator[Finding]:
    """Whether the monitors of every ledger that has some were asked just now, where that can be read."""
    from sqlalchemy.exc import SQLAlchemyError

    from oms_app.bootstrap import build_plugins, build_store
    from oms_app.flow.watched import unwatched
    from oms_app.store.unit_of_work import StoreUnavailable

    if settings.database_url.startswith("sqlite") and not _sqlite_exists(settings):
        return
    registries = build_plugins(settings)[1]
    store = build_store(settings, registries)
    try:
        found = unwatched(store, registries)
    except (SQLAlchemyError, StoreUnavailable, OSError):
        return  # check_database tells why
    finally:
        store.close()
    for tenant_id, late in found.late.items():
        told = f"tenant {tenant_id}: the monitors of {len(late)} ledgers were not asked in the last 5 s"
        status = "failed" if found.is_trading else "warning"
        yield Finding("monitoring", status, told, "start `oms worker`, or look at its log and `oms risk monitoring`")
    if not found.late:
        yield Finding("monitoring", "ok", f"{found.watched} ledgers with monitors are watched")


def check_calendars(settings: Settings) -> Iterator[Finding]:
    """How far the holidays of the calendars are known that instruments name, where that can be read."""
    from sqlalchemy import select
    from sqlalchemy.exc import SQLAlchemyError

    from oms_app.bootstrap import build_store
    from oms_app.flow.calendars import list_calendars
    from oms_app.store.tables import INSTRUMENTS
    from oms_app.store.unit_of_work import StoreUnavailable

    if settings.database_url.startswith("sqlite") and not _sqlite_exists(settings):
        return
    store = build_store(settings)
    try:
        with store.read_unit(None) as unit:
            used = set(
                unit.connection.scalars(select(INSTRUMENTS.c.calendar).where(INSTRUMENTS.c.is_active).distinct())
            )
            found = [one for one in list_calendars(unit) if one.name in used]
            soon = unit.now.date() + CALENDARS_AHEAD
    except (SQLAlchemyError, StoreUnavailable, OSError):
        return  # check_database tells why
    finally:
        store.close()
    short = [f"{one.name} until {one.known_until}" for one in found if not one.is_known(soon)]
    if short:
        detail = f"holidays are known for {', '.join(short)} only; after that trading_hours denies"
        yield Finding("calendars", "warning", detail, "`oms calendars import` them anew")
    else:
        yield Finding("calendars", "ok", f"{len(found)} calendars in use, known for {CALENDARS_AHEAD.days} days ahead")


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Whether Redis answers, where it is configured."""
    if settings.redis_url is None:
        yield Finding("redis", "ok", "not configured: hints come by polling")
        return
    import redis

    try:
        with redis.Redis.from_url(settings.redis_url, socket_connect_timeout=2, socket_timeout=2) as client:
            client.ping()
    except redis.RedisError as error:
        yield Finding(
            "redis", "failed", f"{mask_url(settings.redis_url)}: {error}", "start it, or correct OMS_REDIS_URL"
        )
    else:
        yield Finding("redis", "ok", mask_url(settings.redis_url))


def check_plugins(settings: Settings) -> Iterator[Finding]:
    """Whether every installed plugin loads."""
    from oms_app.bootstrap import build_plugins

    host, _registries = build_plugins(settings)
    reports = host.report()
    if not reports:
        yield Finding("plugins", "warning", "none is installed", "install at least a broker, such as oms-sim-broker")
    for one in reports:
        status = str(one.status)
        if status in {"BROKEN", "REFUSED"}:
            yield Finding("plugins", "failed", f"{one.name}: {one.reason}", f"upgrade or remove {one.distribution}")
    loaded = [one.name for one in reports if str(one.status) == "LOADED"]
    if loaded:
        yield Finding("plugins", "ok", ", ".join(loaded))


def check_sim_broker(settings: Settings) -> Iterator[Finding]:
    """Whether the simulated broker answers, where it was started."""
    path = settings.home / "sim_broker.endpoint.json"
    if not path.exists():
        yield Finding("sim broker", "ok", "not running")
        return
    try:
        endpoint = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        socket.create_connection((endpoint.get("host", "127.0.0.1"), int(endpoint["port"])), timeout=1).close()
    except (OSError, msgspec.DecodeError, KeyError, ValueError) as error:
        yield Finding("sim broker", "warning", f"{path} names nobody who answers: {error}", "start it with `oms run`")
    else:
        yield Finding("sim broker", "ok", f"answers at port {endpoint['port']}")


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    check_python,
    check_clock,
    check_home,
    check_disk,
    check_database,
    check_isolation,
    check_sessions,
    check_monitoring,
    check_calendars,
    check_redis,
    check_plugins,
    check_sim_broker,
)


def _sqlite_exists(settings: Settings) -> bool:
    from pathlib import Path

    return Path(settings.database_url.removeprefix("sqlite:///")).exists()
