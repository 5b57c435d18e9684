"""Webhooks as people keep them: made with a secret shown once, changed, closed; and what became of deliveries.

A webhook gets the events of every account of its tenant, so whoever reaches some accounts only reaches no webhook.
"""

import base64
import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.errors import NotPermitted
from oms_app.flow.parameters import check_params, parted, secret_fields
from oms_app.flow.principal import Principal
from oms_app.flow.publishing import PUBLIC_KINDS
from oms_app.flow.sealing import Sealer
from oms_app.flow.strategies import StateConflict, UnknownThing
from oms_app.store import webhooks as rows
from oms_app.store.queries import Page, Paging
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import RowsUnit
from oms_app.store.webhooks import DeliveryCount, DeliveryRow, WebhookRow
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.registry import Registries

TABLE = "webhooks"
EVENT_KINDS = frozenset(PUBLIC_KINDS)
LONGEST_URL = 2000


class Webhooks:
    """The one door for webhooks. actor: who acts, and from where; None: the principal of each call.

    Each method raises NotPermitted for a caller that is held to some accounts."""

    def __init__(
        self,
        store: SqlStore,
        registries: Registries,
        sealer: Sealer,
        new_id: Callable[[], str],
        actor: Actor | None = None,
    ) -> None:
        self._store = store
        self._actor = actor
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
    ) -> tuple[WebhookRow, str | None]:
        """(the webhook, the secret that was made for it or None). Raises InvalidRequest."""
        _check_reach(principal)
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
            rows.create_webhook(
                unit,
                webhook_id,
                url=url,
                sink=sink,
                params=shown,
                event_kinds=sorted(set(event_kinds)),
                credentials=self._sealed(principal, webhook_id, hidden),
                name=name,
            )
            made = _found(unit, webhook_id)
            self._record(unit, principal, "created", webhook_id, after=_told(made))
            return made, secret

    def change(self, principal: Principal, webhook_id: str, **changes: Any) -> WebhookRow:
        """The webhook with new url, name, params, event_kinds or is_active. Raises UnknownThing, InvalidRequest."""
        _check_reach(principal)
        with self._store.tenant_unit(principal.tenant_id) as unit:
            known = _found(unit, webhook_id)
            values = {name: value for name, value in changes.items() if value is not None}
            if "event_kinds" in values:
                _check_kinds(values["event_kinds"])
            if "url" in values or "params" in values:
                kept = self._opened(principal, webhook_id, known.credentials)
                asked = {**kept, **values.get("params", known.params)}
                shown, hidden = self._checked(self._sink(known.sink), values.get("url", known.url), asked)
                values |= {"params": shown, "credentials": self._sealed(principal, webhook_id, hidden)}
            rows.update_webhook(unit, webhook_id, **values)
            changed = _found(unit, webhook_id)
            self._record(unit, principal, "changed", webhook_id, before=_told(known), after=_told(changed))
            return changed

    def close(self, principal: Principal, webhook_id: str) -> None:
        """End a webhook; its deliveries stay to be read. Raises UnknownThing."""
        _check_reach(principal)
        with self._store.tenant_unit(principal.tenant_id) as unit:
            if not rows.close_webhook(unit, webhook_id):
                raise UnknownThing(f"there is no webhook {webhook_id}")
            self._record(unit, principal, "closed", webhook_id)

    def find(self, principal: Principal, webhook_id: str) -> WebhookRow:
        """A webhook. Raises UnknownThing."""
        _check_reach(principal)
        with self._store.read_unit(principal.tenant_id) as unit:
            return _found(unit, webhook_id)

    def list(self, principal: Principal, paging: Paging) -> Page[WebhookRow]:
        """The tenant's open webhooks, newest first."""
        _check_reach(principal)
        with self._store.read_unit(principal.tenant_id) as unit:
            return rows.list_webhooks(unit, paging)

    def deliveries(
        self, principal: Principal, webhook_id: str, paging: Paging, *, status: str | None = None
    ) -> Page[DeliveryRow]:
        """A webhook's deliveries, newest first; of a closed one too. Raises UnknownThing."""
        _check_reach(principal)
        with self._store.read_unit(principal.tenant_id) as unit:
            found = rows.list_deliveries(unit, paging, webhook_id=webhook_id, status=status)
            if not found.items:
                _found(unit, webhook_id)
            return found

    def replay(self, principal: Principal, webhook_id: str, delivery_id: str) -> DeliveryRow:
        """The delivery, which will be made again under its old message id; one that is still pending stays as it is.

        Raises UnknownThing, StateConflict for a disabled webhook.
        """
        _check_reach(principal)
        with self._store.tenant_unit(principal.tenant_id) as unit:
            _check_open(_found(unit, webhook_id))
            rows.replay(unit, webhook_id, delivery_id)
            found = rows.get_delivery(unit, webhook_id, delivery_id)
            if found is None:
                raise UnknownThing(f"the webhook has no delivery {delivery_id}")
            self._record(unit, principal, "delivery_replayed", webhook_id, after={"delivery_id": delivery_id})
            return found

    def replay_dead(self, principal: Principal, webhook_id: str) -> int:
        """How many dead deliveries of the webhook will be made again. Raises UnknownThing, StateConflict."""
        _check_reach(principal)
        with self._store.tenant_unit(principal.tenant_id) as unit:
            _check_open(_found(unit, webhook_id))
            replayed = rows.replay(unit, webhook_id)
            self._record(unit, principal, "dead_replayed", webhook_id, after={"deliveries": replayed})
            return replayed

    def counts(self, principal: Principal) -> Sequence[DeliveryCount]:
        """Each open webhook with what it has still to deliver and what was given up."""
        _check_reach(principal)
        with self._store.read_unit(principal.tenant_id) as unit:
            return rows.count_deliveries(unit)

    def _record(
        self, unit: RowsUnit, principal: Principal, what: str, webhook_id: str, **values: dict[str, Any] | None
    ) -> None:
        actor = self._actor or Actor(principal.principal_id)
        record(unit, actor, AdminAction(f"webhook.{what}", "webhook", webhook_id, **values))  # type: ignore[arg-type]

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

    def _checked(self, contributed: Any, url: str, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """(parameters to show, secrets to seal), once the sink's own Params accept them together with the URL."""
        parts = _split(url)
        if parts is None or parts.scheme not in ("https", "http") or not parts.hostname or parts.username:
            raise InvalidRequest("an https URL without user name and password is needed", field="url")
        address = {"url": url} if "url" in contributed.Params.__struct_fields__ else {}
        try:
            check_params(contributed, {**params, **address})
        except InvalidRequest as error:
            raise InvalidRequest(error.detail, field="url" if error.field == "params.url" else error.field) from None
        return parted(contributed, params)

    def _sealed(self, principal: Principal, webhook_id: str, hidden: dict[str, str]) -> bytes | None:
        return self._sealer.seal(principal.tenant_id, TABLE, webhook_id, hidden) if hidden else None

    def _opened(self, principal: Principal, webhook_id: str, sealed: bytes | None) -> dict[str, Any]:
        return self._sealer.open(principal.tenant_id, TABLE, webhook_id, sealed) if sealed else {}


def _told(webhook: WebhookRow) -> dict[str, Any]:
    """What the audit trail keeps: of the URL, whose path may be a secret, the host and a hash."""
    return {
        "name": webhook.name,
        "sink": webhook.sink,
        "host": urlsplit(webhook.url).hostname,
        "url_hash": hashlib.sha256(webhook.url.encode()).hexdigest(),
        "secrets_hash": hashlib.sha256(webhook.credentials).hexdigest() if webhook.credentials else None,
        "params": webhook.params,
        "event_kinds": list(webhook.event_kinds),
        "is_active": webhook.is_active,
    }


def _check_reach(principal: Principal) -> None:
    if principal.account_ids is not None:
        raise NotPermitted("a webhook carries the events of every account, and this key reaches some only")


def _check_open(webhook: WebhookRow) -> None:
    if not webhook.is_active:
        raise StateConflict("the webhook is disabled: set is_active first")


def _split(url: str) -> Any:
    try:
        return urlsplit(url) if len(url) <= LONGEST_URL else None
    except ValueError:
        return None


def _check_kinds(kinds: Sequence[str]) -> None:
    unknown = sorted(set(kinds) - EVENT_KINDS - {"*"})
    if unknown:
        raise InvalidRequest(f"no event is of kind {', '.join(unknown)}", field="event_kinds")


def _found(unit: RowsUnit, webhook_id: str) -> WebhookRow:
    found = rows.get_webhook(unit, webhook_id)
    if found is None:
        raise UnknownThing(f"there is no webhook {webhook_id}")
    return found
