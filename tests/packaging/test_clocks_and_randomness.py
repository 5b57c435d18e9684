"""Kernel and flow have no clock, no randomness and no sleep of their own: they are handed in, so that a run repeats."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
WATCHED = ("oms_kernel/domain", "app/oms_app/flow")
KERNEL_FILES = ("engine", "settlement", "executions", "judging", "view", "batch", "adoption", "differences")
CALLS = {
    "time": {"time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "sleep", "clock_gettime", "process_time"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "uuid": {"uuid1", "uuid4", "uuid6", "uuid7"},
    "random": None,
    "secrets": None,
    "os": {"urandom", "getrandom"},
    "asyncio": {"sleep"},
    "threading": {"Thread", "Timer"},
}
"""Module or class -> the names that tell time or chance, wait, or begin threads; None: every name."""
ALLOWED = {
    "flow/boards.py": {"time.monotonic": "paces how often a table is read again; no decision sees it"},
    "flow/desk.py": {"time.sleep": "waits between two looks for a batch whose COMMIT was lost"},
    "flow/snapshots.py": {"threading.Thread": "writes a cache beside; no decision sees it"},
    "flow/queues.py": {"time.time": "asks and stamps the queue in its own unit; no ledger sees it"},
    "flow/pretrade.py": {"secrets.token_bytes": "salts the hash of people's text, which must not be guessed"},
    "flow/resolution.py": {"os.urandom": "salts the hash of people's text, which must not be guessed"},
    "flow/attention.py": {"os.urandom": "salts the hash of people's text, which must not be guessed"},
    "flow/beside.py": {"os.urandom": "salts the hash of people's text, which must not be guessed"},
    "flow/api_keys.py": {"secrets.choice": "makes a key that nobody can guess", "secrets.compare_digest": "no chance"},
    "flow/identity.py": {"uuid.uuid4": "names users and sign-ins, which are no part of a ledger's log"},
    "flow/audit_checkpoints.py": {"os.urandom": "makes a signing key that nobody can guess"},
    "flow/hosts.py": {"time.monotonic": "paces how often a table is read again; no decision sees it"},
    "flow/machine_keys.py": {"uuid.uuid4": "names keys, which are no part of a ledger's log"},
    "flow/registration.py": {"uuid.uuid4": "names a new person, who is no part of a ledger's log"},
    "flow/second_factors.py": {"secrets.token_bytes": "makes recovery codes that nobody can guess"},
    "flow/session_tokens.py": {"uuid.uuid4": "names sessions and tokens, which are no part of a ledger's log"},
    "flow/signing_in.py": {"secrets.token_urlsafe": "makes a device's token that nobody can guess"},
    "flow/signing_keys.py": {
        "secrets.token_bytes": "makes a key that nobody can guess",
        "secrets.token_hex": "names a key",
    },
    "flow/totp.py": {"secrets.token_bytes": "makes a secret that nobody can guess"},
    "flow/sealing.py": {"os.urandom": "makes the nonce of a sealed secret"},
    "flow/webhooks.py": {"secrets.token_bytes": "makes a secret that nobody can guess"},
}


def files() -> Iterator[Path]:
    for folder in WATCHED:
        yield from sorted((ROOT / folder).rglob("*.py"))
    yield from (ROOT / "oms_kernel" / f"{name}.py" for name in KERNEL_FILES)


def own_clocks(source: str) -> Iterator[tuple[int, str]]:
    """(line, name) of each use of a clock, of chance, of waiting and of threads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = CALLS.get(node.value.id, set())
            if names is None or node.attr in names:
                yield node.lineno, f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module in CALLS and node.module not in ("datetime", "uuid"):
            names = CALLS[node.module]
            for alias in node.names:
                if names is None or alias.name in names:
                    yield node.lineno, f"{node.module}.{alias.name}"


def allowed(path: Path) -> dict[str, str]:
    return next((names for ending, names in ALLOWED.items() if path.as_posix().endswith(ending)), {})


def test_kernel_and_flow_are_handed_their_time_and_chance() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in files()
        for line, name in own_clocks(path.read_text(encoding="utf-8"))
        if name not in allowed(path)
    ]
    assert not found, "hand in the clock, the ids or the randomness, or say in ALLOWED why not"


def test_every_exception_is_still_needed() -> None:
    for ending, names in ALLOWED.items():
        used = {name for _, name in own_clocks((ROOT / "app" / "oms_app" / ending).read_text(encoding="utf-8"))}
        assert set(names) <= used, f"{ending} uses {sorted(used)} only"


def test_the_check_sees_what_it_is_to_see() -> None:
    source = "import time, random\nfrom time import sleep\nclock = time.monotonic\nrandom.random()\ndatetime.now()\n"
    assert {name for _, name in own_clocks(source)} == {
        "time.sleep",
        "time.monotonic",
        "random.random",
        "datetime.now",
    }
