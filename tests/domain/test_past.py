"""A book whose ended orders are packed, or that was frozen and thawed, says in every map what an ordinary one says."""

import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from oms_kernel.domain import events as ev
from oms_kernel.domain import packed, past
from oms_kernel.domain.book import Book
from oms_kernel.domain.freezing import MAPS, Damaged, fold_version, freeze, thaw
from oms_kernel.domain.ids import BrokerOrderId, ExecId
from oms_kernel.domain.layered import Layered
from oms_kernel.domain.lifecycle import Evidence
from oms_kernel.domain.order import Side
from oms_kernel.domain.packed import Blocks, Places
from oms_kernel.domain.past import pack
from oms_kernel.testkit.builders import a_uuid
from oms_kernel.testkit.scene import Scene


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "BLOCK", 3)
    monkeypatch.setattr(past, "BLOCK", 3)


def story(seed: int, steps: int = 120) -> Sequence[ev.Recorded]:
    """Orders that are filled in parts and whole, cancelled, denied, corrected and busted, long after they ended too."""
    chance, scene = random.Random(seed), Scene()
    for number in range(steps):
        scene.wait(minutes=chance.randint(1, 300))
        scene.quote()
        orders = list(scene.state.book.orders.values())
        active = [order for order in orders if order.is_active and order.sent_at is not None]
        fills = list(scene.state.book.executions.values())
        live = [fill for fill in fills if not fill.busted]
        request = scene.order(chance.choice([Side.BUY, Side.SELL]), chance.randint(2, 9), client_order_id=f"c{number}")
        match chance.randint(0, 9):
            case 0:
                scene.deny(request)
            case 1 | 2 if active:
                scene.fill(chance.choice(active), 1, chance.randint(90, 110))
            case 3 | 4 if active:
                order = chance.choice(active)
                scene.fill(order, order.leaves_quantity or 1, chance.randint(90, 110))
            case 5 if orders:
                scene.fill(chance.choice(orders), 1, 99)
            case 6 if live:
                fill = chance.choice(live)
                scene.record(
                    ev.ExecutionCorrected(
                        account_id=fill.account_id, order_id=fill.order_id, broker_account_id=fill.broker_account_id,
                        exec_id=fill.exec_id, correction_id=ExecId(f"C{number}"), quantity=fill.quantity,
                        price=fill.price + 1, fee=Decimal("0.5"),
                    )
                )  # fmt: skip
            case 7 if live:
                fill = chance.choice(live)
                scene.record(
                    ev.FeeAttached(
                        account_id=fill.account_id, order_id=fill.order_id, broker_account_id=fill.broker_account_id,
                        exec_id=fill.exec_id, fee=Decimal(chance.randint(1, 9)),
                    )
                )  # fmt: skip
            case _:
                order = scene.acknowledge(scene.accept(request))
                if chance.random() < 0.3:
                    scene.record(
                        ev.OrderCanceled(
                            account_id=request.account_id, order_id=order.order_id, evidence=Evidence.BROKER,
                            broker_order_id=BrokerOrderId(f"B{number}"),
                        )
                    )  # fmt: skip
    return scene.events


def whole(events: Sequence[ev.Recorded]) -> Book:
    book = Book()
    for recorded in events:
        book.apply(recorded)
    return book


def packing(events: Sequence[ev.Recorded], seed: int, keep: int, *, freezing: bool = False) -> Book:
    """The same events in batches of any size, packed after each; now and then frozen and thawed."""
    chance, book, following = random.Random(seed), Book(), 0
    while following < len(events):
        batch = events[following : following + chance.randint(1, 4)]
        following += len(batch)
        overlay = book.overlay()
        for recorded in batch:
            overlay.apply(recorded)
        book.adopt(overlay)
        pack(book, keep)
        if freezing and chance.random() < 0.3:
            book = thaw(freeze(book))
    return book


def told(book: Book) -> dict[str, Any]:
    """Every map of the book as plain values."""
    return {
        name: dict(layer.items())
        if isinstance(layer, Layered)
        else {group: list(layer.entries(group)) for group in layer.keys() if any(True for _ in layer.entries(group))}
        for name, layer in book.layers()
    }


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("keep", [0, 5])
def test_packing_changes_nothing_that_a_book_says(seed: int, keep: int) -> None:
    events = story(seed)
    plain, tight = whole(events), packing(events, seed, keep)
    assert tight.past is not None and len(tight.past.order_blocks) > 0 and len(tight.past.fill_blocks) > 0
    assert told(tight) == told(plain)
    assert len(tight.orders) == len(plain.orders)
    for order in plain.orders.values():
        assert tight.orders[order.order_id] == order
        assert tight.orders.overlay()[order.order_id] == order
        for wire_id in order.wire_ids:
            assert tight.find_order(order.broker_account_id, wire_id, None) == order
        for broker_order_id in order.broker_order_ids:
            assert tight.find_order(order.broker_account_id, None, broker_order_id) == order
        client_order_id = order.request.client_order_id
        assert client_order_id is not None
        assert tight.client_orders[order.request.account_id, client_order_id] == order.order_id
    for key, fill in plain.executions.items():
        assert tight.execution(*key) == fill
    assert tight.orders.get(a_uuid("nobody's")) is None  # type: ignore[arg-type]
    assert tight.find_order(fill.broker_account_id, "unknown", "unknown") is None  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(6))
def test_a_book_that_was_frozen_and_thawed_goes_on_as_if_nothing_had_been(seed: int) -> None:
    events = story(seed)
    plain, thawed = whole(events), packing(events, seed, 2, freezing=True)
    assert (thawed.seq, thawed.recorded_at) == (plain.seq, plain.recorded_at)
    assert told(thawed) == told(plain)
    assert told(thaw(freeze(plain))) == told(plain)


def test_every_map_of_a_book_is_frozen() -> None:
    assert [name for name, _ in Book().layers()] == list(MAPS)


def test_damaged_bytes_never_become_a_book() -> None:
    data = freeze(packing(story(1), 1, 0))
    for position in (0, 40, len(data) // 2, len(data) - 1):
        broken = bytearray(data)
        broken[position] ^= 1
        with pytest.raises(Damaged):
            thaw(bytes(broken))
    with pytest.raises(Damaged):
        thaw(b"")


def test_the_fold_has_one_version_for_one_source() -> None:
    assert fold_version() == fold_version()
    assert len(fold_version()) == 32


def test_places_are_found_newest_first_and_survive_being_stored() -> None:
    places = Places()
    for number in range(2_000):
        places.put(f"key {number % 1_000}", number)
    again = Places(places.dump())
    for number in range(1_000):
        assert again.find(f"key {number}") == places.find(f"key {number}") == [number + 1_000, number]
    assert places.find("key 1000") == []
    places.put(("a", "b"), 7)
    assert places.find(("a", "b")) == [7] and places.find("ab") == []


def test_a_block_is_whole_or_none() -> None:
    blocks = Blocks(int)
    with pytest.raises(ValueError, match="a block holds 3"):
        blocks.add([1, 2])
    assert blocks.add([1, 2, 3]) == 0
    assert blocks.add([4, 5, 6]) == 3
    assert list(blocks) == [blocks[place] for place in range(6)] == [1, 2, 3, 4, 5, 6]


def test_a_packed_order_takes_a_fraction_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    scene = Scene()
    for number in range(2 * packed.BLOCK):
        scene.wait(seconds=1)
        scene.quote()
        order = scene.acknowledge(scene.accept(scene.order(quantity=number + 1, client_order_id=f"c{number}")))
        scene.fill(order, number + 1)
    book = scene.state.book
    assert pack(book, 0) == 4 * packed.BLOCK
    assert not book.orders.changes and not book.executions.changes and not book.wires.changes
    assert book.past is not None
    stored = sum(map(len, book.past.order_blocks.blocks)) + sum(map(len, book.past.fill_blocks.blocks))
    indexes = sum(len(bucket) for one in book.past.maps.values() for bucket in one.places.dump())
    assert (stored + indexes) / (2 * packed.BLOCK) < 500
