"""Every fault of a file of limits: its line, its path and its fix; and nothing of the file is stored."""

from collections.abc import Iterator

import pytest

from oms_app.bootstrap import Services
from oms_app.cli.demo import TENANT_ID
from oms_app.flow.audit import CLI, cli_actor
from oms_app.flow.limit_file import BadLimits, document_of
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import Scope
from tests.app_kit import demo_services, demo_settings

OPERATOR = Principal(principal_id=CLI, tenant_id=TENANT_ID, scopes=frozenset(str(scope) for scope in Scope))
SIZE = "limits:\n- rule: max_order_quantity\n"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    made, _facts = demo_services(demo_settings(tmp_path_factory.mktemp("limits")))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("text", "line", "path", "told"),
    [
        ("limits: [", 1, "", "no YAML"),
        ("limits:\n- rule: max_position\n  rule: x\n", 3, "", "'rule' stands twice"),
        ("[]", 1, "", "must be a mapping"),
        ("limit: []", 1, "limit", "is unknown"),
        ("version: 2", 1, "version", "is not 1"),
        ("limits: {}", 1, "limits", "must be a list"),
        ("limits: [max_position]", 1, "limits[0]", "must be a mapping"),
        ("limits:\n- params: {}\n", 2, "limits[0]", "names no rule"),
        ("limits:\n- rule: nothing\n", 2, "limits[0].rule", "no loaded plugin provides the rule 'nothing'"),
        (SIZE + "  colour: red\n", 3, "limits[0].colour", "is unknown"),
        (SIZE + "  params: 5\n", 3, "limits[0].params", "must be a mapping"),
        (SIZE + "  params:\n    max_quantity: 1e5\n", 4, "limits[0].params.max_quantity", "plain decimal"),
        (SIZE + "  params:\n    max_quantity: -1\n", 4, "limits[0].params.max_quantity", "greater than 0"),
        (SIZE, 2, "limits[0].params", "max_quantity"),
        (SIZE + "  account: Nowhere\n", 3, "limits[0].account", "there is no account 'Nowhere'"),
        (SIZE + "  strategy: Nobody\n", 3, "limits[0].strategy", "there is no strategy 'Nobody'"),
        (SIZE + "  instrument: ZZZ\n", 3, "limits[0].instrument", "there is no instrument 'ZZZ'"),
        (SIZE + "  id: nobody\n  params: {max_quantity: 1}\n", 3, "limits[0].id", "there is no limit nobody"),
        (SIZE + "  until: tomorrow\n", 3, "limits[0].until", "must be a time with its zone"),
        (SIZE + "  from: 2026-01-31\n", 3, "limits[0].from", "must be a time with its zone"),
        (SIZE + "  until: 2001-01-01T00:00:00Z\n  params: {max_quantity: 1}\n", 3, "limits[0].until", "in the past"),
        (SIZE + "  severity: LOUD\n", 3, "limits[0].severity", "'LOUD' is no such word"),
        (SIZE + "  action: EXPLODE\n", 3, "limits[0].action", "'EXPLODE' is no such word"),
        (SIZE + "  action: HALT\n  params: {max_quantity: 1}\n", 3, "limits[0].action", "triggers nothing"),
        (
            SIZE + "  params: {max_quantity: 1}\n- rule: max_order_quantity\n",
            4, "limits[1]", "stands in the file twice",
        ),
        ("settings: {required_limits: [nothing]}", 1, "settings.required_limits", "no loaded plugin provides nothing"),
        ("settings: {approval_window_s: 5}", 1, "settings.approval_window_s", ">= 60"),
        ("settings: {require_totp: true}", 1, "settings.require_totp", "is unknown"),
        ("tenants: [demo]", 1, "tenants", "must be a mapping"),
        ("tenants:\n  nowhere: {limits: []}", 2, "tenants.nowhere", "there is no such tenant"),
        ("tenants:\n  demo:\n    limits:\n    - rule: x", 4, "tenants.demo.limits[0].rule", "no loaded plugin"),
        ("firm:\n  settings: {}", 2, "firm.settings", "is unknown"),
        ("firm:\n  limits:\n  - {rule: max_position, account: Paper}", 3, "firm.limits[0].account", "no account"),
    ],
)  # fmt: skip
def test_a_fault_names_its_line_its_path_and_the_fix(
    services: Services, text: str, line: int, path: str, told: str
) -> None:
    with pytest.raises(BadLimits) as refusal:
        services.limit_files.apply(
            OPERATOR, cli_actor(), document_of(text), tenant_id=TENANT_ID, dry_run=False, is_operator=True
        )
    fault = refusal.value.faults[0]
    assert (fault.line, fault.path) == (line, path)
    assert told in fault.detail
    assert fault.fix


def test_all_faults_are_told_at_once_by_their_lines(services: Services) -> None:
    text = "limits:\n- rule: nothing\n- rule: max_order_quantity\n  params: {max_quantity: -1}\n"
    with pytest.raises(BadLimits) as refusal:
        services.limit_files.apply(
            OPERATOR, cli_actor(), document_of(text), tenant_id=TENANT_ID, dry_run=True, is_operator=True
        )
    assert [fault.line for fault in refusal.value.faults] == [2, 4]
