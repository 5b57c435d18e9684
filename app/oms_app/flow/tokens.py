"""Claims in, signed tokens out, and back: one algorithm, an explicit kind of token, every registered claim required.

An access token is a JWT of type `at+jwt`, a refresh token of type `rt+jwt`: neither passes for the other. Both carry
what flask-jwt-extended needs for cookies (`type`, `fresh`, `csrf`).
"""

import hashlib
import hmac
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import jwt
import msgspec

from oms_app.flow.errors import FlowError

ALGORITHM = "HS256"
ISSUER = "oms"
AUDIENCE = "oms-api"
_REQUIRED = ["iss", "aud", "sub", "iat", "nbf", "exp", "jti", "sid", "tenant", "scopes", "type"]
_LEEWAY = timedelta(seconds=5)


class TokenKind(StrEnum):
    """What a token is for; the value is the `type` claim."""

    ACCESS = "access"
    REFRESH = "refresh"


_TYP = {TokenKind.ACCESS: "at+jwt", TokenKind.REFRESH: "rt+jwt"}


class InvalidToken(FlowError):
    """The token is not one of ours, was changed, has expired or was revoked; sign in again."""

    code = "invalid_token"


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


class TokenSigner:
    """Signs and reads tokens with one secret. The same claims always give the same token."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode("utf-8")

    def sign(self, claims: Claims) -> str:
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
        return jwt.encode(payload, self._secret, algorithm=ALGORITHM, headers={"typ": _TYP[claims.kind]})

    def read(self, token: str, kind: TokenKind, now: datetime) -> Claims:
        """The claims of a token of this kind that is valid now. Raises InvalidToken."""
        try:
            decoded = jwt.decode_complete(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                # Times are checked below against the clock that was passed in.
                options={"require": _REQUIRED, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
            header, payload = decoded["header"], decoded["payload"]
            if header.get("typ") != _TYP[kind] or payload["type"] != kind.value:
                raise InvalidToken(f"this is no {kind.value} token", fix=f"send the {kind.value} token")
            claims = Claims(
                kind=kind,
                user_id=str(payload["sub"]),
                tenant_id=str(payload["tenant"]),
                session_id=str(payload["sid"]),
                scopes=tuple(str(scope) for scope in payload["scopes"]),
                token_id=str(payload["jti"]),
                issued_at=datetime.fromtimestamp(payload["iat"], now.tzinfo),
                expires_at=datetime.fromtimestamp(payload["exp"], now.tzinfo),
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise InvalidToken("the token is not valid", fix="sign in again") from error
        if claims.expires_at <= now or claims.issued_at > now + _LEEWAY:
            raise InvalidToken("the token has expired", fix="refresh it or sign in again")
        return claims

    def derive(self, purpose: str, text: str) -> str:
        """A text that only the holder of the secret can make from this one."""
        return hmac.new(self._secret, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()[:40]


def token_hash(token: str) -> str:
    """SHA-256 in hex: how refresh tokens are stored and how caches name a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
