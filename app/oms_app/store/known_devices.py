"""Devices from which a person signed in before, by the hash of a token that only the device holds."""

from datetime import datetime

from sqlalchemy import delete, select

from oms_app.store.rows import put
from oms_app.store.tables import KNOWN_DEVICES
from oms_app.store.unit_of_work import RowsUnit

MOST = 20
"""Devices of one person that are remembered; those used longest ago are forgotten first."""


def is_known(unit: RowsUnit, user_id: str, device_hash: bytes, since: datetime) -> bool:
    """Whether the person signed in from the device since then."""
    query = select(KNOWN_DEVICES.c.user_id).where(
        KNOWN_DEVICES.c.user_id == user_id,
        KNOWN_DEVICES.c.device_hash == device_hash,
        KNOWN_DEVICES.c.updated_at >= since,
    )
    return unit.connection.execute(query).first() is not None


def remember(unit: RowsUnit, user_id: str, device_hash: bytes) -> None:
    """Know the device from now on."""
    put(unit, KNOWN_DEVICES, {"user_id": user_id, "device_hash": device_hash})
    own = KNOWN_DEVICES.c.user_id == user_id
    kept = select(KNOWN_DEVICES.c.device_hash).where(own).order_by(KNOWN_DEVICES.c.updated_at.desc()).limit(MOST)
    unit.connection.execute(delete(KNOWN_DEVICES).where(own, KNOWN_DEVICES.c.device_hash.not_in(kept)))


def forget_all(unit: RowsUnit, user_id: str) -> None:
    """Know no device of the person any more."""
    unit.connection.execute(delete(KNOWN_DEVICES).where(KNOWN_DEVICES.c.user_id == user_id))
