"""Sealed rows in, the keys of tokens out: the newest signs, a retired one verifies until its last token is dead.

Every signing reads the rows in its own transaction, every first sight of a token as well, so that all processes use a
new key with the next sign-in and no restart. Before the first rotation the key is made from the application's secret.
"""

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec

from oms_app.flow.tokens import SigningKey, TokenKind
from oms_app.store import signing_keys
from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.signing_keys import SigningKeyRow
from oms_app.store.unit_of_work import KeySealer, RowsUnit

FIRST = "k0"
"""The key that is made from the application's secret."""
TABLE = "signing_keys"
COLUMN = "secret"
SLACK = timedelta(minutes=1)
LOOK_AGAIN = timedelta(seconds=1)
"""How often tokens that name no known key may make this process read the rows."""


class KeyRing(msgspec.Struct, frozen=True):
    """The keys as of one reading. `newest` signs."""

    newest: SigningKey
    keys: Mapping[str, SigningKey]
    lifetimes: Mapping[TokenKind, timedelta]

    def find(self, key_id: str, kind: TokenKind, now: datetime) -> SigningKey | None:
        """The key, while tokens of this kind that it signed may live."""
        key = self.keys.get(key_id)
        if key is None or (key.retired_at is not None and now >= key.retired_at + self.lifetimes[kind] + SLACK):
            return None
        return key


class SigningKeys:
    """The keys of one process; thread-safe."""

    def __init__(self, secret: str, sealer: KeySealer, lifetimes: Mapping[TokenKind, timedelta]) -> None:
        self._first = hmac.new(secret.encode(), b"signing key of tokens", hashlib.sha256).digest()
        self._sealer = sealer
        self._lifetimes = lifetimes
        self._opened: dict[tuple[str, bytes], bytes] = {}
        self._lock = threading.Lock()
        self._remembered: KeyRing | None = None
        self._read_at: datetime | None = None

    def read(self, unit: RowsUnit, now: datetime) -> KeyRing:
        """The keys as they are now."""
        rows = signing_keys.list_keys(unit)
        keys = {row.key_id: self._key(row) for row in rows}
        keys.setdefault(FIRST, SigningKey(key_id=FIRST, secret=self._first))
        signing = [row.key_id for row in rows if row.retired_at is None]
        ring = KeyRing(newest=keys[signing[0] if signing else FIRST], keys=keys, lifetimes=self._lifetimes)
        self._remembered, self._read_at = ring, now
        return ring

    def remembered(self, key_id: str, kind: TokenKind, now: datetime, read: Callable[[], KeyRing]) -> SigningKey | None:
        """The key as this process remembers it; what is not remembered is read, at most once a second.

        Only good for telling forgeries apart: before a token is believed, `read` must still know its key.
        """
        ring = self._remembered
        found = ring.find(key_id, kind, now) if ring is not None else None
        if found is not None:
            return found
        if self._read_at is not None and abs(now - self._read_at) < LOOK_AGAIN:
            return None
        return read().find(key_id, kind, now)

    def rotate(self, unit: RowsUnit, now: datetime, *, at_once: bool = False) -> str:
        """The id of a new key that signs from now on. at_once: nothing that was signed before is believed any more."""
        rows = {row.key_id for row in signing_keys.list_keys(unit)}
        key_id = f"k{now:%Y%m%d%H%M%S}{secrets.token_hex(3)}"
        retired_at = now - max(self._lifetimes.values()) - 2 * SLACK if at_once else now
        if FIRST not in rows:
            signing_keys.add_key(unit, FIRST, None, retired_at=retired_at)
        secret = secrets.token_bytes(32)
        sealed = self._sealer.seal(PLATFORM_TENANT, TABLE, key_id, {COLUMN: secret.hex()})
        signing_keys.add_key(unit, key_id, sealed)
        signing_keys.retire_all(unit, retired_at, but=key_id)
        signing_keys.drop_retired(unit, now - max(self._lifetimes.values()) - 3 * SLACK, but=FIRST)
        return key_id

    def _key(self, row: SigningKeyRow) -> SigningKey:
        return SigningKey(key_id=row.key_id, secret=self._secret(row), retired_at=row.retired_at)

    def _secret(self, row: SigningKeyRow) -> bytes:
        if row.secret is None:
            return self._first
        known = self._opened.get((row.key_id, row.secret))
        if known is None:
            opened = self._sealer.open(PLATFORM_TENANT, TABLE, row.key_id, row.secret)
            known = bytes.fromhex(opened[COLUMN])
            with self._lock:
                self._opened[row.key_id, row.secret] = known
        return known
