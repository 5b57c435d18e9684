"""Talk to the API: connection facts from options, environment or the home's demo.json in, JSON or a clear error out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
import httpx2
import msgspec

from oms_app.cli.errors import OutcomeUnknown, Unavailable, WrongSettings, refusal

TIMEOUT_S = 30.0
PAGE = 500
API = "/api/v1"
F = TypeVar("F", bound=Callable[..., Any])


class Facts(msgspec.Struct, frozen=True):
    """Where the API is and who asks; `account_id` is the demo's when it comes from demo.json."""

    url: str
    api_key: str
    account_id: str | None = None


class Api:
    """The API as seen by one key. Use it as a context."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._client = httpx2.Client(
            base_url=facts.url.rstrip("/"),
            headers={"X-API-Key": facts.api_key, "Accept": "application/json"},
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **params: Any) -> Any:
        """The JSON answer of a read; parameters that are None are left out."""
        return self._ask("GET", path, params={name: value for name, value in params.items() if value is not None})

    def post(self, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Any:
        """The JSON answer of a change. Raises OutcomeUnknown when it was sent and no answer came."""
        return self._ask("POST", path, json={} if body is None else body, headers=headers)

    def pages(self, path: str, *, at_most: int | None = None, **params: Any) -> Iterator[list[dict[str, Any]]]:
        """The items of a list, page by page, `at_most` in all."""
        left, cursor = at_most, None
        while left is None or left > 0:
            answer = self.get(path, limit=PAGE if left is None else min(left, PAGE), cursor=cursor, **params)
            items = answer["items"]
            yield items
            cursor = answer.get("next_cursor")
            if left is not None:
                left -= len(items)
            if not cursor or not items:
                return

    def items(self, path: str, *, at_most: int | None = None, **params: Any) -> list[dict[str, Any]]:
        """All items of a list."""
        return [item for page in self.pages(path, at_most=at_most, **params) for item in page]

    def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            response = self._client.request(method, API + path, **arguments)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise Unavailable(
                f"nobody answers at {self.facts.url} ({error})\n"
                "  fix: start the system with `oms run`, or name it with --url or OMS_URL"
            ) from None
        except httpx2.HTTPError as error:
            kind = OutcomeUnknown if method != "GET" else Unavailable
            raise kind(
                f"{method} {path}: no answer from {self.facts.url} ({str(error) or type(error).__name__})"
            ) from None
        if response.is_success:
            return response.json() if response.content else None
        raise refusal(response.status_code, _problem(response))


def connected(command: F) -> F:
    """Adds --url and --api-key to a command; it is called with `api`, an open Api, as its first argument."""

    @click.option("--url", help="Where the API is. Else OMS_URL, else demo.json in OMS_HOME.")
    @click.option("--api-key", help="The key to use. Else OMS_API_KEY, else demo.json in OMS_HOME.")
    def with_api(url: str | None, api_key: str | None, **arguments: Any) -> Any:
        with Api(facts(url, api_key)) as api:
            return command(api, **arguments)

    with_api.__name__ = command.__name__
    with_api.__doc__ = command.__doc__
    with_api.__click_params__ = [*getattr(with_api, "__click_params__", []), *getattr(command, "__click_params__", [])]  # type: ignore[attr-defined]
    return with_api  # type: ignore[return-value]


def facts(url: str | None = None, api_key: str | None = None) -> Facts:
    """The connection's facts: option, else environment, else demo.json. Raises WrongSettings with what to do."""
    url = url or os.environ.get("OMS_URL")
    api_key = api_key or os.environ.get("OMS_API_KEY")
    demo = read_demo()
    if not (url and api_key) and demo is None:
        raise WrongSettings(
            f"no connection: {demo_file()} does not exist\n"
            "  fix: start the system with `oms run`, or give --url and --api-key (OMS_URL, OMS_API_KEY)"
        )
    demo = demo or {}
    return Facts(
        url=url or str(demo.get("url", "")),
        api_key=api_key or str(demo.get("api_key", "")),
        account_id=None if api_key and api_key != demo.get("api_key") else demo.get("account_id"),
    )


def demo_file() -> Path:
    """Where `oms run` writes the demo's facts."""
    return Path(os.environ.get("OMS_HOME") or "var").absolute() / "demo.json"


def read_demo() -> dict[str, Any] | None:
    """The demo's facts, or None when there is no demo. Raises WrongSettings when the file cannot be read."""
    path = demo_file()
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise WrongSettings(f"{path} cannot be read: {error}") from None
    return found


def _problem(response: httpx2.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {"detail": f"HTTP {response.status_code} {response.reason_phrase}: {response.text[:200]}"}
    return found if isinstance(found, dict) else {"detail": f"HTTP {response.status_code}: {found}"}
