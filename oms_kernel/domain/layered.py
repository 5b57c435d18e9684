"""Maps with a droppable overlay: committed entries below, a batch's changes above; adopting costs the changes only."""

from collections.abc import Hashable, Iterator
from typing import Any, Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)
G = TypeVar("G", bound=Hashable)
V = TypeVar("V")


class Below(Protocol):
    """Entries that lie packed below a map."""

    def get(self, key: Any) -> Any: ...
    def items(self) -> Iterator[tuple[Any, Any]]: ...


class BelowGroups(Protocol):
    """Entries that lie packed below groups; they are older than all others of their group."""

    groups: dict[Any, Any]

    def entries(self, group: Any) -> Iterator[tuple[Any, Any]]: ...


class Layered(Generic[K, V]):
    """A map of immutable values. Without a base it is a plain map; with one it reads through and writes above.

    below: where a map without a base looks for what it does not hold itself (`oms_kernel.domain.past`).
    """

    __slots__ = ("base", "below", "changes")

    def __init__(self, base: "Layered[K, V] | None" = None) -> None:
        self.base = base
        self.changes: dict[K, V] = {}
        self.below: Below | None = None

    def get(self, key: K, /) -> V | None:
        """The value, or None."""
        layer = self
        while True:
            found = layer.changes.get(key)
            if found is not None:
                return found
            base = layer.base
            if base is None:
                return layer.below.get(key) if layer.below is not None else None
            layer = base

    def __getitem__(self, key: K) -> V:
        found = self.changes.get(key)
        if found is None:
            found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: K, value: V) -> None:
        self.changes[key] = value

    def __contains__(self, key: K) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        if self.base is None:
            return sum(1 for _ in self.items()) if self.below is not None else len(self.changes)
        return len(self.base) + sum(1 for key in self.changes if key not in self.base)

    def items(self) -> Iterator[tuple[K, V]]:
        """All entries, each key once with its newest value; older keys first."""
        if self.base is not None:
            for key, value in self.base.items():
                yield key, self.changes.get(key, value)
            yield from ((key, value) for key, value in self.changes.items() if key not in self.base)
        elif self.below is None:
            yield from self.changes.items()
        else:
            packed: dict[K, V] = dict(self.below.items())
            for key, value in packed.items():
                yield key, self.changes[key] if key in self.changes else value
            yield from ((key, value) for key, value in self.changes.items() if key not in packed)

    def values(self) -> Iterator[V]:
        """All newest values."""
        return (value for _, value in self.items())

    def overlay(self) -> "Layered[K, V]":
        """An empty layer above this one."""
        return Layered(self)

    def adopt(self, overlay: "Layered[K, V]") -> None:
        """Take over the changes of an overlay of this map."""
        self.changes.update(overlay.changes)


class Grouped(Generic[G, K, V]):
    """Groups of entries, each group a small ordered map; an overlay holds only what was added to or removed from it.

    An entry that was taken out and put in again stands last, in one batch as in two: the order is part of the fold.
    """

    __slots__ = ("added", "base", "below", "removed")

    def __init__(self, base: "Grouped[G, K, V] | None" = None) -> None:
        self.base = base
        self.added: dict[G, dict[K, V]] = {}
        self.removed: dict[G, dict[K, None]] = {}
        """Keys taken out of the base's groups; empty without a base. One that is also in `added` came back."""
        self.below: BelowGroups | None = None

    def add(self, group: G, key: K, value: V) -> None:
        """Put an entry into a group, or replace it."""
        self.added.setdefault(group, {})[key] = value

    def remove(self, group: G, key: K) -> None:
        """Take an entry out of its group."""
        entries = self.added.get(group)
        if entries is not None:
            entries.pop(key, None)
            if not entries:
                del self.added[group]
        if self.base is not None:
            self.removed.setdefault(group, {})[key] = None

    def find(self, group: G, key: K) -> V | None:
        """One entry of a group, or None; of groups that have nothing packed below them."""
        entries = self.added.get(group)
        found = entries.get(key) if entries is not None else None
        if found is not None or self.base is None:
            return found
        removed = self.removed.get(group)
        return None if removed is not None and key in removed else self.base.find(group, key)

    def holds(self, group: G) -> bool:
        """Whether a group has any entries."""
        if self.added.get(group):
            return True
        if self.base is None or self.removed.get(group):
            return any(True for _ in self.entries(group))
        return self.base.holds(group)

    def entries(self, group: G) -> Iterator[tuple[K, V]]:
        """The entries of one group, oldest first."""
        added = self.added.get(group, {})
        if self.base is None:
            if self.below is not None:
                yield from self.below.entries(group)
            yield from added.items()
            return
        removed = self.removed.get(group, {})
        replaced = set()
        for key, value in self.base.entries(group):
            if key in removed:
                continue
            if key in added:
                replaced.add(key)
                yield key, added[key]
            else:
                yield key, value
        for key, value in added.items():
            if key not in replaced:
                yield key, value

    def keys(self) -> Iterator[G]:
        """The groups that have or had entries."""
        yield from self.added
        if self.below is not None:
            yield from (group for group in self.below.groups if group not in self.added)
        if self.base is not None:
            yield from (group for group in self.base.keys() if group not in self.added)

    def overlay(self) -> "Grouped[G, K, V]":
        """An empty layer above this one."""
        return Grouped(self)

    def adopt(self, overlay: "Grouped[G, K, V]") -> None:
        """Take over the changes of an overlay."""
        for group, removed in overlay.removed.items():
            for key in removed:
                self.remove(group, key)
        for group, added in overlay.added.items():
            for key, value in added.items():
                self.add(group, key, value)
