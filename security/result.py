"""What a check found in, one line of JSON and an exit code out: 0 when nothing failed and enough was tried."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from campaigns.result import commit


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a check.

    n: how much was tried. failures: every broken promise, in words. figures: what else was counted, added to the line.
    """

    name: str
    n: int
    seed: int
    seconds: float
    failures: Sequence[str] = ()
    figures: Mapping[str, Any] = {}
    plant: str = ""

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, else 1."""
        return 1 if self.failures else 0

    def line(self) -> str:
        """The run as one line of JSON."""
        shown = {
            "name": self.name, "n": self.n, "seed": self.seed, "commit": commit(), "failures": len(self.failures),
            "seconds": round(self.seconds, 1), **self.figures,
        }  # fmt: skip
        if self.plant:
            shown["plant"] = self.plant
        return msgspec.json.encode(shown).decode()
