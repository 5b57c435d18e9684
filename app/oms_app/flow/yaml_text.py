"""YAML text in, plain values and the line of each out: no binary float, no key twice, no aliases, bounded depth.

Whole numbers become ints; everything else that looks like a number or a date stays the text that was written, so that
decimals are exact. Only true and false are truth values, only null, ~ and nothing at all are nothing.
"""

import re
from typing import Any

import msgspec
import yaml

from oms_kernel.domain.errors import InvalidRequest

MOST_CHARACTERS = 1_000_000
MAX_DEPTH = 16
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\Z", re.ASCII)
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_TAG = "tag:yaml.org,2002:"
_TEXT, _SEQUENCE, _MAPPING = f"{_TAG}str", f"{_TAG}seq", f"{_TAG}map"
_PLAIN = frozenset(_TAG + name for name in ("bool", "float", "int", "null", "timestamp", "value"))
"""What plain words look like to YAML; what they are here is decided by the words themselves."""


class BadYaml(InvalidRequest):
    """The text is no YAML that is taken here. line: counted from 1; 0 when it is about the text as a whole."""

    def __init__(self, detail: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {detail}" if line else detail, field="yaml")
        self.line = line


class Document(msgspec.Struct, frozen=True):
    """The values, and where each stands. lines: path -> line; paths are written as `tenants.acme.limits[0].rule`."""

    value: Any
    lines: dict[str, int]

    def line_of(self, path: str) -> int:
        """The line of the path, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 0)


def read_yaml(text: str) -> Document:
    """The document in the text; an empty one is None. Raises BadYaml."""
    if len(text) > MOST_CHARACTERS:
        raise BadYaml(f"the text is longer than {MOST_CHARACTERS} characters")
    try:
        loader = _Loader(text)
    except yaml.YAMLError:
        raise BadYaml("it holds characters that no YAML may hold") from None
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadYaml(f"this is no YAML: {error.problem or error.context}", mark.line + 1 if mark else 0) from None
    except yaml.YAMLError as error:
        raise BadYaml(f"this is no YAML: {error}") from None
    finally:
        loader.dispose()
    lines: dict[str, int] = {}
    return Document(_value(node, "", lines) if node is not None else None, lines)


class _Loader(yaml.SafeLoader):
    """Composes nodes and constructs nothing."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node. Raises BadYaml for aliases and for what is nested too deep."""
        events: Any = self
        line = events.peek_event().start_mark.line + 1
        if self.check_event(yaml.AliasEvent):
            raise BadYaml("aliases (*name) are not taken; write the value out", line)
        if self.depth >= MAX_DEPTH:
            raise BadYaml(f"it is nested deeper than {MAX_DEPTH} levels", line)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _value(node: Any, path: str, lines: dict[str, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode) and node.tag == _MAPPING:
        return _mapping(node, path, lines)
    if isinstance(node, yaml.SequenceNode) and node.tag == _SEQUENCE:
        return [_value(item, f"{path}[{place}]", lines) for place, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    raise BadYaml(f"the tag {node.tag} is not taken", node.start_mark.line + 1)


def _mapping(node: Any, path: str, lines: dict[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or key_node.value == "<<":
            raise BadYaml("a key is one plain word", line)
        key = str(key_node.value)
        if key in found:
            raise BadYaml(f"the key {key!r} stands twice in one mapping", line)
        below = f"{path}.{key}" if path else key
        lines[below] = line
        found[key] = _value(value_node, below, lines)
    return found


def _scalar(node: Any) -> Any:
    text = str(node.value)
    if node.tag not in (_TEXT, *_PLAIN):
        raise BadYaml(f"the tag {node.tag} is not taken", node.start_mark.line + 1)
    if node.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if _WHOLE.match(text) else text
