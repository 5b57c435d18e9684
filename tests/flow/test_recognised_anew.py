"""A request that was recognised before something was taken from its tenant is recognised anew before it is decided."""

from collections.abc import Callable

import msgspec
import pytest

from oms_app.flow.errors import NotPermitted, Unavailable
from oms_app.flow.principal import Principal, Proof
from oms_kernel.domain.lifecycle import OrderState
from tests.flow.trading import TENANT, Trading


class Door:
    """Recognises the trading's principal; counts how often, and does what it is told meanwhile."""

    def __init__(self, trading: Trading, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.trading = trading
        self.meanwhile = meanwhile
        self.recognised = 0
        self.now: Principal | Exception = trading.principal

    def read(self) -> tuple[Principal, int]:
        self.recognised += 1
        epoch = self.trading.store.auth_epoch(TENANT)
        self.meanwhile()
        if isinstance(self.now, Exception):
            raise self.now
        return self.now, epoch

    def asking(self, epoch: int) -> Principal:
        proof = Proof(epoch, self.read)
        return msgspec.structs.replace(self.trading.principal, proof=proof)


def bump(trading: Trading) -> None:
    trading.store.auth_epochs[TENANT] = trading.store.auth_epoch(TENANT) + 1


def test_a_request_of_the_present_epoch_is_not_looked_at_again() -> None:
    trading = Trading()
    door = Door(trading)
    asking = door.asking(0)
    (item,) = trading.intake.place(asking, [trading.draft()]).items
    assert item.order is not None
    assert door.recognised == 0
    assert asking.proof is not None
    assert asking.proof.is_confirmed


def test_an_older_one_is_recognised_anew_and_then_decided() -> None:
    trading = Trading()
    door = Door(trading)
    bump(trading)
    (item,) = trading.intake.place(door.asking(0), [trading.draft()]).items
    assert item.order is not None
    assert door.recognised == 1


@pytest.mark.parametrize("atomic", [False, True])
def test_whoever_lost_the_right_stores_nothing(atomic: bool) -> None:
    trading = Trading()
    door = Door(trading)
    door.now = NotPermitted("gone")
    bump(trading)
    with pytest.raises(NotPermitted):
        trading.intake.place(door.asking(0), [trading.draft()], atomic=atomic)
    assert trading.kinds() == []


def test_whoever_lost_the_account_stores_nothing_on_it() -> None:
    trading = Trading()
    door = Door(trading)
    door.now = msgspec.structs.replace(trading.principal, account_ids=frozenset())
    bump(trading)
    (item,) = trading.intake.place(door.asking(0), [trading.draft()]).items
    assert item.error is not None
    assert item.error.code == "unknown_account"
    assert trading.kinds() == []


def test_a_cancel_is_confirmed_as_well() -> None:
    trading = Trading()
    (item,) = trading.submit(trading.draft()).items
    assert item.order is not None
    door = Door(trading)
    door.now = NotPermitted("gone")
    bump(trading)
    for cancel in (
        lambda: trading.amendment.cancel(door.asking(0), item.order.order_id),
        lambda: trading.amendment.cancel_many(door.asking(0), [item.order.order_id]),
        lambda: trading.amendment.cancel_all(door.asking(0)),
    ):
        with pytest.raises(NotPermitted):
            cancel()
    assert trading.order(item.order.order_id).state is OrderState.NEW


def test_rights_that_keep_changing_end_in_come_again_and_nothing_stored() -> None:
    trading = Trading()
    door = Door(trading, meanwhile=lambda: bump(trading))
    bump(trading)
    with pytest.raises(Unavailable, match="keep changing"):
        trading.intake.place(door.asking(0), [trading.draft()])
    assert trading.kinds() == []
