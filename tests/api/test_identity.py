"""Sign-in, refresh families, revocation and API keys, on a real database."""

import threading
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from oms_app.flow.api_keys import is_well_formed, key_hash, new_api_key
from oms_app.flow.identity import Identity, IdentitySettings, InvalidToken, SignInFailed, TokenPair
from oms_app.flow.passwords import HashingCost, Passwords
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import Scope
from oms_app.store.identity_rows import ApiKeyRow, SessionRow
from oms_app.store.sql_identity_rows import SqlIdentityRows
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import AccountId, TenantId

SECRET = "a secret of the tests that is long enough"
CHEAP = HashingCost(memory_kib=1024, passes=1, lanes=1)
PASSWORD = "correct horse battery"


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_identity(store: SqlStore, clock: Clock) -> Identity:
    return Identity(
        SqlIdentityRows(store),
        SECRET,
        clock=clock,
        passwords=Passwords(CHEAP),
        settings=IdentitySettings(recheck_s=0.5),
    )


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
    with pytest.raises(InvalidRequest, match="12 to 256"):
        identity.create_user("bob@example.com", "short", tenant_id, "VIEWER")


def test_an_access_token_ends_after_its_quarter_of_an_hour(identity: Identity, pair: TokenPair, clock: Clock) -> None:
    identity.caller_of_token(pair.access_token)
    clock.forward(seconds=901)
    with pytest.raises(InvalidToken, match="expired"):
        identity.caller_of_token(pair.access_token)


def test_signing_out_is_seen_by_another_process_within_a_second(
    store: SqlStore, identity: Identity, pair: TokenPair, clock: Clock
) -> None:
    other = make_identity(store, clock)
    other.caller_of_token(pair.access_token)
    identity.sign_out(pair.session_id)
    with pytest.raises(InvalidToken):
        identity.caller_of_token(pair.access_token)
    clock.forward(seconds=1)
    with pytest.raises(InvalidToken, match="ended"):
        other.caller_of_token(pair.access_token)


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
    clock.forward(seconds=1)
    with pytest.raises(InvalidToken, match="ended"):
        other.caller_of_token(pair.access_token)
    other.caller_of_token(of_bob.access_token)
    identity.sign_in("anna@example.com", "another password of anna")


def test_a_password_set_while_somebody_signs_in_with_the_old_one_stands_and_ends_that_session(
    store: SqlStore, identity: Identity, pair: TokenPair, clock: Clock
) -> None:
    begun: list[str] = []

    class ResetInBetween(SqlIdentityRows):
        def add_session(self, session: SessionRow) -> None:
            identity.reset_password("anna@example.com", "another password of anna")
            super().add_session(session)
            begun.append(session.session_id)

    costly = Passwords(HashingCost(memory_kib=2048, passes=1))
    late = Identity(ResetInBetween(store), SECRET, clock=clock, passwords=costly)
    with pytest.raises(SignInFailed):
        late.sign_in("anna@example.com", PASSWORD)
    row = SqlIdentityRows(store).session(begun[0])
    assert row is not None
    assert row.revoked_at is not None
    identity.sign_in("anna@example.com", "another password of anna")


def test_a_hash_of_another_cost_is_renewed_at_the_next_sign_in(
    store: SqlStore, identity: Identity, pair: TokenPair, clock: Clock
) -> None:
    rows = SqlIdentityRows(store)
    before = rows.user_by_email("anna@example.com")
    costly = Identity(rows, SECRET, clock=clock, passwords=Passwords(HashingCost(memory_kib=2048, passes=1)))
    costly.sign_in("anna@example.com", PASSWORD)
    after = rows.user_by_email("anna@example.com")
    assert before is not None
    assert after is not None
    assert before.password_hash != after.password_hash
    costly.sign_in("anna@example.com", PASSWORD)
    assert rows.user_by_email("anna@example.com") == after


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


def test_twenty_refreshes_at_once_leave_one_head(identity: Identity, pair: TokenPair) -> None:
    heads: list[str] = []

    def refresh() -> None:
        heads.append(identity.refresh(pair.refresh_token).refresh_token)

    threads = [threading.Thread(target=refresh) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(heads) == 20
    assert len(set(heads)) == 1


def test_a_refresh_token_is_no_access_token_and_the_other_way_round(identity: Identity, pair: TokenPair) -> None:
    with pytest.raises(InvalidToken):
        identity.caller_of_token(pair.refresh_token)
    with pytest.raises(InvalidToken):
        identity.refresh(pair.access_token)


def forgeries(token: str) -> list[str]:
    """The token with other algorithms, keys, types, issuers and missing claims."""
    claims = jwt.decode(token, options={"verify_signature": False})
    made = [jwt.encode(claims, None, algorithm="none", headers={"typ": typ}) for typ in ("at+jwt", "JWT", "at+JWT")]
    for algorithm in ("HS384", "HS512"):
        made.append(jwt.encode(claims, SECRET * 2, algorithm=algorithm, headers={"typ": "at+jwt"}))
    for key in ("another secret of the tests, long enough", SECRET + " "):
        made.append(jwt.encode(claims, key, algorithm="HS256", headers={"typ": "at+jwt"}))
    for typ in ("JWT", "rt+jwt", "", "AT+JWT"):
        made.append(jwt.encode(claims, SECRET, algorithm="HS256", headers={"typ": typ}))
    for name in ("iss", "aud", "sub", "iat", "nbf", "exp", "jti", "sid", "tenant", "scopes", "type"):
        left = {key: value for key, value in claims.items() if key != name}
        made.append(jwt.encode(left, SECRET, algorithm="HS256", headers={"typ": "at+jwt"}))
        if name not in ("scopes", "sub", "jti", "tenant"):
            wrong = {**claims, name: 5 if name in ("iat", "nbf", "exp") else "else"}
            if name not in ("iat", "nbf"):
                made.append(jwt.encode(wrong, SECRET, algorithm="HS256", headers={"typ": "at+jwt"}))
    head, body, signature = token.split(".")
    for place in range(0, len(signature) - 1, 4):
        swapped = "A" if signature[place] != "A" else "B"
        made.append(f"{head}.{body}.{signature[:place]}{swapped}{signature[place + 1 :]}")
    for place in range(0, len(body), 7):
        swapped = "A" if body[place] != "A" else "B"
        made.append(f"{head}.{body[:place]}{swapped}{body[place + 1 :]}.{signature}")
    made += ["", ".", "..", f"{head}.{body}.", f"{head}.{body}", token + "x", "null", f"{head}..{signature}"]
    return made


def test_no_forged_token_is_accepted(identity: Identity, pair: TokenPair) -> None:
    forged = forgeries(pair.access_token)
    assert len(forged) >= 60
    for token in forged:
        with pytest.raises(InvalidToken):
            identity.caller_of_token(token)
    assert identity.caller_of_token(pair.access_token)


def admin(tenant_id: TenantId, pair: TokenPair) -> Principal:
    return Principal(
        principal_id=f"user:{pair.user_id}",
        tenant_id=tenant_id,
        scopes=frozenset({"view:orders", "place:orders"}),
    )


def test_a_key_works_until_it_is_revoked_and_its_secret_is_stored_nowhere(
    store: SqlStore, identity: Identity, pair: TokenPair, tenant_id: TenantId, clock: Clock
) -> None:
    account = AccountId("0190f3a1-0000-7000-8000-000000000001")
    made = identity.create_key(admin(tenant_id, pair), "bot", ["place:orders"], account_ids=[account])
    other = make_identity(store, clock)
    caller = other.caller_of_key(made.api_key)
    assert caller.principal.scopes == {"place:orders"}
    assert caller.principal.account_ids == {account}
    assert all(made.api_key not in repr(row) for row in identity.keys(tenant_id))
    assert identity.revoke_key(tenant_id, made.row.key_id)
    clock.forward(seconds=1)
    with pytest.raises(InvalidToken):
        other.caller_of_key(made.api_key)
    assert not identity.revoke_key(TenantId("0190f3a1-0000-7000-8000-0000000000ff"), made.row.key_id)


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


def test_while_one_request_reads_a_key_again_the_others_go_on_for_a_second(
    store: SqlStore, identity: Identity, pair: TokenPair, tenant_id: TenantId, clock: Clock
) -> None:
    made = identity.create_key(admin(tenant_id, pair), "bot", ["place:orders"])
    reading, may_answer = threading.Event(), threading.Event()
    may_answer.set()

    class SlowRows(SqlIdentityRows):
        reads = 0

        def key_by_prefix(self, prefix: str) -> ApiKeyRow | None:
            self.reads += 1
            reading.set()
            assert may_answer.wait(10)
            return super().key_by_prefix(prefix)

    rows = SlowRows(store)
    other = Identity(rows, SECRET, clock=clock, settings=IdentitySettings(recheck_s=0.5))
    other.caller_of_key(made.api_key)
    reading.clear()
    may_answer.clear()
    clock.forward(seconds=0.5)
    identity.revoke_key(tenant_id, made.row.key_id)
    refused: list[BaseException] = []

    def ask() -> None:
        try:
            other.caller_of_key(made.api_key)
        except InvalidToken as error:
            refused.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert reading.wait(10)
    assert [other.caller_of_key(made.api_key).principal.tenant_id for _ in range(20)] == [tenant_id] * 20
    assert rows.reads == 2
    may_answer.set()
    asking.join(10)
    assert refused
    with pytest.raises(InvalidToken):
        other.caller_of_key(made.api_key)
