"""The compose file and the Dockerfile are held to the compose specification, to the command line and to the settings.

compose-spec.json is the schema of the Compose Specification (Apache-2.0, see compose-spec.LICENSE).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from oms_app.cli.main import cli
from oms_app.config import FILE_SUFFIX, Settings, read_settings, variable
from oms_sim_broker.server import main as sim_broker

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "oms"}
SCHEMA = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
VARIABLES = {variable(field) for field in Settings.__struct_fields__}


def problems(document: Any) -> list[str]:
    """What the schema says against a document; `${NAME:-default}` stands for its default."""
    text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", json.dumps(document))
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(json.loads(text))]


def test_the_compose_file_keeps_the_specification() -> None:
    assert problems(COMPOSE) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"services": {"api": {**SERVICES["api"], "comand": ["api"]}}},
        {"services": {"api": {**SERVICES["api"], "healthcheck": {"test": 7}}}},
        {"services": []},
    ],
)
def test_the_schema_catches_a_broken_file(broken: dict[str, Any]) -> None:
    assert problems({**COMPOSE, **broken}) != []


def test_the_production_set_is_complete_and_a_web_is_reachable_by_that_name() -> None:
    assert {"api", "stream", "session", "strategy", "worker", "postgres", "redis", "migrate"} <= set(SERVICES)
    assert "web" in SERVICES["api"]["networks"]["default"]["aliases"]
    default = {name for name, service in SERVICES.items() if not service.get("profiles")}
    assert set(SERVICES) - default == {"demo", "sim-broker"}


def found_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that these words name, and the rest of them."""
    command: click.Command = cli
    rest = list(words)
    while isinstance(command, click.Group) and not (command.invoke_without_command and rest[0].startswith("--")):
        found = command.get_command(click.Context(command), rest.pop(0))
        assert found is not None, words
        command = found
    return command, rest


def oms_words(service: dict[str, Any]) -> list[list[str]]:
    """What the service gives to `oms`: its command and its health check."""
    words = [] if "entrypoint" in service else [service["command"]]
    check = service.get("healthcheck", {}).get("test", [])
    return [*words, *([check[2:]] if check[:2] == ["CMD", "oms"] else [])]


@pytest.mark.parametrize("name", [name for name, service in OURS.items() if oms_words(service)])
def test_every_command_and_health_check_is_one_of_oms_with_options_that_it_has(name: str) -> None:
    for words in oms_words(SERVICES[name]):
        command, rest = found_command(words)
        command.make_parser(click.Context(command)).parse_args(list(rest))
        names = words[: len(words) - len(rest)]
        helped = CliRunner().invoke(cli, [*names, "--help"])
        assert helped.exit_code == 0 and "Usage" in helped.output


def test_the_simulated_brokers_options_are_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert SERVICES["sim-broker"]["entrypoint"] == ["oms-sim-broker"]
    with pytest.raises(SystemExit) as ended:
        sim_broker(["--help"])
    assert ended.value.code == 0
    known = capsys.readouterr().out
    for word in SERVICES["sim-broker"]["command"]:
        if word.startswith("--"):
            assert word in known


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting_and_the_settings_can_be_read(name: str, tmp_path: Path) -> None:
    environment = dict(OURS[name]["environment"])
    for key in environment:
        assert key in VARIABLES or key.removesuffix(FILE_SUFFIX) in VARIABLES, key
    given = {}
    for key, value in environment.items():
        text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", str(value))
        if key.endswith(FILE_SUFFIX) and key not in VARIABLES:
            secret = tmp_path / key
            secret.write_text({"OMS_DATABASE_URL_FILE": "postgresql://oms:x@postgres:5432/oms"}.get(key, "k" * 48))
            text = str(secret)
            assert value == f"/run/secrets/{key.removeprefix('OMS_').removesuffix(FILE_SUFFIX).lower()}"
        given[key] = text
    settings = read_settings(given)
    assert not settings.is_embedded and settings.redis_url == "redis://redis:6379/0"


def test_every_variable_that_the_file_takes_from_outside_is_a_setting() -> None:
    named = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))
    assert named and named <= VARIABLES


def test_every_name_that_one_part_uses_another_part_declares() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"]), name
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in COMPOSE["volumes"], name
        mode = service.get("network_mode", "")
        assert not mode or mode.removeprefix("service:") in SERVICES
    address = OURS["api"]["environment"]["OMS_REDIS_URL"]
    assert re.fullmatch(r"redis://redis:6379/0", address)


def test_images_have_plain_names_and_nothing_runs_with_rights_it_does_not_need() -> None:
    for name, service in SERVICES.items():
        assert re.fullmatch(r"[a-z]+(:\d+)?", service["image"]), name
    for name, service in OURS.items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
    assert all("healthcheck" in SERVICES[name] for name in SERVICES if name not in {"migrate", "demo", "sim-broker"})


# The Dockerfile --------------------------------------------------------------------------------------------

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def test_everything_that_the_dockerfile_copies_is_there_and_not_ignored() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert {"oms_kernel", "app", "plugins", "uv.lock"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source


def test_the_image_runs_oms_as_a_user_without_rights_on_the_ports_of_the_compose_file() -> None:
    assert re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE) == ["10001"]
    (entry,) = re.findall(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.MULTILINE)
    (command,) = re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)
    assert json.loads(entry) == ["oms"]
    found_command(json.loads(command))
    (exposed,) = re.findall(r"^EXPOSE (.+)$", DOCKERFILE, re.MULTILINE)
    published = [port.rpartition(":")[2] for service in OURS.values() for port in service.get("ports", [])]
    assert exposed.split() == published == ["8000", "8001"]
    assert {str(Settings().port), str(Settings().stream_port)} == set(published)


def test_the_images_variables_are_settings_and_it_pulls_from_plain_names_only() -> None:
    named = set(re.findall(r"\b(OMS_[A-Z_]+)=", DOCKERFILE))
    assert named and named <= VARIABLES
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert bases and all(re.fullmatch(r"[a-z]+:[\w.-]+", base) for base in bases)
