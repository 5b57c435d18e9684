"""The pages of the documentation are held to what is there: each is in the navigation, each link leads to something."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_the_navigation_lists_every_page_once() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    assert sorted(re.findall(r"^  - .+: (\S+)$", navigation, re.MULTILINE)) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_to_a_file(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (DOCS / page).read_text())
    relative = [link for link in links if not link.startswith("http")]
    assert [link for link in relative if not (DOCS / page).parent.joinpath(link).exists()] == []


def test_every_file_that_the_overview_names_exists() -> None:
    named = re.findall(r"`([A-Za-z_/.]+\.(?:md|example))`", (DOCS / "index.md").read_text())
    assert len(named) >= 5
    assert [name for name in named if not (ROOT / name).exists()] == []
