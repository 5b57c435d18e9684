"""Installed rules, checks and monitors in, their reference out as Markdown: what each denies, with every parameter.

python -m oms_kernel.testkit.rule_reference examples/rules.yaml docs/rules.md

The first file is one of limits, as `oms risk apply` takes it; the limit of each rule in it is its example.
"""

import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as shapes

from oms_kernel.domain.controls import Action, Category
from oms_kernel.domain.money import to_text
from oms_kernel.host import PluginHost
from oms_kernel.registry import Kind, Registered, Registries

HEAD = """# Rules, checks and monitors

What limits can be made of, generated from the code: `python -m oms_kernel.testkit.rule_reference examples/rules.yaml
docs/rules.md`. [Risk](risk.md) tells how they work together, [Compliance](compliance.md) what the checks need to know.
`oms risk rules` shows what is installed with you, your own packages included.

- **Checks** are asked first, then **rules**, each by its rank, the lowest first. All are asked, also after a denial.
- **Monitors** deny nothing. They are asked after every fill and on every mark, and set off the action of their limit.
- A rule that remembers may set off an action as well; where one does, the page names the action of a limit that
  names none. Breaches are of the category RISK, but for those that open a case of compliance (SURVEILLANCE).
- `Follows` names the rule of law, the guide or the event that gave rise to it. It is no legal advice.
- A parameter without a default is needed. `none` as a default means that there is no such limit. Numbers are exact.

"""
CHAPTERS = (
    (Kind.COMPLIANCE_CHECK, "Compliance checks"),
    (Kind.RISK_RULE, "Risk rules"),
    (Kind.MONITOR, "Monitors"),
)
USUAL_RANK = 100
_BOUNDS = {"gt": "above", "ge": "at least", "le": "at most"}
_EXAMPLE = re.compile(r"^  - rule: (\w+)\n(?:    .*\n)*", re.MULTILINE)


def page(registries: Registries, examples: Mapping[str, str]) -> str:
    """The whole page. examples: the limit of each rule, as YAML."""
    lines = [HEAD + _row("Name", "What", "Kind", "Plugin", "Follows"), _row(*["---"] * 5)]
    for kind, chapter in CHAPTERS:
        for one in in_order(registries.of(kind).values()):
            about = one.contributed
            named = f"[`{one.name}`](#{one.name})"
            lines.append(_row(named, about.title, chapter[:-1].split()[-1].lower(), one.plugin, source_of(about)))
    for kind, chapter in CHAPTERS:
        lines += ["", f"## {chapter}"]
        for one in in_order(registries.of(kind).values()):
            lines += ["", *_entry(one, kind, examples.get(one.name, ""))]
    return "\n".join(lines) + "\n"


def in_order(entries: Iterable[Registered[Any]]) -> list[Registered[Any]]:
    """As the host asks them: by rank, then by name."""
    return sorted(entries, key=lambda one: (getattr(one.contributed, "rank", USUAL_RANK), one.name))


def source_of(contributed: Any) -> str:
    """What it follows; empty when it does not say."""
    return str(getattr(contributed, "source", ""))


def examples_of(text: str) -> dict[str, str]:
    """The limits in the text of a file of limits by their rule; they stand two columns in, with `rule:` first."""
    return {found[1]: found[0].rstrip() for found in _EXAMPLE.finditer(text)}


def _entry(one: Registered[Any], kind: Kind, example: str) -> Iterator[str]:
    about = one.contributed
    yield f"### {one.name}"
    yield ""
    yield f"**{about.title}.** {' '.join(_facts(one, kind))}"
    yield ""
    yield inspect.cleandoc(about.__doc__ or "")
    yield ""
    rows = list(_fields(shapes.type_info(about.Params)))
    if rows:
        yield inspect.cleandoc(about.Params.__doc__ or "")
        yield ""
        yield _row("Parameter", "Type", "Unit", "Bounds", "Default", "Meaning")
        yield _row(*["---"] * 6)
        yield from rows
    else:
        yield "It has no parameters."
    if example:
        yield ""
        yield f"```yaml\n{textwrap.dedent(example)}\n```"


def _facts(one: Registered[Any], kind: Kind) -> Iterator[str]:
    about = one.contributed
    yield f"Plugin `{one.plugin}`" + ("." if kind is Kind.MONITOR else f", rank {getattr(about, 'rank', USUAL_RANK)}.")
    if hasattr(about, "watch") or hasattr(about, "default_action"):
        action = getattr(about, "default_action", Action.ALERT)
        yield f"Sets off {action.value} where its limit names no action."
    if getattr(about, "category", Category.RISK) is Category.SURVEILLANCE:
        yield "Opens a case of compliance."
    if kind is not Kind.MONITOR and getattr(about, "takes_scope", False):
        yield "Measures over the scope of its limit."
    yield f"Follows: {source_of(about) or 'nothing that it names'}."


def _fields(shape: Any, path: str = "") -> Iterator[str]:
    """A row for each field, those of structs within it below it."""
    for field in shape.fields:
        name = f"{path}{field.encode_name}"
        inner, about, bounds = _unwrapped(field.type)
        yield _row(
            f"`{name}`",
            _type(inner),
            about.get("unit", ""),
            bounds,
            "needed" if field.required else _default(field),
            about.get("description", ""),
        )
        item, mark = _item(inner)
        if isinstance(item, shapes.StructType):
            yield from _fields(item, f"{name}{mark}.")


def _unwrapped(shape: Any) -> tuple[Any, dict[str, Any], str]:
    """(the type itself, its description and unit, its bounds in words) of an annotated or optional type."""
    about: dict[str, Any] = {}
    if isinstance(shape, shapes.UnionType):
        shape = next(one for one in shape.types if not isinstance(one, shapes.NoneType))
    while isinstance(shape, shapes.Metadata):
        about = {**(shape.extra_json_schema or {}), **(shape.extra or {}), **about}
        shape = shape.type
    words = [f"{word} {about[key]}" for key, word in _BOUNDS.items() if about.get(key) is not None]
    item, _mark = _item(shape)
    if item is not shape and not isinstance(item, shapes.StructType):
        of_items = _unwrapped(item)[2]
        words += [f"each {of_items}"] if of_items else []
    return shape, about, ", ".join(words)


def _item(shape: Any) -> tuple[Any, str]:
    """(what a list or mapping holds, how its path says so); of anything else itself."""
    if isinstance(shape, shapes.DictType):
        return shape.value_type, "{}"
    item = getattr(shape, "item_type", None)
    return (shape, "") if item is None else (item, "[]")


def _type(shape: Any) -> str:
    if isinstance(shape, shapes.EnumType):
        return ", ".join(str(one.value) for one in shape.cls)
    if isinstance(shape, shapes.DictType):
        return f"mapping of {_type(_unwrapped(shape.key_type)[0])} to {_type(_unwrapped(shape.value_type)[0])}"
    item, _mark = _item(shape)
    if item is not shape:
        return f"list of {_type(_unwrapped(item)[0])}"
    return _TYPES.get(type(shape), "object")


_TYPES: dict[type, str] = {
    shapes.DecimalType: "decimal",
    shapes.IntType: "integer",
    shapes.BoolType: "true or false",
    shapes.StrType: "text",
    shapes.TimeType: "time of day",
    shapes.DateType: "date",
    shapes.DateTimeType: "moment",
}


def _default(field: Any) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return f"`{_word(value)}`" if value not in ((), {}, []) else "empty"


def _word(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return to_text(value)
    if isinstance(value, tuple | list):
        return ", ".join(_word(one) for one in value)
    return str(value)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|").replace("<", "&lt;") for cell in cells) + " |"


def main(examples: str, target: str) -> None:
    """Write the reference of what is installed to a file."""
    text = Path(examples).read_text(encoding="utf-8")
    Path(target).write_text(page(PluginHost().load(), examples_of(text)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:3])
