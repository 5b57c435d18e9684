"""Tasks that belong together: one ends, or all are ended for certain."""

import asyncio
from collections.abc import Sequence


async def ended(tasks: Sequence["asyncio.Task[None]"]) -> None:
    """End the tasks. wait_for of Python 3.11 may swallow a cancellation that meets its result: ask again."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)
    await asyncio.gather(*tasks, return_exceptions=True)


async def waited(event: asyncio.Event) -> None:
    """Return when the event is set."""
    await event.wait()
