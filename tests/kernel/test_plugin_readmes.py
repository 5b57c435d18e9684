"""What a plugin's README says of its contributions is complete."""

from pathlib import Path

import pytest

from oms_kernel.contracts.plugin import params_schema
from oms_kernel.host import PluginHost
from oms_kernel.registry import Kind

PLUGINS = Path(__file__).parents[2] / "plugins"


@pytest.mark.parametrize("kind", Kind)
def test_the_readme_of_each_plugin_names_every_contribution_and_every_parameter(kind: Kind) -> None:
    registry = PluginHost().load().of(kind)
    assert registry or kind is Kind.TABLE  # none of ours brings a table
    for registered in registry.values():
        folder = registered.distribution.removeprefix("oms-").replace("-", "_")
        readme = (PLUGINS / folder / "README.md").read_text(encoding="utf-8")
        named = [registered.name, *params_schema(registered.contributed)["properties"]]
        assert [name for name in named if f"`{name}`" not in readme] == []
