"""The other attacks of the table, which stand as tests of every build: each row's tests in, what failed out."""

import re
import subprocess
import sys
import time
from collections.abc import Mapping

from campaigns.asking import say
from campaigns.result import ROOT
from security.result import Result

SHORT = 0
LONG = 1
PLANTS = ("nothing_found",)
ATTACKS: Mapping[str, tuple[str, ...]] = {
    "forged, replayed and misplaced tokens": ("tests/api/test_forged_tokens.py",),
    "refresh races": ("tests/api/test_identity.py",),
    "parallel uses of one TOTP code": ("tests/api/test_second_factor.py",),
    "revoked roles, keys and memberships": ("tests/api/test_revocation.py",),
    "tampering with the log": ("tests/store/test_audit_verifier.py", "tests/flow/test_audit_checkpoints.py"),
    "planted secrets": (
        "tests/api/test_planted_secrets.py",
        "tests/api/test_secret_rotation.py",
    ),
    "tables without a fence": ("tests/store/test_fences.py", "tests/store/test_tenant_keys.py"),
    "routes without a permission": ("tests/api/test_routes.py", "tests/security/test_permissions.py"),
}
"""What is attacked -> the tests that try it."""
_COUNT = re.compile(r"(\d+) (passed|failed|errors?)")


def run(n: int, seed: int, plant: str) -> Result:
    """Run every row n times."""
    began = time.monotonic()
    failures: list[str] = []
    tried: dict[str, int] = {}
    for name, files in ATTACKS.items():
        wanted = ("tests/security/no_such_file.py",) if plant else files
        for _ in range(n):
            passed, said = tried_out(wanted)
            tried[name] = tried.get(name, 0) + passed
            if said:
                failures.append(f"{name}: {said}")
        say(f"  {name}: {tried[name]} passed")
    return Result(
        name="attacks", n=sum(tried.values()), seed=seed, seconds=time.monotonic() - began, plant=plant,
        failures=failures, figures={"passed": tried},
    )  # fmt: skip


def tried_out(files: tuple[str, ...]) -> tuple[int, str]:
    """(how many tests passed, what is wrong or empty)."""
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    counts = {what.rstrip("s"): int(count) for count, what in _COUNT.findall(last)}
    passed = counts.get("passed", 0)
    if done.returncode or not passed:
        return passed, f"exit code {done.returncode}: {last or done.stderr[-300:]}"
    return passed, ""
