"""The page of who may call what says what the code says; what no route of the page has is no route."""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from oms_app.api.app import ENDPOINTS, require_permissions
from oms_app.flow.scopes import ROLES, Role, Scope
from oms_app.store import migrate
from security.permissions import application, page, routes
from tests.api.conftest import serving
from tests.api.desk import Desk

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("roles")
    url = f"sqlite:///{folder}/oms.db"
    migrate.upgrade(url)
    with serving(url, folder) as made:
        yield made


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    with application() as made:
        yield made


def test_the_page_is_up_to_date(app: Flask) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(app), "run: python -m security.permissions docs/permissions.md"


def test_every_operation_of_the_api_stands_on_the_page(app: Flask) -> None:
    named = {name for _, _, name, _ in routes(app)}
    assert {endpoint.operation_id for endpoint in ENDPOINTS} <= named


def test_a_role_has_yes_exactly_where_it_has_the_scope(app: Flask) -> None:
    rows = re.findall(r"^\| `(\w+) (\S+)` \| `([a-z]+:[a-z]+)` \|(.*)\|[^|]*\|$", page(app), re.MULTILINE)
    assert len(rows) > 40
    for _, path, scope, cells in rows:
        may = [cell.strip() == "yes" for cell in cells.split("|")]
        assert may == [Scope(scope) in ROLES[role] for role in Role], path


@pytest.mark.parametrize("role", Role)
def test_every_route_refuses_a_role_exactly_where_it_lacks_the_scope(desk: Desk, role: Role) -> None:
    key = desk.key(*sorted(ROLES[role]))
    asked = [one for one in ENDPOINTS if isinstance(one.scope, Scope)]
    assert len(asked) > 120
    for endpoint in asked:
        lacks = endpoint.scope not in ROLES[role]
        if not lacks and endpoint.path.endswith("/stream"):
            continue  # it would be opened
        path = re.sub(r"<(?:\w+:)?\w+>", lambda _: str(uuid.uuid4()), endpoint.path)
        answer = desk.send(endpoint.method, path, {} if endpoint.body is not None else None, key=key)
        refused = answer.status_code == 403 and (answer.json or {}).get("scope") == endpoint.scope
        assert refused is lacks, (
            f"{endpoint.method} {endpoint.path} as {role}: {answer.status_code} {answer.text[:200]}"
        )


def test_a_planted_route_without_a_permission_stops_the_whole_application() -> None:
    with application() as planted:
        planted.add_url_rule("/planted", "planted", lambda: "")
        with pytest.raises(ValueError, match="/planted declares no permission"):
            require_permissions(planted)
