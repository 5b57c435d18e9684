"""How much of each limit is used, over HTTP: by account and instrument, most used first, only what may be seen."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oms_app.flow.scopes import Scope
from oms_kernel.domain.ids import AccountId
from tests.api.conftest import opened
from tests.api.desk import Desk

RISK = "/api/v1/risk"
RULES: dict[str, dict[str, Any]] = {
    "max_position": {"max_quantity": "40"},
    "open_order_count": {"max_orders": 4},
    "open_order_value": {"max_value": "4000"},
    "message_rate": {"per_second": 50, "per_minute": 100},
}


@pytest.fixture(scope="module")
def desk(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with opened(migrated_file, tmp_path_factory.mktemp("usage")) as made:
        for rule, params in RULES.items():
            assert (
                made.send("POST", f"{RISK}/limits", {"rule": rule, "params": params, "name": rule}).status_code == 201
            )
        shadow = {"rule": "max_position", "params": {"max_quantity": "5"}, "severity": "SHADOW", "name": "on trial"}
        assert made.send("POST", f"{RISK}/limits", shadow).status_code == 201
        filled = made.place(quantity="10")
        assert filled.status_code == 201, filled.json
        made.fill(filled.json, "10", "100")
        assert made.place(quantity="20").status_code == 201
        yield made


def used(desk: Desk, query: str = "", **sent: str) -> list[dict[str, Any]]:
    """The figures of the answer."""
    answer = desk.send("GET", f"{RISK}/usage{query}", **sent)
    assert answer.status_code == 200, answer.json
    found: list[dict[str, Any]] = answer.json["items"]
    return found


def test_each_limit_tells_what_is_used_and_what_is_left(desk: Desk) -> None:
    (long,) = [one for one in used(desk) if one["name"] == "max_position" and one["figure"] == "long"]
    assert (long["used"], long["limit"], long["headroom"], long["share"]) == ("30", "40", "10", "0.75")
    assert (long["account_id"], long["symbol"], long["unit"]) == (desk.ids["account_id"], "ACME", "units")
    (count,) = used(desk, "?rule=open_order_count")
    assert (count["used"], count["limit"], count["headroom"]) == ("1", "4", "3")
    (value,) = used(desk, "?rule=open_order_value")
    assert (value["used"], value["limit"], value["unit"]) == ("1990", "4000", "USD")
    rates = {one["figure"]: one["used"] for one in used(desk, "?rule=message_rate")}
    assert rates["per_minute"] == "2"


def test_the_most_used_comes_first_and_lists_are_narrowed_to_what_is_asked(desk: Desk) -> None:
    shares = [float(one["share"]) for one in used(desk) if one["share"] is not None]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 6
    assert {one["name"] for one in used(desk, "?severity=SHADOW")} == {"on trial"}
    limit_id = used(desk, "?rule=open_order_count")[0]["limit_id"]
    assert {one["rule"] for one in used(desk, f"?limit_id={limit_id}")} == {"open_order_count"}
    assert used(desk, "?level=FIRM") == []


def test_figures_over_several_accounts_are_for_those_who_reach_them_all(desk: Desk) -> None:
    held = desk.key(Scope.VIEW_POSITIONS, account_ids=[AccountId(desk.ids["account_id"])])
    seen = used(desk, key=held)
    assert {one["account_id"] for one in seen} == {desk.ids["account_id"]}
    assert "max_position" in {one["name"] for one in seen}
    assert "open_order_count" not in {one["name"] for one in seen}
    elsewhere = desk.key(Scope.VIEW_POSITIONS, account_ids=[])
    assert used(desk, key=elsewhere) == []


def test_whoever_looks_changes_nothing(desk: Desk) -> None:
    before = desk.event_count()
    assert used(desk, "?rule=max_position") == used(desk, "?rule=max_position")
    assert desk.event_count() == before
