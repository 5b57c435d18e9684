"""What the pages load: vendored files are the ones that were vetted, and no file breaks the rules of the pages."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

import oms_app.dashboard

HERE = Path(oms_app.dashboard.__file__).parent
STATIC = HERE / "static"
TEMPLATES = sorted((HERE / "templates" / "dashboard").glob("*.html"))
SCRIPTS = sorted(STATIC.glob("*.js"))
STYLES = (STATIC / "desk.css", STATIC / "risk.css")
OLD_SYNTAX = ("hx-ext=", "sse-swap", "sse-connect", "hx-disabled-elt", "hx-on", "js:", "javascript:", "hx-vars")
"""Attributes of htmx 2 that version 4 ignores, and what would need eval."""
INHERITED = re.compile(r"<body[^>]*\bhx-(headers|target|swap)=")


def manifest() -> dict[str, Any]:
    """Library -> what is known about its files."""
    found: dict[str, Any] = json.loads((STATIC / "vendor" / "manifest.json").read_text())
    return found


def digest(file: Path) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_every_vendored_file_is_the_one_that_was_vetted() -> None:
    known: dict[str, str] = {}
    for library in manifest().values():
        known |= library["sha256"]
    root = STATIC / "vendor"
    vendored = [file for file in root.rglob("*") if file.is_file() and file.name != "manifest.json"]
    assert {str(file.relative_to(root)): digest(file) for file in vendored} == known


def test_every_library_has_its_exact_version_and_licence() -> None:
    for name, library in manifest().items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", str(library["version"])), name
        assert library["licence"]
        assert (STATIC / "vendor" / name.partition(".")[0] / "LICENSE").is_file()


def test_the_htmx_file_says_the_version_of_the_manifest() -> None:
    text = (STATIC / "vendor" / "htmx" / "htmx.min.js").read_text()
    assert f'version="{manifest()["htmx.org"]["version"]}"' in text


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_use_the_present_syntax_and_nothing_inline(template: Path) -> None:
    text = template.read_text()
    assert not [word for word in OLD_SYNTAX if word in text]
    assert not INHERITED.search(text), "inheritance is explicit: hx-headers:inherited"
    assert not re.search(r"\s(style|on[a-z]+)=", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert "|safe" not in text


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_make_no_markup_and_no_code_from_text(script: Path) -> None:
    text = script.read_text()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", ".style"):
        assert word not in text


@pytest.mark.parametrize("file", [*TEMPLATES, *SCRIPTS, *STYLES], ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere(file: Path) -> None:
    assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", file.read_text())


def test_the_style_sheets_stay_small() -> None:
    assert sum(len(file.read_text().splitlines()) for file in STYLES) <= 400
