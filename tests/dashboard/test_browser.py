"""A person's day in a real browser, on the whole running system: sign in, trade, see it live, put errors right."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Response, expect, sync_playwright

from oms_app.cli.demo import DemoFacts
from tests.processes.system import System, running
from tests.services.browser import LAUNCH_ARGUMENTS

LIVE_MS = 15_000
"""How long a live change may take on a busy machine."""
EXPECTED = ("status of 422", "status of 401", "net::ERR")
"""Chromium reports refused forms, ended sessions and lost connections as errors; they are none of the page's."""


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("browser") / "home") as made:
        yield made


@pytest.fixture(scope="module")
def system(processes: System) -> DemoFacts:
    return processes.facts


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=chromium_path, args=list(LAUNCH_ARGUMENTS))
        yield made
        made.close()


@pytest.fixture
def page(browser: Browser, system: DemoFacts) -> Iterator[Page]:
    """A browser window that is signed in; at its end nothing may have gone wrong in the console or the policy."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, base_url=system.url)
    context.set_default_timeout(LIVE_MS)
    opened = context.new_page()
    wrongs: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in EXPECTED):
            wrongs.append(message.text)

    def note_server_error(response: Response) -> None:
        if response.status >= 500:
            wrongs.append(f"{response.status} {response.url}")

    opened.on("console", note)
    opened.on("pageerror", lambda error: wrongs.append(str(error)))
    opened.on("response", note_server_error)
    opened.add_init_script(
        "document.addEventListener('securitypolicyviolation', (event) =>"
        " console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"
    )
    sign_in(opened, system)
    yield opened
    context.close()
    assert wrongs == []


def sign_in(page: Page, system: DemoFacts) -> None:
    """Sign in at the form, and wait until the page is live."""
    page.goto("/")
    page.get_by_label("E-mail").fill(system.email)
    page.get_by_label("Password").fill(system.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("body[data-streaming]")).to_be_attached(timeout=LIVE_MS)


def fill_ticket(page: Page, **fields: str) -> None:
    """Fill the ticket's fields: side by its word, type and time by their value, the rest by text."""
    for name, value in fields.items():
        if name == "side":
            page.locator(f"#ticket input[name=side][value={value}]").check(force=True)
        elif name in ("order_type", "time_in_force"):
            page.locator(f"#ticket-{name}").select_option(value)
        else:
            page.locator(f"#ticket-{name}").fill(value)


def send(page: Page, side: str = "Buy") -> None:
    """Press the ticket's button and wait for the answer."""
    with page.expect_response(lambda answer: answer.url.endswith("/desk/orders") and answer.request.method == "POST"):
        page.get_by_role("button", name=side, exact=True).click()


def orders_of(page: Page, symbol: str, terms: str = "") -> Locator:
    """The blotter's rows of a symbol, with these terms when given."""
    rows = page.locator("#orders tbody tr", has=page.locator(".c-symbol", has_text=symbol))
    return rows.filter(has=page.locator(".c-terms", has_text=terms))


def refresh_orders(page: Page) -> None:
    """Wait for a blotter that was read after this call."""
    with page.expect_response(re.compile(r"/desk/orders\?show=")):
        page.evaluate("document.body.dispatchEvent(new CustomEvent('oms:orders'))")


def test_a_market_order_is_seen_filled_and_becomes_a_position_without_a_reload(page: Page) -> None:
    page.evaluate("window.sameDocument = true")
    fill_ticket(page, symbol="SPY", side="BUY", quantity="7", order_type="MARKET")
    send(page)
    expect(page.locator("#ticket .note.good")).to_contain_text("Buy 7 SPY, market: accepted")
    row = page.locator("#orders tbody tr").first
    expect(row.locator(".chip")).to_have_text("Filled", timeout=LIVE_MS)
    expect(row.locator(".c-average")).to_have_text(re.compile(r"^[\d,]+\.\d\d"))
    held = page.locator("tr[id^=position-]", has_text="SPY")
    expect(held).to_contain_text("Long", timeout=LIVE_MS)
    expect(page.locator(".tile.main")).to_contain_text("USD")
    assert page.evaluate("window.sameDocument")


def test_a_resting_limit_order_is_canceled_in_its_row(page: Page) -> None:
    fill_ticket(page, symbol="AAPL", side="SELL", quantity="5", order_type="LIMIT", limit_price="200.00")
    send(page, "Sell")
    expect(page.locator("#ticket .note.good")).to_be_visible()
    row = orders_of(page, "AAPL", "200.00")
    expect(row.locator(".chip")).to_have_text("Working", timeout=LIVE_MS)
    row.get_by_role("button", name="Cancel").click()
    expect(row.locator(".chip")).to_have_text("Canceled", timeout=LIVE_MS)
    expect(row.get_by_role("button")).to_have_count(0)


def test_only_the_fields_of_the_chosen_type_are_shown(page: Page) -> None:
    shown = {
        "MARKET": [],
        "LIMIT": ["limit_price"],
        "STOP": ["stop_price"],
        "STOP_LIMIT": ["stop_price", "limit_price"],
        "TRAILING_STOP": ["trail_amount"],
    }
    for order_type, fields in shown.items():
        fill_ticket(page, order_type=order_type)
        for name in ("stop_price", "limit_price", "trail_amount"):
            assert page.locator(f"#ticket-{name}").is_visible() is (name in fields), (order_type, name)
    fill_ticket(page, time_in_force="GTD")
    expect(page.locator("#ticket-expire_at")).to_be_visible()


def test_bad_input_is_told_at_its_field_and_can_be_put_right(page: Page) -> None:
    fill_ticket(page, symbol="MSFT", side="BUY", quantity="ten", order_type="LIMIT", limit_price="400.005")
    send(page)
    quantity = page.locator("#ticket-quantity")
    expect(quantity).to_have_attribute("aria-invalid", "true")
    expect(quantity).to_be_focused()
    expect(page.locator("#fault-quantity")).to_contain_text("plain decimal number")
    fill_ticket(page, quantity="10")
    send(page)
    expect(page.locator("#fault-limit_price")).to_contain_text("tick size 0.01")
    expect(page.locator("#fault-quantity")).to_have_count(0)
    fill_ticket(page, limit_price="380.00")
    send(page)
    expect(page.locator("#ticket .note.good")).to_contain_text("Buy 10 MSFT, limit: accepted")


def test_a_denied_order_says_which_rule_and_what_it_allows(page: Page) -> None:
    fill_ticket(page, symbol="SPY", side="BUY", quantity="9000", order_type="MARKET")
    send(page)
    denial = page.locator("#ticket .denial")
    expect(denial).to_contain_text("Denied by max_order_notional")
    expect(denial).to_contain_text("limit 250,000")


def test_a_double_click_makes_one_order(page: Page) -> None:
    fill_ticket(page, symbol="IBM", side="BUY", quantity="3", order_type="MARKET")
    rows = orders_of(page, "IBM")
    before = rows.count()
    page.locator("#ticket .send").dblclick()
    expect(page.locator("#ticket .note.good")).to_be_visible()
    expect(rows).to_have_count(before + 1, timeout=LIVE_MS)
    expect(rows.first.locator(".chip")).to_have_text("Filled", timeout=LIVE_MS)
    refresh_orders(page)
    expect(rows).to_have_count(before + 1)


def test_cancel_all_asks_first_and_can_be_declined(page: Page) -> None:
    fill_ticket(page, symbol="AAPL", side="BUY", quantity="1", order_type="LIMIT", limit_price="180.00")
    send(page)
    row = orders_of(page, "AAPL", "180.00")
    expect(row.locator(".chip")).to_have_text("Working", timeout=LIVE_MS)
    page.locator("#cancel-all").click()
    page.get_by_role("button", name="Keep them").click()
    expect(row.locator(".chip")).to_have_text("Working")
    page.locator("#cancel-all").click()
    page.get_by_role("button", name="Cancel orders").click()
    expect(page.locator("#notices")).to_contain_text("under way")
    expect(row.locator(".chip")).to_have_text("Canceled", timeout=LIVE_MS)
    page.locator("#show-active").click()
    expect(page.locator("#orders")).to_contain_text("No active orders.", timeout=LIVE_MS)
    page.locator("#show-all").click()
    expect(row).to_be_visible()


def test_an_order_placed_elsewhere_appears_by_itself(page: Page, system: DemoFacts) -> None:
    headers = {"X-API-Key": system.api_key}
    body = {
        "account_id": system.account_id,
        "symbol": "EURUSD",
        "side": "BUY",
        "quantity": "1000",
        "order_type": "MARKET",
    }
    with httpx2.Client(base_url=system.url, headers=headers, trust_env=False) as client:
        answer = client.post("/api/v1/orders", json=body)
    assert answer.status_code in (200, 201, 202), answer.text
    row = orders_of(page, "EURUSD").first
    expect(row.locator(".chip")).to_have_text("Filled", timeout=LIVE_MS)


def test_the_keyboard_is_enough(page: Page) -> None:
    page.locator("body").press("s")
    expect(page.locator("#ticket input[value=SELL]")).to_be_checked()
    expect(page.locator("#ticket-quantity")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.locator("#ticket-symbol")).to_be_focused()
    page.keyboard.type("BTCUSD")
    page.keyboard.press("Tab")
    page.keyboard.type("0.01")
    page.keyboard.press("Enter")
    expect(page.locator("#ticket .note.good")).to_contain_text("Sell 0.01 BTCUSD")


def test_a_quote_fills_the_symbol(page: Page) -> None:
    page.locator("#quotes .quote", has_text="MSFT").click()
    expect(page.locator("#ticket-symbol")).to_have_value("MSFT")


def test_typing_is_not_disturbed_by_live_updates(page: Page) -> None:
    page.locator("#ticket-quantity").fill("123")
    with page.expect_response(re.compile("/desk/quotes")):
        pass
    with page.expect_response(re.compile("/desk/positions")):
        pass
    expect(page.locator("#ticket-quantity")).to_have_value("123")
    expect(page.locator("#ticket-quantity")).to_be_focused()


def test_light_and_dark_follow_the_system_until_the_person_chooses(page: Page) -> None:
    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    page.emulate_media(color_scheme="light")
    light = background()
    page.emulate_media(color_scheme="dark")
    dark = background()
    assert light != dark
    page.locator("#theme").click()
    assert background() == light
    page.reload()
    assert background() == light


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_width_scrolls_sideways_in_either_theme(page: Page, tmp_path: Path, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for width in (390, 768, 1024, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert len(page.screenshot(path=tmp_path / f"{scheme}-{width}.png")) > 10_000


def test_a_page_left_open_renews_its_session_and_goes_on(page: Page) -> None:
    page.context.clear_cookies(name="oms_access")
    with page.expect_response(re.compile("/login/renew")) as renewal:
        pass
    assert renewal.value.status == 204
    fill_ticket(page, symbol="IBM", side="SELL", quantity="2", order_type="MARKET")
    send(page, "Sell")
    expect(page.locator("#ticket .note.good")).to_be_visible()


def test_a_lost_stream_is_told_resumed_and_nothing_is_missed(page: Page, processes: System) -> None:
    page.route("**/api/v1/stream?*", lambda route: route.abort())  # so that it stays away long enough to be told
    os.kill(processes.pids("stream")[0], signal.SIGKILL)
    expect(page.locator("#banner")).to_contain_text("Reconnecting", timeout=LIVE_MS)
    fill_ticket(page, symbol="MSFT", side="BUY", quantity="4", order_type="MARKET")
    send(page)
    page.unroute("**/api/v1/stream?*")
    expect(page.locator("#banner")).to_be_hidden(timeout=4 * LIVE_MS)
    expect(page.locator("body[data-streaming]")).to_be_attached()
    expect(orders_of(page, "MSFT").first.locator(".chip")).to_have_text("Filled", timeout=LIVE_MS)


def test_signing_out_closes_the_desk(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    page.goto("/")
    expect(page.get_by_label("Password")).to_be_visible()


def test_the_queue_page_shows_schedules_webhooks_and_consumers_and_replays_with_a_button(
    page: Page, system: DemoFacts, tmp_path: Path
) -> None:
    page.get_by_role("link", name="Queues").click()
    expect(page.locator("#schedule-sweep_orders")).to_contain_text("every 1 s")
    expect(page.locator("#schedules-title + span")).to_contain_text("minded by worker@", timeout=LIVE_MS)
    expect(page.get_by_role("row", name=re.compile("^webhooks"))).to_be_visible()
    with page.expect_response(re.compile("/queues/board")) as polled:
        pass
    assert polled.value.status == 200
    picture = tmp_path / "queues.png"
    page.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 10_000
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0, "nothing sticks out"
