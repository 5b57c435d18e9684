"""Webhooks as people keep them: made with a secret shown once, changed, closed; and what became of deliveries."""

import base64
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import insert, select, update

from oms_app.flow.parameters import check_params, parted, secret_fields
from oms_app.flow.principal import Principal
from oms_app.flow.sealing import Sealer
from oms_app.flow.strategies import UnknownThing
from oms_app.store.rows import stamps
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import WEBHOOK_DELIVERIES, WEBHOOKS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.events import EVENT_CLASSES
from oms_kernel.registry import Registries

TABLE = "webhooks"
EVENT_KINDS = frozenset(cls.kind for cls in EVENT_CLASSES)
LONGEST_URL = 2000


class WebhookView(msgspec.Struct, frozen=True):
    """A webhook without its secrets."""

    webhook_id: str
    name: str
    url: str
    sink: str
    params: dict[str, Any]
    event_kinds: tuple[str, ...]
    is_active: bool
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None


class DeliveryView(msgspec.Struct, frozen=True):
    """One message on its way to a webhook, or arrived, or given up."""

    delivery_id: str
    webhook_id: str
    message_id: str
    seq: int
    event_kind: str
    status: str
    attempts: int
    due_at: datetime
    occurred_at: datetime
    delivered_at: datetime | None
    last_status_code: int | None
    last_error: str
    body: str


class Webhooks:
    """The one door for webhooks."""

    def __init__(
        self, store: SqlStore, registries: Registries, sealer: Sealer, new_id: Callable[[], str]
    ) -> None:
        self._store = store
        self._registries = registries
        self._sealer = sealer
        self._new_id = new_id

    def create(
        self,
        principal: Principal,
        *,
        url: str,
        sink: str | None,
        name: str,
        params: dict[str, Any],
        event_kinds: Sequence[str],
    ) -> tuple[WebhookView, str | None]:
        """(the webhook, the secret that was made for it or None). Raises InvalidRequest."""
        sink = sink or self._only_sink()
        contributed = self._sink(sink)
        secret = None
        if "secret" in secret_fields(contributed) and params.get("secret") is None:
            secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode("ascii")
            params = {**params, "secret": secret}
        shown, hidden = self._checked(contributed, url, params)
        _check_kinds(event_kinds)
        webhook_id = self._new_id()
        with self._store.tenant_unit(principal.tenant_id) as unit:
            unit.connection.execute(
                insert(WEBHOOKS).values(
                    tenant_id=principal.tenant_id,
                    webhook_id=webhook_id,
                    name=name,
                    url=url,
                    sink=sink,
                    params=shown,
                    event_kinds=sorted(set(event_kinds)),
                    credentials=self._sealed(principal, webhook_id, hidden),
                    is_active=True,
                    **stamps(unit),
                )
            )
            return _found(unit, principal, webhook_id), secret

    def change(self, principal: Principal, webhook_id: str, **changes: Any) -> WebhookView:
        """The webhook with new url, name, params, event_kinds or is_active. Raises UnknownThing, InvalidRequest."""
        with self._store.tenant_unit(principal.tenant_id) as unit:
            known = _found(unit, principal, webhook_id)
            values = {name: value for name, value in changes.items() if value is not None}
            if "event_kinds" in values:
                _check_kinds(values["event_kinds"])
            if "url" in values or "params" in values:
                sealed = unit.connection.scalar(
                    select(WEBHOOKS.c.credentials).where(*_own(principal, webhook_id))
                )
                kept = self._opened(principal, webhook_id, sealed)
                asked = {**kept, **values.get("params", known.params)}
                shown, hidden = self._checked(self._sink(known.sink), values.get("url", known.url), asked)
                values |= {"params": shown, "credentials": self._sealed(principal, webhook_id, hidden)}
            unit.connection.execute(
                update(WEBHOOKS).where(*_own(principal, webhook_id)).values(**values, updated_at=unit.now)
            )
            return _found(unit, principal, webhook_id)

    def close(self, principal: Principal, webhook_id: str) -> None:
        """End a webhook; its deliveries stay to be read. Raises UnknownThing."""
        with self._store.tenant_unit(principal.tenant_id) as unit:
            _found(unit, principal, webhook_id)
            unit.connection.execute(
                update(WEBHOOKS)
                .where(*_own(principal, webhook_id))
                .values(closed_at=unit.now, is_active=False, updated_at=unit.now)
            )

    def find(self, principal: Principal, webhook_id: str) -> WebhookView:
        """A webhook. Raises UnknownThing."""
        with self._store.read_unit(principal.tenant_id) as unit:
            return _found(unit, principal, webhook_id)

    def list(self, principal: Principal) -> Sequence[WebhookView]:
        """The tenant's open webhooks, newest first."""
        query = (
            select(WEBHOOKS)
            .where(WEBHOOKS.c.tenant_id == principal.tenant_id, WEBHOOKS.c.closed_at.is_(None))
            .order_by(WEBHOOKS.c.webhook_id.desc())
        )
        with self._store.read_unit(principal.tenant_id) as unit:
            return [_view(row) for row in unit.connection.execute(query)]

    def deliveries(
        self, principal: Principal, webhook_id: str, *, status: str | None = None, limit: int = 1000
    ) -> Sequence[DeliveryView]:
        """The newest deliveries, newest first. Raises UnknownThing."""
        table = WEBHOOK_DELIVERIES
        query = (
            select(table)
            .where(table.c.tenant_id == principal.tenant_id, table.c.webhook_id == webhook_id)
            .order_by(table.c.occurred_at.desc(), table.c.seq.desc())
            .limit(limit)
        )
        if status is not None:
            query = query.where(table.c.status == status)
        with self._store.read_unit(principal.tenant_id) as unit:
            _found(unit, principal, webhook_id, with_closed=True)
            return [
                DeliveryView(**{name: getattr(row, name) for name in DeliveryView.__struct_fields__})
                for row in unit.connection.execute(query)
            ]

    def _only_sink(self) -> str:
        names = list(self._registries.webhook_sinks)
        if len(names) != 1:
            raise InvalidRequest(f"name the sink: {', '.join(names) or 'none is installed'}", field="sink")
        return names[0]

    def _sink(self, name: str) -> Any:
        registered = self._registries.webhook_sinks.get(name)
        if registered is None:
            known = ", ".join(self._registries.webhook_sinks) or "none is installed"
            raise InvalidRequest(f"no plugin provides the sink {name}; known: {known}", field="sink")
        return registered.contributed

    def _checked(
        self, contributed: Any, url: str, params: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """(parameters to show, secrets to seal), once the sink's own Params accept them together with the URL."""
        parts = _split(url)
        if parts is None or parts.scheme not in ("https", "http") or not parts.hostname or parts.username:
            raise InvalidRequest("an https URL without user name and password is needed", field="url")
        address = {"url": url} if "url" in contributed.Params.__struct_fields__ else {}
        try:
            check_params(contributed, {**params, **address})
        except InvalidRequest as error:
            raise InvalidRequest(
                error.detail, field="url" if error.field == "params.url" else error.field
            ) from None
        return parted(contributed, params)

    def _sealed(self, principal: Principal, webhook_id: str, hidden: dict[str, str]) -> bytes | None:
        return self._sealer.seal(principal.tenant_id, TABLE, webhook_id, hidden) if hidden else None

    def _opened(self, principal: Principal, webhook_id: str, sealed: bytes | None) -> dict[str, Any]:
        return self._sealer.open(principal.tenant_id, TABLE, webhook_id, sealed) if sealed else {}


def _split(url: str) -> Any:
    try:
        return urlsplit(url) if len(url) <= LONGEST_URL else None
    except ValueError:
        return None


def _check_kinds(kinds: Sequence[str]) -> None:
    unknown = sorted(set(kinds) - EVENT_KINDS - {"*"})
    if unknown:
        raise InvalidRequest(f"no event is of kind {', '.join(unknown)}", field="event_kinds")


def _own(principal: Principal, webhook_id: str) -> tuple[Any, Any]:
    return WEBHOOKS.c.tenant_id == principal.tenant_id, WEBHOOKS.c.webhook_id == webhook_id


def _found(
    unit: RowsUnit, principal: Principal, webhook_id: str, *, with_closed: bool = False
) -> WebhookView:
    row = unit.connection.execute(select(WEBHOOKS).where(*_own(principal, webhook_id))).one_or_none()
    if row is None or (row.closed_at is not None and not with_closed):
        raise UnknownThing(f"there is no webhook {webhook_id}")
    return _view(row)


def _view(row: Any) -> WebhookView:
    shown = {name: getattr(row, name) for name in WebhookView.__struct_fields__}
    return WebhookView(**{**shown, "event_kinds": tuple(row.event_kinds), "is_active": bool(row.is_active)})
