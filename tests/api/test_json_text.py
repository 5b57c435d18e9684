"""JSON bytes become values once: no key twice, whatever colons and quotes stand in texts."""

import pytest

from oms_app.api.json_text import NotJson, decode


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}',
        b'{"a" : 1, "b": {"c":"x:y", "c"\t:2}}',
        b'[{"at":"2026-01-31T15:30:00Z","at"\n:"2026-01-31T15:30:00Z"}]',
        rb'{"\u0061":1,"a":2}',
    ],
)
def test_a_key_that_stands_twice_is_refused(text: bytes) -> None:
    with pytest.raises(NotJson, match="twice"):
        decode(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"at":"2026-01-31T15:30:00Z"}', {"at": "2026-01-31T15:30:00Z"}),
        (rb'{"a":"\":\" :","b\"":1}', {"a": '":" :', 'b"': 1}),
        (b'{"a" :\r\n[{"b": {}}, ":"]}', {"a": [{"b": {}}, ":"]}),
    ],
)
def test_colons_and_quotes_in_texts_are_no_keys(text: bytes, value: object) -> None:
    assert decode(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 33 + b"]" * 33,
        b'{"a":' * 33 + b"1" + b"}" * 33,
        b'["]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",' + b"[" * 32 + b"]" * 32 + b"]",
        rb'["\"]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\\",' + b"[" * 32 + b"]" * 32 + b"]",
        b"[" * 1_000_000,
    ],
)
def test_what_is_nested_too_deep_is_refused_before_it_is_read(text: bytes) -> None:
    with pytest.raises(NotJson, match="deeper than 32"):
        decode(text)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 32 + b"]" * 32,
        b'["' + b"[" * 500 + b'", "' + b"{" * 500 + b'"]',
        b'["\\"' + b"[" * 100 + b'"]',
        b"[" + b",".join([b'{"a":{},"b":[]}'] * 200) + b"]",
    ],
)
def test_brackets_in_texts_and_side_by_side_are_no_depth(text: bytes) -> None:
    assert isinstance(decode(text), list)
