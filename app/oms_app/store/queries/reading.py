"""Turn a row into a view: the view's fields are columns of the query, absent texts become what the caller says."""

from collections.abc import Callable
from typing import Any, TypeVar

from oms_app.store.types import AnyRow

V = TypeVar("V")


def viewer(view: type[V], **when_absent: Any) -> Callable[[AnyRow], V]:
    """A function from a row to the view; `when_absent` stands in for NULL."""
    names: tuple[str, ...] = view.__struct_fields__  # type: ignore[attr-defined]

    def make(row: AnyRow) -> V:
        values = {name: getattr(row, name) for name in names}
        values.update({name: other for name, other in when_absent.items() if values[name] is None})
        return view(**values)

    return make
