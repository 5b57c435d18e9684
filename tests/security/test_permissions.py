"""The page of who may call what says what the code says; what no route of the page has is no route."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from oms_app.api.app import ENDPOINTS, require_permissions
from oms_app.flow.scopes import ROLES, Role, Scope
from security.permissions import application, page, routes

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"


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


def test_a_planted_route_without_a_permission_stops_the_whole_application() -> None:
    with application() as planted:
        planted.add_url_rule("/planted", "planted", lambda: "")
        with pytest.raises(ValueError, match="/planted declares no permission"):
            require_permissions(planted)
