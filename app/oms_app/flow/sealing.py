"""Secrets of rows in, sealed bytes out, and back: an AES-256-GCM envelope bound to tenant, table, row and column.

Each sealed value holds its own random data key, wrapped by a master key that the database never sees. Bytes that were
copied to another row or column, changed, or wrapped by a master key that is not given do not open. Changing the master
key replaces the wrapping only, so it may go on while everybody reads and writes.
"""

import hashlib
import os
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from oms_app.config import Settings
from oms_app.store.unit_of_work import CannotOpen as CannotOpen

FIRST_FORMAT = b"\x01"
"""Sealed by a key made from the secret itself: still opens, is written no more."""
FORMAT = b"\x02"
"""format, id of the master key, nonce and wrapped data key, nonce and sealed secrets."""
COLUMN = "credentials"
_ID, _NONCE, _TAG, _KEY = 8, 12, 16, 32
_WRAP_AT = 1 + _ID
_BODY_AT = _WRAP_AT + _NONCE + _KEY + _TAG


class _Master(NamedTuple):
    key_id: bytes
    wrapping: bytes
    first: bytes
    """The key of the first format."""


class Sealer:
    """Seals and opens secrets. The first master secret wraps, every one unwraps. Thread-safe."""

    def __init__(self, *secrets: str) -> None:
        self._masters = tuple(_master(secret) for secret in dict.fromkeys(secrets))
        self._by_id = {master.key_id: master for master in self._masters}

    @property
    def master_id(self) -> str:
        """The short name of the master key that wraps, which says nothing about the key."""
        return self._masters[0].key_id.hex()

    @property
    def master_ids(self) -> tuple[str, ...]:
        """The short names of all master keys, the one that wraps first."""
        return tuple(master.key_id.hex() for master in self._masters)

    def seal(self, tenant_id: str, table: str, row_id: str, secrets: dict[str, str], *, column: str = COLUMN) -> bytes:
        """The secrets, encrypted and bound to their place."""
        place, data_key = (tenant_id, table, row_id, column), AESGCM.generate_key(256)
        nonce = os.urandom(_NONCE)
        sealed = AESGCM(data_key).encrypt(nonce, msgspec.json.encode(secrets), _bound_to(*place, "2"))
        return self._wrapped(data_key, *place) + nonce + sealed

    def open(self, tenant_id: str, table: str, row_id: str, sealed: bytes, *, column: str = COLUMN) -> dict[str, Any]:
        """The secrets. Raises CannotOpen."""
        text = self._opened(sealed, tenant_id, table, row_id, column)
        found: dict[str, Any] = msgspec.json.decode(text)
        return found

    def renew(self, tenant_id: str, table: str, row_id: str, sealed: bytes, *, column: str = COLUMN) -> bytes:
        """The same secrets, wrapped by the first master key; the very same bytes when they are already.

        Raises CannotOpen.
        """
        place = (tenant_id, table, row_id, column)
        if sealed[:1] == FIRST_FORMAT:
            return self.seal(*place[:3], msgspec.json.decode(self._opened(sealed, *place)), column=column)
        if wrapped_by(sealed) == self.master_id:
            return sealed
        return self._wrapped(self._unwrapped(sealed, *place), *place) + sealed[_BODY_AT:]

    def _opened(self, sealed: bytes, tenant_id: str, table: str, row_id: str, column: str) -> bytes:
        place = (tenant_id, table, row_id, column)
        if sealed[:1] == FIRST_FORMAT:
            for master in self._masters:
                text = _decrypted(master.first, sealed[1:], _bound_to(*place))
                if text is not None:
                    return text
            raise CannotOpen("the sealed bytes were not sealed with this key for this row")
        if sealed[:1] != FORMAT:
            raise CannotOpen("the sealed bytes have a form that this build does not know")
        text = _decrypted(self._unwrapped(sealed, *place), sealed[_BODY_AT:], _bound_to(*place, "2"))
        if text is None:
            raise CannotOpen("the sealed bytes were changed")
        return text

    def _wrapped(self, data_key: bytes, *place: str) -> bytes:
        master, nonce = self._masters[0], os.urandom(_NONCE)
        bound = _bound_to(*place, master.key_id.hex())
        return FORMAT + master.key_id + nonce + AESGCM(master.wrapping).encrypt(nonce, data_key, bound)

    def _unwrapped(self, sealed: bytes, *place: str) -> bytes:
        master = self._by_id.get(sealed[1:_WRAP_AT])
        if master is None:
            raise CannotOpen(
                f"the sealed bytes need the master key {wrapped_by(sealed)}, which is not in OMS_MASTER_KEYS"
            )
        bound = _bound_to(*place, master.key_id.hex())
        data_key = _decrypted(master.wrapping, sealed[_WRAP_AT:_BODY_AT], bound)
        if data_key is None:
            raise CannotOpen("the sealed bytes were not sealed with this key for this row")
        return data_key


def make_sealer(settings: Settings) -> Sealer:
    """The sealer of these settings: OMS_MASTER_KEYS in their order, and OMS_SECRET_KEY, which sealed before them."""
    return Sealer(*(key.reveal() for key in settings.master_keys), settings.secret_key.reveal())


def wrapped_by(sealed: bytes) -> str:
    """The short name of the master key that a sealed value needs; "" for the first format, which does not say."""
    return sealed[1:_WRAP_AT].hex() if sealed[:1] == FORMAT else ""


def _decrypted(key: bytes, sealed: bytes, bound_to: bytes) -> bytes | None:
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], bound_to)
    except (InvalidTag, ValueError):
        return None


def _bound_to(*place: str) -> bytes:
    return "|".join(place).encode()


@lru_cache(maxsize=64)
def _master(secret: str) -> _Master:
    wrapping = _derived(secret, b"oms master key")
    key_id = hashlib.sha256(b"oms master id" + wrapping).digest()[:_ID]
    return _Master(key_id=key_id, wrapping=wrapping, first=_derived(secret, b"oms sealed columns"))


def _derived(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=2**12, r=8, p=1, dklen=32)
