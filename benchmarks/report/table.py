"""The document as a table: plain for a terminal, Markdown for the documentation."""

from __future__ import annotations

from benchmarks.report.document import Cell, Document, Row
from benchmarks.roster import OURS


def plain(document: Document) -> str:
    """For a terminal: one block a figure, best first."""
    lines: list[str] = []
    for row in document.rows:
        if not row.cells and not row.notes:
            continue
        lines.append(f"{row.title} [{row.unit}, {row.better} is better]")
        for name, cell in _ranked(row):
            spread = f"{_number(cell.low, row)} to {_number(cell.high, row)}"
            lines.append(f"  {name:<17}{_number(cell.median, row):>12}   {spread:<26}{_ratio(name, cell)}")
        lines.extend(f"  {name:<17}{'' if name in row.cells else '–':>12}   {note}" for name, note in row.notes.items())
        lines.append("")
    lines.extend(f"SKIPPED {name}: {why}" for name, why in document.absent.items())
    return "\n".join(lines)


def markdown(document: Document) -> str:
    """For docs/benchmarks.md: one table with the figures as rows and contestants as columns, and what lies behind."""
    names = [
        name for name in document.contestants if any(name in row.cells or name in row.notes for row in document.rows)
    ]
    lines = [
        f"Made {document.made} on {document.machine['processor']}, {document.machine['cores']} cores, "
        f"{document.machine['system']}, Python {document.machine['python']}; {document.settings['server']}. "
        + "; ".join(f"{name}: {value}" for name, value in list(document.settings.items())[1:])
        + ".",
        "",
        "Medians; in brackets jobqueue's value over the contestant's, as the median of the rounds' ratios.",
        "",
        "| figure | unit | " + " | ".join(names) + " |",
        "|---|---|" + "---|" * len(names),
    ]
    notes: list[str] = []
    for row in document.rows:
        if not row.cells:
            continue
        cells = [_cell(row, name, notes) for name in names]
        lines.append(f"| {row.title} | {row.unit} | " + " | ".join(cells) + " |")
    lines += [
        "",
        *(f"{number}. {note}" for number, note in enumerate(notes, start=1)),
        "",
        "| contestant | versions | settings |",
        "|---|---|---|",
    ]
    for name in names:
        facts = document.facts.get(name, {})
        lines.append(f"| {name} | {_listed(facts.get('versions'))} | {_listed(facts.get('settings'))} |")
    lines += [f"\n{name} was skipped: {why}" for name, why in document.absent.items()]
    return "\n".join(lines) + "\n"


def _ranked(row: Row) -> list[tuple[str, Cell]]:
    return sorted(row.cells.items(), key=lambda pair: pair[1].median, reverse=row.better == "higher")


def _cell(row: Row, name: str, notes: list[str]) -> str:
    return " ".join(part for part in (_figure(row, name), _mark(row, name, notes)) if part)


def _figure(row: Row, name: str) -> str:
    cell = row.cells.get(name)
    if cell is None:
        return "–" if name in row.notes else ""
    ratio = "" if name == OURS or cell.ratio is None else f" ({_rounded(cell.ratio)}×)"
    return f"{_number(cell.median, row)}{ratio}"


def _mark(row: Row, name: str, notes: list[str]) -> str:
    note = row.notes.get(name)
    if note is None:
        return ""
    if note not in notes:
        notes.append(note)
    return f"[{notes.index(note) + 1}]"


def _number(value: float, row: Row) -> str:
    return f"{value:,.{row.digits}f}"


def _ratio(name: str, cell: Cell) -> str:
    if name == OURS or cell.ratio is None:
        return ""
    return f"jobqueue is at {_rounded(cell.ratio)}×"


def _rounded(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def _listed(facts: object) -> str:
    if not isinstance(facts, dict):
        return ""
    return "; ".join(f"{name}: {value}" for name, value in facts.items())
