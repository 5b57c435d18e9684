"""What is deleted by the clock: one table, each age with its setting."""

from datetime import timedelta
from pathlib import Path

import msgspec

from oms_app.config import Settings
from oms_app.flow.retention import RETENTION, Retention, retention_of


def test_every_age_is_in_the_table_once_and_its_setting_exists() -> None:
    assert [kept.name for kept in RETENTION] == list(Retention.__struct_fields__)
    assert {kept.setting for kept in RETENTION if kept.setting} <= set(Settings.__struct_fields__)


def test_the_defaults_of_the_settings_are_those_of_the_table() -> None:
    assert retention_of(Settings(home=Path("var"))) == Retention()


def test_a_setting_changes_its_own_age_only() -> None:
    changed = retention_of(Settings(home=Path("var"), keep_delivered_days=90, keep_audit_texts_days=365))
    ages = {"deliveries": timedelta(days=90), "audit_texts": timedelta(days=365)}
    assert changed == msgspec.structs.replace(Retention(), **ages)
