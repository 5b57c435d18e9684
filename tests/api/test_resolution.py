"""Orders in doubt settled by a person, the changes of an order as a list, and its version as ETag, through HTTP."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from oms_app.api.app import ENDPOINTS
from oms_app.flow.booking import book
from oms_app.flow.desk import Turn
from oms_app.flow.submission import next_intents
from oms_kernel.contracts.broker import (
    Acknowledged,
    Canceled,
    Command,
    Filled,
    Replaced,
    ReplaceRefused,
    WireIdentity,
)
from oms_kernel.domain.ids import BrokerAccountId, BrokerOrderId, ConnectionId, LedgerId, OrderId, WireId, wire_id
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.order import Side
from oms_kernel.settlement import doubt
from tests.api.desk import Desk
from tests.dashboard.limits import limit_quantity

Shown = dict[str, Any]


class Told:
    """One order, and a broker that says of it what the test says."""

    def __init__(self, desk: Desk, **fields: object) -> None:
        self.desk = desk
        response = desk.place(**fields)
        assert response.status_code == 201, response.json
        self.order_id: str = response.json["order_id"]
        self.path = f"/api/v1/orders/{self.order_id}"
        self.instrument_id = response.json["instrument_id"]
        self.filled = 0

    def send(self) -> None:
        """Everything that is due goes out, each request under an id of its own."""
        connection_id = ConnectionId(self.desk.ids["connection_id"])
        capabilities = self.desk.services.registries.brokers["sim_broker"].contributed.capabilities

        def prepare(command: Command) -> WireIdentity:
            return WireIdentity(wire_id=wire_id(command.order_id, command.attempt, 20))

        self._in_turn(lambda turn: next_intents(turn, connection_id, 1, capabilities, prepare))

    def works(self) -> None:
        """It went out and the broker acknowledged it."""
        self.send()
        self.report(Acknowledged, broker_order_id=BrokerOrderId("B-1"))

    def report(self, kind: type[Any], *, attempt: int = 0, **fields: object) -> None:
        """A broker's report under the id of an attempt."""
        told = kind(
            broker_account_id=BrokerAccountId(self.desk.ids["broker_account_id"]),
            broker_at=datetime.now(UTC),
            wire_id=wire_id(OrderId(self.order_id), attempt, 20),
            **fields,
        )
        connection_id = ConnectionId(self.desk.ids["connection_id"])
        self._in_turn(lambda turn: book(turn, connection_id, [told]))

    def fills(self, quantity: int, *, broker_order_id: str = "B-1", attempt: int = 0) -> None:
        """An execution of the order under one of its ids."""
        self.filled += 1
        self.report(
            Filled,
            attempt=attempt,
            broker_order_id=BrokerOrderId(broker_order_id),
            exec_id=f"{self.order_id}-{self.filled}",
            instrument_id=self.instrument_id,
            side=Side.BUY,
            quantity=Decimal(quantity),
            price=Decimal("99.5"),
            fee=Decimal(0),
        )

    def is_in_doubt(self, kind: RequestKind = RequestKind.PLACE) -> None:
        """Nobody knows whether the request reached the broker."""

        def work(turn: Turn) -> None:
            turn.batch.record(*doubt(turn.batch.book.orders[OrderId(self.order_id)], kind, "no word"))

        self._in_turn(work)

    def read(self) -> Shown:
        shown: Shown = self.desk.send("GET", self.path).json
        return shown

    def changes(self) -> list[Shown]:
        response = self.desk.send("GET", self.path + "/modifications")
        assert response.status_code == 200, response.json
        items: list[Shown] = response.json["items"]
        return items

    def change(self, **terms: object) -> Any:
        return self.desk.send("PATCH", self.path, terms)

    def resolve(self, finding: str, **fields: object) -> Any:
        body = {"finding": finding, "reason": "it is not on their list", "evidence": "ticket 4711", **fields}
        return self.desk.send("POST", self.path + "/resolve", body)

    def _in_turn(self, work: Any) -> None:
        self.desk.services.desk.transact(self.desk.tenant_id, LedgerId(self.desk.ids["ledger_id"]), work)


# Resolving --------------------------------------------------------------------------------------------------


def test_an_order_in_doubt_ends_by_a_persons_finding_with_that_as_its_evidence(desk: Desk) -> None:
    order = Told(desk)
    order.send()
    order.is_in_doubt()
    assert order.read()["state"] == "IN_DOUBT"
    answer = order.resolve("NOT_AT_BROKER")
    assert answer.status_code == 200, answer.json
    assert (answer.json["state"], answer.json["evidence"], answer.json["reason_code"]) == (
        "REJECTED",
        "PERSON",
        "NOT_AT_BROKER",
    )
    assert answer.headers["ETag"] == f'"v{answer.json["version"]}"'
    kinds = [event["kind"] for event in desk.send("GET", order.path + "/events").json["items"]]
    assert kinds[-2:] == ["order_rejected", "person_resolved"]
    assert order.resolve("NOT_AT_BROKER").status_code == 409


def test_an_order_found_working_needs_the_brokers_id_and_then_works(desk: Desk) -> None:
    order = Told(desk)
    order.send()
    order.is_in_doubt()
    without = order.resolve("WORKING")
    assert (without.status_code, without.json["errors"][0]["field"]) == (422, "broker_order_id")
    found = order.resolve("WORKING", broker_order_id="B-9")
    assert (found.status_code, found.json["state"], found.json["broker_order_ids"]) == (200, "WORKING", ["B-9"])


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [({"reason": " "}, "reason"), ({"evidence": " "}, "evidence"), ({"finding": "GUESSED"}, "finding")],
    ids=repr,
)
def test_a_finding_without_its_words_changes_nothing(desk: Desk, fields: Shown, at_fault: str) -> None:
    order = Told(desk)
    order.send()
    order.is_in_doubt()
    before = desk.event_count()
    answer = order.resolve(**{"finding": "NOT_AT_BROKER", **fields})
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, at_fault)
    assert desk.event_count() == before


def test_an_order_that_is_not_in_doubt_is_settled_by_the_brokers_word_alone(desk: Desk) -> None:
    order = Told(desk)
    order.works()
    answer = order.resolve("CANCELED")
    assert (answer.status_code, answer.json["code"]) == (409, "order_conflict")
    assert order.read()["state"] == "WORKING"


# Modifications ----------------------------------------------------------------------------------------------


def test_each_change_of_an_order_is_told_with_its_terms_who_asked_and_how_it_ended(desk: Desk) -> None:
    order = Told(desk)
    order.works()
    assert order.changes() == []
    order.change(quantity="20", limit_price="99.75")
    assert [one["status"] for one in order.changes()] == ["REQUESTED"]
    order.send()
    order.report(
        Replaced, attempt=1, quantity=Decimal(20), limit_price=Decimal("99.75"), broker_order_id=BrokerOrderId("B-2")
    )
    order.change(quantity="30")
    order.send()
    order.report(ReplaceRefused, attempt=2, reason="too late")
    first, second = order.changes()
    assert (first["number"], first["status"], first["quantity"], first["limit_price"]) == (1, "DONE", "20", "99.75")
    assert first["principal"].startswith("key:")
    assert first["requested_at"] <= first["sent_at"] <= first["settled_at"]
    assert (first["broker_order_id"], first["wire_ids"]) == ("B-2", [wire_id(OrderId(order.order_id), 1, 20)])
    assert (second["number"], second["status"], second["reason"]) == (2, "REFUSED", "too late")
    assert order.read()["broker_order_ids"] == ["B-1", "B-2"]
    assert desk.send("GET", order.path + "/revisions").json["items"] == [first, second]
    page = desk.send("GET", order.path + "/modifications?limit=1").json
    assert (page["items"], page["has_next"]) == ([first], True)


def test_a_change_of_an_unsent_order_is_done_at_once(desk: Desk) -> None:
    order = Told(desk)
    assert order.change(quantity="5").status_code == 202
    (only,) = order.changes()
    assert (only["status"], only["quantity"], only["sent_at"]) == ("DONE", "5", None)
    assert only["settled_at"] is not None


def test_a_change_that_our_own_checks_denied_is_told_with_the_rule(desk: Desk) -> None:
    order = Told(desk)
    order.works()
    limit_quantity(desk.services, desk.ids, Decimal(15))
    assert order.change(quantity="12").status_code == 202
    order.send()
    order.report(Replaced, attempt=1, quantity=Decimal(12), broker_order_id=BrokerOrderId("B-1"))
    denied = order.change(quantity="16")
    assert (denied.status_code, denied.json["code"]) == (422, "risk_denied")
    _, only = order.changes()
    assert (only["status"], only["quantity"]) == ("DENIED", "16")
    assert "max_order_quantity" in only["reason"]
    assert only["reason"] and only["settled_at"] == only["requested_at"]


def test_a_doubtful_change_is_told_as_such_and_settled_by_a_person(desk: Desk) -> None:
    order = Told(desk)
    order.works()
    order.change(quantity="20")
    order.send()
    order.is_in_doubt(RequestKind.REPLACE)
    assert order.changes()[0]["status"] == "IN_DOUBT"
    assert order.resolve("NOT_REPLACED").status_code == 200
    (only,) = order.changes()
    assert only["status"] == "REFUSED" and only["settled_by"].startswith("key:")
    assert order.read()["quantity"] == "10"


def test_a_cancel_voids_a_change_that_was_not_sent_and_an_end_ends_one_under_way(desk: Desk) -> None:
    voided = Told(desk)
    voided.works()
    voided.change(quantity="20")
    desk.send("POST", voided.path + "/cancel")
    assert (voided.changes()[0]["status"], voided.changes()[0]["reason"]) == ("REFUSED", "voided by a cancel")
    ended = Told(desk)
    ended.works()
    ended.change(quantity="20")
    ended.send()
    ended.report(Canceled, broker_order_id=BrokerOrderId("B-1"))
    (only,) = ended.changes()
    assert (only["status"], only["reason"]) == ("REFUSED", "the order ended first")
    assert only["settled_at"] is not None


def test_a_change_that_the_broker_made_by_itself_is_told_as_the_brokers(desk: Desk) -> None:
    order = Told(desk)
    order.works()
    order.report(Replaced, quantity=Decimal(7), broker_order_id=BrokerOrderId("B-1"))
    (only,) = order.changes()
    assert (only["principal"], only["status"], only["quantity"]) == ("broker", "DONE", "7")


def test_modifications_of_an_order_that_is_not_yours_are_404(desk: Desk) -> None:
    assert desk.send("GET", f"/api/v1/orders/{uuid.uuid4()}/modifications").status_code == 404


# Partial fills while terms change ---------------------------------------------------------------------------


def test_filled_and_left_are_right_through_a_replace_during_partial_fills(desk: Desk) -> None:
    order = Told(desk)
    order.works()
    order.fills(3)
    order.change(quantity="20")
    order.send()
    order.fills(2)
    shown = order.read()
    assert (shown["state"], shown["quantity"], shown["filled_quantity"]) == ("PENDING_REPLACE", "10", "5")
    order.report(Replaced, attempt=1, quantity=Decimal(20), broker_order_id=BrokerOrderId("B-2"))
    shown = order.read()
    assert (shown["quantity"], shown["filled_quantity"], shown["leaves_quantity"]) == ("20", "5", "15")
    order.fills(1)  # late, under the id that the broker gave before
    order.fills(4, broker_order_id="B-2", attempt=1)
    shown = order.read()
    assert (shown["state"], shown["filled_quantity"], shown["leaves_quantity"]) == ("PARTIALLY_FILLED", "10", "10")
    assert shown["broker_order_ids"] == ["B-1", "B-2"] and len(shown["wire_ids"]) == 2
    desk.send("POST", order.path + "/cancel")
    order.send()
    order.fills(2, broker_order_id="B-2", attempt=1)
    order.report(Canceled, attempt=1, broker_order_id=BrokerOrderId("B-2"))
    shown = order.read()
    assert (shown["state"], shown["filled_quantity"], shown["leaves_quantity"]) == ("CANCELED", "12", "0")


# Versions ---------------------------------------------------------------------------------------------------


def test_every_answer_of_one_order_carries_its_version(desk: Desk) -> None:
    placed = desk.place()
    path = f"/api/v1/orders/{placed.json['order_id']}"
    answers = [
        placed,
        desk.send("GET", path),
        desk.send("PATCH", path, {"quantity": "5"}),
        desk.send("PUT", path, {"quantity": "6"}),
        desk.send("POST", path + "/modify", {"quantity": "7"}),
        desk.send("POST", path + "/cancel"),
    ]
    assert [answer.headers["ETag"] for answer in answers] == [f'"v{answer.json["version"]}"' for answer in answers]


@pytest.mark.parametrize(
    ("method", "end", "body"),
    [
        ("PATCH", "", {"quantity": "20"}),
        ("PUT", "", {"quantity": "20"}),
        ("POST", "/modify", {"quantity": "20"}),
        ("POST", "/cancel", None),
        ("DELETE", "", None),
    ],
)
def test_a_stale_version_is_412_after_a_fill_and_the_new_one_passes(
    desk: Desk, method: str, end: str, body: Shown | None
) -> None:
    order = Told(desk)
    order.works()
    seen = desk.send("GET", order.path).headers["ETag"]
    order.fills(3)
    before = desk.event_count()
    stale = desk.send(method, order.path + end, body, If_Match=seen)
    assert (stale.status_code, stale.json["code"]) == (412, "stale_version")
    assert desk.event_count() == before
    now = desk.send("GET", order.path).headers["ETag"]
    assert desk.send(method, order.path + end, body, If_Match=now).status_code == 202


def test_who_knows_the_version_gets_304_until_the_order_changes(desk: Desk) -> None:
    order = Told(desk)
    order.works()
    seen = desk.send("GET", order.path).headers["ETag"]
    same = desk.send("GET", order.path, If_None_Match=seen)
    assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", seen)
    order.fills(1)
    changed = desk.send("GET", order.path, If_None_Match=seen)
    assert (changed.status_code, changed.json["filled_quantity"]) == (200, "1")


# The document -----------------------------------------------------------------------------------------------


def test_the_document_tells_of_versions_absence_and_examples_that_are_valid(desk: Desk) -> None:
    document = desk.client.get("/api/v1/openapi.json").json
    get_order = document["paths"]["/api/v1/orders/{order_id}"]["get"]
    assert "304" in get_order["responses"] and "ETag" in get_order["responses"]["200"]["headers"]
    assert "If-None-Match" in [one["name"] for one in get_order["parameters"]]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method == "parameters" or "live" in operation["operationId"]:
                continue
            told = operation["responses"].get("503")
            assert told is not None, (method, path)
            if operation["operationId"].partition("_alias")[0] != "ready":
                assert "Retry-After" in told["headers"], (method, path)
    examples = [endpoint for endpoint in ENDPOINTS if endpoint.body_example is not None]
    assert len(examples) >= 4
    for endpoint in examples:
        assert endpoint.body is not None
        assert endpoint.body.read(dict(endpoint.body_example or {}))


def test_a_wire_id_is_not_needed_to_know_an_order_by_the_brokers_own_id(desk: Desk) -> None:
    order = Told(desk)
    order.works()
    told = Canceled(
        broker_account_id=BrokerAccountId(desk.ids["broker_account_id"]),
        broker_at=datetime.now(UTC),
        wire_id=WireId("another"),
        broker_order_id=BrokerOrderId("B-1"),
    )
    order._in_turn(lambda turn: book(turn, ConnectionId(desk.ids["connection_id"]), [told]))
    assert order.read()["state"] == "CANCELED"
