"""Source text in, the places at which it can be changed out, each with the change; nothing is written.

What is left alone: docstrings, annotations, decorators, texts for people, assertions and logging. A change is known by
its number within its file, so that another process makes the same one from the same text.
"""

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Mod: ast.Mult,
}  # fmt: skip
_FUNCTIONS = {
    "add": "subtract", "subtract": "add", "multiply": "add", "min": "max", "max": "min", "any": "all", "all": "any",
}  # fmt: skip
_WORD = re.compile(r"[A-Za-z0-9_.:]+\Z")
_FOR_PEOPLE = frozenset({"title", "source"})
_DUNDERS = frozenset({"__slots__", "__all__"})
_DECLARING = frozenset({"described", "NewType", "TypeVar", "getLogger"})


class Mutant(msgspec.Struct, frozen=True):
    """One change: where, of which kind, and what it makes of what."""

    path: str
    number: int
    line: int
    operator: str
    what: str
    first: int
    last: int
    """The lines of the statement that it is in, without those of the statements inside."""


class Site(msgspec.Struct, frozen=True):
    """A place in a tree. change: makes the change in that tree."""

    line: int
    operator: str
    what: str
    change: Callable[[], None]
    first: int = 0
    last: int = 0


def mutants(path: str, text: str) -> list[Mutant]:
    """Every change that can be made to a file's text."""
    found = sites(ast.parse(text))
    return [
        Mutant(path, number, one.line, one.operator, one.what, one.first, one.last) for number, one in enumerate(found)
    ]


def changed(text: str, number: int) -> ast.Module:
    """The tree of a text with one of its changes made."""
    tree = ast.parse(text)
    sites(tree)[number].change()
    return ast.fix_missing_locations(tree)


def sites(tree: ast.Module) -> list[Site]:
    """The places of a tree, in the order of the text."""
    return list(_Walk().body(tree.body))


class _Walk:
    """Goes through a tree and leaves out what says nothing of behaviour."""

    def __init__(self) -> None:
        self._is_bool = [False]

    def body(self, statements: list[ast.stmt]) -> Iterator[Site]:
        """The places in a list of statements."""
        for index, statement in enumerate(statements):
            if _is_text(statement) or isinstance(statement, (ast.Import, ast.ImportFrom, ast.Assert)):
                continue
            inside: list[ast.stmt] = getattr(statement, "body", None) or []
            first, last = statement.lineno, statement.end_lineno or statement.lineno
            if inside:
                last = max(first, inside[0].lineno - 1)
            if _can_go(statement):
                yield _replacing(statements, index, ast.Pass(), statement, "statement", "deleted", first, last)
            for found in self._inside(statement):
                yield found if found.first else msgspec.structs.replace(found, first=first, last=last)

    def _inside(self, statement: ast.stmt) -> Iterator[Site]:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._is_bool.append(isinstance(statement.returns, ast.Name) and statement.returns.id == "bool")
            yield from self._nodes(statement.args, "defaults")
            yield from self._nodes(statement.args, "kw_defaults")
            yield from self.body(statement.body)
            self._is_bool.pop()
        elif isinstance(statement, ast.ClassDef):
            yield from self.body(statement.body)
        elif isinstance(statement, ast.AnnAssign):
            if not (isinstance(statement.target, ast.Name) and statement.target.id in _FOR_PEOPLE):
                yield from self._nodes(statement, "value")
        elif isinstance(statement, ast.Return):
            yield from self._returned(statement)
        elif not _is_for_types(statement):
            for name in statement._fields:
                yield from self._nodes(statement, name)

    def _returned(self, statement: ast.Return) -> Iterator[Site]:
        value = statement.value
        if value is None or (isinstance(value, ast.Constant) and value.value is None):
            return
        if not isinstance(value, ast.Constant):
            if self._is_bool[-1]:
                negated = ast.UnaryOp(op=ast.Not(), operand=value)
                yield _setting(statement, "value", negated, value, "return", "negated")
            else:
                yield _setting(statement, "value", ast.Constant(None), value, "return", "None instead")
        yield from self._nodes(statement, "value")

    def _nodes(self, parent: ast.AST, name: str) -> Iterator[Site]:
        """The places in one field of a node."""
        value = getattr(parent, name)
        if isinstance(value, list):
            if value and isinstance(value[0], ast.stmt):
                yield from self.body(value)
                return
            for index, node in enumerate(value):
                if isinstance(node, ast.AST):
                    yield from self._node(node, lambda new, at=index: value.__setitem__(at, new))  # type: ignore[misc]
        elif isinstance(value, ast.AST):
            yield from self._node(value, lambda new: setattr(parent, name, new))

    def _node(self, node: ast.AST, put: Callable[[ast.expr], None]) -> Iterator[Site]:
        if isinstance(node, ast.JoinedStr) or _declares(node):
            return
        if isinstance(node, ast.expr):
            yield from _of_expression(node, put)
        for name in node._fields:
            if name != "annotation":
                yield from self._nodes(node, name)


def _of_expression(node: ast.expr, put: Callable[[ast.expr], None]) -> Iterator[Site]:
    """The changes of one expression, those of its parts not included."""
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            other = _COMPARISONS[type(operator)]()
            yield _replacing(node.ops, index, other, node, "comparison", f"{_name(operator)} to {_name(other)}")
    elif isinstance(node, ast.BoolOp):
        joined: ast.boolop = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield _setting(node, "op", joined, node, "boolean", f"{_name(node.op)} to {_name(joined)}")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        operand = node.operand
        yield Site(node.lineno, "boolean", "not left out", lambda: put(operand))
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        other_way = _ARITHMETIC[type(node.op)]()
        yield _setting(node, "op", other_way, node, "arithmetic", f"{_name(node.op)} to {_name(other_way)}")
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        swapped = _FUNCTIONS[node.func.id]
        yield _setting(node.func, "id", swapped, node, "arithmetic", f"{node.func.id} to {swapped}")
    elif isinstance(node, ast.IfExp):
        negated = ast.UnaryOp(op=ast.Not(), operand=node.test)
        yield _setting(node, "test", negated, node, "boolean", "condition negated")
    elif isinstance(node, ast.Constant):
        new = _other(node.value)
        if new is not None:
            yield _setting(node, "value", new, node, "constant", f"{node.value!r} to {new!r}")


def _other(value: object) -> bool | int | str | None:
    """Another constant; None: there is none worth trying."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return "" if isinstance(value, str) and _WORD.match(value) else None


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _can_go(statement: ast.stmt) -> bool:
    """Whether a statement can be left out without a name being missed afterwards."""
    if isinstance(statement, ast.Expr):
        return not _logs(statement.value)
    if isinstance(statement, ast.Assign):
        return all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in statement.targets)
    return isinstance(statement, (ast.AugAssign, ast.Raise, ast.Continue, ast.Break, ast.Delete))


def _logs(node: ast.expr) -> bool:
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "log"


def _is_for_types(statement: ast.stmt) -> bool:
    """Whether it says something to the type checker or the interpreter only."""
    if isinstance(statement, ast.If):
        return isinstance(statement.test, ast.Name) and statement.test.id == "TYPE_CHECKING"
    if isinstance(statement, ast.Assign):
        names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
        return not _DUNDERS.isdisjoint(names) or (
            isinstance(statement.value, ast.Subscript | ast.BinOp) and _is_type(names)
        )
    return isinstance(statement, ast.Expr) and _logs(statement.value)


def _is_type(names: list[str]) -> bool:
    return any(name.lstrip("_")[:1].isupper() and not name.isupper() for name in names)


def _declares(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _DECLARING


def _name(operator: ast.AST) -> str:
    return type(operator).__name__


def _setting(node: ast.AST, field: str, value: object, at: ast.expr, operator: str, what: str) -> Site:
    return Site(at.lineno, operator, what, lambda: setattr(node, field, value))


def _replacing(
    found: list[Any], index: int, new: ast.AST, at: ast.stmt | ast.expr, operator: str, what: str, *lines: int
) -> Site:
    placed = ast.copy_location(new, at) if isinstance(new, ast.Pass) else new
    return Site(at.lineno, operator, what, lambda: found.__setitem__(index, placed), *lines)
