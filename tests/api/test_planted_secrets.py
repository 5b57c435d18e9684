"""Secrets that were planted stand in no log line, no refusal, no row of the database and nowhere in Redis."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import redis

from tests.api.planting import Found

ROOT = Path(__file__).parents[2]


class Traces:
    """What a system that was full of secrets left behind."""

    def __init__(self, found: Found, logs: bytes, database: bytes, in_redis: bytes) -> None:
        self.found = found
        self.places = {
            "logs": logs,
            "refusals": "\n".join(found.refusals).encode(),
            "database": database,
            "redis": in_redis,
        }

    def hits(self) -> list[str]:
        """Which secrets stand where, plainly or in hexadecimal or base64."""
        hits = []
        for name, secret in self.found.secrets.items():
            plain = secret.encode()
            shapes = {plain, plain.hex().encode(), base64.b64encode(plain)[: len(plain)]}
            if name == "totp secret":
                shapes.add(base64.b32decode(secret + "=" * (-len(secret) % 8)))
            hits += [f"{name} in {place}" for place, text in self.places.items() if any(one in text for one in shapes)]
        return hits


def left_behind(folder: Path, redis_url: str) -> Traces:
    """Fill a system with secrets, in a process of its own, and gather what it leaves."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OMS_")},
        "OMS_SECRET_KEY": "planted-secret-key-of-the-system-90210-0123456789",
        "OMS_MASTER_KEYS": "planted-master-key-of-the-system-31337-0123456789",
        "OMS_REDIS_URL": redis_url,
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.api.planting", str(folder / "home"), str(folder / "report.json")],
        capture_output=True,
        cwd=ROOT,
        env=environment,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    found = msgspec.json.decode((folder / "report.json").read_bytes(), type=Found)
    database = b"".join(path.read_bytes() for path in sorted((folder / "home").glob("oms.db*")))
    return Traces(found, done.stderr, database, dump(redis_url))


def dump(url: str) -> bytes:
    """Every key and value of a Redis database."""
    client = redis.Redis.from_url(url)
    try:
        parts = []
        for key in client.scan_iter():
            parts += [key, client.dump(key) or b""]
        return b"\n".join(parts)
    finally:
        client.close()


def test_planted_secrets_are_found_nowhere(tmp_path: Path, redis_url: str) -> None:
    traces = left_behind(tmp_path, redis_url)
    assert len(traces.found.secrets) >= 15
    assert len(traces.found.refusals) >= 15
    assert len(traces.places["logs"].splitlines()) >= 10
    assert b"RuntimeError" in traces.places["logs"]
    assert b"LIMITS" in traces.places["redis"]
    assert traces.hits() == []


@pytest.mark.parametrize("place", ["logs", "refusals", "database", "redis"])
def test_the_search_finds_what_is_there(place: str) -> None:
    secret = b"a secret of the tests"
    for shape in (secret, secret.hex().encode(), base64.b64encode(secret)):
        planted = Traces(Found({"password": secret.decode()}, [], ""), b"", b"", b"")
        assert planted.hits() == []
        planted.places[place] = b"before " + shape + b" after"
        assert planted.hits() == [f"password in {place}"]
