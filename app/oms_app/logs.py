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
    r"password|passwd|secret|token|authorization|cookie|api_?key|credential|signature|private_?key", re.IGNORECASE
)
NOT_SECRET = frozenset({"lease_token", "key_id", "token_id", "idempotency_key_hash"})
"""Names that look secret and are not."""
CHATTY = ("alembic", "httpcore2", "httpx2")
"""Libraries whose remarks are worth a line only when something is wrong."""
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^@\s/]+@")
_KEYS = re.compile(r"\b(oms_live|whsec)_[A-Za-z0-9_.+/=-]{16,}")


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
    """The text without bearer tokens, API keys, signing secrets and passwords inside URLs."""
    text = _BEARER.sub(lambda match: f"{match[1]} {Secret.MASK}", text)
    text = _URL_PASSWORD.sub(lambda match: f"{match[1]}{Secret.MASK}@", text)
    return _KEYS.sub(lambda match: f"{match[1]}_{Secret.MASK}", text)


def _name_process(process: str) -> structlog.typing.Processor:
    def add(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    return add
