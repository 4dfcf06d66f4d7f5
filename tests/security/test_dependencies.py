"""What the library brings along, as far as it can be checked without a network (``make audit`` asks the advisories).

The core has just the dependencies that were decided on, each with a floor; where a flaw is known that concerns what we
use of it, the floor is past the fix. Nothing but an extra's own module imports what an extra brings.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import jobqueue

ROOT = Path(__file__).parents[2]
SOURCE = Path(jobqueue.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CORE = {
    "redis", "hiredis", "anyio", "pydantic", "pydantic-settings", "structlog", "cronsim", "typing-extensions",
}  # fmt: skip

FIXED_IN: dict[str, tuple[tuple[str, str], ...]] = {
    # Another call's reply after a cancelled command.
    "redis": (("CVE-2023-28858", "4.5.3"), ("CVE-2023-28859", "4.5.4")),
    "hiredis": (("CVE-2021-32765 (of the C library)", "2.1.0"),),
    "pydantic": (("CVE-2021-29510", "1.8.2"), ("CVE-2024-3772", "2.4.0")),
    "starlette": (("CVE-2024-47874", "0.40.0"), ("CVE-2025-54121", "0.47.2"), ("CVE-2025-62727", "0.49.1")),
    "jinja2": (("CVE-2024-56326", "3.1.5"), ("CVE-2025-27516", "3.1.6")),
    "aiosmtpd": (("CVE-2024-27305", "1.4.5"), ("CVE-2024-34083", "1.4.6")),
    "cryptography": (("CVE-2024-12797 (of OpenSSL)", "44.0.1"), ("CVE-2026-26007", "46.0.5")),
}
"""Known flaws of what we declare, and the release that mended each."""


def _declared() -> dict[str, Requirement]:
    found: dict[str, Requirement] = {}
    extras: dict[str, list[str]] = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *(text for texts in extras.values() for text in texts)]:
        requirement = Requirement(text)
        if requirement.name != "jobqueue":
            found[requirement.name] = requirement
    return found


def _floor(requirement: Requirement) -> Version:
    floors = [Version(clause.version) for clause in requirement.specifier if clause.operator in (">=", "~=", "==")]
    assert floors, f"{requirement} has no lowest version"
    return max(floors)


def test_the_core_has_no_other_dependencies() -> None:
    assert {Requirement(text).name for text in PROJECT["dependencies"]} <= CORE


@pytest.mark.parametrize("requirement", _declared().values(), ids=str)
def test_every_floor_is_past_the_flaws_that_are_known(requirement: Requirement) -> None:
    floor = _floor(requirement)
    for flaw, fixed in FIXED_IN.get(requirement.name, ()):
        assert floor >= Version(fixed), f"{requirement} lets in {flaw}: raise the floor to {fixed}"
    assert all(clause.operator in (">=", "~=", "!=", "<") for clause in requirement.specifier), "nothing is pinned"


def test_no_flaw_is_listed_for_what_is_not_declared() -> None:
    assert set(FIXED_IN) <= set(_declared())


def test_what_is_installed_fits_together() -> None:
    checked = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_the_library_works_without_any_extra_and_says_which_one_is_missing() -> None:
    extras = sorted(name.replace("-", "_") for name in _declared() if name not in CORE)
    program = f"""
import sys
for name in {extras!r}:
    sys.modules[name] = None
import jobqueue, jobqueue.backends, jobqueue.testing
jobqueue.Signed(keys={{"a": bytes(32)}}, current="a")
try:
    jobqueue.Encrypted(keys={{"a": bytes(32)}}, current="a")
except jobqueue.MissingExtra as error:
    print(error)
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "jobqueue[encryption]" in shown


def test_nothing_unpickles_evaluates_or_imports_by_name() -> None:
    """But for the child process, which imports the module of a processor that this program has registered."""
    found: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Call):
                names = [ast.unparse(node.func)]
            for name in names:
                if re.fullmatch(r"(c?pickle|marshal|shelve|dill|cloudpickle|yaml|jsonpickle)(\..*)?", name) or name in (
                    "eval", "exec", "compile", "__import__", "importlib.import_module", "import_module",
                ):  # fmt: skip
                    found.add(f"{path.relative_to(SOURCE)}: {name}")
    assert found == {"worker/child.py: importlib.import_module"}
