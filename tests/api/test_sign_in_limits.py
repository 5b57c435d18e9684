"""Guessing is slowed down for all processes at once, and the owner is not kept out by it."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from oms_app.flow.identity import Identity, IdentitySettings, SignInFailed, TooManyTries
from oms_app.flow.throttling import Paces
from oms_app.store.sql_store import SqlStore
from oms_app.store.throttles import Pace
from oms_kernel.domain.ids import TenantId
from tests.api.people import ANNA, ELSEWHERE, HERE, PASSWORD, Clock, make_identity

MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(store: SqlStore, tenant_id: TenantId, clock: Clock, **paces: Pace) -> tuple[Identity, Identity]:
    """Two processes, and Anna."""
    settings = IdentitySettings(paces=Paces(**paces))
    one, other = (make_identity(store, clock, settings=settings) for _ in range(2))
    one.create_user(ANNA, PASSWORD, tenant_id, "TRADER")
    return one, other


def guess(identity: Identity, email: str = ANNA, actor: object = ELSEWHERE) -> None:
    with pytest.raises(SignInFailed):
        identity.sign_in(email, "not the password", actor=actor)  # type: ignore[arg-type]


def test_an_account_takes_only_so_many_guesses_over_all_processes(
    store: SqlStore, tenant_id: TenantId, clock: Clock
) -> None:
    one, other = made(store, tenant_id, clock, account=Pace(burst=4, every=MINUTE))
    for process in (one, other, one, other):
        guess(process)
    for process in (one, other):
        with pytest.raises(TooManyTries) as told:
            process.sign_in(ANNA, PASSWORD, actor=ELSEWHERE)
        assert 1 <= told.value.retry_after_s <= 61
    clock.forward(seconds=61)
    one.sign_in(ANNA, PASSWORD, actor=ELSEWHERE)
    for _ in range(4):
        guess(other)


def test_an_account_that_does_not_exist_is_slowed_down_alike(
    store: SqlStore, tenant_id: TenantId, clock: Clock
) -> None:
    one, _other = made(store, tenant_id, clock, account=Pace(burst=4, every=MINUTE))
    for email in (ANNA, "nobody@example.com"):
        for _ in range(4):
            guess(one, email)
        with pytest.raises(TooManyTries):
            one.sign_in(email, PASSWORD, actor=ELSEWHERE)


def test_a_stranger_who_guesses_does_not_keep_the_owner_out(store: SqlStore, tenant_id: TenantId, clock: Clock) -> None:
    one, other = made(store, tenant_id, clock, account=Pace(burst=4, every=MINUTE))
    device = one.sign_in(ANNA, PASSWORD, actor=HERE).device_token
    assert device
    for _ in range(4):
        guess(one)
    with pytest.raises(TooManyTries):
        one.sign_in(ANNA, PASSWORD, actor=ELSEWHERE)
    assert other.sign_in(ANNA, PASSWORD, actor=HERE).user_id  # from an address that Anna used before
    known = other.sign_in(ANNA, PASSWORD, actor=ELSEWHERE, device_token=device)
    assert known.device_token == ""
    with pytest.raises(TooManyTries):
        one.sign_in(ANNA, PASSWORD, actor=replace(ELSEWHERE, address="203.0.113.5"), device_token="made up")


def test_a_known_device_has_no_more_guesses_than_anybody(store: SqlStore, tenant_id: TenantId, clock: Clock) -> None:
    one, _other = made(store, tenant_id, clock, account=Pace(burst=4, every=MINUTE))
    device = one.sign_in(ANNA, PASSWORD, actor=HERE).device_token
    for _ in range(4):
        with pytest.raises(SignInFailed):
            one.sign_in(ANNA, "not the password", actor=ELSEWHERE, device_token=device)
    with pytest.raises(TooManyTries):
        one.sign_in(ANNA, PASSWORD, actor=ELSEWHERE, device_token=device)


@pytest.mark.parametrize("which", ["address", "everybody"])
def test_many_accounts_are_not_guessed_at_either(
    store: SqlStore, tenant_id: TenantId, clock: Clock, which: str
) -> None:
    one, other = made(store, tenant_id, clock, **{which: Pace(burst=3, every=MINUTE)})
    for index in range(3):
        guess(one, f"user{index}@example.com")
    with pytest.raises(TooManyTries):
        other.sign_in("user9@example.com", PASSWORD, actor=ELSEWHERE)


def test_signing_in_rightly_costs_nothing(store: SqlStore, tenant_id: TenantId, clock: Clock) -> None:
    one, _other = made(
        store, tenant_id, clock, account=Pace(2, MINUTE), address=Pace(2, MINUTE), everybody=Pace(2, MINUTE)
    )
    for _ in range(6):
        one.sign_in(ANNA, PASSWORD, actor=ELSEWHERE)
