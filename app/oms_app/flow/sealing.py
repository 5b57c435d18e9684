"""Secrets of rows in, sealed bytes out, and back: AES-256-GCM, bound to the tenant, table and row they belong to.

Bytes that were copied to another row, changed, or sealed with another key do not open.
"""

import hashlib
import os
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FORMAT = b"\x01"
_NONCE = 12


class CannotOpen(Exception):
    """The sealed bytes do not belong here or were sealed with another key; enter the secret again."""

    code = "cannot_open"


class Sealer:
    """Seals and opens secrets with a key made from the application's secret."""

    def __init__(self, secret: str) -> None:
        key = hashlib.scrypt(secret.encode(), salt=b"oms sealed columns", n=2**12, r=8, p=1, dklen=32)
        self._cipher = AESGCM(key)

    def seal(self, tenant_id: str, table: str, row_id: str, secrets: dict[str, str]) -> bytes:
        """The secrets, encrypted and bound to their row."""
        nonce = os.urandom(_NONCE)
        sealed = self._cipher.encrypt(nonce, msgspec.json.encode(secrets), _bound_to(tenant_id, table, row_id))
        return FORMAT + nonce + sealed

    def open(self, tenant_id: str, table: str, row_id: str, sealed: bytes) -> dict[str, Any]:
        """The secrets. Raises CannotOpen."""
        if sealed[:1] != FORMAT:
            raise CannotOpen("the sealed bytes have a form that this build does not know")
        nonce, rest = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        try:
            text = self._cipher.decrypt(nonce, rest, _bound_to(tenant_id, table, row_id))
        except (InvalidTag, ValueError):
            raise CannotOpen("the sealed bytes were not sealed with this key for this row") from None
        found: dict[str, Any] = msgspec.json.decode(text)
        return found


def _bound_to(tenant_id: str, table: str, row_id: str) -> bytes:
    return "|".join((tenant_id, table, row_id, "credentials")).encode()
