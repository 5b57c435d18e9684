"""The database goes away under the API: every operation that needs it says 503 and when to try again, then works on."""

import re
import uuid
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from oms_app.api.app import ENDPOINTS
from oms_app.api.call import Access, Endpoint
from oms_app.store import migrate
from tests.api.conftest import serving
from tests.api.desk import Desk
from tests.waiting import until

pytestmark = pytest.mark.integration

ASKABLE = [
    endpoint
    for endpoint in ENDPOINTS
    if endpoint.scope != Access.PUBLIC and (endpoint.body is None or endpoint.body_example is not None)
]
NEEDS_NO_STORE = {"stream", "list_plugins", "who_am_i", "log_out"}
"""These answer from the process alone once the caller was recognised a moment ago; the stream itself asks the store."""


def ask(desk: Desk, endpoint: Endpoint) -> tuple[int, str | None]:
    """(status, Retry-After) of a call to the operation."""
    path = re.sub(r"<uuid:[^>]+>", str(uuid.uuid4()), endpoint.path)
    path = re.sub(r"<[^>]+>", "sim_broker", path)
    answer = desk.send(endpoint.method, path, dict(endpoint.body_example) if endpoint.body_example else None)
    return answer.status_code, answer.headers.get("Retry-After")


def test_every_operation_is_503_while_the_database_is_away_and_works_when_it_is_back(
    new_postgres_database: Callable[..., str], postgres_server_url: str, tmp_path: Path
) -> None:
    url = new_postgres_database()
    migrate.upgrade(url)
    name = make_url(url).database
    server = make_url(postgres_server_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with serving(url, tmp_path) as desk, psycopg.connect(server, autocommit=True) as admin:
        assert desk.send("GET", "/api/v1/alerts").status_code == 200
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')  # type: ignore[arg-type]
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            answers = {endpoint.operation_id: ask(desk, endpoint) for endpoint in ASKABLE}
        finally:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')  # type: ignore[arg-type]
        assert len(answers) > 40
        wrong = {
            name: answer
            for name, answer in answers.items()
            if name not in NEEDS_NO_STORE and (answer[0] != 503 or answer[1] is None)
        }
        assert wrong == {}
        until(lambda: desk.send("GET", "/api/v1/alerts").status_code == 200, "the API works again")
