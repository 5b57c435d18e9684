"""What was once written to a log can be read for ever: one golden line for each kind and version of event."""

import json
from pathlib import Path

import pytest

from oms_kernel.domain import events as ev

GOLDEN = Path(__file__).parent / "golden" / "events.jsonl"
LINES = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]


def payload_text(line: dict[str, object]) -> str:
    return json.dumps(line["payload"], separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize(
    "line", LINES, ids=[f"{line['kind']}-{line['version']}-{place}" for place, line in enumerate(LINES)]
)
def test_a_golden_event_is_read_and_written_again_as_it_was(line: dict[str, object]) -> None:
    kind, version = str(line["kind"]), int(str(line["version"]))
    event = ev.decode_event(kind, version, payload_text(line))
    assert event.kind == kind
    if version == event.version:
        assert json.loads(ev.encode_event(event)) == line["payload"]
        assert ev.encode_event(event).decode() == payload_text(line)
    assert ev.decode_event(kind, event.version, ev.encode_event(event)) == event


def test_every_kind_has_a_golden_line_for_each_version() -> None:
    wanted = {(cls.kind, version) for cls in ev.EVENT_CLASSES for version in range(1, cls.version + 1)}
    assert {(str(line["kind"]), int(str(line["version"]))) for line in LINES} == wanted


def test_golden_lines_use_every_field_of_an_event() -> None:
    """A field that came later stands in a further line; the older lines stay and must stay readable."""
    for cls in ev.EVENT_CLASSES:
        used = {
            name
            for line in LINES
            if line["kind"] == cls.kind and line["version"] == cls.version
            for name in line["payload"]
        }
        assert used == set(cls.__struct_fields__), cls.kind
