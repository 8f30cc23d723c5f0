"""A self-contained HTML page: text, tables and embedded pictures."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1a202c; background: #fff; margin: 2rem auto; max-width: 72rem;
  padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; border-top: 1px solid #e2e8f0; padding-top: 1.2rem; }
p { max-width: 46rem; margin: .4rem 0 .8rem; color: #4a5568; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #e2e8f0; text-align: right; white-space: nowrap; }
th { font-weight: 600; background: #f7fafc; }
th:first-child, td:first-child, .name { text-align: left; }
img { max-width: 100%; height: auto; }
.scroll { overflow-x: auto; }
.strip { margin: 0 0 1rem; }
.strip img { display: block; width: 100%; }
figcaption { font-size: .85rem; color: #4a5568; margin-bottom: .2rem; }
"""


class Page:
    """Grows from top to bottom. All texts are plain text."""

    def __init__(self, title: str, lead: str) -> None:
        self._title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(lead)}</p>"]

    def section(self, title: str, text: str = "") -> None:
        """A heading, and a paragraph below it."""
        self._parts.append(f"<h2>{html.escape(title)}</h2>")
        if text:
            self._parts.append(f"<p>{html.escape(text)}</p>")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; the first column is text, the others are figures."""
        head = "".join(f"<th>{html.escape(c)}</th>" for c in columns)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(v)}</td>" for v in row) + "</tr>" for row in rows)
        self._parts.append(
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def picture(self, data: bytes, kind: str, words: str) -> None:
        """A picture. kind: its media type. words: its alternative text."""
        self._parts.append(f'<div class="scroll">{self._image(data, kind, words)}</div>')

    def strip(self, data: bytes, caption: str) -> None:
        """A JPEG across the page with a caption above."""
        image = self._image(data, "image/jpeg", caption)
        self._parts.append(
            f'<figure class="strip"><figcaption>{html.escape(caption)}</figcaption>{image}</figure>'
        )

    def render(self) -> str:
        """The page."""
        body = "\n".join(self._parts)
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f"<title>{html.escape(self._title)}</title>"
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
            f"<body>\n{body}\n</body></html>\n"
        )

    @staticmethod
    def _image(data: bytes, kind: str, words: str) -> str:
        encoded = base64.b64encode(data).decode("ascii")
        return f'<img src="data:{kind};base64,{encoded}" alt="{html.escape(words)}">'
