"""Turn log calls of this process, the libraries' included, into JSON lines on stderr that hold no secret.

Ids that belong to all lines of a task (request_id, tenant_id, order_id) are bound with `structlog.contextvars`.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from oms_kernel.contracts.plugin import Secret

SECRET_NAMES = re.compile(
    r"passw(or)?d|passphrase|secret|token|authorization|cookie|api_?key|credential|signature|private_?key|master_?key"
    r"|totp|otp_?code|recovery_?code|csrf",
    re.IGNORECASE,
)
NOT_SECRET = frozenset(
    {
        "api_key_id",
        "idempotency_key_hash",
        "key_id",
        "lease_token",
        "secret_count",
        "token_id",
    }
)
"""Names that look secret and are not."""
CHATTY = ("alembic", "httpcore2", "httpx2")
"""Libraries whose remarks are worth a line only when something is wrong."""
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^@\s/]+@")
_KEYS = re.compile(r"\b(oms_live|oms_test|whsec)_[A-Za-z0-9_.+/=-]{16,}")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
_OTPAUTH = re.compile(r"(?i)\b(otpauth://[^?\s]*\?)\S+")
_NAMED = re.compile(
    r"(?i)([\"']?\b[a-z_.-]{0,40}(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|credentials?|private[_-]?key"
    r"|master[_-]?keys?|totp_code|csrf)[a-z_]*[\"']?\s*[=:]\s*)(?:[\"'][^\"'\r\n]*[\"']|[^\s,;&\"'()\[\]{}<>]+)"
)
"""`password=...`, `"api_key": "..."` and the like inside a text, for instance in the words of an error."""
_SPARED = re.compile(r"(?i)\b(lease_token|token_id|key_id|idempotency_key_hash)\b")


def configure_logging(process: str, level: str = "info") -> None:
    """From now on every log line of the process is one JSON object on stderr, named after the process."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _name_process(process),
        mask_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def mask_secrets(logger: object, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The line with the values of secret-looking names, bearer tokens, keys and passwords in URLs masked."""
    return {name: _masked(name, value) for name, value in event.items()}


def _masked(name: str, value: Any) -> Any:
    if isinstance(value, Secret) or (value and name not in NOT_SECRET and SECRET_NAMES.search(name)):
        return Secret.MASK
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        return {key: _masked(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(name, item) for item in value]
    return value


def mask_text(text: str) -> str:
    """The text without tokens, API keys, signing secrets, passwords inside URLs and values of secret-looking names."""
    return _NAMED.sub(_hidden, mask_shapes(text))


def mask_shapes(text: str) -> str:
    """The text without what is a secret by its form alone: for words that go back to whoever sent them."""
    text = _BEARER.sub(lambda match: f"{match[1]} {Secret.MASK}", text)
    text = _URL_PASSWORD.sub(lambda match: f"{match[1]}{Secret.MASK}@", text)
    text = _JWT.sub(Secret.MASK, text)
    text = _OTPAUTH.sub(lambda match: f"{match[1]}{Secret.MASK}", text)
    return _KEYS.sub(lambda match: f"{match[1]}_{Secret.MASK}", text)


def _hidden(match: re.Match[str]) -> str:
    return match[0] if _SPARED.search(match[1]) else f"{match[1]}{Secret.MASK}"


def _name_process(process: str) -> structlog.typing.Processor:
    def add(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    return add
