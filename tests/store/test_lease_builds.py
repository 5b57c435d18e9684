"""Sessions of two builds never hold connections at the same time, not even when they ask at the same moment."""

import threading
from datetime import timedelta

import pytest

from oms_app.store import leases
from oms_app.store.leases import OtherBuild
from oms_app.store.sql_store import SqlStore
from tests.store.conftest import new_id

TTL, OVER = timedelta(minutes=1), timedelta(microseconds=1)


def taken(store: SqlStore, kind: str, build: str, ttl: timedelta = TTL) -> tuple[str, int]:
    """(resource, token) of a free connection taken by a session of this build."""
    resource = f"{kind}:{new_id()}"
    with store.platform_unit() as unit:
        leases.want(unit, resource, kind=kind, tenant_id=None)
    with store.platform_unit() as unit:
        leases.require_sole_build(unit, kind, build)
        token = leases.acquire(unit, resource, f"session of {build}", ttl, build)
    assert token is not None
    return resource, token


def test_a_session_of_another_build_takes_nothing_until_the_last_lease_of_the_old_one_ended(store: SqlStore) -> None:
    kind = new_id()[-12:]
    first, token = taken(store, kind, "1.0+old")
    taken(store, kind, "1.0+old")
    with pytest.raises(OtherBuild, match=r"waiting: build 1\.0.old holds connections"):
        taken(store, kind, "1.1+new")
    with store.platform_unit() as unit:
        assert leases.release(unit, first, token)
    with pytest.raises(OtherBuild):
        taken(store, kind, "1.1+new")


def test_leases_that_ended_and_leases_of_other_kinds_hold_nobody_up(store: SqlStore) -> None:
    kind = new_id()[-12:]
    taken(store, kind, "1.0+old", OVER)
    taken(store, new_id()[-12:], "1.0+old")
    assert taken(store, kind, "1.1+new")[1] == 1
    with pytest.raises(OtherBuild):
        taken(store, kind, "1.0+old")


def test_of_two_builds_that_ask_at_once_one_waits(store: SqlStore) -> None:
    for _ in range(10):
        kind = new_id()[-12:]
        start = threading.Barrier(2)
        got: list[str] = []

        def ask(build: str, kind: str = kind, start: threading.Barrier = start, got: list[str] = got) -> None:
            start.wait()
            try:
                taken(store, kind, build)
            except OtherBuild:
                return
            got.append(build)

        threads = [threading.Thread(target=ask, args=(build,)) for build in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(got) == 1
