"""Sign-in, refresh families, revocation and API keys, on a real database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import jwt
import pytest

from oms_app.flow.api_keys import is_well_formed, key_hash, new_api_key
from oms_app.flow.identity import Identity, InvalidToken, SignInFailed, TokenPair
from oms_app.flow.passwords import HashingCost
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import Scope
from oms_app.store import people_rows
from oms_app.store.identity_rows import UserRow
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import TenantId
from tests.api.people import ANNA, HERE, PASSWORD, Clock, make_identity

RACES = 1_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def identity(store: SqlStore, clock: Clock) -> Identity:
    return make_identity(store, clock)


@pytest.fixture
def pair(identity: Identity, tenant_id: TenantId) -> TokenPair:
    identity.create_user("Anna@Example.com", PASSWORD, tenant_id, "TRADER")
    return identity.sign_in("anna@example.com", PASSWORD)


def test_signing_in_gives_a_token_that_names_user_tenant_and_scopes(
    identity: Identity, pair: TokenPair, tenant_id: TenantId
) -> None:
    caller = identity.caller_of_token(pair.access_token)
    assert caller.principal.principal_id == f"user:{pair.user_id}"
    assert caller.principal.tenant_id == tenant_id
    assert Scope.PLACE_ORDERS in caller.principal.scopes
    assert Scope.ADMIN_TENANTS not in caller.principal.scopes


def test_a_wrong_password_and_an_unknown_user_say_the_same(identity: Identity, pair: TokenPair) -> None:
    with pytest.raises(SignInFailed) as wrong:
        identity.sign_in("anna@example.com", "not the password")
    with pytest.raises(SignInFailed) as unknown:
        identity.sign_in("nobody@example.com", PASSWORD)
    assert wrong.value.detail == unknown.value.detail


def test_a_taken_email_and_a_short_password_are_refused(
    identity: Identity, pair: TokenPair, tenant_id: TenantId
) -> None:
    with pytest.raises(InvalidRequest, match="taken"):
        identity.create_user("ANNA@example.com", PASSWORD, tenant_id, "VIEWER")
    with pytest.raises(InvalidRequest, match="12 to 128"):
        identity.create_user("bob@example.com", "short", tenant_id, "VIEWER")


def test_an_access_token_ends_after_its_quarter_of_an_hour(identity: Identity, pair: TokenPair, clock: Clock) -> None:
    identity.caller_of_token(pair.access_token)
    clock.forward(seconds=901)
    with pytest.raises(InvalidToken, match="expired"):
        identity.caller_of_token(pair.access_token)


def test_signing_out_is_seen_by_another_process_at_once(
    store: SqlStore, identity: Identity, pair: TokenPair, clock: Clock
) -> None:
    other = make_identity(store, clock)
    other.caller_of_token(pair.access_token)
    identity.sign_out(pair.session_id)
    for process in (other, identity):
        with pytest.raises(InvalidToken, match="ended"):
            process.caller_of_token(pair.access_token)


def test_a_new_password_ends_every_session_of_that_user_and_of_nobody_else(
    store: SqlStore, identity: Identity, pair: TokenPair, tenant_id: TenantId, clock: Clock
) -> None:
    identity.create_user("bob@example.com", PASSWORD, tenant_id, "TRADER")
    second, of_bob = identity.sign_in("anna@example.com", PASSWORD), identity.sign_in("bob@example.com", PASSWORD)
    other = make_identity(store, clock)
    for each in (pair, second, of_bob):
        identity.caller_of_token(each.access_token)
        other.caller_of_token(each.access_token)
    assert identity.reset_password("anna@example.com", "another password of anna") == pair.user_id
    for each in (pair, second):
        with pytest.raises(InvalidToken, match="ended"):
            identity.caller_of_token(each.access_token)
        with pytest.raises(InvalidToken, match="ended"):
            identity.refresh(each.refresh_token)
    with pytest.raises(InvalidToken, match="ended"):
        other.caller_of_token(pair.access_token)
    other.caller_of_token(of_bob.access_token)
    identity.sign_in("anna@example.com", "another password of anna")


def test_a_password_set_while_somebody_signs_in_with_the_old_one_stands_and_lets_nobody_in(
    store: SqlStore, identity: Identity, pair: TokenPair, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = make_identity(store, clock)
    verified = late.signing_in._verified
    resets = iter([True])

    def verify_then_reset(email: str, password: str, actor: Any) -> UserRow:
        user = verified(email, password, actor)
        if next(resets, False):
            identity.reset_password(ANNA, "another password of anna")
        return user

    monkeypatch.setattr(late.signing_in, "_verified", verify_then_reset)
    with pytest.raises(SignInFailed):
        late.sign_in(ANNA, PASSWORD)
    assert late.sessions.of_person(pair.user_id) == []
    identity.sign_in(ANNA, "another password of anna")


def test_a_hash_of_another_cost_is_renewed_at_the_next_sign_in(
    store: SqlStore, identity: Identity, pair: TokenPair, clock: Clock
) -> None:
    def stored() -> str:
        with store.read_unit(None) as unit:
            user = people_rows.user_by_email(unit, ANNA)
        assert user is not None
        return user.password_hash

    before = stored()
    costly = make_identity(store, clock, HashingCost(memory_kib=2048, passes=1))
    costly.sign_in(ANNA, PASSWORD)
    after = stored()
    assert before != after
    costly.sign_in(ANNA, PASSWORD)
    assert stored() == after


def test_a_refresh_token_gives_new_tokens_of_the_same_session(
    identity: Identity, pair: TokenPair, clock: Clock
) -> None:
    clock.forward(minutes=10)
    renewed = identity.refresh(pair.refresh_token)
    assert renewed.session_id == pair.session_id
    assert renewed.refresh_token != pair.refresh_token
    assert identity.caller_of_token(renewed.access_token).session_id == pair.session_id


def test_a_used_refresh_token_gives_the_same_successor_for_ten_seconds_and_then_closes_the_session(
    identity: Identity, pair: TokenPair, clock: Clock
) -> None:
    renewed = identity.refresh(pair.refresh_token)
    clock.forward(seconds=9)
    assert identity.refresh(pair.refresh_token).refresh_token == renewed.refresh_token
    clock.forward(seconds=2)
    with pytest.raises(InvalidToken, match="used before"):
        identity.refresh(pair.refresh_token)
    with pytest.raises(InvalidToken):
        identity.refresh(renewed.refresh_token)
    with pytest.raises(InvalidToken):
        identity.caller_of_token(renewed.access_token)


def test_an_older_refresh_token_closes_the_session_at_once(identity: Identity, pair: TokenPair) -> None:
    second = identity.refresh(pair.refresh_token)
    identity.refresh(second.refresh_token)
    with pytest.raises(InvalidToken, match="used before"):
        identity.refresh(pair.refresh_token)


def test_refreshes_that_race_leave_one_head_each(identity: Identity, pair: TokenPair) -> None:
    present = pair.refresh_token
    with ThreadPoolExecutor(20) as pool:
        for _ in range(RACES):
            heads = set(pool.map(lambda _, token=present: identity.refresh(token).refresh_token, range(5)))
            assert len(heads) == 1
            present = heads.pop()
    assert identity.refresh(present).session_id == pair.session_id


def test_twenty_refreshes_at_once_in_two_processes_leave_one_head(
    store: SqlStore, identity: Identity, pair: TokenPair, clock: Clock
) -> None:
    processes = (identity, make_identity(store, clock))
    with ThreadPoolExecutor(20) as pool:
        heads = set(pool.map(lambda index: processes[index % 2].refresh(pair.refresh_token).refresh_token, range(20)))
    assert len(heads) == 1


def test_a_refresh_token_that_comes_twice_is_told_to_people(
    store: SqlStore, pair: TokenPair, clock: Clock, tenant_id: TenantId
) -> None:
    told: list[tuple[TenantId, str]] = []
    watching = make_identity(store, clock, on_reuse=lambda tenant, user: told.append((tenant, user)))
    watching.refresh(pair.refresh_token)
    clock.forward(seconds=11)
    with pytest.raises(InvalidToken, match="used before"):
        watching.refresh(pair.refresh_token)
    assert told == [(tenant_id, pair.user_id)]


def test_a_new_signing_key_is_used_by_every_process_and_what_the_old_one_signed_lives_on(
    store: SqlStore, identity: Identity, pair: TokenPair, clock: Clock
) -> None:
    other = make_identity(store, clock)
    other.caller_of_token(pair.access_token)
    key_id = identity.rotate_signing_key(HERE)
    fresh = other.sign_in(ANNA, PASSWORD)
    assert jwt.get_unverified_header(fresh.access_token)["kid"] == key_id
    for process in (identity, other, make_identity(store, clock)):
        process.caller_of_token(pair.access_token)
        process.caller_of_token(fresh.access_token)
    renewed = other.refresh(pair.refresh_token)
    assert jwt.get_unverified_header(renewed.refresh_token)["kid"] == key_id
    clock.forward(minutes=16)
    second = identity.rotate_signing_key(HERE)
    assert jwt.get_unverified_header(other.refresh(fresh.refresh_token).access_token)["kid"] == second


def test_an_answer_that_was_lost_over_a_rotation_of_keys_is_given_again(identity: Identity, pair: TokenPair) -> None:
    first = identity.refresh(pair.refresh_token)
    identity.rotate_signing_key(HERE)
    assert identity.refresh(pair.refresh_token).refresh_token == first.refresh_token


def test_a_rotation_at_once_ends_whatever_was_signed_before_in_every_process(
    store: SqlStore, identity: Identity, pair: TokenPair, clock: Clock
) -> None:
    other = make_identity(store, clock)
    other.caller_of_token(pair.access_token)
    identity.rotate_signing_key(HERE, at_once=True)
    for process in (identity, other):
        with pytest.raises(InvalidToken):
            process.caller_of_token(pair.access_token)
        with pytest.raises(InvalidToken):
            process.refresh(pair.refresh_token)
    other.caller_of_token(other.sign_in(ANNA, PASSWORD).access_token)


def test_a_refresh_token_is_no_access_token_and_the_other_way_round(identity: Identity, pair: TokenPair) -> None:
    with pytest.raises(InvalidToken):
        identity.caller_of_token(pair.refresh_token)
    with pytest.raises(InvalidToken):
        identity.refresh(pair.access_token)


def admin(tenant_id: TenantId, pair: TokenPair) -> Principal:
    return Principal(
        principal_id=f"user:{pair.user_id}",
        tenant_id=tenant_id,
        scopes=frozenset({"view:orders", "place:orders"}),
    )


def test_a_key_works_until_it_is_revoked_and_its_secret_is_stored_nowhere(
    store: SqlStore, identity: Identity, pair: TokenPair, tenant_id: TenantId, clock: Clock
) -> None:
    made = identity.create_key(admin(tenant_id, pair), "bot", ["place:orders"])
    other = make_identity(store, clock)
    caller = other.caller_of_key(made.api_key)
    assert caller.principal.scopes == {"place:orders"}
    assert caller.principal.account_ids is None
    assert all(made.api_key not in repr(row) for row in identity.keys(tenant_id))
    identity.machine_keys.revoke(admin(tenant_id, pair), made.row.key_id)
    for process in (other, identity):
        with pytest.raises(InvalidToken):
            process.caller_of_key(made.api_key)


def test_a_key_ends_when_it_expires(identity: Identity, pair: TokenPair, tenant_id: TenantId, clock: Clock) -> None:
    soon = clock.now + timedelta(minutes=1)
    made = identity.create_key(admin(tenant_id, pair), "short", ["view:orders"], expires_at=soon)
    identity.caller_of_key(made.api_key)
    clock.forward(minutes=1)
    with pytest.raises(InvalidToken):
        identity.caller_of_key(made.api_key)


def test_a_key_cannot_do_more_than_its_maker(identity: Identity, pair: TokenPair, tenant_id: TenantId) -> None:
    with pytest.raises(InvalidRequest, match="more than its maker"):
        identity.create_key(admin(tenant_id, pair), "greedy", ["admin:tenants"])
    with pytest.raises(InvalidRequest, match="no such scope"):
        identity.create_key(admin(tenant_id, pair), "odd", ["fly"])


def test_a_mistyped_key_is_refused_by_its_checksum() -> None:
    key = new_api_key()
    assert is_well_formed(key)
    assert key.startswith("oms_live_")
    assert len(key_hash(key)) == 64
    for place in range(len("oms_live_"), len(key)):
        swapped = "A" if key[place] != "A" else "B"
        assert not is_well_formed(key[:place] + swapped + key[place + 1 :])
