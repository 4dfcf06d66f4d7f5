"""The rooms of the house: imports run downwards, rooms stay small, scripts say what they promise."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import jobqueue
from jobqueue.backends.redis.scripts import names, script
from jobqueue.model import diagram

SOURCE = Path(jobqueue.__file__).parent
FILES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))
LARGEST = 420
"""Lines. The handle on a job is the largest room: its length is in what is said of each property and call."""

FLOORS = (
    ("errors", "clock", "patience"),
    ("model",),
    ("codecs",),
    ("backends.protocol", "backends.looking", "backends.operations", "backends.scheduling", "backends.endpoints"),
    ("running", "logs"),
    ("backends",),
    ("settings", "ids", "job_type", "catalogue", "results", "log_line", "verdict", "connect", "default_backend"),
    (
        "inputs",
        "job",
        "new_job",
        "spawning",
        "coalescer",
        "room",
        "group",
        "limiting",
        "operating",
        "claim",
        "queue",
        "processors",
        "listener",
        "registry",
        "sync",
        "dead_letters",
        "worker_list",
        "webhook",
        "delivery",
        "webhook_handle",
        "schedule",
        "stored_schedule",
        "schedules",
        "declarations",
    ),
    ("flow", "flow_handle"),
    ("worker",),
    ("testing", "webhooks"),
)


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse((SOURCE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def _floor(module: str) -> int:
    best = max(
        ((len(room), number) for number, rooms in enumerate(FLOORS) for room in rooms if _within(module, room)),
        default=None,
    )
    assert best is not None, f"{module} stands on no floor: add it to FLOORS"
    return best[1]


def _within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


@pytest.mark.parametrize("path", [path for path in FILES if path != Path("__init__.py")], ids=str)
def test_imports_run_downwards(path: Path) -> None:
    module = _module(path)
    for imported in _imports(path):
        if imported.startswith("jobqueue."):
            inner = imported.removeprefix("jobqueue.")
            assert _floor(inner) <= _floor(module), f"{module} reaches up to {inner}"


def test_only_one_room_knows_redis() -> None:
    knowing = {str(path.parent) for path in FILES if any(name.split(".")[0] == "redis" for name in _imports(path))}
    assert knowing == {"backends/redis"}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_rooms_stay_small(path: Path) -> None:
    assert len((SOURCE / path).read_text(encoding="utf-8").splitlines()) <= LARGEST


@pytest.mark.parametrize("name", names())
def test_scripts_say_what_they_promise(name: str) -> None:
    lua = script(name)
    assert lua.purpose
    assert "KEYS[1]" in lua.source
    assert "redis.call('KEYS'" not in lua.source


def test_the_face_is_importable() -> None:
    assert len(set(jobqueue.__all__)) == len(jobqueue.__all__)
    for name in jobqueue.__all__:
        assert getattr(jobqueue, name) is not None


def test_the_states_in_the_docs_are_the_table() -> None:
    page = SOURCE.parent.parent / "docs" / "states.md"
    assert page.read_text(encoding="utf-8") == diagram.page(), (
        "docs/states.md is behind the table: python -m jobqueue.model.diagram > docs/states.md"
    )
