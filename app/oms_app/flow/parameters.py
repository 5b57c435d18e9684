"""A plugin class's parameters as people send them: checked by its own Params, secrets taken apart."""

from typing import Any

import msgspec

from oms_kernel.contracts.plugin import Contributed, Secret, parse_params
from oms_kernel.domain.errors import InvalidRequest


def check_params(contributed: type[Contributed], values: dict[str, Any]) -> None:
    """Nothing, when the values are valid parameters. Raises InvalidRequest that names `params.<field>`."""
    try:
        parse_params(contributed, values)
    except InvalidRequest as error:
        field = f"params.{error.field}" if error.field and error.field != "parameters" else "params"
        raise InvalidRequest(error.detail, field=field) from None


def secret_fields(contributed: type[Contributed]) -> frozenset[str]:
    """The names of the parameters that are secrets."""
    return frozenset(info.name for info in msgspec.structs.fields(contributed.Params) if _holds_secret(info.type))


def parted(contributed: type[Contributed], values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """(what may be shown, what must be sealed)."""
    hidden = secret_fields(contributed)
    shown = {name: value for name, value in values.items() if name not in hidden}
    return shown, {name: str(value) for name, value in values.items() if name in hidden and value is not None}


def _holds_secret(hint: Any) -> bool:
    return hint is Secret or any(_holds_secret(argument) for argument in getattr(hint, "__args__", ()))
