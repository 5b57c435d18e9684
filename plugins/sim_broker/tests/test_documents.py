"""What the README shows is what the broker takes."""

import re
from pathlib import Path

import msgspec

from oms_kernel.testkit.faults import AT, FaultKind
from oms_sim_broker.config import SimBrokerConfig
from oms_sim_broker.connector import SimBrokerParams

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_configuration_in_the_readme_is_read_and_shows_every_field() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    config = msgspec.json.decode(example, type=SimBrokerConfig)
    assert config.instruments[0].symbol == "ACME"
    assert set(msgspec.json.decode(example)) == set(SimBrokerConfig.__struct_fields__)


def test_the_table_of_faults_in_the_readme_is_the_table_of_the_code() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([a-z, ]+) \| ", README, re.MULTILINE))
    assert set(rows) == {kind.value for kind in FaultKind}
    for kind in FaultKind:
        if rows[kind.value] != "all but fill":
            assert set(rows[kind.value].split(", ")) == {point.value for point in AT[kind]}


def test_the_readme_names_every_parameter_of_the_connector() -> None:
    for field in SimBrokerParams.__struct_fields__:
        assert f"`{field}`" in README
