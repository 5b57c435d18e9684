"""The composition without access leaves out the chain and nothing of a row's shape; the cost is held to a bar."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import goals, system
from benchmarks.__main__ import ROWS
from benchmarks.without_access import make_app, unchained
from oms_app.api import app as app_module
from oms_app.cli.demo import ACCOUNT_ID
from oms_app.store import chain
from tests.app_kit import demo_services, demo_settings


def test_a_row_without_its_hash_has_the_shape_of_one_with_it() -> None:
    ids = [f"0190f3a1-0000-7000-8000-00000000000{number}" for number in range(4)]
    row = (1, ids[0], "order_accepted", 1, ids[1], None, datetime(2026, 1, 1, tzinfo=UTC), b"{}")
    chained, head = chain.extended(ids[2], ids[3], None, [row])
    bare, no_head = unchained(ids[2], ids[3], None, [row])
    assert [type(value) for value in bare[0]] == [type(value) for value in chained[0]]
    assert (len(bare[0][-1]), len(no_head)) == (len(chained[0][-1]), len(head))
    assert bare[0][:-1] == chained[0][:-1] and bare[0] != chained[0]


def test_the_cost_of_access_is_a_row_with_a_bar() -> None:
    assert ROWS["access_cost"] == "access_cost"
    judged = goals.judged({"name": "access_cost", "added_percent": 16.0})
    assert judged != goals.judged({"name": "access_cost", "added_percent": 7.0})


def test_without_access_anybody_places_an_order_that_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, name in ((chain, "extended"), (app_module, "Edge")):
        monkeypatch.setattr(place, name, getattr(place, name))  # given back afterwards
    settings = demo_settings(tmp_path / "home", OMS_QUOTE_MAX_AGE_S="86400")
    services, _ = demo_services(settings)
    system._widen(services)
    system._write_quotes(services)
    services.close()
    app, close = make_app(settings)
    order = {"account_id": ACCOUNT_ID, "symbol": "SPY", "side": "BUY", "quantity": "1", "order_type": "LIMIT"}
    waits = {"limit_price": "400", "queue_until": "2100-01-01T00:00:00Z"}
    answer = app.test_client().post("/api/v1/orders", json={**order, **waits})
    close()
    assert (answer.status_code, answer.get_json()["state"]) == (201, "NEW")
