"""People of a desk's tenant, of another one and of the platform, with keys and tokens to speak with."""

import itertools
import uuid
from typing import Any

from oms_app.flow.audit import cli_actor
from oms_app.flow.tenancy import NewTenant
from oms_app.store.tenants import TenantRow
from tests.api.desk import PASSWORD, Desk
from tests.mailbox import Mailbox


class People:
    """Signs people in at a desk, and makes more of them."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.mailbox = Mailbox(desk.services)
        self._addresses = itertools.count(1)

    def address(self, name: str = "person") -> str:
        """An address that nobody has."""
        return f"{name}-{uuid.uuid4().hex[:8]}@example.com"

    def person(self, role: str = "VIEWER", *, tenant_id: str | None = None, is_superuser: bool = False) -> str:
        """The address of a new person of the desk's tenant, or of another."""
        address = self.address(role.lower())
        self.desk.services.people.create(
            cli_actor(),
            address,
            PASSWORD,
            tenant_id=None if is_superuser else tenant_id or self.desk.tenant_id,  # type: ignore[arg-type]
            role=role,
            is_superuser=is_superuser,
        )
        return address

    def id_of(self, address: str) -> str:
        return self.desk.services.people.find(address).user_id

    def sign_in(self, address: str, password: str = PASSWORD, **headers: str) -> Any:
        """The response to a sign-in."""
        body = {"email": address, "password": password}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.public("/auth/login", body, **named)

    def public(self, path: str, body: object, **headers: str) -> Any:
        """The response to a request of nobody in particular, each from another network address."""
        number = next(self._addresses)
        origin = {"REMOTE_ADDR": f"10.1.{number // 250}.{number % 250 + 1}"}
        return self.desk.client.post(f"/api/v1{path}", json=body, headers=headers, environ_overrides=origin)

    def token(self, address: str, password: str = PASSWORD) -> str:
        answer = self.sign_in(address, password)
        assert answer.status_code == 200, answer.json
        token: str = answer.json["access_token"]
        return token

    def send(self, token: str, method: str, path: str, body: object = None, **headers: str) -> Any:
        """The response to a request signed with a token."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["Authorization"] = f"Bearer {token}"
        given = {} if body is None else {"json": body}
        return self.desk.client.open(f"/api/v1{path}", method=method, headers=named, **given)

    def tenant(self, **fields: Any) -> TenantRow:
        """Another tenant."""
        asked = NewTenant(**{"name": "Other", "slug": f"other-{uuid.uuid4().hex[:8]}", **fields})
        return self.desk.services.tenancy.create(cli_actor(), asked)
