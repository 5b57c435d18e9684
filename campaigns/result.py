"""What a campaign found in, one line of JSON and an exit code out: 0 when nothing broke and no point was missed."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parent.parent


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a campaign.

    violations: every broken promise, those counted as lost, doubled and skipped included; texts tells them to people.
    points: how often each failpoint was hit; missed: those that the run had to hit and did not.
    figures: what else the campaign counts, added to the line under their own names.
    """

    name: str
    n: int
    seed: int
    seconds: float
    lost: int = 0
    doubled: int = 0
    skipped: int = 0
    violations: int = 0
    points: Mapping[str, int] = {}
    missed: Sequence[str] = ()
    figures: Mapping[str, Any] = {}
    texts: Sequence[str] = ()
    plant: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether every promise held and every point was reached."""
        return not (self.lost or self.doubled or self.skipped or self.violations or self.missed)

    @property
    def exit_code(self) -> int:
        """0 when clean, else 1."""
        return 0 if self.is_clean else 1

    def line(self) -> str:
        """The run as one line of JSON."""
        shown = {
            "name": self.name, "n": self.n, "seed": self.seed, "commit": commit(), "lost": self.lost,
            "doubled": self.doubled, "skipped": self.skipped, "violations": self.violations,
            "points": dict(sorted(self.points.items())), "missed": list(self.missed),
            "seconds": round(self.seconds, 1), **self.figures,
        }  # fmt: skip
        if self.plant:
            shown["plant"] = self.plant
        return msgspec.json.encode(shown).decode()


def commit() -> str:
    """The commit that is run, with a plus when the sources differ from it; empty without git."""
    try:
        name = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return name + ("+" if changed else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
