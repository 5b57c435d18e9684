"""Risk officers in a real browser: a switch that only the typed word arms, an order approved, a ticket tried first."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from werkzeug.serving import make_server

from oms_app.bootstrap import build_services, create_app
from tests.api.desk import Desk
from tests.dashboard.conftest import fresh_home
from tests.dashboard.person import PASSWORD
from tests.dashboard.test_access_in_browser import WAIT_MS, new_person, prove, sign_in
from tests.dashboard.test_risk_pages import Floor
from tests.services.browser import LAUNCH_ARGUMENTS

PATHS = (
    "/risk", "/risk/kill-switches", "/risk/approvals", "/risk/limits", "/risk/limits/new?rule=max_position",
    "/risk/limit-changes", "/risk/verdicts", "/risk/liquidations", "/risk/report", "/",
)  # fmt: skip


@pytest.fixture(scope="module")
def floor(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    made = build_services(fresh_home(migrated_file, tmp_path_factory.mktemp("risk-browser")))
    yield Floor(made)
    made.close()


@pytest.fixture(scope="module")
def url(floor: Floor) -> Iterator[str]:
    """Where the whole application answers."""
    server = make_server("127.0.0.1", 0, create_app(floor.services), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=chromium_path, args=list(LAUNCH_ARGUMENTS))
        yield made
        made.close()


@pytest.fixture
def wrongs() -> Iterator[list[str]]:
    """What browsers complained of; at the end nothing."""
    found: list[str] = []
    yield found
    assert found == []


@pytest.fixture
def officer(browser: Browser, url: str, wrongs: list[str]) -> Iterator[Page]:
    """A window of the risk officer."""
    page = new_person(browser, url, wrongs)
    sign_in(page, "manager@example.com", PASSWORD)
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    yield page
    page.context.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures go: to OMS_TEST_PICTURES for people who want to look at them."""
    named = os.environ.get("OMS_TEST_PICTURES")
    return Path(named) if named else tmp_path_factory.mktemp("pictures")


def test_only_the_typed_name_arms_the_kill_switch_and_its_release_asks_who_is_there(
    officer: Page, floor: Floor, pictures: Path
) -> None:
    floor.people["TRADER"].place(quantity="4")
    officer.goto("/risk/kill-switches")
    stop = officer.get_by_role("button", name="Stop trading")
    expect(stop).to_be_disabled()
    officer.locator("select[name=reach]").select_option(label="Account Paper")
    typed = officer.get_by_label("Type the name of what it covers")
    typed.press_sequentially("Pap")
    expect(stop).to_be_disabled()
    officer.get_by_role("button", name="Drill: only try it").click()
    expect(officer.locator("#outcome")).to_contain_text("It would call back")
    assert floor.active() == []
    typed = officer.get_by_label("Type the name of what it covers")
    typed.fill("paper")
    expect(stop).to_be_enabled()
    typed.press("Enter")
    expect(officer.locator("#outcome")).to_contain_text("The kill switch holds")
    officer.screenshot(path=pictures / "kill-switch.png", full_page=True)
    officer.goto("/risk")
    expect(officer.get_by_role("heading", name="Trading is restrained")).to_be_visible()
    officer.screenshot(path=pictures / "risk-stopped.png", full_page=True)
    officer.locator(".halt-list a").first.click()
    officer.get_by_label("Why trading may go on").fill("looked at it")
    officer.get_by_role("button", name="Release").click()
    prove(officer, PASSWORD)
    expect(officer.locator(".chip", has_text="Released")).to_be_visible()
    assert floor.active() == []


def test_without_scripts_the_kill_switch_works_too(browser: Browser, url: str, floor: Floor) -> None:
    context = browser.new_context(base_url=url, java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    sign_in(page, "manager@example.com", PASSWORD)
    page.goto("/risk/kill-switches")
    page.locator("input[name=confirmation]").fill("HALT")
    page.get_by_role("button", name="Stop trading").click()
    expect(page.locator("#outcome")).to_contain_text("The kill switch holds")
    context.close()
    assert len(floor.active()) == 1
    floor.release_all()


def test_an_order_waits_and_the_officer_approves_it_with_a_proof(officer: Page, floor: Floor, pictures: Path) -> None:
    floor.held()
    officer.goto("/risk")
    officer.get_by_role("navigation", name="Risk pages").get_by_role("link", name="Approvals").click()
    expect(officer.locator(".subpages .count")).to_have_text("1")
    officer.screenshot(path=pictures / "approvals.png", full_page=True)
    officer.get_by_label("Reason").fill("agreed by phone")
    officer.get_by_role("button", name="Approve").click()
    prove(officer, PASSWORD)
    expect(officer.get_by_text("No order waits.")).to_be_visible()


def test_the_ticket_is_tried_first_and_a_large_one_is_typed_twice(
    browser: Browser, url: str, floor: Floor, wrongs: list[str], pictures: Path
) -> None:
    floor.release_all()
    page = new_person(browser, url, wrongs)
    sign_in(page, "trader@example.com", PASSWORD)
    page.locator("#ticket-symbol").fill("ACME")
    page.locator("#ticket-quantity").fill("90")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview")).to_contain_text("It would be denied")
    expect(page.locator("#preview")).to_contain_text("fat_finger_confirm")
    page.locator("#ticket-quantity").fill("91")
    expect(page.locator("#preview")).to_be_empty()
    page.locator(".send").click()
    again = page.get_by_label("Type the quantity again")
    expect(again).to_be_focused()
    again.fill("91")
    again.press("Enter")
    expect(page.locator("#ticket .note.good")).to_contain_text("accepted")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview")).to_contain_text("Position")
    page.screenshot(path=pictures / "ticket-preview.png", full_page=True)
    page.context.close()


def test_the_report_is_black_on_white_on_paper_in_the_dark_too(officer: Page, pictures: Path) -> None:
    officer.emulate_media(color_scheme="dark", media="print")
    officer.goto("/risk/report")
    expect(officer.get_by_role("navigation", name="Risk pages")).to_be_hidden()
    assert officer.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert officer.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    officer.screenshot(path=pictures / "report-on-paper.png", full_page=True)


def test_a_position_is_closed_by_its_name_and_the_liquidation_is_stopped(officer: Page, floor: Floor) -> None:
    desk = Desk(floor.services, floor.ids, floor.app, email="filler@example.com")
    trader = floor.people["TRADER"]
    trader.place(quantity="12", limit_price="101")
    order_id = trader.rows()[0]["id"]
    desk.fill({"order_id": order_id, "instrument_id": floor.ids["instrument_id"], "side": "BUY"}, "12", "100")
    officer.goto("/")
    officer.get_by_role("link", name="Close the position in ACME").click()
    close = officer.get_by_role("button", name="Close positions")
    expect(close).to_be_disabled()
    typed = officer.locator("input[name=confirmation]")
    typed.fill("ACME")
    typed.press("Enter")
    prove(officer, PASSWORD)
    row = officer.locator("#running tbody tr")
    expect(row).to_contain_text("Paper · ACME")
    expect(row).to_contain_text("12")
    row.get_by_role("button", name="Stop").click()
    officer.locator("#confirm").get_by_role("button", name="Stop").click()
    expect(officer.locator("#running")).to_contain_text("None runs.")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_pages_fit_small_screens_in_both_themes(
    officer: Page, floor: Floor, theme: Any, pictures: Path, tmp_path: Path
) -> None:
    order_id = floor.held()
    officer.emulate_media(color_scheme=theme)
    paths = (*PATHS, f"/orders/{order_id}", f"/risk/breaches/{floor.breach}", f"/risk/limits/{floor.soft}")
    for width in (390, 1280) if "OMS_TEST_PICTURES" in os.environ else (390,):
        officer.set_viewport_size({"width": width, "height": 900})
        for path in paths if width == 390 or theme == "dark" else PATHS[:5]:
            officer.goto(path)
            name = path.partition("?")[0].replace("/", "-")[:30] or "desk"
            officer.screenshot(path=pictures / f"{theme}-{width}{name}.png", full_page=True)
            wide = officer.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{path} is {wide} wide"
    floor.people["MANAGER"].post(f"/risk/approvals/{order_id}/decide", decision="decline", reason="enough")
