"""Deliver what a webhook is due, oldest first, until it has nothing due: a claim in, attempts and their outcome out.

An attempt is counted before it begins, so that a crash counts as one; a message may arrive twice, never not at all.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from oms_app.flow.control import Control
from oms_app.flow.sealing import CannotOpen
from oms_app.store.sql_store import SqlStore
from oms_app.workers import rows
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.contracts.webhook import Delivered, DeliveryFailed, SinkMessage, WebhookSink
from oms_kernel.domain import events as ev
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import TenantId
from oms_kernel.guard import Tally
from oms_kernel.host import PluginHost
from oms_kernel.registry import Registries

RETRY_AFTER_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""How long to wait after the first, second, ... failed attempt; after the last one the message is a dead letter."""
JITTER = 0.1
CLAIM = timedelta(seconds=120)
LONGEST_TURN_S = 30.0
"""After so long a claim is given back, so that other webhooks get their turn."""
LONGEST_ERROR = 500
log = structlog.get_logger(__name__)


class SinkHost(msgspec.Struct):
    """What a sink is given (the contract's SinkHost)."""

    allow_private_addresses: bool


class Deliverer:
    """Makes deliveries; thread-safe. open_credentials: decrypts what a webhook's row keeps secret."""

    def __init__(
        self,
        store: SqlStore,
        host: PluginHost,
        registries: Registries,
        control: Control,
        *,
        holder: str,
        allow_private: bool,
        open_credentials: Callable[[TenantId, str, bytes], dict[str, Any]],
    ) -> None:
        self._store = store
        self._host = host
        self._registries = registries
        self._control = control
        self._holder = holder
        self._allow_private = allow_private
        self._open_credentials = open_credentials
        self._sinks: dict[str, tuple[datetime, Any, Tally]] = {}
        self._lock = threading.Lock()

    def deliver_due(self, webhook_id: str) -> int:
        """How many attempts were made; 0 when the webhook is not due or another worker has it."""
        with self._store.platform_unit() as unit:
            due = rows.claim(unit, webhook_id, f"{self._holder}/{threading.get_ident()}", CLAIM)
        if due is None:
            return 0
        attempts, began = 0, time.monotonic()
        try:
            while time.monotonic() - began < LONGEST_TURN_S and self._attempt_next(due):
                attempts += 1
        finally:
            with self._store.tenant_unit(due.tenant_id) as unit:
                rows.finish(unit, due, f"{self._holder}/{threading.get_ident()}")
        return attempts

    def close(self) -> None:
        """Free the sinks' connections."""
        with self._lock:
            sinks, self._sinks = self._sinks, {}
        for _version, sink, _tally in sinks.values():
            sink.close()

    def _attempt_next(self, due: rows.DueWebhook) -> bool:
        """Whether an attempt was made; False when nothing is due."""
        with self._store.tenant_unit(due.tenant_id) as unit:
            delivery = rows.next_delivery(unit, due.webhook_id)
            if delivery is None or delivery.due_at > unit.now:
                return False
            webhook = next((one for one in rows.webhooks(unit) if one.webhook_id == due.webhook_id), None)
            may_go_private = self._allow_private and rows.allows_private_addresses(unit)
            if webhook is None or not webhook.is_active:
                return rows.change_delivery(unit, delivery, status="DEAD", last_error="the webhook is disabled")
            if not rows.change_delivery(unit, delivery, attempts=delivery.attempts + 1):
                return False
        begun = msgspec.structs.replace(delivery, attempts=delivery.attempts + 1)
        try:
            status_code = self._deliver(due.tenant_id, webhook, begun, SinkHost(may_go_private))
        except DeliveryFailed as failure:
            self._failed(due, begun, failure)
            return True
        with self._store.tenant_unit(due.tenant_id) as unit:
            outcome = {"last_status_code": status_code, "last_error": ""}
            rows.change_delivery(unit, begun, status="DELIVERED", delivered_at=unit.now, **outcome)
        return True

    def _deliver(self, tenant_id: TenantId, webhook: rows.Webhook, delivery: rows.Delivery, host: SinkHost) -> int:
        """The receiver's status code. Raises DeliveryFailed, whatever the sink raises."""
        message = SinkMessage(
            message_id=delivery.message_id,
            event_kind=delivery.event_kind,
            occurred_at=delivery.occurred_at,
            body=delivery.body.encode(),
            attempt=delivery.attempts,
        )
        registered = self._registries.webhook_sinks.get(webhook.sink)
        if registered is None:
            raise DeliveryFailed(f"the sink {webhook.sink} is not installed", retry=True)
        try:
            sink, tally = self._sink(tenant_id, webhook, host)
            with self._host.guard(registered.plugin).measured(tally):
                outcome = _attempt(sink, message)
            if isinstance(outcome, DeliveryFailed):
                raise outcome
            return int(outcome.status_code)
        except DeliveryFailed:
            raise
        except InvalidRequest as error:
            raise DeliveryFailed(error.detail, retry=False) from error
        except CannotOpen as error:
            raise DeliveryFailed("the webhook's secret cannot be opened: enter it again", retry=False) from error
        except Exception as error:
            log.exception("a webhook sink failed", sink=webhook.sink, webhook_id=webhook.webhook_id)
            raise DeliveryFailed(f"the sink failed ({type(error).__name__})", retry=True) from error

    def _sink(self, tenant_id: TenantId, webhook: rows.Webhook, host: SinkHost) -> tuple[Any, Tally]:
        """The endpoint's sink, made anew when its row changed."""
        with self._lock:
            known = self._sinks.get(webhook.webhook_id)
            if known is not None and known[0] == webhook.version:
                return known[1], known[2]
        registered = self._registries.webhook_sinks[webhook.sink]
        secrets = {}
        if webhook.credentials:
            secrets = self._open_credentials(tenant_id, webhook.webhook_id, webhook.credentials)
        fields = registered.contributed.Params.__struct_fields__
        address = {"url": webhook.url} if "url" in fields else {}
        sink = registered.contributed(
            parse_params(registered.contributed, {**webhook.params, **address, **secrets}), host
        )
        tally = self._host.guard(registered.plugin).tally()
        with self._lock:
            self._sinks[webhook.webhook_id] = (webhook.version, sink, tally)
        if known is not None:
            known[1].close()
        return sink, tally

    def _failed(self, due: rows.DueWebhook, delivery: rows.Delivery, failure: DeliveryFailed) -> None:
        """Plan the next attempt, or give the message up."""
        is_dead = not failure.retry or failure.disable or delivery.attempts > len(RETRY_AFTER_S)
        told = {"last_error": failure.text[:LONGEST_ERROR], "last_status_code": failure.status_code}
        with self._store.tenant_unit(due.tenant_id) as unit:
            if failure.disable:
                rows.disable(unit, due.webhook_id)
            if is_dead:
                rows.change_delivery(unit, delivery, status="DEAD", **told)
            else:
                wait = wait_before(delivery.attempts, failure.retry_after_s)
                rows.change_delivery(unit, delivery, due_at=unit.now + wait, **told)
        log.warning("a webhook was not delivered", webhook_id=due.webhook_id, attempt=delivery.attempts, dead=is_dead)
        # An alert about the delivery of an alert would call for the next one.
        if is_dead and delivery.event_kind != ev.AlertRaised.kind:
            self._alert(due, delivery, failure)

    def _alert(self, due: rows.DueWebhook, delivery: rows.Delivery, failure: DeliveryFailed) -> None:
        gone = f"webhook {due.webhook_id} is disabled: its receiver is gone"
        lost = f"webhook {due.webhook_id} lost message {delivery.message_id}: {failure.text[:LONGEST_ERROR]}"
        self._control.alert(
            due.tenant_id,
            delivery.ledger_id,
            ev.AlertRaised(
                severity=ev.Severity.WARNING,
                source="webhooks",
                text=gone if failure.disable else lost,
                what_to_do="Repair the receiver; set is_active on a disabled webhook. Then replay the dead delivery:"
                " on the queue page, with `oms queues dead replay` or through the API.",
            ),
        )


def _attempt(sink: WebhookSink, message: SinkMessage) -> Delivered | DeliveryFailed:
    """What became of the attempt; a receiver that refuses is no failure of the plugin."""
    try:
        return sink.deliver(message)
    except DeliveryFailed as failure:
        return failure


def wait_before(attempts: int, asked_s: int | None = None) -> timedelta:
    """How long to wait after so many failures: the schedule with jitter, at least what the receiver asked for."""
    planned = RETRY_AFTER_S[min(attempts, len(RETRY_AFTER_S)) - 1]
    jittered = planned * (1 + JITTER * (2 * random.random() - 1))  # noqa: S311 - spreads load, hides nothing
    return timedelta(seconds=max(jittered, min(asked_s or 0, RETRY_AFTER_S[-1])))
