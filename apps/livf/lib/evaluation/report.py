"""One HTML file that holds all tables and figures: no network, no script, every text escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from livf.lib.evaluation.tables import Table, to_html

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff; max-width: 1480px; margin: 2em auto;
  padding: 0 1.2em; }
h1 { font-size: 1.6em; margin-bottom: 0.2em; } h2 { font-size: 1.15em; margin: 2em 0 0.5em; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.3em 0.7em; border-bottom: 1px solid #ddd; vertical-align: top; }
td { white-space: nowrap; } td.text { white-space: normal; min-width: 24em; }
th { border-bottom: 2px solid #555; font-weight: 600; }
tbody tr:nth-child(even) { background: #f6f7f8; }
.note { color: #555; font-size: 13px; margin: 0.4em 0 0; max-width: 75em; }
.warn { border-left: 4px solid #d95f02; background: #fff4ea; padding: 0.6em 1em; }
figure { margin: 1em 0; } figure img { max-width: 100%; } figcaption { color: #555; font-size: 13px; }
nav { font-size: 13px; columns: 2; } nav a { display: block; color: #1a5fb4; }
"""


@dataclass(frozen=True)
class Drawing:
    """A figure of the report.

    Attributes:
        name: Of its files.
        caption: What it shows.
        png: The picture.
    """

    name: str
    caption: str
    png: Path


def report(
    title: str,
    lead: Sequence[str],
    warnings: Sequence[str],
    sections: Sequence[Table | Drawing],
) -> str:
    """The report as an HTML document.

    Args:
        title: Head line.
        lead: Paragraphs under it.
        warnings: What is wrong with the data: shown first.
        sections: Tables and figures in their order.
    """
    titles = [part.title if isinstance(part, Table) else part.caption for part in sections]
    names = [
        f"<a href='#{html.escape(part.name)}'>{html.escape(name)}</a>"
        for part, name in zip(sections, titles, strict=True)
    ]
    body = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{html.escape(text)}</p>" for text in lead)]
    if warnings:
        items = "".join(f"<li>{html.escape(text)}</li>" for text in warnings)
        body.append(f"<div class='warn'><strong>Look at these first</strong><ul>{items}</ul></div>")
    body.append(f"<nav>{''.join(names)}</nav>")
    body += [to_html(part) if isinstance(part, Table) else _figure(part) for part in sections]
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _figure(drawing: Drawing) -> str:
    data = base64.b64encode(drawing.png.read_bytes()).decode("ascii")
    caption = html.escape(drawing.caption)
    return (
        f"<figure id='{html.escape(drawing.name)}'><img alt='{caption}' src='data:image/png;base64,{data}'>"
        f"<figcaption>{caption}</figcaption></figure>"
    )
