"""The services that other tests rely on are real, separate for each test, and stop with the run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis
from playwright.sync_api import sync_playwright

from tests.services.browser import LAUNCH_ARGUMENTS

PNG = b"\x89PNG\r\n\x1a\n"


def test_postgres_answers_as_a_durable_superuser(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute(
            "SELECT version(), current_setting('is_superuser'), current_setting('fsync'),"
            " current_setting('synchronous_commit'), current_setting('server_encoding')"
        ).fetchone()
    assert row is not None
    assert row[0].startswith("PostgreSQL 1")
    assert row[1:] == ("on", "on", "on", "UTF8")


def test_postgres_can_make_roles_that_are_held_by_row_level_security(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE secret (owner text)")
        connection.execute("ALTER TABLE secret ENABLE ROW LEVEL SECURITY")
        connection.execute("INSERT INTO secret VALUES ('somebody')")
        connection.execute("CREATE ROLE oms_test_reader")
        connection.execute("GRANT SELECT ON secret TO oms_test_reader")
        connection.execute("SET LOCAL ROLE oms_test_reader")
        assert connection.execute("SELECT * FROM secret").fetchall() == []
        connection.rollback()


def test_each_postgres_database_is_empty_and_of_its_own(new_postgres_database: Callable[[], str]) -> None:
    first, second = new_postgres_database(), new_postgres_database()
    assert first != second
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE mine (id int)")
    with psycopg.connect(second) as connection:
        assert connection.execute("SELECT * FROM pg_tables WHERE schemaname = 'public'").fetchall() == []


def test_a_postgres_database_can_be_a_copy_of_a_prepared_one(new_postgres_database: Callable[..., str]) -> None:
    prepared = new_postgres_database()
    with psycopg.connect(prepared) as connection:
        connection.execute("CREATE TABLE prepared (id int)")
    with psycopg.connect(new_postgres_database(template=prepared)) as connection:
        assert connection.execute("SELECT * FROM prepared").fetchall() == []


@pytest.mark.parametrize("time", ["first", "second"])
def test_redis_answers_and_is_empty_for_each_test(redis_url: str, time: str) -> None:
    client = redis.Redis.from_url(redis_url)
    try:
        assert client.ping() is True
        assert client.dbsize() == 0
        client.set("left over", time)
    finally:
        client.close()


def test_chromium_draws_a_page(chromium_path: str, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=list(LAUNCH_ARGUMENTS))
        page = browser.new_page(viewport={"width": 200, "height": 100})
        page.goto("data:text/html,<title>a page</title><h1 id=word>drawn</h1>")
        assert page.title() == "a page"
        assert page.inner_text("#word") == "drawn"
        page.screenshot(path=picture)
        browser.close()
    assert picture.read_bytes().startswith(PNG)
    subprocess.run([chromium_path, "--version"], check=True, capture_output=True, timeout=30)
