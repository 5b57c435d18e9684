"""Sealed secrets open in their own place with their own master key, and nowhere else."""

import hashlib
import os

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from oms_app.config import Settings
from oms_app.flow.sealing import CannotOpen, Sealer, make_sealer, wrapped_by
from oms_kernel.contracts.plugin import Secret

OLD, NEW = "the old master key of the tests which is long", "the new master key of the tests which is long"
PLACE = ("tenant-1", "webhooks", "row-1")
SECRETS = {"secret": "whsec_abc", "user": "Jürgen"}


def first_format(secret: str, tenant_id: str, table: str, row_id: str) -> bytes:
    """Sealed as the first release did."""
    key = hashlib.scrypt(secret.encode(), salt=b"oms sealed columns", n=2**12, r=8, p=1, dklen=32)
    nonce, place = os.urandom(12), "|".join((tenant_id, table, row_id, "credentials"))
    return b"\x01" + nonce + AESGCM(key).encrypt(nonce, msgspec.json.encode(SECRETS), place.encode())


def test_what_was_sealed_opens_in_its_place_and_nowhere_else() -> None:
    sealer = Sealer(NEW)
    sealed = sealer.seal(*PLACE, SECRETS)
    assert sealer.open(*PLACE, sealed) == SECRETS
    assert b"whsec" not in sealed
    for place in (("tenant-2", *PLACE[1:]), ("tenant-1", "broker_connections", "row-1"), ("tenant-1", "webhooks", "2")):
        with pytest.raises(CannotOpen):
            sealer.open(*place, sealed)
    with pytest.raises(CannotOpen):
        sealer.open(*PLACE, sealed, column="other")
    with pytest.raises(CannotOpen):
        sealer.open("tenant-1|webhooks", "row-1", "", sealed)


def test_a_bit_changed_anywhere_keeps_it_shut() -> None:
    sealer = Sealer(NEW)
    sealed = sealer.seal(*PLACE, SECRETS)
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(CannotOpen):
            sealer.open(*PLACE, changed)
    for length in range(len(sealed)):
        with pytest.raises(CannotOpen):
            sealer.open(*PLACE, sealed[:length])


def test_the_first_key_wraps_and_every_given_key_opens() -> None:
    old, new, both = Sealer(OLD), Sealer(NEW), Sealer(NEW, OLD)
    sealed = old.seal(*PLACE, SECRETS)
    assert both.open(*PLACE, sealed) == SECRETS
    assert wrapped_by(both.seal(*PLACE, SECRETS)) == new.master_id == both.master_id
    with pytest.raises(CannotOpen, match=old.master_id):
        new.open(*PLACE, sealed)


def test_renewing_changes_the_wrapping_only_and_then_nothing() -> None:
    old, new, both = Sealer(OLD), Sealer(NEW), Sealer(NEW, OLD)
    sealed = old.seal(*PLACE, SECRETS)
    renewed = both.renew(*PLACE, sealed)
    assert new.open(*PLACE, renewed) == SECRETS
    assert renewed.endswith(sealed[-40:])
    assert both.renew(*PLACE, renewed) is renewed
    with pytest.raises(CannotOpen):
        both.renew("tenant-2", *PLACE[1:], sealed)


def test_values_of_the_first_format_open_and_are_renewed_into_the_present_one() -> None:
    sealed = first_format(OLD, *PLACE)
    assert Sealer(OLD).open(*PLACE, sealed) == Sealer(NEW, OLD).open(*PLACE, sealed) == SECRETS
    with pytest.raises(CannotOpen):
        Sealer(OLD).open("tenant-2", *PLACE[1:], sealed)
    with pytest.raises(CannotOpen):
        Sealer(NEW).open(*PLACE, sealed)
    renewed = Sealer(NEW, OLD).renew(*PLACE, sealed)
    assert Sealer(NEW).open(*PLACE, renewed) == SECRETS


def test_the_master_keys_of_the_settings_come_before_the_secret_key_which_still_opens() -> None:
    plain = Settings(secret_key=Secret(OLD))
    sealed = make_sealer(plain).seal(*PLACE, SECRETS)
    moved = make_sealer(Settings(secret_key=Secret(OLD), master_keys=(Secret(NEW),)))
    assert moved.open(*PLACE, sealed) == SECRETS
    assert moved.master_ids == (Sealer(NEW).master_id, Sealer(OLD).master_id)
    assert NEW not in repr(Settings(master_keys=(Secret(NEW),)))
