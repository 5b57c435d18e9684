"""Events come back from the log as they were, and what a build cannot read it refuses."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_kernel.domain import events as ev
from oms_kernel.domain.errors import UnknownEvent
from oms_kernel.domain.ids import AccountId

PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    Decimal: st.integers(-(10**30) + 1, 10**30 - 1).map(lambda units: Decimal(f"{units}E-12")),
    datetime: st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    date: st.dates(date(1971, 1, 1), date(2100, 1, 1)),
    time: st.times(),
    str: st.text(st.characters(codec="utf-8"), max_size=12),
    int: st.integers(-(2**62), 2**62),
    bool: st.booleans(),
    type(None): st.none(),
    Any: st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type, every field of a nested value given."""
    hint = getattr(hint, "__supertype__", hint)
    if hint in PLAIN:
        return PLAIN[hint]
    arguments = get_args(hint)
    if get_origin(hint) is tuple:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if get_origin(hint) is dict:
        return st.dictionaries(values_of(arguments[0]), values_of(arguments[1]), max_size=3)
    if arguments:
        return st.one_of(*(values_of(argument) for argument in arguments))
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    return st.builds(hint, **{field.name: values_of(field.type) for field in msgspec.structs.fields(hint)})


@pytest.mark.parametrize("cls", ev.EVENT_CLASSES)
@given(data=st.data())
def test_every_event_comes_back_as_it_was(cls: type[ev.Event], data: st.DataObject) -> None:
    event = data.draw(values_of(cls))
    payload = ev.encode_event(event)
    decoded = ev.decode_event(cls.kind, cls.version, payload)
    assert decoded == event and type(decoded) is cls
    assert ev.encode_event(decoded) == payload, "the same event has one encoding"
    assert not any(isinstance(value, float) for value in numbers_in(json.loads(payload))), "no number is a float"


def numbers_in(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers_in(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers_in(item)]
    return [value]


def test_each_kind_is_told_by_one_class() -> None:
    kinds = [cls.kind for cls in ev.EVENT_CLASSES]
    assert len(set(kinds)) == len(kinds)
    leaves = {cls for cls in all_subclasses(ev.Event) if "kind" in vars(cls)}
    assert leaves == set(ev.EVENT_CLASSES), "an event that is not listed cannot be read back"


def all_subclasses(cls: type[Any]) -> set[type[Any]]:
    return {sub for direct in cls.__subclasses__() for sub in {direct, *all_subclasses(direct)}}


@pytest.mark.parametrize(("kind", "version"), [("order_vanished", 1), ("cash_changed", 2), ("cash_changed", 0)])
def test_an_unknown_kind_or_version_is_refused(kind: str, version: int) -> None:
    with pytest.raises(UnknownEvent):
        ev.decode_event(kind, version, b'{"currency":"USD","amount":"1","reason_code":"x"}')


@pytest.fixture
def third_version_of_cash(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[Any], Any]], None]:
    """A build in which cash_changed has reached version 3; gives the way to plant upcasters."""
    monkeypatch.setitem(ev._CURRENT, "cash_changed", 3)
    return lambda version, upcast: monkeypatch.setitem(ev.UPCASTERS, ("cash_changed", version), upcast)


def test_an_old_version_is_brought_up_step_by_step(
    third_version_of_cash: Callable[[int, Callable[[Any], Any]], None],
) -> None:
    third_version_of_cash(1, lambda fields: {**fields, "reason_code": fields.pop("why")})
    third_version_of_cash(2, lambda fields: {**fields, "currency": fields["currency"].upper()})
    first = b'{"account_id":"a","currency":"usd","amount":"1.50","why":"deposit"}'
    expected = ev.CashChanged(account_id=AccountId("a"), currency="USD", amount=Decimal("1.50"), reason_code="deposit")
    assert ev.decode_event("cash_changed", 1, first) == expected
    second = b'{"account_id":"a","currency":"usd","amount":"1.50","reason_code":"deposit"}'
    assert ev.decode_event("cash_changed", 2, second) == expected
    assert ev.decode_event("cash_changed", 3, ev.encode_event(expected)) == expected


def test_a_version_without_a_way_up_is_refused(
    third_version_of_cash: Callable[[int, Callable[[Any], Any]], None],
) -> None:
    third_version_of_cash(2, lambda fields: fields)
    with pytest.raises(UnknownEvent, match="no way to version 2"):
        ev.decode_event("cash_changed", 1, b'{"currency":"USD","amount":"1","reason_code":"x"}')
