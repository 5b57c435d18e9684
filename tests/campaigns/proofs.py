"""A planted defect is caught as soon as a run gives it enough to strike at; a busy machine may need a longer run."""

from collections.abc import Iterable

from campaigns.result import Result


def first_that_catches(kind: str, runs: Iterable[Result]) -> Result:
    """The first run that names a violation of this kind. Fails the test when none does."""
    told = []
    for result in runs:
        if any(text.startswith(f"{kind}:") for text in result.texts):
            return result
        told.append((result.n, result.texts[:5]))
    raise AssertionError(f"no run named a violation of kind {kind}: {told}")
