"""What a broker session does, in one call: take the intents that are due, acknowledge them, fill or cancel."""

from decimal import Decimal
from typing import Any

from oms_app.bootstrap import Services
from oms_app.flow import booking, submission
from oms_kernel.contracts.broker import Acknowledged, AnyReport, Canceled, Command, Filled, Intent, WireIdentity
from oms_kernel.domain.ids import BrokerAccountId, BrokerOrderId, ConnectionId, ExecId, LedgerId, TenantId, WireId
from oms_kernel.domain.lifecycle import RequestKind

FEE = Decimal("0.25")


def answer(services: Services, ids: dict[str, str], *, fill_at: Decimal | None) -> int:
    """How many requests were answered. fill_at: the price at which placed orders fill whole; None: they rest."""
    tenant_id, ledger_id = TenantId(ids["tenant_id"]), LedgerId(ids["ledger_id"])
    connection_id = ConnectionId(ids["connection_id"])
    capabilities = services.registries.brokers["sim_broker"].contributed.capabilities
    intents = services.desk.transact(
        tenant_id, ledger_id, lambda turn: submission.next_intents(turn, connection_id, 1, capabilities, _identity)
    )
    reports = [report for intent in intents for report in _reports(services, ids, intent, fill_at)]
    services.desk.transact(tenant_id, ledger_id, lambda turn: booking.book(turn, connection_id, reports))
    return len(intents)


def _identity(command: Command) -> WireIdentity:
    return WireIdentity(wire_id=WireId(f"{command.kind}-{command.order_id}-{command.attempt}"), fields={})


def _reports(services: Services, ids: dict[str, str], intent: Intent, fill_at: Decimal | None) -> list[AnyReport]:
    command = intent.command
    named: dict[str, Any] = {
        "broker_account_id": BrokerAccountId(ids["broker_account_id"]),
        "broker_at": services.clock(),
        "wire_id": intent.identity.wire_id,
        "broker_order_id": BrokerOrderId(f"broker-{command.order_id}"),
    }
    if command.kind is RequestKind.CANCEL:
        return [Canceled(**named)]
    reports: list[AnyReport] = [Acknowledged(**named)]
    if fill_at is not None:
        reports.append(
            Filled(
                **named,
                exec_id=ExecId(f"execution-{command.order_id}"),
                instrument_id=command.instrument.instrument_id,
                side=command.side,
                quantity=command.quantity,
                price=fill_at,
                fee=FEE,
            )
        )
    return reports
