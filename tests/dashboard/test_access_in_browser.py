"""A way into the system in a real browser: invited, accepted, second factor, a key, and the audit that tells of it."""

import base64
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from werkzeug.serving import make_server

from oms_app.bootstrap import Services, build_services, create_app
from oms_app.flow import totp
from tests.api.desk import seed
from tests.dashboard.conftest import fresh_home
from tests.dashboard.letters import link_to
from tests.dashboard.person import PASSWORD
from tests.services.browser import LAUNCH_ARGUMENTS

WAIT_MS = 20_000
"""How long an answer may take on a busy machine."""
EXPECTED = ("status of 422", "status of 401", "status of 403", "net::ERR")
"""Refused forms and missing proofs, and the event stream, which does not run here."""
BOSS, ANNA, PHRASE = "boss@example.com", "anna@example.com", "a long phrase of anna"
PATHS = ("/members", "/invitations", "/keys", "/sessions", "/audit", "/tenant", "/account")


@pytest.fixture(scope="module")
def services(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    made = build_services(fresh_home(migrated_file, tmp_path_factory.mktemp("access-browser")))
    made.identity.create_user(BOSS, PASSWORD, seed(made)["tenant_id"], "ADMIN")  # type: ignore[arg-type]
    yield made
    made.close()


@pytest.fixture(scope="module")
def url(services: Services) -> Iterator[str]:
    """Where the whole application answers."""
    server = make_server("127.0.0.1", 0, create_app(services), threaded=True)
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


def new_person(browser: Browser, url: str, wrongs: list[str]) -> Page:
    """A window of somebody who has no session yet, whose console and policy are watched."""
    context: BrowserContext = browser.new_context(viewport={"width": 1400, "height": 900}, base_url=url)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in EXPECTED):
            wrongs.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: wrongs.append(str(error)))
    page.on("response", lambda answer: wrongs.append(answer.url) if answer.status >= 500 else None)
    page.add_init_script(
        "document.addEventListener('securitypolicyviolation', (event) =>"
        " console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"
    )
    return page


def sign_in(page: Page, email: str, password: str) -> None:
    """Fill in the form and send it."""
    page.goto("/login")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def prove(page: Page, password: str) -> None:
    """Answer the question who is there."""
    dialog = page.locator("#step-up")
    expect(dialog).to_be_visible()
    dialog.locator("input[name=password]").fill(password)
    dialog.get_by_role("button", name="Go on").click()
    expect(dialog).to_be_hidden()


def code_of(secret: str, later: int = 0) -> str:
    """The code of a shown secret, now or some steps later."""
    raw = base64.b32decode(secret + "=" * (-len(secret) % 8))
    return totp.code_of(raw, totp.step_at(datetime.now(UTC)) + later)


def test_from_the_invitation_to_the_audit_that_tells_of_the_key(
    browser: Browser, url: str, services: Services, wrongs: list[str]
) -> None:
    boss, anna = new_person(browser, url, wrongs), new_person(browser, url, wrongs)
    sign_in(boss, BOSS, PASSWORD)
    boss.get_by_role("link", name="Admin").click()
    boss.get_by_role("link", name="Invitations").click()
    boss.get_by_label("E-mail").fill(ANNA)
    boss.locator("select[name=role]").select_option("ADMIN")
    boss.get_by_role("button", name="Send the invitation").click()
    expect(boss.locator("tr[data-status=OPEN]")).to_contain_text(ANNA)

    anna.goto(link_to(services, ANNA))
    anna.get_by_label("Choose a password").fill("password1234")
    assert "#" not in anna.url, "the token does not stay in the address bar"
    anna.get_by_role("button", name="Accept the invitation").click()
    expect(anna.locator(".fault")).to_contain_text("too easy to guess")
    anna.get_by_label("Choose a password").fill(PHRASE)
    anna.get_by_role("button", name="Accept the invitation").click()
    expect(anna.get_by_role("status")).to_contain_text("You are a member now")

    sign_in(anna, ANNA, PHRASE)
    anna.get_by_role("link", name="Account").click()
    anna.get_by_role("button", name="Set up").click()
    prove(anna, PHRASE)
    secret = anna.locator("#totp-secret").inner_text()
    anna.get_by_label("The code that the app shows").fill("000000")
    anna.get_by_role("button", name="Confirm").click()
    expect(anna.locator("#code-fault")).to_contain_text("wrong")
    anna.get_by_label("The code that the app shows").fill(code_of(secret, -1))
    anna.get_by_role("button", name="Confirm").click()
    expect(anna.locator("#recovery-codes li")).to_have_count(10)
    anna.get_by_role("button", name="I have stored them").click()
    expect(anna.get_by_text("10 recovery codes left")).to_be_visible()
    anna.get_by_role("button", name="Sign out").click()
    expect(anna.get_by_role("button", name="Sign in")).to_be_visible()

    sign_in(anna, ANNA, PHRASE)
    anna.get_by_label("Code of your second factor").fill(code_of(secret))
    expect(anna.get_by_label("Password")).to_have_value(PHRASE)
    anna.get_by_role("button", name="Sign in").click()
    anna.get_by_role("link", name="Admin").click()
    anna.get_by_role("link", name="API keys").click()
    anna.get_by_label("Name", exact=True).fill("night robot")
    anna.get_by_label("place:orders").check()
    anna.get_by_role("button", name="Make the key").click()
    dialog = anna.locator("#step-up")
    dialog.locator("input[name=totp_code]").fill(code_of(secret, 1))
    dialog.get_by_role("button", name="Go on").click()
    key = anna.locator("#new-key").inner_text()
    expect(anna.locator("#new-key")).to_be_in_viewport()
    assert services.identity.caller_of_key(key).principal.scopes == {"place:orders"}

    boss.goto("/audit?action=api_key.created")
    row = boss.locator("tr[data-action='api_key.created']").first
    expect(row).to_contain_text(ANNA)
    row.locator("summary").click()
    expect(row).to_contain_text("night robot")
    assert key not in boss.content()
    boss.goto("/keys")
    boss.locator("tr", has_text="night robot").get_by_role("link").click()
    boss.wait_for_load_state()
    boss.get_by_role("button", name="Revoke").click()
    boss.locator("#confirm").get_by_role("button", name="Revoke").click()
    expect(boss.locator(".chip", has_text="Revoked")).to_be_visible()


def test_the_pages_fit_a_small_screen(browser: Browser, url: str, wrongs: list[str], tmp_path: Path) -> None:
    page = new_person(browser, url, wrongs)
    sign_in(page, BOSS, PASSWORD)
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 800})
    for path in PATHS:
        page.goto(path)
        page.screenshot(path=tmp_path / f"{path[1:]}-small.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
