"""docs/operations.md is held to the code: its commands exist; backups are made and recovered by its own lines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import click
import psycopg
import pytest

from oms_app.bootstrap import build_services
from oms_app.cli.demo import seed
from oms_app.config import FILE_SUFFIX, Settings, load_settings, variable
from oms_app.flow.chores import ACTORS
from oms_app.flow.retention import Retention
from oms_app.store import migrate
from oms_app.workers.delivery import RETRY_AFTER_S
from tests.deploy.test_compose import found_command
from tests.services.postgres import WHEEL

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
CHEAP = {"OMS_ARGON2_MEMORY_KIB": "1024", "OMS_ARGON2_TIME_COST": "1"}
SECRET = {"OMS_SECRET_KEY": "k" * 48}


def section(title: str) -> str:
    """The text under a heading, to the next one of its level or above."""
    marks, _, _ = title.partition(" ")
    _, _, rest = PAGE.partition(f"\n{title}\n")
    assert rest, title
    return re.split(rf"\n#{{2,{len(marks)}}} ", rest)[0]


def blocks(text: str) -> list[str]:
    return re.findall(r"```bash\n(.*?)```", text, re.DOTALL)


def oms_commands() -> list[str]:
    found = {line.split("#")[0].strip() for block in blocks(PAGE) for line in block.splitlines()}
    found |= set(re.findall(r"`(oms [a-z][^`]*)`", PAGE))
    lines = {re.sub(r"^[A-Z_]+=\S+ ", "", line) for line in found}
    return sorted(line for line in lines if line.startswith("oms "))


@pytest.mark.parametrize("line", oms_commands())
def test_every_command_of_the_page_is_one_with_these_options(line: str) -> None:
    words = [word for word in line.split()[1:] if word != "NAME"]
    if words[0].endswith("alive"):
        return  # needs a file of heartbeats; the compose file's tests start it
    command, rest = found_command(words)
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= options


def test_every_setting_that_the_page_names_exists() -> None:
    known = {variable(name) for name in Settings.__struct_fields__}
    named = {name.removesuffix(FILE_SUFFIX) for name in re.findall(r"\bOMS_[A-Z_]+\b", PAGE)}
    assert named and named <= known


def test_what_the_page_says_about_times_is_what_the_code_does() -> None:
    text = " ".join(PAGE.split())
    assert len(RETRY_AFTER_S) + 1 == 10 and "tried ten times within three days" in text
    assert 2 * 86_400 < sum(RETRY_AFTER_S) < 3.5 * 86_400
    kept = Retention()
    assert f"delivered webhook messages after {kept.deliveries.days} days" in text
    assert f"dead ones after {kept.dead_deliveries.days}" in text
    assert f"sign-ins {kept.sign_ins.days} days after their end" in text
    assert ACTORS and "keep no results" in text


def run(script: str, folder: Path, **variables: str) -> str:
    """What a block of the page printed, run as it stands. Fails when one of its commands fails."""
    import importlib.util

    spec = importlib.util.find_spec(WHEEL)
    postgres = f"{Path(spec.origin).parent / 'pginstall18' / 'bin'}{os.pathsep}" if spec and spec.origin else ""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OMS_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{postgres}{os.environ['PATH']}"
    env = {**inherited, **CHEAP, **SECRET, "PATH": path, **variables}
    done = subprocess.run(["bash", "-euc", script], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def filled(url: str, home: Path) -> None:
    """Make a database with a tenant and some events behind this URL."""
    settings = load_settings({"OMS_HOME": str(home), "OMS_DATABASE_URL": url, **SECRET, **CHEAP})
    migrate.upgrade(settings.migrate_database_url)
    services = build_services(settings)
    try:
        seed(services, None)
    finally:
        services.close()


def test_a_postgresql_backup_is_made_and_recovered_by_the_lines_of_the_page(
    new_postgres_database: Callable[..., str], tmp_path: Path
) -> None:
    old, new = new_postgres_database(), new_postgres_database()
    filled(old, tmp_path / "home")
    back_up, recover, continuous = blocks(section("### PostgreSQL"))
    assert "pg_dump " in back_up and "pg_restore" in recover and "pg_basebackup" in continuous
    run(back_up, tmp_path, ADMIN_URL=old)
    printed = run(recover, tmp_path, NEW_URL=new, OMS_HOME=str(tmp_path / "home"))
    assert "the newest" in printed and "Ledgers" in printed
    told = run("oms verify --json", tmp_path, OMS_DATABASE_URL=new, OMS_HOME=str(tmp_path / "home"))
    report = json.loads(told)
    assert report["is_clean"] and report["ledgers"][0]["events"] > 1
    with psycopg.connect(new) as connection:
        rights = connection.execute(
            "SELECT privilege_type FROM information_schema.role_table_grants"
            " WHERE grantee = 'oms_app' AND table_name = 'event_log'"
        ).fetchall()
    assert {right for (right,) in rights} == {"SELECT", "INSERT"}


def test_a_base_backup_holds_the_write_ahead_log_that_it_needs(postgres_server_url: str, tmp_path: Path) -> None:
    (_back_up, _recover, continuous) = blocks(section("### PostgreSQL"))
    run(continuous.replace("/backup/base", str(tmp_path / "base")), tmp_path, ADMIN_URL=postgres_server_url)
    assert {"base.tar.gz", "pg_wal.tar.gz"} <= {path.name for path in (tmp_path / "base").iterdir()}


def test_a_sqlite_backup_is_made_while_somebody_writes_and_recovered(tmp_path: Path) -> None:
    home, backup, restored = tmp_path / "home", tmp_path / "backup", tmp_path / "restored"
    settings = load_settings({"OMS_HOME": str(home), **CHEAP})
    backup.mkdir()
    (home / "sim_broker.ledger").write_text("")
    migrate.upgrade(settings.migrate_database_url)
    services = build_services(settings)
    try:
        seed(services, None)
        (block,) = blocks(section("### SQLite"))
        run(block, tmp_path, OMS_HOME=str(home), BACKUP=str(backup))
    finally:
        services.close()
    backup.rename(restored)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OMS_")}
    oms = str(Path(sys.executable).parent / "oms")
    env = {**inherited, **CHEAP, "OMS_HOME": str(restored)}
    done = subprocess.run([oms, "verify", "--json"], env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["is_clean"]
    assert (restored / "secret_key").read_text() == (home / "secret_key").read_text()


def test_a_login_that_is_only_a_member_of_the_serving_role_can_serve_and_not_migrate(
    new_postgres_database: Callable[..., str], tmp_path: Path
) -> None:
    admin = new_postgres_database()
    filled(admin, tmp_path / "home")
    (create,) = re.findall(r"```sql\n(.*?)```", section("### Roles on PostgreSQL"), re.DOTALL)
    login = f"oms_server_{os.getpid()}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(create.replace("oms_server", login).replace("choose one", "secret"))
    parts = urlsplit(admin)
    server = urlunsplit(parts._replace(netloc=f"{login}:secret@{parts.netloc.rpartition('@')[2]}"))
    try:
        settings = load_settings({"OMS_HOME": str(tmp_path / "home"), "OMS_DATABASE_URL": server, **SECRET, **CHEAP})
        services: Any = build_services(settings)
        try:
            services.store.check_serving()
            assert services.store.ledgers()
        finally:
            services.close()
        with psycopg.connect(server) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE mine (id int)")
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"DROP ROLE {login}")


def test_the_settings_that_the_page_asks_for_are_enough(
    new_postgres_database: Callable[..., str], tmp_path: Path
) -> None:
    """The first block of the page, with the test's own addresses, from its exports to `oms doctor`."""
    script = blocks(section("## Run"))[0]
    script = re.sub(r"postgresql://\S+", new_postgres_database(), script)
    lines = [line for line in script.splitlines() if not line.startswith("oms doctor")]
    printed = run("\n".join(lines), tmp_path, OMS_HOME=str(tmp_path / "home"))
    assert "demo.json holds the sign-in" in printed


def test_a_click_command_stands_behind_every_name_of_the_table_of_processes() -> None:
    names = re.findall(r"^\| `oms ([a-z]+)` \|", section("### Processes, ports and health"), re.MULTILINE)
    assert names == ["api", "stream", "session", "strategy", "worker"]
    for name in names:
        assert isinstance(found_command([name])[0], click.Command)
