"""Every program in the README and the docs runs as printed; every link leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"(<!-- pytest -->\n)?```python\n(.*?)```", re.DOTALL)
_CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def _blocks() -> list[tuple[str, bool, str]]:
    return [
        (f"{page.relative_to(ROOT)}:{number}", bool(found[1]), found[2])
        for page in PAGES
        for number, found in enumerate(_BLOCK.finditer(page.read_text(encoding="utf-8")))
    ]


@pytest.mark.parametrize(("name", "is_test", "code"), _blocks(), ids=[name for name, _, _ in _blocks()])
def test_code_blocks_run_as_printed(name: str, is_test: bool, code: str, tmp_path: Path) -> None:
    program = tmp_path / "test_block.py"
    program.write_text(code, encoding="utf-8")
    if is_test:
        command = [
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:valkey",
            "-p",
            "no:cacheprovider",
            "-o",
            "asyncio_mode=auto",
            str(program),
        ]
    else:
        command = ["-W", "error", str(program)]
    ended = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.returncode == 0, f"{name}\n{ended.stdout}\n{ended.stderr}"


def test_there_are_blocks_to_run() -> None:
    assert len(_blocks()) >= 9


def test_console_blocks_name_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = [
        line.removeprefix("$ make ").split()[0]
        for page in PAGES
        for block in _CONSOLE.findall(page.read_text(encoding="utf-8"))
        for line in block.splitlines()
        if line.startswith("$ make ")
    ]
    assert commands
    for target in commands:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"no such target: make {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name} links to {link}, which is not there"


def test_the_proofs_exist() -> None:
    """docs/guarantees.md names tests: each must be one."""
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")))
    sources = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "src/jobqueue/testing").rglob("*.py")]
    known = {name for path in sources for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))}
    assert named
    assert named <= known, named - known
