"""Parameters come from plain JSON values, exactly, or the error names the field."""

import pickle
from datetime import time
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest

from oms_kernel.contracts.plugin import NoParams, Secret, described, dump_params, params_schema, parse_params
from oms_kernel.domain.errors import InvalidNumber, InvalidRequest


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step."""

    size: Annotated[Decimal, described("How big", "shares", gt=0)]


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All kinds of parameters."""

    most: Annotated[Decimal, described("The limit", "USD", gt=0, le=1000)]
    window_s: Annotated[int, described("How long", "s", ge=1, le=60)] = 5
    least: Annotated[Decimal, described("The other limit", "USD", ge=0)] | None = None
    steps: tuple[Step, ...] = ()
    by_name: Annotated[dict[str, Annotated[Decimal, described("Each", "USD", gt=0)]], described("All")] = {}
    sizes: tuple[Annotated[int, described("Each", "shares", le=5)], ...] | None = None
    token: Secret | None = None
    loud: bool = False


class Thing:
    """A contributed class."""

    name = "thing"
    title = "A thing"
    Params: type[msgspec.Struct] = Params


class Plain:
    """A contributed class without parameters."""

    name = "plain"
    title = "Plain"
    Params: type[msgspec.Struct] = NoParams


@pytest.mark.parametrize("value", ["12.50", 12, "0.000000000001", "1000"])
def test_decimals_come_from_plain_text_and_ints(value: Any) -> None:
    assert parse_params(Thing, {"most": value}).most == Decimal(value)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"most": 1.5}, "most"),
        ({"most": "1e2"}, "most"),
        ({"most": "1_0"}, "most"),
        ({"most": "NaN"}, "most"),
        ({"most": "Infinity"}, "most"),
        ({"most": "1" * 40}, "most"),
        ({"most": True}, "most"),
        ({"most": None}, "most"),
        ({"most": "0"}, "most"),
        ({"most": "1000.01"}, "most"),
        ({"most": "1", "window_s": 0}, "window_s"),
        ({"most": "1", "window_s": 61}, "window_s"),
        ({"most": "1", "window_s": "5"}, "window_s"),
        ({"most": "1", "least": "-1"}, "least"),
        ({"most": "1", "steps": [{"size": "1"}, {"size": 0}]}, "steps[1].size"),
        ({"most": "1", "by_name": {"a": 1.5}}, "by_name[a]"),
        ({"most": "1", "by_name": {"a": "0"}}, "by_name[a]"),
        ({"most": "1", "sizes": [5, 6]}, "sizes[1]"),
        ({"most": "1", "more": 1}, "parameters"),
        ({}, "parameters"),
        ([], "parameters"),
        (None, "parameters"),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_refused_and_the_field_is_named(values: object, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_params(Thing, values)
    assert refused.value.field == field
    assert "thing" in refused.value.detail


def test_a_number_that_is_no_plain_decimal_is_an_invalid_number() -> None:
    with pytest.raises(InvalidNumber):
        parse_params(Thing, {"most": 1.5})


def test_the_schema_tells_descriptions_units_and_bounds() -> None:
    schema = params_schema(Thing)
    assert schema["properties"]["most"] == {
        "type": "string",
        "format": "decimal",
        "description": "The limit",
        "x-unit": "USD",
        "exclusiveMinimum": 0,
        "maximum": 1000,
    }
    assert schema["properties"]["window_s"]["x-unit"] == "s"
    assert schema["properties"]["least"]["x-unit"] == "USD"
    assert schema["$defs"]["Step"]["properties"]["size"]["description"] == "How big"
    assert schema["additionalProperties"] is False
    assert params_schema(Plain)["properties"] == {}


def test_a_secret_shows_itself_only_when_asked_to() -> None:
    params = parse_params(Thing, {"most": "1", "token": "hunter2"})
    assert params.token.reveal() == "hunter2"
    assert "hunter2" not in f"{params} {params.token} {params!r} {params.token:>20} {dump_params(params)}"
    assert dump_params(params)["token"] == Secret.MASK
    with pytest.raises(TypeError):
        pickle.dumps(params.token)


class Session(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times of day, alone and within something."""

    opens: Annotated[time, described("When it opens")]
    closes: Annotated[time, described("When it closes")] | None = None
    pauses: tuple[time, ...] = ()
    by_day: dict[str, time] = {}
    note: str = ""


class Timed:
    """A contributed class with times of day."""

    name = "timed"
    title = "Timed"
    Params: type[msgspec.Struct] = Session


@pytest.mark.parametrize("written", ["09:15", "09:15:00"])
def test_times_of_day_are_written_with_or_without_seconds(written: str) -> None:
    params = parse_params(
        Timed,
        {"opens": written, "closes": "15:20:30", "pauses": [written], "by_day": {"MON": written}, "note": "12:00"},
    )
    assert (params.opens, params.closes) == (time(9, 15), time(15, 20, 30))
    assert (params.pauses, params.by_day) == ((time(9, 15),), {"MON": time(9, 15)})
    assert params.note == "12:00", "what is no time of day stays as it was written"


@pytest.mark.parametrize("wrong", ["9:15", "24:00", "12:60", "noon", "", "\u0661\u0662:00"])
def test_what_is_no_time_of_day_is_told_with_its_field_and_the_form(wrong: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_params(Timed, {"opens": "09:15", "closes": wrong})
    assert caught.value.field == "closes"
    assert "Expected a time of day, such as 15:20 or 15:20:30" in caught.value.detail


def test_times_of_day_within_lists_are_named_by_their_place() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_params(Timed, {"opens": "09:15", "pauses": ["10:00", "25:00"]})
    assert caught.value.field == "pauses[1]"


@pytest.mark.parametrize("values", [None, [], "09:15", 5])
def test_parameters_that_are_no_object_are_refused(values: Any) -> None:
    with pytest.raises(InvalidRequest):
        parse_params(Timed, values)
