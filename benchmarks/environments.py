"""An environment of its own for each contestant, made once under ``.bench/`` and made anew when its pins change."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from benchmarks.roster import Entry

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".bench"
CONTESTANTS = ROOT / "benchmarks" / "contestants"
_UVLOOP = "uvloop>=0.21"


class Unavailable(Exception):
    """This contestant cannot run on this machine; says why."""


def prepare(entry: Entry) -> list[str]:
    """Make the environment if need be; returns the command that starts the contestant. Raises Unavailable."""
    match entry.runtime:
        case "node":
            return ["node", str(_node(entry) / "main.js")]
        case "here":
            python = _venv("jobqueue", [f"--editable={ROOT}", _UVLOOP], Path(ROOT / "pyproject.toml").read_text())
        case "python":
            source = (CONTESTANTS / f"{entry.module}.py").read_text()
            python = _venv(entry.module, declared_dependencies(source), "")
    return [str(python), "-m", "benchmarks.contestants", f"benchmarks.contestants.{entry.module}", entry.variant]


def declared_dependencies(source: str) -> list[str]:
    """The dependencies in a file's script header (PEP 723)."""
    block = re.search(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$", source)
    if block is None:
        return []
    content = "".join(line[2:] if line.startswith("# ") else line[1:] for line in block["content"].splitlines(True))
    return list(tomllib.loads(content)["dependencies"])


def _venv(name: str, packages: list[str], salt: str) -> Path:
    folder = FOLDER / "environments" / name
    python = folder / "bin" / "python"
    stamp = folder / ".installed"
    wanted = hashlib.sha256("\n".join([sys.version, *packages, salt]).encode()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)], name)
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], name)
    stamp.write_text(wanted)
    return python


def _node(entry: Entry) -> Path:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Unavailable("there is no Node (node and npm) on PATH")
    source, folder = CONTESTANTS / entry.module, FOLDER / "environments" / entry.module
    manifest = (source / "package.json").read_text()
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / ".installed"
    shutil.copy(source / "main.js", folder / "main.js")
    if not stamp.exists() or stamp.read_text() != manifest:
        shutil.copy(source / "package.json", folder / "package.json")
        _run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)], entry.name)
        stamp.write_text(manifest)
    return folder


def _run(command: list[str], name: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ, check=False)
    if done.returncode:
        raise Unavailable(f"{name} could not be installed: {(done.stderr or done.stdout).strip()[-400:]}")
