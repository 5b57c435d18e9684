"""What a rule could have changed in, the same as values that can be compared out; and how long its calls take."""

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

from oms_kernel.domain.freezing import MAPS
from oms_kernel.testkit.scene import Scene


def fields_of(rule: object) -> dict[str, Any]:
    """What an object keeps in itself, by name; objects without an equality of their own by what they keep."""
    slots = [name for cls in type(rule).__mro__ for name in getattr(cls, "__slots__", ())]
    kept = {**getattr(rule, "__dict__", {}), **{name: getattr(rule, name, None) for name in slots}}
    return {name: _comparable(value) for name, value in kept.items()}


def seen_by(scene: Scene) -> dict[str, Any]:
    """A deep copy of all that a rule can reach through its view."""
    book = scene.state.book
    layers = dict(book.layers())
    seen: dict[str, Any] = {name: _entries(layers[name]) for name in MAPS if name in layers}
    seen |= {
        "instruments": scene.instruments,
        "calendars": scene.calendars,
        "quotes": scene.quotes,
        "facts": scene.known_facts,
        "links": scene.links,
    }
    return copy.deepcopy(seen)


def median_s(calls: int, call: Callable[..., Any], *arguments: Any) -> float:
    """The median time of so many calls, in seconds."""
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        call(*arguments)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _comparable(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_comparable(member) for member in value]
    kind: Any = type(value)
    plain: Any = object
    if kind.__eq__ is not plain.__eq__ or callable(value):
        return value
    return kind.__qualname__, fields_of(value)


def _entries(layer: Any) -> Any:
    changes = getattr(layer, "changes", None)
    return dict(changes) if changes is not None else {group: dict(members) for group, members in layer.added.items()}
