"""A limit whose rule was uninstalled: it denies, says where the way out is, and the way out works while all goes on."""

from oms_app.cli.orphaned_limits import end_orphaned_limit, orphaned_limits
from oms_app.store.limits import put_limit
from tests.api.desk import Desk


def test_such_a_limit_denies_every_order_until_the_operator_ends_it(desk: Desk) -> None:
    services = desk.services
    with services.store.tenant_unit(desk.tenant_id) as unit:
        put_limit(unit, "of-old", rule="rule_of_old", params={})
    denied = desk.place()
    assert (denied.status_code, denied.json["code"]) == (422, "risk_denied")
    (verdict,) = [one for one in denied.json["verdicts"] if one["outcome"] == "DENY"]
    assert (verdict["rule"], verdict["code"]) == ("rule_of_old", "rule_not_installed")
    assert "oms plugins check" in verdict["message"]
    assert [one.limit_id for one in orphaned_limits(services.settings, services.registries)] == ["of-old"]
    (ended,) = end_orphaned_limit(services.settings, services.registries, "of-old")
    assert (ended.tenant_id, ended.rule, ended.account_id) == (desk.tenant_id, "rule_of_old", None)
    assert orphaned_limits(services.settings, services.registries) == []
    assert desk.place().status_code == 201
