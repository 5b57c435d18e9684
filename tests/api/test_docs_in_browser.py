"""The reader of the API's document in a real browser: it shows the operations and breaks none of its own rules."""

import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import sync_playwright
from werkzeug.serving import make_server

from tests.api.desk import Desk
from tests.services.browser import LAUNCH_ARGUMENTS

pytestmark = pytest.mark.integration


@pytest.fixture
def address(quiet_desk: Desk) -> Iterator[str]:
    """Where the application answers on a free port."""
    server = make_server("127.0.0.1", 0, quiet_desk.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_the_reader_shows_every_group_of_operations_without_a_complaint(address: str, chromium_path: str) -> None:
    complaints: list[str] = []
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=list(LAUNCH_ARGUMENTS))
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/api/docs")
        page.locator(".opblock-tag").nth(20).wait_for(timeout=30_000)
        page.click("#operations-tag-orders")
        page.wait_for_selector("#operations-orders-cancel_orders", timeout=30_000)
        page.click("#operations-orders-place_order .opblock-summary-control")
        page.wait_for_selector("#operations-orders-place_order .opblock-description", timeout=30_000)
        browser.close()
    assert complaints == []
    assert all(url.startswith((address, "data:")) for url in asked)
