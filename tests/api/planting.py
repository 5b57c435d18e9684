"""Plant secrets in a system of its own, use each in many ways, right and wrong, and write down what came back.

Run as a process: logs go to stderr as those of `oms api` do, at the finest level; the report goes to a file.
"""

import base64
import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from oms_app.api.call import Access, Answer, Call, Endpoint
from oms_app.api.serving import make_view
from oms_app.bootstrap import create_app
from oms_app.flow.api_keys import new_api_key
from oms_app.flow.machine_keys import KeyWish
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import Scope
from oms_app.flow.totp import code_of
from oms_app.logs import configure_logging
from oms_kernel.domain.ids import TenantId
from tests.app_kit import demo_services, demo_settings

EMAIL = "planted@example.com"
REFUSED: list[str] = []


class Found(msgspec.Struct):
    """The planted secrets by name, the refusals, and where the database is."""

    secrets: dict[str, str]
    refusals: list[str]
    database_url: str


def main(home: Path, report: Path) -> None:
    """Plant, use, report."""
    given = {name: value for name, value in os.environ.items() if name.startswith("OMS_")}
    settings = demo_settings(home, **given)
    configure_logging("api", "debug")
    services, facts = demo_services(settings)
    secrets = {"secret key": given["OMS_SECRET_KEY"], "master key": given["OMS_MASTER_KEYS"]}
    secrets["password"] = "planted-password-of-a-person-7c1f"
    secrets["wrong password"] = "planted-wrong-password-55d0"
    tenant_id = TenantId(facts.tenant_id)
    user_id = services.identity.create_user(EMAIL, secrets["password"], tenant_id, "ADMIN")
    person = Principal(f"user:{user_id}", tenant_id, frozenset(str(scope) for scope in Scope))
    wish = KeyWish(name="planted", scopes=("view:orders", "admin:tenants", "manage:webhooks"))
    secrets["api key"] = services.identity.machine_keys.create(person, wish).api_key
    secrets["unknown api key"] = new_api_key()
    secrets["test api key"] = new_api_key(is_test=True)
    app = create_app(services)
    _fail_in_many_words(app, services, secrets)
    client = app.test_client()

    def send(method: str, path: str, body: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {"data": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        if isinstance(body, bytes):
            named.setdefault("Content-Type", "application/json")
        answer = client.open(path, method=method, headers=named, **kept)
        if answer.status_code >= 400:
            REFUSED.append(f"{answer.headers}{answer.text}")
        return answer

    v1 = "/api/v1"
    send("POST", f"{v1}/auth/login", {"email": EMAIL, "password": secrets["wrong password"]})
    send("POST", f"{v1}/auth/login", {"email": EMAIL, "password": [secrets["wrong password"]]})
    send("POST", f"{v1}/auth/login", {"email": EMAIL, "passwort": secrets["wrong password"]})
    send("POST", f"{v1}/auth/login", b'{"email": "a", "password": "' + secrets["wrong password"].encode() + b'" ')
    send("POST", f"{v1}/auth/login?password={secrets['wrong password']}", {"email": EMAIL, "password": "x"})
    tokens = send("POST", f"{v1}/auth/login", {"email": EMAIL, "password": secrets["password"]}).json
    secrets["access token"], secrets["refresh token"] = tokens["access_token"], tokens["refresh_token"]
    by_token = {"Authorization": f"Bearer {secrets['access token']}"}
    send("POST", f"{v1}/auth/step-up", {"password": secrets["password"]}, **by_token)
    enrolled = send("POST", f"{v1}/auth/totp/enrol", **by_token).json
    secrets["totp secret"] = enrolled["secret"]
    code = code_of(_totp_bytes(enrolled["secret"]), int(time.time()) // 30)
    confirmed = send("POST", f"{v1}/auth/totp/verify", {"code": code}, **by_token)
    for number, recovery in enumerate(confirmed.json["recovery_codes"][:3]):
        secrets[f"recovery code {number}"] = recovery
    wrong = {"email": EMAIL, "password": secrets["password"], "totp_code": secrets["recovery code 0"] + "x"}
    send("POST", f"{v1}/auth/login", wrong)
    send("POST", f"{v1}/auth/refresh", {"refresh_token": secrets["refresh token"] + "x"})
    send("POST", f"{v1}/auth/refresh", {"refresh_token": secrets["access token"]})
    for key in ("unknown api key", "test api key"):
        send("GET", f"{v1}/orders", X_API_Key=secrets[key])
        send("GET", f"{v1}/orders", Authorization=f"Bearer {secrets[key]}")
    send("GET", f"{v1}/orders", X_API_Key=secrets["api key"] + "x")
    send("GET", f"{v1}/orders?api_key={secrets['api key']}", X_API_Key=secrets["api key"])
    send("GET", f"{v1}/orders/{secrets['api key']}", X_API_Key=secrets["api key"])
    send("DELETE", f"{v1}/api-keys/{secrets['api key']}", X_API_Key=secrets["api key"])
    rotated = send("POST", f"{v1}/auth/rotate-api-key", X_API_Key=secrets["api key"]).json
    secrets["rotated api key"] = rotated["api_key"]
    send("POST", f"{v1}/auth/rotate-api-key", X_API_Key=secrets["api key"])
    by_key = {"X_API_Key": secrets["rotated api key"]}
    secrets["webhook secret"] = "whsec_" + "cGxhbnRlZC13ZWJob29rLXNlY3JldC0wMTIzNDU2Nzg5"
    hook = {"url": "https://hooks.example/x", "params": {"secret": secrets["webhook secret"]}}
    made = send("POST", f"{v1}/webhooks", hook, **by_key)
    assert made.status_code == 201, made.text
    other = send("POST", f"{v1}/webhooks", {"url": "https://h.example/"}, **by_key)
    secrets["made webhook secret"] = other.json["secret"]
    send("POST", f"{v1}/webhooks", {**hook, "url": "ftp://h"}, **by_key)
    send("POST", f"{v1}/webhooks", {**hook, "params": {"secret": secrets["webhook secret"], "a": 1}}, **by_key)
    send("POST", f"{v1}/webhooks", {**hook, "sink": secrets["webhook secret"]}, **by_key)
    for number in range(6):
        send("GET", f"{v1}/fail/{number}", **by_key)
    send("GET", f"{v1}/orders", **by_token)
    form = {"email": EMAIL, "password": secrets["wrong password"]}
    REFUSED.append(client.post("/login", data=form).text)
    services.close()
    refused = [text for text in REFUSED if text]
    report.write_bytes(msgspec.json.encode(Found(secrets, refused, settings.database_url)))


def _fail_in_many_words(app: Any, services: Any, secrets: dict[str, str]) -> None:
    """A route that fails and has a secret in its words, as a library's error might."""

    def fail(call: Call, number: str) -> Answer:
        words = (
            f"connect to postgresql://oms:{secrets['password']}@h/x failed",
            f"could not log in with password={secrets['password']!r}",
            f"HTTP 401 for Authorization: Bearer {secrets['rotated api key']}",
            f"bad key {secrets['rotated api key']} in {{'token': '{secrets['access token']}'}}",
            f"token {secrets['access token']} refused",
            f"signing secret {secrets['webhook secret']} is not base64",
        )
        raise RuntimeError(words[int(number)])

    endpoint = Endpoint(
        method="GET",
        path="/api/v1/fail/<number>",
        view=fail,
        scope=Access.AUTHENTICATED,
        tag="health",
        answers={200: None},
    )
    app.add_url_rule(
        endpoint.path, "fail", make_view(endpoint, services, app.extensions["oms_quotas"]), methods=["GET"]
    )


def _totp_bytes(text: str) -> bytes:
    return base64.b32decode(text + "=" * (-len(text) % 8))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
