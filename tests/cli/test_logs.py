"""Logs are JSON lines with the ids of the task, and hold no secret."""

from __future__ import annotations

import json
import subprocess
import sys

from oms_app.logs import mask_secrets, mask_text
from oms_kernel.contracts.plugin import Secret

SCRIPT = """
import logging, structlog
from oms_app.logs import configure_logging
configure_logging("api", "info")
with structlog.contextvars.bound_contextvars(request_id="r-1", tenant_id="t-1", order_id="o-1"):
    structlog.get_logger("oms").info("order placed", password="hush", lease_token=7)
    logging.getLogger("library").warning("connecting to %s", "redis://:hush@h/0")
    structlog.get_logger("oms").debug("not shown")
    try:
        1 / 0
    except ZeroDivisionError:
        structlog.get_logger("oms").exception("failed")
"""


def test_every_line_is_json_with_the_ids_of_the_task_and_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["order placed", "connecting to redis://:********@h/0", "failed"]
    for line in lines:
        assert (line["request_id"], line["tenant_id"], line["order_id"]) == ("r-1", "t-1", "o-1")
        assert line["process"] == "api"
        assert line["at"].endswith("Z")
    assert lines[0]["password"] == Secret.MASK
    assert lines[0]["lease_token"] == 7
    assert "ZeroDivisionError" in lines[2]["exception"]
    assert "hush" not in done.stderr


def test_secrets_are_masked_by_name_by_type_and_by_shape() -> None:
    event = {
        "event": "Authorization: Bearer abcdefghijkl.mnop",
        "api_key": "k",
        "params": {"signing_secret": "s", "url": "https://u:p@h/"},
        "value": Secret("s3"),
        "key": "oms_live_AbCdEfGh_0123456789012345678901234567890123456789012",
        "tokens": ["a", "b"],
        "quantity": 3,
    }
    masked = mask_secrets(None, "info", event)
    assert masked == {
        "event": "Authorization: Bearer ********",
        "api_key": "********",
        "params": {"signing_secret": "********", "url": "https://u:********@h/"},
        "value": "********",
        "key": "oms_live_********",
        "tokens": "********",
        "quantity": 3,
    }
    assert mask_text("nothing to hide") == "nothing to hide"


def test_secrets_inside_words_are_masked_and_words_about_secrets_are_not() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJlMTIz"
    for text, left in (
        ("login failed for password=hunter2 at h", "login failed for password=******** at h"),
        ('{"api_key": "a b c", "n": 1}', '{"api_key": ********, "n": 1}'),
        (f"bad token {token}", "bad token ********"),
        ("otpauth://totp/OMS:a?secret=ABC&issuer=O", "otpauth://totp/OMS:a?********"),
        ("oms_test_AbCdEfGh_0123456789012345678901234567890123456789012", "oms_test_********"),
        ("the password is wrong", "the password is wrong"),
        ("lease_token=12 is not 13", "lease_token=12 is not 13"),
        ('File "/app/flow/tokens.py", line 3, in read', 'File "/app/flow/tokens.py", line 3, in read'),
    ):
        assert mask_text(text) == left
    assert mask_text("a" * 60_000) == "a" * 60_000
