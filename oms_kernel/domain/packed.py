"""Values that hardly anybody asks for any more in, the same values out: packed in blocks, at a few bytes for each key.

What is packed is never changed: a newer value of the same key stands in a later block, or unpacked above.
"""

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Generic, TypeVar

import msgspec

V = TypeVar("V")

BLOCK = 128
"""Values of one block: all of it is unpacked for one of them."""
_BUCKETS = 256
_PLACE_BITS = 32
_PLACE_MASK = (1 << _PLACE_BITS) - 1


class Blocks(Generic[V]):
    """A list of immutable values that only grows, by whole blocks."""

    def __init__(self, kind: type[V], blocks: Iterable[bytes] = ()) -> None:
        self._encode = msgspec.json.Encoder(decimal_format="string").encode
        self._decode = msgspec.json.Decoder(list[kind]).decode  # type: ignore[valid-type]
        self.blocks: list[bytes] = list(blocks)
        self._last: tuple[int, list[V]] = (-1, [])

    def add(self, values: Sequence[V]) -> int:
        """The place of the first of these values; the others follow. Raises ValueError unless they are one block."""
        if len(values) != BLOCK:
            raise ValueError(f"a block holds {BLOCK} values, these are {len(values)}")
        self.blocks.append(zlib.compress(self._encode(values), 1))
        return (len(self.blocks) - 1) * BLOCK

    def __getitem__(self, place: int) -> V:
        number, offset = divmod(place, BLOCK)
        known, values = self._last
        if known != number:
            values = self._decode(zlib.decompress(self.blocks[number]))
            self._last = (number, values)
        return values[offset]

    def __len__(self) -> int:
        return len(self.blocks) * BLOCK

    def __iter__(self) -> Iterator[V]:
        for block in list(self.blocks):
            yield from self._decode(zlib.decompress(block))


class Places:
    """Where the value of a key may be: eight bytes for each key. Whoever asks compares the key of what is there."""

    def __init__(self, buckets: Iterable[bytes] = ()) -> None:
        self._buckets = [array("Q", bucket) for bucket in buckets] or [array("Q") for _ in range(_BUCKETS)]

    def put(self, key: object, place: int) -> None:
        """Remember one more place of a key."""
        bucket, mark = _mark(key)
        entries = self._buckets[bucket]
        entry = mark << _PLACE_BITS | place
        entries.insert(bisect_left(entries, entry), entry)

    def find(self, key: object) -> list[int]:
        """The places at which to look, the newest first."""
        bucket, mark = _mark(key)
        entries = self._buckets[bucket]
        found = []
        index = bisect_left(entries, mark << _PLACE_BITS)
        while index < len(entries) and entries[index] >> _PLACE_BITS == mark:
            found.append(entries[index] & _PLACE_MASK)
            index += 1
        found.reverse()
        return found

    def dump(self) -> list[bytes]:
        """What a Places can be made of again."""
        return [entries.tobytes() for entries in self._buckets]


class PackedMap(Generic[V]):
    """A map into blocks: by one of the keys of each value to something that follows from the value.

    keys: the keys of a value. answer: what the map holds under them.
    """

    def __init__(
        self, blocks: Blocks[V], places: Places, keys: Callable[[V], Iterable[object]], answer: Callable[[V], object]
    ) -> None:
        self._blocks = blocks
        self.places = places
        self._keys = keys
        self._answer = answer

    def get(self, key: object) -> object:
        """What stands under the key, or None."""
        for place in self.places.find(key):
            value = self._blocks[place]
            if key in self._keys(value):
                return self._answer(value)
        return None

    def note(self, value: V, place: int) -> None:
        """Take in a value that was packed at this place."""
        for key in self._keys(value):
            self.places.put(key, place)

    def items(self) -> Iterator[tuple[object, object]]:
        """All entries, oldest first, each key once with its newest answer; reads every block."""
        newest: dict[object, object] = {}
        for value in self._blocks:
            for key in self._keys(value):
                newest[key] = self._answer(value)
        yield from newest.items()


def _mark(key: object) -> tuple[int, int]:
    """(bucket, 32 bits) of a key; the same in every process."""
    text = key if isinstance(key, str) else "\0".join(map(str, key))  # type: ignore[call-overload]
    digest = blake2b(text.encode(), digest_size=5).digest()
    return digest[0], int.from_bytes(digest[1:], "big")
