"""What every contributed class has in common: a stable name, a one-line title, typed parameters, secrets that mask themselves."""

from typing import Any, ClassVar, Protocol, runtime_checkable

import msgspec

from oms_kernel.domain.errors import InvalidRequest


class Secret:
    """A text that shows itself only to `reveal()`; in reprs, logs, formats and JSON it is '********'."""

    __slots__ = ("_text",)
    MASK = "********"

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself; hand it to the SDK that needs it and to nothing else."""
        return self._text

    def __repr__(self) -> str:
        return self.MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return self.MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a Secret is never pickled")


class NoParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of a plugin class that has none."""


@runtime_checkable
class Contributed(Protocol):
    """A class that a plugin registers.

    name: stable, lower_snake_case, unique within its kind: it is stored in rows and events.
    title: one line for people.
    Params: a frozen msgspec Struct, `forbid_unknown_fields=True`, each field annotated with
    `msgspec.Meta(description=..., extra={"unit": ...}, ge=..., le=...)`; error texts, JSON Schema and forms come from it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    Params: ClassVar[type[msgspec.Struct]]


def parse_params(contributed: type[Contributed], values: object) -> Any:
    """The class's Params from plain JSON values: decimals from strings or ints, Secrets from strings.

    Raises InvalidRequest with the field's path and what is wrong with it.
    """
    try:
        return msgspec.convert(values, contributed.Params, strict=True, dec_hook=_decode, builtin_types=())
    except msgspec.ValidationError as error:
        text = str(error)
        field = text.rsplit("`$", 1)[-1].rstrip("`").lstrip(".") if "`$" in text else None
        raise InvalidRequest(f"parameters of {contributed.name}: {text}", field=field or "parameters") from None


def params_schema(contributed: type[Contributed]) -> dict[str, Any]:
    """The JSON Schema of the class's Params, with descriptions and units; Secrets are writeOnly strings."""
    _, components = msgspec.json.schema_components([contributed.Params], schema_hook=_schema)
    schema: dict[str, Any] = dict(components[contributed.Params.__name__])
    return schema


def dump_params(params: msgspec.Struct) -> dict[str, Any]:
    """The parameters as JSON values; Secrets stay masked."""
    return dict(msgspec.to_builtins(params, enc_hook=_encode))


def _decode(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError(kind)


def _encode(value: Any) -> Any:
    if isinstance(value, Secret):
        return Secret.MASK
    raise NotImplementedError(type(value))


def _schema(kind: type) -> dict[str, Any]:
    if kind is Secret:
        return {"type": "string", "format": "password", "writeOnly": True}
    raise NotImplementedError(kind)
