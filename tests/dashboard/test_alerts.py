"""The alerts page: the worst first, a badge that everybody sees, and a button for who may act."""

import json
import re

import pytest

from oms_app.bootstrap import Services
from oms_kernel.domain import events as ev
from oms_kernel.domain.ids import AccountId, LedgerId
from tests.api.desk import seed
from tests.dashboard.person import Person, hidden_fields


def raise_alert(person: Person, severity: ev.Severity, words: str, *, of_ledger: bool = False) -> None:
    """Tell people something through the log."""
    alert = ev.AlertRaised(
        account_id=None if of_ledger else AccountId(person.ids["account_id"]),
        severity=severity,
        source="booking",
        text=words,
        what_to_do="Look at it.",
    )
    person.services.control.alert(person.tenant_id, LedgerId(person.ids["ledger_id"]), alert)


def open_alerts(page: str) -> list[tuple[str, str]]:
    """(alert id, severity) of the rows of the open alerts, from the top."""
    return re.findall(r'<tr id="alert-([^"]+)" data-severity="(\w+)"', page)


@pytest.fixture
def alarmed(person: Person) -> Person:
    raise_alert(person, ev.Severity.CRITICAL, "the first thing")
    raise_alert(person, ev.Severity.INFO, "<b>a small</b> thing")
    raise_alert(person, ev.Severity.WARNING, "a middling thing", of_ledger=True)
    return person


def test_open_alerts_stand_with_the_worst_first_and_nothing_of_theirs_is_markup(alarmed: Person) -> None:
    page = alarmed.get("/alerts")
    assert page.status_code == 200
    assert [severity for _, severity in open_alerts(page.text)] == ["CRITICAL", "WARNING", "INFO"]
    assert "The first thing" in page.text and "Look at it." in page.text
    assert "whole ledger" in page.text
    assert "<b>a small</b>" not in page.text and "&lt;b&gt;a small" in page.text


def test_the_badge_counts_the_critical_ones_on_every_page_until_somebody_takes_care(alarmed: Person) -> None:
    for path in ("/", "/alerts", "/reconciliation", "/queues", "/pages?here=/"):
        assert '<span class="count"' in alarmed.client.get(path).text, path
    (worst, _), *_others = open_alerts(alarmed.get("/alerts").text)
    answer = alarmed.post(f"/alerts/{worst}/acknowledge")
    assert answer.status_code == 200
    assert "You take care of 1 alert." in answer.headers["HX-Trigger"]
    assert "oms:status" in json.loads(answer.headers["HX-Trigger"]), "the badge is read again"
    assert [severity for _, severity in open_alerts(answer.text)] == ["WARNING", "INFO"]
    assert answer.text.count(alarmed.email) == 1, "who took it"
    assert '<span class="count"' not in alarmed.get("/pages").text
    assert "Somebody else takes care" in alarmed.post(f"/alerts/{worst}/acknowledge").headers["HX-Trigger"]


def test_all_that_the_page_shows_is_acknowledged_at_once_and_no_later_one(alarmed: Person) -> None:
    shown = [alert_id for alert_id, _ in open_alerts(alarmed.get("/alerts").text)]
    raise_alert(alarmed, ev.Severity.CRITICAL, "a later thing")
    answer = alarmed.client.post(
        "/alerts/acknowledge",
        data={"alert_id": shown},
        headers={"HX-Request": "true", "X-CSRF-TOKEN": alarmed.token},
    )
    assert "3 alerts" in answer.headers["HX-Trigger"]
    assert "A later thing" in answer.text and len(open_alerts(answer.text)) == 1


def test_a_viewer_sees_and_cannot_acknowledge_and_a_foreign_form_is_refused(
    alarmed: Person, services: Services
) -> None:
    (worst, _), *_others = open_alerts(alarmed.get("/alerts").text)
    viewer = Person(services, alarmed.ids, "viewer@example.com", "VIEWER")
    viewer.sign_in()
    assert "The first thing" in viewer.get("/alerts").text
    assert "acknowledge-" not in viewer.get("/alerts").text
    assert viewer.post(f"/alerts/{worst}/acknowledge").status_code == 403
    assert alarmed.client.post(f"/alerts/{worst}/acknowledge", headers={"HX-Request": "true"}).status_code == 403
    assert len(open_alerts(alarmed.get("/alerts").text)) == 3


def test_another_tenants_alert_is_not_there(alarmed: Person, services: Services) -> None:
    (worst, _), *_others = open_alerts(alarmed.get("/alerts").text)
    neighbour = Person(services, seed(services, catalogue=False), "neighbour@example.com", "ADMIN")
    neighbour.sign_in()
    assert "Nothing waits for anybody" in neighbour.get("/alerts").text
    assert "There is no such alert" in neighbour.post(f"/alerts/{worst}/acknowledge").headers["HX-Trigger"]
    assert len(open_alerts(alarmed.get("/alerts").text)) == 3
    assert hidden_fields(alarmed.get("/alerts").text)["alert_id"]
