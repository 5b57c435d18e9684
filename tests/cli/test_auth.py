"""`oms auth`: a new signing key from the command line, for processes that are running."""

from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner

from oms_app.cli.main import cli
from oms_app.flow.identity import InvalidToken
from tests.app_kit import demo_services, demo_settings


def test_a_key_rotated_from_the_command_line_is_used_by_a_process_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMS_URL", "OMS_API_KEY", "OMS_DATABASE_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMS_HOME", str(tmp_path / "home"))
    services, facts = demo_services(demo_settings(tmp_path / "home"))
    identity = services.identity
    try:
        old = identity.sign_in(facts.email, facts.password)
        identity.caller_of_token(old.access_token)
        done = CliRunner().invoke(cli, ["auth", "rotate-signing-key"])
        assert done.exit_code == 0, done.output
        fresh = identity.sign_in(facts.email, facts.password)
        assert jwt.get_unverified_header(fresh.access_token)["kid"] in done.output
        identity.caller_of_token(old.access_token)
        assert CliRunner().invoke(cli, ["auth", "rotate-signing-key", "--at-once"]).exit_code == 0
        for pair in (old, fresh):
            with pytest.raises(InvalidToken):
                identity.caller_of_token(pair.access_token)
        identity.caller_of_key(facts.api_key)
    finally:
        services.close()
