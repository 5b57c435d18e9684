"""Settings: every variable is documented, and what is unknown or wrong is refused with the fix."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oms_app.config import Environment, Settings, SettingsError, load_settings, mask_url, read_settings, variable

ROOT = Path(__file__).parents[2]


def test_the_example_file_lists_exactly_the_settings_with_a_comment_and_their_defaults() -> None:
    text = (ROOT / ".env.example").read_text()
    listed = dict(re.findall(r"^# (OMS_[A-Z0-9_]+)=(.*)$", text, re.MULTILINE))
    assert list(listed) == [variable(field) for field in Settings.__struct_fields__ if variable(field) in listed]
    assert set(listed) == {variable(field) for field in Settings.__struct_fields__}
    for block in text.split("\n\n"):
        if "# OMS_" in block:
            assert re.match(r"# [a-zA-Z]", block) and not block.startswith("# OMS_"), f"no comment above {block!r}"
    assert read_settings({name: value for name, value in listed.items() if value}) == read_settings({})


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"OMS_HOM": "x"}, "OMS_HOM: did you mean OMS_HOME?"),
        ({"OMS_FROBNICATE_XYZ": "1"}, "OMS_FROBNICATE_XYZ: it is not in .env.example"),
        ({"OMS_PORT": "many"}, "OMS_PORT is wrong: Expected `int`"),
        ({"OMS_PORT": "70000"}, "OMS_PORT is wrong: Expected `int` <= 65535"),
        ({"OMS_LOG_LEVEL": "loud"}, "OMS_LOG_LEVEL is wrong"),
        ({"OMS_DATABASE_URL": "mysql://x/y"}, "OMS_DATABASE_URL begins with 'mysql'"),
        ({"OMS_SECRET_KEY": "short"}, "OMS_SECRET_KEY has 5 characters"),
        ({"OMS_LEASE_S_FILE": "/nowhere/at/all"}, "OMS_LEASE_S_FILE names /nowhere/at/all"),
        ({"OMS_LEASE_S_FILE": "/x", "OMS_LEASE_S": "3"}, "both set"),
        ({"OMS_CONFIG": "/nowhere/at/all.toml"}, "OMS_CONFIG names /nowhere/at/all.toml"),
        ({"RISK_MAX_ORDER_SIZE": "-1"}, "OMS_RISK_MAX_ORDER_SIZE is -1: must be more than 0"),
        ({"OMS_RISK_MAX_POSITION_SIZE": "many"}, "OMS_RISK_MAX_POSITION_SIZE is wrong"),
        ({"OMS_DISABLED_PLUGINS": "a,b", "OMS_REQUIRED_PLUGINS": "b"}, "both name b"),
    ],
)
def test_a_wrong_setting_is_refused_by_name_with_its_fix(env: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read_settings(env)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("env", "level"),
    [
        ({"DEBUG": "true"}, "debug"),
        ({"OMS_DEBUG": "1"}, "debug"),
        ({"DEBUG": "false"}, "info"),
        ({"DEBUG": "true", "OMS_LOG_LEVEL": "warning"}, "warning"),
    ],
)
def test_debug_sets_the_log_level_that_was_not_given(env: dict[str, str], level: str) -> None:
    assert read_settings(env).log_level == level


def test_a_value_may_come_from_a_file_and_the_environment_wins_over_the_toml(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k" * 40 + "\n")
    (tmp_path / "oms.toml").write_text('port = 9000\nlease_s = 3\ndisabled_plugins = ["a"]\n')
    settings = read_settings(
        {
            "OMS_SECRET_KEY_FILE": str(tmp_path / "key"),
            "OMS_CONFIG": str(tmp_path / "oms.toml"),
            "OMS_PORT": "9001",
            "OMS_REQUIRED_PLUGINS": "b, c",
        }
    )
    assert settings.secret_key.reveal() == "k" * 40
    assert (settings.port, settings.lease_s) == (9001, 3)
    assert (settings.disabled_plugins, settings.required_plugins) == (("a",), ("b", "c"))


def test_an_unknown_key_of_the_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "oms.toml").write_text("prot = 9000\n")
    with pytest.raises(SettingsError, match="unknown setting 'prot': did you mean port"):
        read_settings({"OMS_CONFIG": str(tmp_path / "oms.toml")})


def test_embedded_makes_one_secret_key_and_keeps_it_to_itself(tmp_path: Path) -> None:
    first = load_settings({"OMS_HOME": str(tmp_path / "home")})
    again = load_settings({"OMS_HOME": str(tmp_path / "home")})
    assert first.secret_key.reveal() == again.secret_key.reveal()
    assert len(first.secret_key.reveal()) >= 32
    assert (tmp_path / "home" / "secret_key").stat().st_mode & 0o777 == 0o600
    assert first.database_url == f"sqlite:///{tmp_path / 'home'}/oms.db"


def test_postgresql_is_production_and_refuses_to_serve_without_a_secret_key(tmp_path: Path) -> None:
    env = {"DATABASE_URL": "postgresql://u:pw@127.0.0.1/oms", "OMS_HOME": str(tmp_path)}
    settings = read_settings(env)
    assert settings.environment is Environment.PRODUCTION
    assert (settings.lease_s, settings.allow_private_webhooks, settings.api_workers) == (6, False, 2)
    with pytest.raises(SettingsError, match="OMS_SECRET_KEY is missing"):
        load_settings(env)


def test_nothing_secret_is_shown() -> None:
    settings = read_settings({"OMS_DATABASE_URL": "postgresql://u:hush@h/oms", "OMS_SECRET_KEY": "hush" * 10})
    assert "hush" not in repr(settings)
    assert mask_url("redis://:hush@h/0") == "redis://:********@h/0"
    assert mask_url("sqlite:///x") == "sqlite:///x"
