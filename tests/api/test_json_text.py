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
