"""Puts a script together: its body, and of the parts it includes only what it uses.

A script is run from its first line at every call, so that each ``local function`` costs as much as a small command. So
functions that nobody uses are left out, and those that only a rarely taken branch uses are put into that branch, which
the body marks by ``-- RARELY`` and ``-- END RARELY``. Parts are made of functions and of ``local`` lines, all of which
begin in the first column; ``local`` lines hold what functions share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[A-Za-z_]\w*")
_RARELY = re.compile(r"^ *-- RARELY\n(.*?)^ *-- END RARELY\n", re.DOTALL | re.MULTILINE)
_FUNCTION = re.compile(r"local function (\w+)")
_LOCALS = re.compile(r"local ([\w, ]+?) =")


@dataclass(frozen=True, slots=True)
class _Piece:
    names: frozenset[str]
    text: str
    shared: bool

    @property
    def words(self) -> frozenset[str]:
        return frozenset(_WORD.findall(self.text)) - self.names


def composed(body: str, parts: Iterable[str]) -> str:
    """The source to send: without comments, and with the pieces of the parts where they are needed."""
    pieces = [piece for part in parts for piece in _pieces(part)]
    body = _bare(body, but=("-- RARELY", "-- END RARELY"))
    often = _needed(_RARELY.sub("", body), pieces)
    branches = [_needed(found[1], pieces) for found in _RARELY.finditer(body)]
    # What branches share is one thing for all of them; functions are made anew in each.
    shared = [piece for piece in pieces if piece.shared and sum(piece in branch for branch in branches) > 1]
    top = [piece for piece in pieces if piece in often or piece in shared]

    def in_branch(found: re.Match[str]) -> str:
        rare = [piece for piece in _needed(found[1], pieces) if piece not in top]
        return "".join(piece.text for piece in rare) + found[1]

    return "".join(piece.text for piece in top) + _RARELY.sub(in_branch, body)


def _pieces(part: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    lines = _bare(part).splitlines(keepends=True)
    while lines:
        first = lines.pop(0)
        function, shared = _FUNCTION.match(first), _LOCALS.match(first)
        if function:
            text = first
            while not text.endswith("\nend\n"):
                text += lines.pop(0)
            pieces.append(_Piece(frozenset({function[1]}), text, shared=False))
        elif shared:
            pieces.append(_Piece(frozenset(_WORD.findall(shared[1])), first, shared=True))
        else:
            raise ValueError(f"a part is made of functions and one-line locals, not of: {first}")
    return pieces


def _needed(text: str, pieces: Sequence[_Piece]) -> list[_Piece]:
    """The pieces that the text uses, and those that they use, in the order in which they were written."""
    words = set(_WORD.findall(text))
    found: set[int] = set()
    while True:
        fresh = {place for place, piece in enumerate(pieces) if place not in found and piece.names & words}
        if not fresh:
            return [pieces[place] for place in sorted(found)]
        found |= fresh
        for place in fresh:
            words |= pieces[place].words


def _bare(text: str, but: Sequence[str] = ()) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(
        line for line in lines if line.strip() in but or (line.strip() and not line.lstrip().startswith("--"))
    )
