"""The document as a picture: one group of bars for each of the main figures."""

from __future__ import annotations

from xml.sax.saxutils import escape

from benchmarks.report.document import Document, Row
from benchmarks.roster import OURS

_MAIN = ("process-1", "process-10", "process-100", "process-500", "enqueue-single", "enqueue-100", "enqueue-bulk")
_WIDTH, _LABEL, _BAR, _GAP, _TOP = 900, 150, 16, 34, 48
_OURS, _THEIRS, _INK = "#0b6e4f", "#9aa5b1", "#1f2933"


def svg(document: Document) -> str:
    """Bars, longest first, with the number beside each."""
    rows = [row for name in _MAIN for row in document.rows if row.figure == name and row.cells]
    parts: list[str] = []
    y = _TOP
    for row in rows:
        parts.append(_text(10, y, f"{row.title} ({row.unit})", bold=True))
        y += 10
        for name, value in _bars(row):
            longest = max(cell.median for cell in row.cells.values())
            length = max(1.0, (_WIDTH - _LABEL - 110) * value / longest)
            fill = _OURS if name.startswith(OURS) else _THEIRS
            parts.append(_text(_LABEL - 6, y + 12, name, anchor="end"))
            parts.append(f'<rect x="{_LABEL}" y="{y}" width="{length:.1f}" height="{_BAR - 3}" fill="{fill}"/>')
            parts.append(_text(_LABEL + length + 6, y + 12, f"{value:,.{row.digits}f}"))
            y += _BAR
        y += _GAP
    settings = document.settings
    title = f"{settings['server']}, {document.machine['cores']} cores, medians of {settings['rounds']} rounds"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}" '
        f'font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="{escape(title)}">'
        f'<rect width="100%" height="100%" fill="white"/>'
    )
    return "\n".join([head, _text(10, 22, title), *parts, "</svg>", ""])


def _bars(row: Row) -> list[tuple[str, float]]:
    values = [(name, cell.median) for name, cell in row.cells.items()]
    return sorted(values, key=lambda pair: pair[1], reverse=row.better == "higher")


def _text(x: float, y: float, words: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{_INK}" text-anchor="{anchor}"{weight}>{escape(words)}</text>'
