"""Take the pictures of the dashboard: start a demo on a home of its own, trade a little, photograph the desk.

Run it from the root of the repository: `python -m docs.pictures.take`. It writes dashboard.png, dashboard-dark.png,
alerts.png, reconciliation.png, keys.png and audit.png beside itself; all show 1400 pixels in width.
"""

import tempfile
import time
from decimal import Decimal
from pathlib import Path

import httpx2
from playwright.sync_api import Page, sync_playwright

from oms_app.bootstrap import build_services
from oms_app.cli.demo import DemoFacts
from oms_app.config import load_settings
from oms_kernel.domain import events as ev
from oms_kernel.domain.ids import AccountId, LedgerId, TenantId
from tests.processes.system import System, running
from tests.services.browser import LAUNCH_ARGUMENTS, chromium

HERE = Path(__file__).parent
CENTS = Decimal("0.01")
MOVES_MS = 15_000
"""How long the market moves before the picture is taken."""
SHEETS = (("reconciliation", "reconciliation.png", 470), ("alerts", "alerts.png", 340))
"""Path, picture and height of the pages of tables."""
ACCESS = (("keys", "keys.png", 735), ("audit?object_type=api_key", "audit.png", 530))
"""The same of the pages of access."""
PAUSE_S = 2.5
"""Between two orders, so that each finds another price."""

MARKET_ORDERS = (
    ("BUY", "120", "SPY"),
    ("BUY", "200", "AAPL"),
    ("SELL", "80", "IBM"),
    ("BUY", "0.75", "BTCUSD"),
    ("BUY", "50", "MSFT"),
    ("SELL", "40", "SPY"),
    ("BUY", "8000", "EURUSD"),
    ("SELL", "50", "MSFT"),
)
RESTING_ORDERS = (
    ("SELL", "150", "AAPL", "LIMIT", {"limit_price": "1.02"}),
    ("SELL", "80", "SPY", "STOP", {"stop_price": "0.98"}),
    ("BUY", "80", "IBM", "STOP_LIMIT", {"stop_price": "1.02", "limit_price": "1.03"}),
    ("BUY", "60", "MSFT", "LIMIT", {"limit_price": "0.985"}),
)
"""Prices as a share of the last quote."""


def trade(facts: DemoFacts) -> None:
    """Place the orders, one of which is too large and one of which is canceled."""
    with httpx2.Client(base_url=facts.url, headers={"X-API-Key": facts.api_key}, trust_env=False) as client:

        def place(side: str, quantity: str, symbol: str, order_type: str, **prices: str) -> str:
            body = {"account_id": facts.account_id, "side": side, "quantity": quantity, "symbol": symbol}
            time.sleep(PAUSE_S)
            answer = client.post("/api/v1/orders", json={**body, "order_type": order_type, **prices})
            return str(answer.json().get("order_id", ""))

        for side, quantity, symbol in MARKET_ORDERS:
            place(side, quantity, symbol, "MARKET")
        place("BUY", "900", "MSFT", "MARKET")
        for side, quantity, symbol, order_type, shares in RESTING_ORDERS:
            quote = client.get(f"/api/v1/marketdata/last/{symbol}").json()
            bid = Decimal(str(quote["bid"]))
            prices = {name: str((bid * Decimal(share)).quantize(CENTS)) for name, share in shares.items()}
            order_id = place(side, quantity, symbol, order_type, **prices)
        client.post(f"/api/v1/orders/{order_id}/cancel")
        place("SELL", "0.5", "BTCUSD", "TRAILING_STOP", trail_amount="850")


def photograph(page: Page, facts: DemoFacts) -> None:
    """Sign in, wait for the market to move, and take the desk in both themes."""
    page.goto(facts.url)
    page.get_by_label("E-mail").fill(facts.email)
    page.get_by_label("Password").fill(facts.password)
    page.get_by_role("button", name="Sign in").click()
    page.locator("body[data-streaming]").wait_for(state="attached")
    page.locator("#ticket-order_type").select_option("LIMIT")
    page.locator("#ticket-quantity").fill("100")
    page.locator("#ticket-limit_price").fill("449.50")
    page.locator("#orders-title").click()
    page.wait_for_timeout(MOVES_MS)
    for scheme, name in (("light", "dashboard.png"), ("dark", "dashboard-dark.png")):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.wait_for_timeout(400)
        page.screenshot(path=HERE / name)


def differ(system: System) -> None:
    """Book cash in our ledger that the broker knows nothing of."""
    facts = system.facts
    services = build_services(load_settings({**system.env, "OMS_HOME": str(system.home)}))
    change = ev.CashChanged(
        account_id=AccountId(facts.account_id), currency="USD", amount=Decimal("250.75"), reason_code="picture"
    )
    try:
        services.desk.transact(
            TenantId(facts.tenant_id), LedgerId(facts.ledger_id), lambda turn: turn.batch.record(change)
        )
    finally:
        services.close()


def photograph_differences(page: Page, system: System) -> None:
    """A difference that the broker's session finds on demand, and the alert that it raises."""
    differ(system)
    page.emulate_media(color_scheme="light")
    page.goto(f"{system.facts.url}/reconciliation")
    page.get_by_role("button", name="Reconcile now").click()
    page.locator("tr[data-type=CASH]").wait_for()
    page.locator("tr[data-type=CASH]").get_by_role("button", name="Acknowledge").click()
    page.locator("tr[id^=run-]", has_text="Asked for").locator(".chip.done").wait_for()
    page.locator("#notices li").first.wait_for(state="detached")
    for path, name, height in SHEETS:
        page.goto(f"{system.facts.url}/{path}")
        page.locator("#boards").wait_for()
        page.screenshot(path=HERE / name, clip={"x": 0, "y": 0, "width": 1400, "height": height})


def photograph_access(page: Page, facts: DemoFacts) -> None:
    """Invite somebody, make a key, and take the keys and the audit that tells of both."""
    page.emulate_media(color_scheme="light")
    page.goto(f"{facts.url}/invitations")
    page.locator("input[name=email]").fill("anna@example.com")
    page.get_by_role("button", name="Send the invitation").click()
    page.locator("tr[data-status=OPEN]").wait_for()
    page.goto(f"{facts.url}/keys")
    page.get_by_label("Name", exact=True).fill("Nightly report")
    for scope in ("view:orders", "view:positions"):
        page.get_by_label(scope).check()
    page.locator("textarea[name=networks]").fill("203.0.113.0/24")
    page.get_by_role("button", name="Make the key").click()
    page.locator("#new-key").wait_for()
    for path, name, height in ACCESS:
        page.goto(f"{facts.url}/{path}")
        page.locator("#boards").wait_for()
        page.screenshot(path=HERE / name, clip={"x": 0, "y": 0, "width": 1400, "height": height})


def main() -> None:
    """Every picture."""
    with tempfile.TemporaryDirectory() as home, running(Path(home) / "home") as system, sync_playwright() as playwright:
        facts = system.facts
        trade(facts)
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(LAUNCH_ARGUMENTS))
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        photograph(page, facts)
        photograph_differences(page, system)
        photograph_access(page, facts)
        browser.close()


if __name__ == "__main__":
    main()
