"""Both type checkers accept the right program and refuse the wrong lines, just those."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WRONG = HERE / "wrong" / "calls.py"
PYRIGHT = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "--project"]
MYPY = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context"]


def _pyright(path: Path, folder: Path) -> set[int]:
    # A project of its own: ours leaves the wrong program out on purpose.
    config = folder / "pyrightconfig.json"
    config.write_text(json.dumps({"include": [path.name], "typeCheckingMode": "strict"}), encoding="utf-8")
    (folder / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    ended = subprocess.run([*PYRIGHT, str(config)], capture_output=True, text=True, check=False)
    found = json.loads(ended.stdout)
    assert found["summary"]["filesAnalyzed"] == 1
    return {
        entry["range"]["start"]["line"] + 1 for entry in found["generalDiagnostics"] if entry["severity"] == "error"
    }


def _mypy(path: Path, folder: Path) -> set[int]:
    command = [*MYPY, "--follow-imports=silent", "--cache-dir", str(folder), str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    return {int(line) for line in re.findall(rf"{path.name}:(\d+): error", ended.stdout)}


def _marked(path: Path) -> set[int]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, start=1) if line.endswith("# error")}


Check = Callable[[Path, Path], set[int]]


@pytest.mark.parametrize("check", [_pyright, _mypy])
@pytest.mark.timeout(180)
def test_the_right_program_is_accepted(check: Check, tmp_path: Path) -> None:
    assert check(HERE / "right.py", tmp_path) == set()


@pytest.mark.parametrize("check", [_pyright, _mypy])
@pytest.mark.timeout(180)
def test_the_wrong_lines_are_refused(check: Check, tmp_path: Path) -> None:
    assert check(WRONG, tmp_path) == _marked(WRONG)
