"""The kernel's hooks and contracts in, their reference in Markdown out; what it says is what the code says.

python -m oms_kernel.testkit.reference docs/contracts.md
"""

import ast
import inspect
import sys
from pathlib import Path
from types import ModuleType

from oms_kernel import hookspecs
from oms_kernel.contracts import broker, plugin, rules, simulation, strategy, tables, webhook

CHAPTERS: tuple[tuple[str, ModuleType], ...] = (
    ("Hooks", hookspecs),
    ("What all contributions have in common", plugin),
    ("Risk rules and compliance checks", rules),
    ("Broker connectors", broker),
    ("Strategies", strategy),
    ("Webhook sinks", webhook),
    ("Tables of plugins", tables),
    ("Fee models and market data feeds", simulation),
)
HEAD = """# Contracts

What a plugin may implement and what the host does in return, generated from the docstrings and signatures of
`oms_kernel.hookspecs` and `oms_kernel.contracts`. Change the code, then run
`python -m oms_kernel.testkit.reference docs/contracts.md`.

Classes derive from nothing: a contract is a `Protocol`, and the host checks a contributed class against it at start.
The suites of `oms_kernel.testkit` hold a plugin to the duties that a signature cannot show.
"""


def reference() -> str:
    """The whole reference."""
    return "\n".join([HEAD, *(_chapter(title, module) for title, module in CHAPTERS)])


def _chapter(title: str, module: ModuleType) -> str:
    tree = ast.parse(inspect.getsource(module))
    lines = [f"## {title}", "", f"`{module.__name__}`: {_text(ast.get_docstring(tree))}", ""]
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            lines += _class(node)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            lines += _function(node)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp):
            lines += [f"### {ast.unparse(node.targets[0])}", "", f"`{ast.unparse(node.value)}`", ""]
    return "\n".join(lines)


def _function(node: ast.FunctionDef) -> list[str]:
    decorators = "".join(f"@{ast.unparse(decorator)} " for decorator in node.decorator_list)
    return [f"### {node.name}", "", f"`{decorators}{_signature(node)}`", "", _text(ast.get_docstring(node)), ""]


def _class(node: ast.ClassDef) -> list[str]:
    bases = [ast.unparse(base) for base in node.bases]
    lines = [f"### {node.name}", ""]
    lines += [f"`{', '.join(bases)}`", ""] if bases else []
    lines += [_text(ast.get_docstring(node)), ""]
    fields = _fields(node)
    if fields:
        lines += ["| Field | Type | Default | |", "|---|---|---|---|", *fields, ""]
    for member in node.body:
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and _is_told(member):
            lines += [f"- `{_signature(member)}`", *_indented(_text(ast.get_docstring(member)))]
    return [*lines, ""] if lines[-1] else lines


def _fields(node: ast.ClassDef) -> list[str]:
    """A row for each annotated field and enum member, with the text that stands below it."""
    rows = []
    for place, member in enumerate(node.body):
        if isinstance(member, ast.AnnAssign):
            name, kind = ast.unparse(member.target), ast.unparse(member.annotation)
            default = "" if member.value is None else ast.unparse(member.value)
        elif isinstance(member, ast.Assign):
            name, kind, default = ast.unparse(member.targets[0]), "", ast.unparse(member.value)
        else:
            continue
        if name.startswith("_"):
            continue
        following = node.body[place + 1] if place + 1 < len(node.body) else None
        row = (_code(name), _code(kind), _code(default), _text_below(following))
        rows.append(f"| {' | '.join(row)} |")
    return rows


def _text_below(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split()).replace("|", "\\|")
    return ""


def _is_told(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return not node.name.startswith("_") or (node.name == "__init__" and ast.get_docstring(node) is not None)


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    prefix = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    return f"{prefix}{node.name}({ast.unparse(node.args)}){returns}"


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""


def _text(docstring: str | None) -> str:
    return (docstring or "").strip()


def _indented(text: str) -> list[str]:
    return ["", *(f"  {line}".rstrip() for line in text.splitlines()), ""] if text else []


def main(path: str) -> None:
    """Write the reference to a file."""
    Path(path).write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
