"""Tries to sign in, in; let through or told to wait, out: per account, address and in all, over all processes.

A stranger who guesses does not lock the owner out: who comes from a device, or an address, from which the person signed
in before, is counted apart from everybody else. Nothing here tells whether an account exists.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from oms_app.flow.errors import FlowError
from oms_app.store import known_devices, people_rows, session_rows, throttles
from oms_app.store.sql_store import SqlStore
from oms_app.store.throttles import Pace
from oms_app.store.unit_of_work import RowsUnit

DEVICE_KNOWN_FOR = timedelta(days=90)
ADDRESS_KNOWN_FOR = timedelta(days=30)
_NOBODY = "00000000-0000-0000-0000-000000000000"


class TooManyTries(FlowError):
    """Too many tries; wait, then try again."""

    code = "too_many_requests"

    def __init__(self, wait_s: float) -> None:
        self.retry_after_s = int(wait_s) + 1
        super().__init__("too many tries", fix=f"wait {self.retry_after_s} s, then try again")


class Paces(msgspec.Struct, frozen=True):
    """How many tries may come at once, and how long until one more may."""

    account: Pace = Pace(burst=10, every=timedelta(seconds=90))
    address: Pace = Pace(burst=60, every=timedelta(seconds=5))
    everybody: Pace = Pace(burst=1000, every=timedelta(milliseconds=50))
    proof: Pace = Pace(burst=5, every=timedelta(minutes=3))
    """Codes and passwords that a known person proves itself with: five in fifteen minutes."""


class Taken(msgspec.Struct, frozen=True):
    """What one try took. own: forgotten after a success. shared: given back then."""

    own: tuple[tuple[str, Pace], ...]
    shared: tuple[tuple[str, Pace], ...]


class Throttling:
    """Counts tries in the database. Thread-safe."""

    def __init__(self, store: SqlStore, clock: Callable[[], datetime], paces: Paces | None = None) -> None:
        self._store = store
        self._clock = clock
        self._paces = paces or Paces()

    def admit(self, email: str, address: str, device: str | None) -> Taken:
        """What this try to sign in took. Raises TooManyTries, when nothing was taken."""
        now = self._clock()
        with self._store.platform_unit() as unit:
            taken = self._buckets(unit, email, address, device, now)
            _take(unit, (*taken.own, *taken.shared), now)
        return taken

    def admit_reset(self, email: str, address: str) -> None:
        """Nothing, when a reset of a password may be asked for now. Raises TooManyTries."""
        now = self._clock()
        with self._store.platform_unit() as unit:
            buckets = (f"reset:{digest(email)}", self._paces.account), (f"reset@{address}", self._paces.address)
            _take(unit, buckets, now)

    def succeeded(self, unit: RowsUnit, taken: Taken) -> None:
        """Undo what the try took, with the sign-in's own transaction."""
        for bucket, _pace in taken.own:
            throttles.empty(unit, bucket)
        for bucket, pace in taken.shared:
            throttles.give_back(unit, bucket, pace)

    def admit_proof(self, user_id: str, *, signed_in: bool = True) -> Taken:
        """The same for a proof of a known person: within a session, or the second factor at the door.

        Who knows the password only, and guesses codes at the door, does not hold up a session's own proofs.
        """
        bucket = f"proof:{user_id}" if signed_in else f"code:{user_id}"
        taken = Taken(own=((bucket, self._paces.proof),), shared=())
        now = self._clock()
        with self._store.platform_unit() as unit:
            _take(unit, taken.own, now)
        return taken

    def _buckets(self, unit: RowsUnit, email: str, address: str, device: str | None, now: datetime) -> Taken:
        account = f"account:{digest(email)}"
        of_address = (f"address:{address}", self._paces.address)
        user = people_rows.user_by_email(unit, email)
        user_id = user.user_id if user is not None else _NOBODY  # asked in the same way, known or not
        if device and known_devices.is_known(unit, user_id, device_hash(device), now - DEVICE_KNOWN_FOR):
            return Taken(own=((f"{account}:{digest(device)}", self._paces.account),), shared=())
        if session_rows.was_used_from(unit, user_id, address, now - ADDRESS_KNOWN_FOR):
            return Taken(own=((f"{account}@{address}", self._paces.account),), shared=(of_address,))
        shared = (of_address, ("everybody", self._paces.everybody))
        return Taken(own=((account, self._paces.account),), shared=shared)


def device_hash(device: str) -> bytes:
    """How a device's token is stored."""
    return hashlib.sha256(device.encode("utf-8", "replace")).digest()


def _take(unit: RowsUnit, buckets: tuple[tuple[str, Pace], ...], now: datetime) -> None:
    for bucket, pace in buckets:
        wait_s = throttles.take(unit, bucket, pace, now)
        if wait_s:
            raise TooManyTries(wait_s)  # and the unit takes back what the others counted


def digest(text: str) -> str:
    """How buckets name an address or a device: they hold nobody's data."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
