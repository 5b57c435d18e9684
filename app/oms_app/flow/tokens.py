"""Claims in, signed tokens out, and back: one algorithm, an explicit kind of token, every registered claim required.

An access token is a JWT of type `at+jwt`, a refresh token of type `rt+jwt`: neither passes for the other. Its `kid`
names one of our own keys; nothing else in a header is believed. Both carry what flask-jwt-extended needs for cookies
(`type`, `fresh`, `csrf`).
"""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import jwt
import msgspec

from oms_app.flow.errors import FlowError

ALGORITHM = "HS256"
ISSUER = "oms"
AUDIENCE = "oms-api"
LONGEST = 4096
"""Characters of a token; ours have less than half of that."""
LONGEST_ACCESS = timedelta(minutes=15)
"""How long an access token lives at most."""
_REQUIRED = ["iss", "aud", "sub", "iat", "nbf", "exp", "jti", "sid", "tenant", "scopes", "type"]
_LEEWAY = timedelta(seconds=5)


class TokenKind(StrEnum):
    """What a token is for; the value is the `type` claim."""

    ACCESS = "access"
    REFRESH = "refresh"


TYP = {TokenKind.ACCESS: "at+jwt", TokenKind.REFRESH: "rt+jwt"}
"""The `typ` of each kind's header."""


class InvalidToken(FlowError):
    """The token is not one of ours, was changed, has expired or was revoked; sign in again."""

    code = "invalid_token"


class SigningKey(msgspec.Struct, frozen=True):
    """What tokens are signed with. A retired one signs no more, and verifies until its last token is dead."""

    key_id: str
    secret: bytes
    retired_at: datetime | None = None

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"


class Claims(msgspec.Struct, frozen=True):
    """What a token says."""

    kind: TokenKind
    user_id: str
    tenant_id: str
    session_id: str
    scopes: tuple[str, ...]
    token_id: str
    issued_at: datetime
    expires_at: datetime


KeyFinder = Callable[[str], SigningKey | None]
"""The key with this id, while tokens that it signed may be believed."""


class TokenSigner:
    """Signs and reads tokens. The same claims and key always give the same token. secret: the application's own."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode("utf-8")

    def sign(self, claims: Claims, key: SigningKey) -> str:
        """The token of these claims."""
        payload: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": claims.user_id,
            "iat": int(claims.issued_at.timestamp()),
            "nbf": int(claims.issued_at.timestamp()),
            "exp": int(claims.expires_at.timestamp()),
            "jti": claims.token_id,
            "sid": claims.session_id,
            "tenant": claims.tenant_id,
            "scopes": list(claims.scopes),
            "type": claims.kind.value,
            "fresh": False,
            "csrf": self.derive("csrf", claims.token_id),
        }
        headers = {"typ": TYP[claims.kind], "kid": key.key_id}
        return jwt.encode(payload, key.secret, algorithm=ALGORITHM, headers=headers)

    def read(self, token: str, kind: TokenKind, now: datetime, key_of: KeyFinder) -> Claims:
        """The claims of a token of this kind that is valid now. Raises InvalidToken."""
        key_id = key_id_of(token, kind)
        key = key_of(key_id)
        if key is None:
            raise InvalidToken("the token is not valid", fix="sign in again")
        try:
            decoded = jwt.decode_complete(
                token,
                key.secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                # Times are checked below against the clock that was passed in.
                options={"require": _REQUIRED, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
            payload = decoded["payload"]
            if payload["type"] != kind.value:
                raise InvalidToken(f"this is no {kind.value} token", fix=f"send the {kind.value} token")
            claims = Claims(
                kind=kind,
                user_id=_text(payload["sub"]),
                tenant_id=_text(payload["tenant"]),
                session_id=_text(payload["sid"]),
                scopes=tuple(_text(scope) for scope in _list(payload["scopes"])),
                token_id=_text(payload["jti"]),
                issued_at=datetime.fromtimestamp(_whole(payload["iat"]), now.tzinfo),
                expires_at=datetime.fromtimestamp(_whole(payload["exp"]), now.tzinfo),
            )
            if _whole(payload["nbf"]) != _whole(payload["iat"]):
                raise InvalidToken("the token is not valid", fix="sign in again")
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError, RecursionError) as error:
            raise InvalidToken("the token is not valid", fix="sign in again") from error
        if claims.expires_at <= now or claims.issued_at > now + _LEEWAY:
            raise InvalidToken("the token has expired", fix="refresh it or sign in again")
        if kind is TokenKind.ACCESS and claims.expires_at - claims.issued_at > LONGEST_ACCESS:
            raise InvalidToken("the token lives longer than ours do", fix="sign in again")
        return claims

    def derive(self, purpose: str, text: str) -> str:
        """A text that only the holder of the application's secret can make from this one."""
        return hmac.new(self._secret, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()[:40]


def key_id_of(token: str, kind: TokenKind) -> str:
    """Which key a token says it was signed with; nothing is believed yet. Raises InvalidToken on a wrong form."""
    if len(token) > LONGEST or not token.isascii():
        raise InvalidToken("the token is not valid", fix="sign in again")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise InvalidToken("the token is not valid", fix="sign in again") from error
    if header.get("alg") != ALGORITHM or "crit" in header:
        raise InvalidToken("the token is not valid", fix="sign in again")
    if header.get("typ") != TYP[kind]:
        raise InvalidToken(f"this is no {kind.value} token", fix=f"send the {kind.value} token")
    key_id = header.get("kid")
    if not isinstance(key_id, str):
        raise InvalidToken("the token names no key", fix="sign in again")
    return key_id


def token_hash(token: str) -> str:
    """SHA-256 in hex: how refresh tokens are stored and how caches name a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a claim must be a text")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a claim must be a list")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("a time must be a whole number")
    return value
