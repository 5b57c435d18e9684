"""The words of tables and tiles, as a person reads them."""

from html.parser import HTMLParser


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tiles: list[list[str]] = []
        self._into: list[list[str]] | None = None
        self._inside_figure = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "tr" and "id" in values:
            self.rows.append([])
        elif tag == "td" and self.rows:
            self.rows[-1].append("")
            self._into = self.rows
        elif tag == "div" and (values.get("class") or "").startswith("tile") and values.get("class") != "tiles":
            self.tiles.append(["", ""])
            self._into = self.tiles
        elif tag == "b" and self._into is self.tiles:
            self._inside_figure = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "b":
            self._inside_figure = False
        if tag in ("table", "section"):
            self._into = None

    def handle_data(self, data: str) -> None:
        text = data.strip()
        if not text or self._into is None:
            return
        place = self._into[-1]
        index = (1 if self._inside_figure else 0) if self._into is self.tiles else len(place) - 1
        place[index] = f"{place[index]} {text}".strip()


def rows(page: str) -> list[list[str]]:
    """The cells of each table row that has an id."""
    return _read(page).rows


def tiles(page: str) -> dict[str, str]:
    """Label -> figure of each tile."""
    return {tile[0]: tile[1] for tile in _read(page).tiles}


def _read(page: str) -> _Words:
    words = _Words()
    words.feed(page)
    return words
