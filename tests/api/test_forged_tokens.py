"""At least 200 forged, replayed and misplaced tokens: none is accepted, none makes the server fail."""

import base64
import hmac
import json
from typing import Any

import jwt
import pytest

from oms_app.flow.identity import TokenPair
from tests.api.desk import PASSWORD, Desk

APP_SECRET = "a secret of the tests that is long enough"
HASHES = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
ME = "/api/v1/auth/me"


@pytest.fixture(scope="module")
def pair(quiet_desk: Desk) -> TokenPair:
    return quiet_desk.services.identity.sign_in(quiet_desk.email, PASSWORD)


def signed(claims: Any, key: bytes | str, algorithm: str = "HS256", **headers: Any) -> str:
    """A token with whatever is in it: libraries refuse to write most of these."""
    header = {"alg": algorithm, "typ": "at+jwt", "kid": "k0", **headers}
    text = f"{part(header)}.{part(claims)}"
    if algorithm not in HASHES:
        return f"{text}."
    secret = key if isinstance(key, bytes) else key.encode()
    digest = hmac.new(secret, text.encode(), HASHES[algorithm]).digest()
    return f"{text}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def forgeries(token: str, key: bytes) -> list[str]:
    """The token with other algorithms, keys, kinds, headers, claims and bytes."""
    claims = jwt.decode(token, options={"verify_signature": False})
    made = [signed(claims, key, "none", typ=typ) for typ in ("at+jwt", "JWT", "at+JWT")]
    made += [
        f"{part({'alg': alg, 'typ': 'at+jwt', 'kid': 'k0'})}.{part(claims)}." for alg in ("none", "None", "NONE", "")
    ]
    made += [signed(claims, key * 2, algorithm) for algorithm in ("HS384", "HS512")]
    for other in ("another secret of the tests, long enough", APP_SECRET, key + b" ", key[1:] + key[:1], b"\0" * 32):
        made.append(signed(claims, other, "HS256"))
    made += [signed(claims, key, typ=typ) for typ in ("JWT", "rt+jwt", "", "AT+JWT", "at+jwt ", "invite+jwt")]
    made += [signed(claims, key, typ=typ) for typ in (None,)]
    for kid in ("k1", "", "K0", "../k0", "k0\0", "' OR 1=1", "k" * 300, "app"):
        made.append(signed(claims, key, kid=kid))
    for header in ("jku", "x5u", "jwk"):
        made.append(
            signed(claims, "the attacker's own key, long enough!", "HS256", **{header: "https://attacker.example"})
        )
    made.append(signed(claims, key, crit=["exp"]))
    for name in ("iss", "aud", "sub", "iat", "nbf", "exp", "jti", "sid", "tenant", "scopes", "type"):
        made.append(signed({known: value for known, value in claims.items() if known != name}, key))
        wrongs: tuple[Any, ...] = (None, {}, True, 10**30, -1)
        made += [signed({**claims, name: wrong}, key) for wrong in wrongs]
    made += [signed({**claims, name: "else"}, key) for name in ("iss", "aud", "sid", "type", "exp", "iat")]
    made.append(signed({**claims, "aud": ["else"]}, key))
    made.append(signed({**claims, "iat": claims["iat"] + 3600, "nbf": claims["nbf"] + 3600}, key))
    made.append(signed({**claims, "exp": claims["iat"] - 1}, key))
    made.append(signed({**claims, "tenant": "0190f3a1-0000-7000-8000-0000000000ff"}, key))
    made.append(signed({**claims, "sid": "0190f3a1-0000-7000-8000-0000000000ff"}, key))
    made.append(signed({**claims, "sub": "0190f3a1-0000-7000-8000-0000000000ff"}, key))
    made.append(signed({**claims, "tenant": "no uuid"}, key))
    made.append(signed({**claims, "sid": "no uuid"}, key))
    head, body, signature = token.split(".")
    for place in range(0, len(signature) - 1, 2):
        made.append(f"{head}.{body}.{signature[:place]}{_other(signature[place])}{signature[place + 1 :]}")
    for place in range(0, len(body), 7):
        made.append(f"{head}.{body[:place]}{_other(body[place])}{body[place + 1 :]}.{signature}")
    made += [".", "..", "...", f"{head}.{body}.", f"{head}.{body}", token + "x", "null", f"{head}..{signature}"]
    made += ["a" * 5000, f"{head}.{'A' * 100_000}.{signature}"[:8000], f"{part([])}.{body}.{signature}", "{}.{}.{}"]
    deep = base64.urlsafe_b64encode(b"[" * 3000).decode().rstrip("=")
    made += [f"{deep}.{body}.{signature}", f"{head}.{deep}.{signature}"]
    return made


def _other(character: str) -> str:
    return "A" if character != "A" else "B"


def test_no_forged_token_is_accepted_anywhere_and_none_makes_the_server_fail(quiet_desk: Desk, pair: TokenPair) -> None:
    key = quiet_desk.services.identity.signing_keys._first
    forged = list(dict.fromkeys(forgeries(pair.access_token, key)))
    assert len(forged) >= 200
    for token in forged:
        answer = quiet_desk.client.get(ME, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, (token[:200], answer.json)
    assert quiet_desk.client.get(ME, headers={"Authorization": f"Bearer {pair.access_token}"}).status_code == 200


def test_a_token_counts_only_where_it_belongs(quiet_desk: Desk, pair: TokenPair) -> None:
    client, refresh = quiet_desk.client, "/api/v1/auth/refresh"
    misplaced = [
        client.get(ME, headers={"Authorization": f"Bearer {pair.refresh_token}"}),
        client.get(ME, headers={"X-API-Key": pair.access_token}),
        client.get(ME, headers={"Authorization": f"Basic {pair.access_token}"}),
        client.get(ME, query_string={"access_token": pair.access_token}),
        client.post(refresh, json={"refresh_token": pair.access_token}),
        client.post(refresh, json={"refresh_token": quiet_desk.api_key}),
        client.get(ME, headers={"Authorization": f"Bearer {pair.device_token}"}),
        client.post("/api/v1/auth/password-reset/confirm", json={"token": pair.device_token, "password": PASSWORD}),
    ]
    assert [answer.status_code for answer in misplaced] == [401] * 8


def test_a_token_that_was_used_up_is_no_token(quiet_desk: Desk) -> None:
    mine = quiet_desk.services.identity.sign_in(quiet_desk.email, PASSWORD)
    client, headers = quiet_desk.client, {"Authorization": f"Bearer {mine.access_token}"}
    assert client.get(ME, headers=headers).status_code == 200
    assert client.post("/api/v1/auth/logout", headers=headers).status_code == 204
    assert client.get(ME, headers=headers).status_code == 401
    assert client.post("/api/v1/auth/refresh", json={"refresh_token": mine.refresh_token}).status_code == 401
