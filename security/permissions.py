"""The application in, the page of who may call what out: a row for each route, a column for each role, from the code.

python -m security.permissions docs/permissions.md
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask

from oms_app.api.app import ENDPOINTS
from oms_app.api.call import Access
from oms_app.api.documentation import flask_path_to_openapi
from oms_app.bootstrap import build_services, create_app
from oms_app.config import Settings
from oms_app.flow.scopes import ROLES, Role
from oms_app.store import migrate
from oms_kernel.contracts.plugin import Secret

HEAD = """# Who may call what

Generated from the code: `python -m security.permissions docs/permissions.md`. A route that declares no permission stops
the application from being built. A session has its member's role, and the scopes that the member was given beside it;
an API key has the scopes that it was made with, never more than its maker. `anybody` needs no credentials, `signed in`
any valid ones. Aliases of a route ask for the same as the route. Where **step-up** says yes (or sometimes: it depends
on what is asked for), the person must have proved it anew within five minutes, and API keys are refused. What
a page of the dashboard does asks for the same proof as the operation of the API.

"""
_ALIAS = re.compile(r"_alias_\d+$")
_NO_PERMISSION_NEEDED = frozenset({"static"})


def page(app: Flask) -> str:
    """The whole page."""
    roles = list(Role)
    head = ["Route", "Needs", *(role.value for role in roles), "step-up"]
    lines = [HEAD + _row(head), _row(["---"] * len(head))]
    step_up = {one.operation_id: one.step_up for one in ENDPOINTS}
    for method, path, name, scope in sorted(routes(app), key=lambda route: (route[1], route[0])):
        may = [
            "yes" if scope in (Access.PUBLIC, Access.AUTHENTICATED) or scope in ROLES[role] else "" for role in roles
        ]
        proof = step_up.get(name, False) if path.startswith("/api/") else False
        shown = "sometimes" if callable(proof) else "yes" if proof else ""
        lines.append(_row([f"`{method} {path}`", _WORDS.get(scope, f"`{scope}`"), *may, shown]))
    return "\n".join(lines) + "\n"


def routes(app: Flask) -> Iterator[tuple[str, str, str, str]]:
    """(method, path, name, permission) of every route that is no alias."""
    for rule in app.url_map.iter_rules():
        if _ALIAS.search(rule.endpoint) or rule.endpoint in _NO_PERMISSION_NEEDED:
            continue
        scope = app.view_functions[rule.endpoint].oms_scope  # type: ignore[attr-defined]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            name = rule.endpoint.rpartition(".")[2]
            yield method, flask_path_to_openapi(rule.rule), name, str(getattr(scope, "value", scope))


@contextmanager
def application() -> Iterator[Flask]:
    """The whole application on an empty database."""
    with tempfile.TemporaryDirectory(prefix="oms-security-") as folder:
        url = f"sqlite:///{folder}/oms.db"
        migrate.upgrade(url)
        settings = Settings(home=Path(folder), database_url=url, secret_key=Secret("a secret of the page, never used"))
        services = build_services(settings)
        try:
            yield create_app(services)
        finally:
            services.close()


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


_WORDS = {Access.PUBLIC: "anybody", Access.AUTHENTICATED: "signed in"}


if __name__ == "__main__":
    with application() as app:
        Path(sys.argv[1]).write_text(page(app), encoding="utf-8")
