"""Passwords in, Argon2id hashes out; a wrong password and an unknown user cost the same time and say the same.

At most `concurrency` hashes are computed at once in a process: each takes tens of MiB and a core, and a flood of
sign-ins must not take the orders' threads with it.
"""

import threading

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from oms_app.flow.common_passwords import why_common
from oms_kernel.domain.errors import InvalidRequest

SHORTEST, LONGEST = 12, 128
"""Characters. Long enough not to be guessed, short enough that hashing stays cheap. Nothing is cut off."""


class HashingCost(msgspec.Struct, frozen=True):
    """What one hash costs: the least that OWASP advises, some 20 ms."""

    memory_kib: int = 19 * 1024
    passes: int = 2
    lanes: int = 1


class Passwords:
    """Hashes and verifies passwords, never more than `concurrency` at once."""

    def __init__(self, cost: HashingCost | None = None, *, concurrency: int = 2, wait_s: float = 5.0) -> None:
        cost = cost or HashingCost()
        self._hasher = PasswordHasher(cost.passes, cost.memory_kib, cost.lanes)
        self._places = threading.BoundedSemaphore(concurrency)
        self._wait_s = wait_s
        self._nobody: str | None = None

    def hash(self, password: str, *, field: str = "password") -> str:
        """The PHC text to store. Raises InvalidRequest on a password that is too short, too long or too common."""
        check_new_password(password, field=field)
        if not self._places.acquire(timeout=self._wait_s):
            raise Overloaded
        try:
            return self._hasher.hash(password)
        finally:
            self._places.release()

    def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password is right; None for an unknown user takes as long as a wrong password.

        Raises Overloaded when no place became free in time.
        """
        if not self._places.acquire(timeout=self._wait_s):
            raise Overloaded
        try:
            if stored is None:
                self._nobody = self._nobody or self._hasher.hash("a password that nobody has")
            # Passwords of up to 256 characters were taken once: they sign in still.
            correct = self._matches(stored or self._nobody or "", password[: 2 * LONGEST + 1])
            return correct and stored is not None
        finally:
            self._places.release()

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made at another cost and should be renewed at this sign-in."""
        return self._hasher.check_needs_rehash(stored)

    def rehash(self, password: str) -> str:
        """The hash of a password that is right already, however common it is, at the present cost."""
        with self._places:
            return self._hasher.hash(password)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


def check_new_password(password: str, *, field: str = "password") -> None:
    """Nothing, when the password may be chosen. Raises InvalidRequest: length and commonness count, nothing else."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidRequest(f"a password has {SHORTEST} to {LONGEST} characters", field=field)
    why = why_common(password)
    if why:
        raise InvalidRequest(f"this password is too easy to guess: {why}", field=field)


class Overloaded(Exception):
    """Too many sign-ins at once; try again in a few seconds."""

    code = "overloaded"
