"""`oms users`, `oms tenants` and `oms members` on a database of this machine, and who they make."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from oms_app.bootstrap import Services, build_services
from oms_app.cli.main import cli
from oms_app.config import load_settings
from tests.app_kit import CHEAP, demo_settings

PASSWORD = "a password from a pipe"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    demo_settings(folder)
    return folder


@pytest.fixture
def services(home: Path) -> Iterator[Services]:
    made = build_services(load_settings({"OMS_HOME": str(home), **CHEAP}))
    yield made
    made.close()


def oms(home: Path, *words: str, typed: str = "") -> Result:
    return CliRunner().invoke(cli, list(words), input=typed, env={"OMS_HOME": str(home), **CHEAP})


def test_a_superuser_a_tenant_and_its_members_are_made_without_the_api(home: Path, services: Services) -> None:
    made = oms(home, "users", "create", "--email", "root@example.com", "--superuser", typed=f"{PASSWORD}\n")
    assert made.exit_code == 0, made.output
    assert PASSWORD not in made.output
    assert services.people.find("root@example.com").is_superuser
    tenant = oms(home, "tenants", "create", "Green Desk", "--slug", "green-desk", "--json")
    assert json.loads(tenant.output)["slug"] == "green-desk"
    words = ("users", "create", "--email", "boss@example.com", "--tenant", "green-desk", "--role", "ADMIN")
    assert oms(home, *words, typed=f"{PASSWORD}\n").exit_code == 0
    invited = oms(home, "members", "invite", "anna@example.com", "--tenant", "green-desk", "--role", "TRADER")
    assert invited.exit_code == 0, invited.output
    assert services.mailing.due()
    changed = oms(
        home, "members", "set-role", "boss@example.com", "VIEWER", "--tenant", "green-desk", "--scope", "view:audit"
    )
    assert (changed.exit_code, "last active ADMIN" in changed.output) == (1, True)
    listed = json.loads(oms(home, "members", "list", "--tenant", "green-desk", "--json").output)
    assert [one["email"] for one in listed] == ["boss@example.com"]
    table = home / "people.csv"
    table.write_text("email,role\nben@example.com,VIEWER\n")
    done = oms(home, "members", "import", str(table), "--tenant", "green-desk", "--json")
    assert json.loads(done.output)[0]["outcome"] == "INVITED"
    exported = oms(home, "members", "export", "--tenant", "green-desk")
    assert "boss@example.com" in exported.output


def test_a_tenant_is_changed_closed_and_opened(home: Path, services: Services) -> None:
    assert oms(home, "tenants", "create", "Red", "--slug", "red-desk").exit_code == 0
    changed = oms(
        home, "tenants", "update", "red-desk", "--domain", "red.example.com", "--settings", '{"require_totp": true}',
        "--json",
    )  # fmt: skip
    assert json.loads(changed.output)["settings"]["require_totp"] is True
    closed = oms(home, "tenants", "deactivate", "red-desk", "--cancel-orders")
    assert (closed.exit_code, "red-desk is closed" in closed.output) == (0, True), closed.output
    assert services.tenancy.get(services.tenancy.find("red-desk")).is_active is False
    assert oms(home, "tenants", "activate", "red-desk").exit_code == 0
    listed = json.loads(oms(home, "tenants", "list", "--json").output)
    assert "red-desk" in {one["slug"] for one in listed}


def test_a_person_is_kept_out_and_let_in_and_gets_a_new_password(home: Path, services: Services) -> None:
    assert oms(home, "tenants", "create", "Blue", "--slug", "blue-desk").exit_code == 0
    words = ("users", "create", "--email", "carl@example.com", "--tenant", "blue-desk")
    assert oms(home, *words, typed=f"{PASSWORD}\n").exit_code == 0
    assert oms(home, "users", "deactivate", "carl@example.com").exit_code == 0
    assert services.people.find("carl@example.com").is_active is False
    assert oms(home, "users", "activate", "carl@example.com").exit_code == 0
    assert oms(home, "users", "set-password", "carl@example.com", typed="another long password\n").exit_code == 0
    assert services.identity.sign_in("carl@example.com", "another long password").user_id
    assert oms(home, "users", "grant-superuser", "carl@example.com").exit_code == 0
    assert services.people.find("carl@example.com").is_superuser
    assert oms(home, "users", "revoke-superuser", "carl@example.com").exit_code == 0
    assert services.people.find("carl@example.com").is_superuser is False
    shown = json.loads(oms(home, "users", "list", "--json").output)
    assert "carl@example.com" in {one["email"] for one in shown}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("users", "create", "--email", "nobody", "--superuser"), "email: an e-mail address"),
        (("users", "create", "--email", "x@example.com"), "tenant: name the tenant"),
        (("users", "create", "--email", "x@example.com", "--tenant", "nowhere"), "there is no such tenant"),
        (("users", "set-password", "nobody@example.com"), "nobody has the address"),
        (("users", "deactivate", "nobody@example.com"), "nobody has this e-mail address"),
        (("tenants", "create", "X", "--slug", "admin"), "slug: the slug admin is reserved"),
        (("tenants", "update", "nowhere", "--name", "y"), "there is no such tenant"),
        (("tenants", "update", "nowhere"), "nothing to change"),
        (("tenants", "create", "X", "--settings", '{"colour": 1}'), "settings.colour"),
        (("tenants", "create", "X", "--settings", "[]"), "no JSON object"),
        (("members", "list", "--tenant", "nowhere"), "there is no such tenant"),
    ],
)
def test_what_is_wrong_is_one_clear_sentence(home: Path, words: tuple[str, ...], told: str) -> None:
    result = oms(home, *words, typed=f"{PASSWORD}\n")
    assert result.exit_code == 1, result.output
    assert told in result.output
    assert "Traceback" not in result.output
