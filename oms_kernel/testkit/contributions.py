"""What every contributed class must satisfy, whatever its kind: naming, parameters, and no more than it says."""

from typing import Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import params_schema, parse_params
from oms_kernel.contribution import defect_of
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.registry import Kind

NUMERIC_FORMATS = ("decimal",)
NUMERIC_TYPES = ("integer", "number")


class ContributionSuite:
    """The cases that the suites of all kinds share.

    contributed: the class. params: parameters as JSON values with which it is tried. kind: what it registers as.
    """

    contributed: ClassVar[Any]
    params: ClassVar[dict[str, Any]] = {}
    kind: ClassVar[Kind]

    def test_it_is_a_sound_contribution(self) -> None:
        assert defect_of(self.kind, self.contributed) is None

    def test_its_parameters_are_described_and_numbers_have_a_unit(self) -> None:
        schema = params_schema(self.contributed)
        for name, shape in schema.get("properties", {}).items():
            assert shape.get("description"), f"parameter {name} has no description"
            if shape.get("type") in NUMERIC_TYPES or shape.get("format") in NUMERIC_FORMATS:
                assert shape.get("x-unit"), f"parameter {name} is a number without a unit"

    def test_it_refuses_a_parameter_that_it_does_not_know(self) -> None:
        assert isinstance(parse_params(self.contributed, self.params), msgspec.Struct)
        try:
            parse_params(self.contributed, {**self.params, "no_such_parameter": 1})
        except InvalidRequest:
            return
        raise AssertionError("an unknown parameter was taken")

    def parsed(self) -> Any:
        """The parameters as the class gets them."""
        return parse_params(self.contributed, self.params)
