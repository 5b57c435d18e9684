"""A refusal leaves nothing of its request on the connection: the server would end it and lose the request after it."""

from io import BytesIO

import pytest

from tests.api.desk import Desk

BODY = b'{"quantity": "10"}'


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/v1/orders", {"X-API-Key": "nobody's"}, 401),
        ("/api/v1/orders", {}, 401),
        ("/api/v1/nowhere", {}, 404),
        ("/api/v1/positions", {}, 405),
    ],
)
def test_a_request_is_read_to_its_end_before_it_is_refused(
    quiet_desk: Desk, path: str, headers: dict[str, str], status: int
) -> None:
    stream = BytesIO(BODY)
    answer = quiet_desk.client.open(
        path, method="POST", headers=headers, input_stream=stream, content_length=len(BODY),
        content_type="application/json",
    )  # fmt: skip
    assert answer.status_code == status
    assert stream.tell() == len(BODY)


def test_a_caller_without_the_scope_is_refused_after_its_request_was_read(quiet_desk: Desk) -> None:
    stream = BytesIO(BODY)
    answer = quiet_desk.client.open(
        "/api/v1/orders", method="POST", headers={"X-API-Key": quiet_desk.key("view:orders")}, input_stream=stream,
        content_length=len(BODY), content_type="application/json",
    )  # fmt: skip
    assert answer.status_code == 403
    assert stream.tell() == len(BODY)
