"""TOTP: enrolled and verified, needed to sign in, each code once whoever races, recovery codes, the tenant's demand."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from oms_app.flow import totp
from oms_app.flow.identity import Identity, SecondFactorNeeded, SecondFactorWrong, TooManyTries
from oms_app.store import migrate
from oms_app.store.sql_store import SqlStore
from oms_app.store.tenants import create_tenant, set_tenant_settings
from oms_kernel.domain.ids import TenantId
from tests.api.people import ANNA, HERE, PASSWORD, Clock, make_identity

TENANT = TenantId("0190f3a1-0000-7000-8000-00000000000a")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def anna(store: SqlStore, tenant_id: TenantId, clock: Clock) -> "Enrolled":
    return Enrolled(store, tenant_id, clock)


class Enrolled:
    """A person with a confirmed second factor."""

    def __init__(self, store: SqlStore, tenant_id: TenantId, clock: Clock) -> None:
        self.clock = clock
        self.tenant_id = tenant_id
        self.identity: Identity = make_identity(store, clock)
        self.user_id = self.identity.create_user(ANNA, PASSWORD, tenant_id, "TRADER")
        self.pair = self.identity.sign_in(ANNA, PASSWORD)
        self.caller = self.identity.caller_of_token(self.pair.access_token)
        made = self.identity.second_factors.enrol(self.user_id, HERE)
        self.secret = _secret(made.uri)
        self.svg = made.qr_svg
        self.codes = self.identity.second_factors.verify(self.caller, self.user_id, self.code(), HERE)
        clock.forward(seconds=30)

    def code(self, steps: int = 0) -> str:
        return totp.code_of(self.secret, totp.step_at(self.clock.now) + steps)


def _secret(uri: str) -> bytes:
    import base64
    from urllib.parse import parse_qs, urlsplit

    text = parse_qs(urlsplit(uri).query)["secret"][0]
    return base64.b32decode(text + "=" * (-len(text) % 8))


def test_codes_are_those_of_the_standard() -> None:
    secret = b"12345678901234567890"
    for at, code in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        assert totp.code_of(secret, at // 30) == code


def test_enrolling_shows_a_long_secret_a_picture_and_ten_codes(anna: Enrolled) -> None:
    assert len(anna.secret) * 8 >= 160
    assert anna.svg.startswith("<svg")
    assert len(set(anna.codes)) == 10
    assert all(len(code.replace("-", "")) * 5 >= 80 for code in anna.codes)


def test_a_second_factor_is_needed_from_then_on(anna: Enrolled) -> None:
    with pytest.raises(SecondFactorNeeded):
        anna.identity.sign_in(ANNA, PASSWORD)
    with pytest.raises(SecondFactorWrong):
        anna.identity.sign_in(ANNA, PASSWORD, totp_code="000000" if anna.code() != "000000" else "111111")
    assert anna.identity.sign_in(ANNA, PASSWORD, totp_code=anna.code()).user_id == anna.user_id


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_one_step_before_and_after_is_taken(anna: Enrolled, steps: int) -> None:
    anna.clock.forward(seconds=60)
    assert anna.identity.sign_in(ANNA, PASSWORD, totp_code=anna.code(steps)).user_id == anna.user_id


def test_a_code_counts_once_and_so_do_older_ones(anna: Enrolled) -> None:
    anna.clock.forward(seconds=60)
    used, older = anna.code(), anna.code(-1)
    anna.identity.sign_in(ANNA, PASSWORD, totp_code=used)
    for code in (used, older):
        with pytest.raises(SecondFactorWrong):
            anna.identity.sign_in(ANNA, PASSWORD, totp_code=code)


def test_a_recovery_code_counts_once(anna: Enrolled) -> None:
    assert anna.identity.sign_in(ANNA, PASSWORD, totp_code=anna.codes[3].upper()).user_id == anna.user_id
    assert anna.identity.second_factors.codes_left(anna.user_id) == 9
    with pytest.raises(SecondFactorWrong):
        anna.identity.sign_in(ANNA, PASSWORD, totp_code=anna.codes[3])
    fresh = anna.identity.second_factors.renew_codes(anna.user_id, HERE)
    with pytest.raises(SecondFactorWrong):
        anna.identity.sign_in(ANNA, PASSWORD, totp_code=anna.codes[4])
    anna.identity.sign_in(ANNA, PASSWORD, totp_code=fresh[0])


def test_five_wrong_codes_are_all_there_are_for_a_while(anna: Enrolled) -> None:
    wrong = "000000" if anna.code() != "000000" else "111111"
    for _ in range(5):
        with pytest.raises(SecondFactorWrong):
            anna.identity.sign_in(ANNA, PASSWORD, totp_code=wrong)
    with pytest.raises(TooManyTries) as late:
        anna.identity.sign_in(ANNA, PASSWORD, totp_code=anna.code())
    anna.clock.forward(seconds=late.value.retry_after_s)
    anna.identity.sign_in(ANNA, PASSWORD, totp_code=anna.code())


def test_removing_it_needs_password_and_code(anna: Enrolled) -> None:
    with pytest.raises(SecondFactorWrong):
        anna.identity.second_factors.remove(anna.user_id, "not the password", anna.code(), HERE)
    with pytest.raises(SecondFactorWrong):
        anna.identity.second_factors.remove(anna.user_id, PASSWORD, anna.codes[0][:-1] + "!", HERE)
    anna.identity.second_factors.remove(anna.user_id, PASSWORD, anna.code(), HERE)
    assert [session.second_factor_at for session in anna.identity.sessions.of_person(anna.user_id)] == [None]
    assert anna.identity.sign_in(ANNA, PASSWORD).user_id == anna.user_id


def test_a_tenant_that_requires_one_lets_nobody_do_anything_without(
    store: SqlStore, tenant_id: TenantId, clock: Clock
) -> None:
    identity = make_identity(store, clock)
    user_id = identity.create_user(ANNA, PASSWORD, tenant_id, "TRADER")
    with store.tenant_unit(tenant_id) as unit:
        set_tenant_settings(unit, {"require_totp": True})
    pair = identity.sign_in(ANNA, PASSWORD)
    assert (pair.scopes, pair.needs_second_factor) == ((), True)
    caller = identity.caller_of_token(pair.access_token)
    assert caller.principal.scopes == frozenset()
    made = identity.second_factors.enrol(user_id, HERE)
    code = totp.code_of(_secret(made.uri), totp.step_at(clock.now))
    identity.second_factors.verify(caller, user_id, code, HERE)
    assert "place:orders" in identity.caller_of_token(pair.access_token).principal.scopes


@pytest.fixture(params=["sqlite", "postgresql"])
def any_store(request: pytest.FixtureRequest, clock: Clock) -> Iterator[SqlStore]:
    """A store on either database, with one tenant."""
    if request.param == "sqlite":
        url = request.getfixturevalue("database_url")
    else:
        url = request.getfixturevalue("new_postgres_database")()
        migrate.upgrade(url)
    made = SqlStore(url, pool_size=30)
    with made.tenant_unit(TENANT) as unit:
        create_tenant(unit, "Test")
    yield made
    made.close()


def test_a_hundred_uses_of_one_code_at_once_let_one_in(any_store: SqlStore, clock: Clock) -> None:
    anna = Enrolled(any_store, TENANT, clock)
    generous = [make_identity(any_store, clock) for _ in range(2)]
    code = anna.code()

    def use(index: int) -> Any:
        factors = generous[index % 2].second_factors
        try:
            with any_store.platform_unit() as unit:
                factor = _factor(unit, anna.user_id)
                return factors.use(unit, factor, code, clock.now)
        except SecondFactorWrong:
            return None

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(use, range(100)))
    assert [outcome for outcome in outcomes if outcome] == ["totp"]


def _factor(unit: Any, user_id: str) -> Any:
    from oms_app.store.second_factors import get_factor

    return get_factor(unit, user_id)
