"""A difference from the broker, found by the running system, seen in a real browser and settled there."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from oms_app.bootstrap import build_services
from oms_app.config import load_settings
from oms_kernel.domain import events as ev
from oms_kernel.domain.ids import AccountId, LedgerId, TenantId
from tests.processes.system import System, running
from tests.services.browser import LAUNCH_ARGUMENTS

LIVE_MS = 20_000
"""How long a live change may take on a busy machine."""
EXPECTED = ("status of 422", "status of 401", "net::ERR")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("attention") / "home") as made:
        yield made


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=chromium_path, args=list(LAUNCH_ARGUMENTS))
        yield made
        made.close()


@pytest.fixture
def page(browser: Browser, system: System) -> Iterator[Page]:
    """A browser window that is signed in; at its end nothing may have gone wrong in the console or the policy."""
    facts = system.facts
    context = browser.new_context(viewport={"width": 1400, "height": 900}, base_url=facts.url)
    context.set_default_timeout(LIVE_MS)
    opened = context.new_page()
    wrongs: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in EXPECTED):
            wrongs.append(message.text)

    opened.on("console", note)
    opened.on("pageerror", lambda error: wrongs.append(str(error)))
    opened.add_init_script(
        "document.addEventListener('securitypolicyviolation', (event) =>"
        " console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"
    )
    opened.goto("/")
    opened.get_by_label("E-mail").fill(facts.email)
    opened.get_by_label("Password").fill(facts.password)
    opened.get_by_role("button", name="Sign in").click()
    expect(opened.locator("body[data-streaming]")).to_be_attached(timeout=LIVE_MS)
    yield opened
    context.close()
    assert wrongs == []


def differ(system: System, amount: str) -> None:
    """Book cash in our ledger that the broker knows nothing of, and tell people of something critical."""
    facts = system.facts
    services = build_services(load_settings({**system.env, "OMS_HOME": str(system.home)}))
    account_id = AccountId(facts.account_id)
    try:
        services.desk.transact(
            TenantId(facts.tenant_id),
            LedgerId(facts.ledger_id),
            lambda turn: turn.batch.record(
                ev.CashChanged(account_id=account_id, currency="USD", amount=Decimal(amount), reason_code="test"),
                ev.AlertRaised(
                    account_id=account_id,
                    severity=ev.Severity.CRITICAL,
                    source="test",
                    text="the ledger of the tests differs from the broker",
                    what_to_do="Compare, and take over the broker's figure.",
                ),
            ),
        )
    finally:
        services.close()


def test_a_difference_is_found_on_demand_seen_live_and_settled_by_a_person(
    page: Page, system: System, tmp_path: Path
) -> None:
    expect(page.locator("#pages .count")).to_have_count(0)
    differ(system, "12.50")
    expect(page.locator("#pages .count")).to_have_text("1", timeout=LIVE_MS)
    page.get_by_role("link", name="Reconciliation").click()
    expect(page.locator("[id^=connection-] .chip")).to_have_text("Ready")
    page.get_by_role("button", name="Reconcile now").click()
    expect(page.locator("#notices .note.good")).to_contain_text("begins within a second")
    row = page.locator("tr[data-type=CASH]")
    expect(row).to_contain_text("USD", timeout=LIVE_MS)
    run = page.locator("tr[id^=run-]", has_text="Asked for").first
    expect(run.locator(".chip")).to_have_text("Complete", timeout=LIVE_MS)
    row.get_by_role("button", name="Acknowledge").click()
    expect(row).to_contain_text(system.facts.email)
    page.screenshot(path=tmp_path / "reconciliation.png", full_page=True)

    row.get_by_role("button", name="Resolve…").click()
    page.locator("#settle-action").select_option("accept_broker")
    page.locator("#settle-text").fill("a fee that the broker gave back")
    page.wait_for_timeout(3500)  # the boards are read again meanwhile: what was typed stays
    expect(page.locator("#settle-text")).to_have_value("a fee that the broker gave back")
    page.screenshot(path=tmp_path / "resolving.png")
    page.locator("#settle").get_by_role("button", name="Resolve").click()
    expect(page.locator("#settle form")).to_have_count(0)
    expect(row).to_have_count(0, timeout=LIVE_MS)
    expect(page.locator("#past-title")).to_be_visible()
    expect(page.get_by_text("a fee that the broker gave back")).to_be_visible()
    done = json.loads(system.oms("reconcile", "--wait", "30", "--json").stdout)["items"]
    assert [(one["status"], one["opened"], one["fixed"]) for one in done] == [("COMPLETE", 0, 0)]
    system.verify()


def test_alerts_are_seen_worst_first_and_acknowledged_with_one_click(
    page: Page, system: System, tmp_path: Path
) -> None:
    page.goto("/alerts")
    rows = page.locator("tr[data-severity]")
    expect(rows.first).to_have_attribute("data-severity", "CRITICAL", timeout=LIVE_MS)
    page.screenshot(path=tmp_path / "alerts.png", full_page=True)
    before = rows.count()
    rows.first.get_by_role("button", name="Acknowledge").click()
    expect(rows).to_have_count(before - 1)
    expect(page.locator("#pages .count")).to_have_count(0, timeout=LIVE_MS)
    page.get_by_role("button", name="Acknowledge all shown").click()
    expect(page.get_by_text("Nothing waits for anybody.")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no sideways scrolling of the page"
    page.screenshot(path=tmp_path / "alerts-small.png")
