"""A form's texts in, the same texts and what to put right at which field out; times are UTC, lists are of any marks."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from flask import request

from oms_app.dashboard.ticket import Fault
from oms_app.flow.errors import FlowError
from oms_kernel.domain.errors import InvalidRequest, KernelError

_BETWEEN = re.compile(r"[\s,;]+")
_INDEX = re.compile(r"\[\d+\]")


class Form(msgspec.Struct, frozen=True):
    """What stands in a form: texts, ticked words, and what is wrong. Nothing secret is ever sent back in it."""

    values: Mapping[str, str] = {}
    ticked: Mapping[str, tuple[str, ...]] = {}
    faults: Mapping[str, Fault] = {}
    problem: Fault | None = None
    """What is wrong with the whole."""

    def refused(self, error: FlowError | KernelError) -> "Form":
        """The form after an error: told at its field, or above when the form does not show the field."""
        fault = Fault(sentence(error.detail), getattr(error, "fix", None) or "")
        field = _INDEX.sub("", error.field or "").rpartition(".")[2]
        if field in self.values or field in self.ticked:
            return msgspec.structs.replace(self, faults={field: fault})
        return msgspec.structs.replace(self, problem=fault)


def read(*names: str, ticked: tuple[str, ...] = ()) -> Form:
    """The form that was sent. names: its texts; ticked: its groups of boxes."""
    return Form(
        values={name: request.form.get(name, "").strip() for name in names},
        ticked={name: tuple(request.form.getlist(name)) for name in ticked},
    )


def words(text: str) -> tuple[str, ...]:
    """The words between spaces, commas and line breaks."""
    return tuple(word for word in _BETWEEN.split(text) if word)


def instant(text: str, field: str) -> datetime | None:
    """The moment in UTC that a day, or a day and a time, names; None for nothing. Raises InvalidRequest."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise InvalidRequest("a day such as 2030-12-31 is needed", field=field) from None


def count(text: str, field: str) -> int | None:
    """The whole number, None for nothing. Raises InvalidRequest."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidRequest("a whole number is needed", field=field)
    return int(text)


def sentence(detail: str) -> str:
    """The detail with a capital in front and a full stop behind."""
    text = detail[:1].upper() + detail[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."
