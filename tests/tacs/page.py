"""A report as a browser would see it."""

from __future__ import annotations

import html.parser
from pathlib import Path


class Page(html.parser.HTMLParser):
    """What a browser would see: tags, sources, text without styles."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.text = ""
        self._style = False
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(self.text.replace("\u202f", " ").split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._style = tag == "style"
        values = dict(attrs)
        self.loaded += [str(values[name]) for name in ("src", "href", "srcset") if name in values]
        if tag == "img":
            self.images.append(values)

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.text += f" {data}"
