"""A clock that a test moves, an Identity on a real database, and whoever signs in there."""

from datetime import UTC, datetime, timedelta
from typing import Any

from oms_app.flow.audit import Actor
from oms_app.flow.identity import Identity, IdentitySettings
from oms_app.flow.passwords import HashingCost, Passwords
from oms_app.flow.sealing import Sealer
from oms_app.store.sql_store import SqlStore

SECRET = "a secret of the tests that is long enough"
CHEAP = HashingCost(memory_kib=1024, passes=1, lanes=1)
PASSWORD = "correct horse battery"
ANNA = "anna@example.com"
HERE = Actor(principal_id="", address="192.0.2.7", agent="tests")
ELSEWHERE = Actor(principal_id="", address="198.51.100.9", agent="somebody")


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


def make_identity(store: SqlStore, clock: Clock, cost: HashingCost = CHEAP, **options: Any) -> Identity:
    """What one process has; several on one store are several processes."""
    settings = options.pop("settings", IdentitySettings())
    return Identity(store, SECRET, Sealer(SECRET), clock=clock, passwords=Passwords(cost), settings=settings, **options)
