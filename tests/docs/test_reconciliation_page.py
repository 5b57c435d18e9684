"""The pages about what people settle are held to the code: types, findings, scopes, commands and paths are as told."""

import re
from pathlib import Path

import click
import pytest

from oms_app.api.app import ENDPOINTS
from oms_app.api.documentation import flask_path_to_openapi
from oms_app.cli.main import cli
from oms_app.flow.modifications import ModificationStatus
from oms_app.flow.scopes import ROLES, Scope
from oms_app.sessions.timing import Timing
from oms_kernel.domain.breaks import POLICIES
from oms_kernel.resolution import Finding

DOCS = Path(__file__).parents[2] / "docs"
ALERTS, RECONCILIATION, RESOLVING = (
    (DOCS / name).read_text() for name in ("alerts.md", "reconciliation.md", "resolving.md")
)


def test_the_table_of_types_is_the_policy() -> None:
    rows = re.findall(r"^\| ([A-Z_]+) \| (\w+) \| (yes|no) \| (.+) \|$", RECONCILIATION, re.MULTILINE)
    policies = [
        (kind.value, policy.severity.value, "yes" if policy.auto_fix else "no", policy.proposed_fix)
        for kind, policy in POLICIES.items()
    ]
    assert rows == policies


def test_every_finding_and_every_outcome_of_a_change_is_told() -> None:
    assert [word.value for word in Finding if word.value not in RESOLVING] == []
    assert [word.value for word in ModificationStatus if word.value not in RESOLVING] == []


def test_the_scopes_and_their_roles_are_as_told() -> None:
    by_operation = {endpoint.operation_id: endpoint.scope for endpoint in ENDPOINTS}
    assert (by_operation["list_alerts"], by_operation["acknowledge_alert"]) == (Scope.VIEW_ORDERS, Scope.CANCEL_ORDERS)
    assert (by_operation["list_breaks"], by_operation["resolve_break"]) == (Scope.VIEW_POSITIONS, Scope.MANAGE_BROKERS)
    assert by_operation["resolve_order"] == by_operation["book_report"] == Scope.MANAGE_BROKERS
    assert [role for role, scopes in ROLES.items() if Scope.CANCEL_ORDERS in scopes] == ["TRADER", "MANAGER", "ADMIN"]
    assert [role for role, scopes in ROLES.items() if Scope.MANAGE_BROKERS in scopes] == ["MANAGER", "ADMIN"]


def test_the_times_are_as_told() -> None:
    assert (Timing().compare_every_s, Timing().confirm_s, Timing().look_for_requests_s) == (60, 1, 1)


@pytest.mark.parametrize("page", [ALERTS, RECONCILIATION, RESOLVING], ids=["alerts", "reconciliation", "resolving"])
def test_every_command_and_every_path_exists(page: str) -> None:
    context = click.Context(cli)
    named = re.findall(r"\boms (alerts|reconcile|breaks|reports|orders)(?: ([a-z]+))?", page)
    assert named
    for group, verb in named:
        command = cli.get_command(context, group)
        assert command is not None, group
        if verb and isinstance(command, click.Group):
            assert verb in command.commands, (group, verb)
    paths = {flask_path_to_openapi(path) for one in ENDPOINTS for path in (one.path, *(p for _, p in one.aliases))}
    normal = {re.sub(r"\{\w+\}", "{}", path) for path in paths}
    for path in re.findall(r"`(?:GET|POST) (/api/v1/[^`\s]+)`", page):
        assert re.sub(r"\{\w+\}", "{}", path) in normal, path
