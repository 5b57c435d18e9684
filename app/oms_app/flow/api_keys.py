"""API keys as text: `oms_live_<8 id>_<43 secret><6 checksum>`; the store knows their id and SHA-256 only.

Keys that reach simulated brokers only begin with `oms_test_`. The checksum lets a scanner and the API tell a mistyped
key from a revoked one without asking the database.
"""

import hashlib
import secrets
import string
import zlib

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
PREFIX = "oms_live_"
TEST_PREFIX = "oms_test_"
PREFIXES = (PREFIX, TEST_PREFIX)
"""Both are of one length."""
ID_LENGTH, SECRET_LENGTH, CHECK_LENGTH = 8, 43, 6
_LENGTH = len(PREFIX) + ID_LENGTH + 1 + SECRET_LENGTH + CHECK_LENGTH


def new_api_key(*, is_test: bool = False) -> str:
    """A fresh key with 256 bits of randomness, to be shown once."""
    body = (TEST_PREFIX if is_test else PREFIX) + _random(ID_LENGTH) + "_" + _random(SECRET_LENGTH)
    return body + _checksum(body)


def is_well_formed(key: str) -> bool:
    """Whether the text can be one of our keys at all: its form and checksum are right."""
    if len(key) != _LENGTH or not key.startswith(PREFIXES) or not key.isascii():
        return False
    body = key[:-CHECK_LENGTH]
    return key[len(PREFIX) + ID_LENGTH] == "_" and secrets.compare_digest(_checksum(body), key[-CHECK_LENGTH:])


def shown_prefix(key: str) -> str:
    """The part of a key that lists may show: enough to recognise it, nothing of its secret."""
    return key[: len(PREFIX) + ID_LENGTH]


def key_hash(key: str) -> str:
    """SHA-256 in hex: what is stored. A fast hash is right for 256 random bits."""
    return hashlib.sha256(key.encode("ascii", "replace")).hexdigest()


def _random(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))


def _checksum(body: str) -> str:
    value = zlib.crc32(body.encode("ascii"))
    digits = []
    for _ in range(CHECK_LENGTH):
        value, rest = divmod(value, len(BASE62))
        digits.append(BASE62[rest])
    return "".join(reversed(digits))
