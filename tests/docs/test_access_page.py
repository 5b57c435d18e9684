"""The page on access names routes, commands and pages of the dashboard that are there."""

import re
from pathlib import Path

import click
import pytest

from oms_app.api.app import ENDPOINTS
from oms_app.cli.main import cli
from oms_app.dashboard.answering import ADMIN_PAGES

PAGE = (Path(__file__).parents[2] / "docs" / "access.md").read_text(encoding="utf-8")
ROUTES = sorted(set(re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/api/v1/[a-z0-9/{}_-]+)`", PAGE)))
COMMANDS = sorted(set(re.findall(r"`oms ([a-z]+) ([a-z-]+)`", PAGE)))


def test_the_page_names_routes_and_commands() -> None:
    assert len(ROUTES) > 20 and len(COMMANDS) > 10


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_of_the_page_is_there(method: str, path: str) -> None:
    known = {(one.method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", one.path)) for one in ENDPOINTS}
    assert (method, path) in known


@pytest.mark.parametrize(("group", "name"), COMMANDS)
def test_every_command_of_the_page_is_there(group: str, name: str) -> None:
    found = cli.get_command(click.Context(cli), group)
    assert isinstance(found, click.Group)
    assert name in found.list_commands(click.Context(found))


def test_every_admin_page_is_told_of() -> None:
    assert [label for _, label, _ in ADMIN_PAGES if f"Admin, {label}" not in PAGE] == []
