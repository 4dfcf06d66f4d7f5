"""Reads service requests in the format of the city of Los Angeles' MyLA311 export.

Real exports are messy, and no row may be lost over it: what is missing gets a sober stand-in, and each kind
of oddity is counted, so that the operator learns what was made up. In a sample of 5 000 rows there were empty
crews (69), due dates (279), districts (6) and ZIP codes (6, with the code inside the address, and once a "0"
with none at all), anonymous reports (676), rows alike in all but their number (86) and a crew with a comma in
it. Repeated or absent numbers, bad dates, broken UTF-8, control characters and rows that are too short or too
long were not among them; other exports bring them, and they are dealt with as well.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

from examples.ticketing.desk.service_request import ServiceRequest

REQUIRED = frozenset({"srnumber", "requesttype", "createddate", "address"})

_DATE_FORMATS = (
    "%m/%d/%y %H:%M",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.%f",
)
_UNKNOWN_DAY = datetime(2020, 1, 1, tzinfo=UTC)
_ZIP = re.compile(r"^\d{5}$")
_ZIP_AT_END = re.compile(r"\b(\d{5})(?:-\d{4})?(?:,? USA)?\.?$")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffd\s]+")
_UNSAFE = re.compile(r"[^A-Za-z0-9]+")


class UnreadableRequests(ValueError):
    """The file is not a list of service requests."""


class RequestsCsv:
    """The requests of one file. Iterate to read it, once and in its order; then ``oddities`` says what was
    put right."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.oddities: Counter[str] = Counter()
        self._taken: set[str] = set()

    def __iter__(self) -> Iterator[ServiceRequest]:
        # utf-8-sig: spreadsheets like to put a byte-order mark in front of the first column's name.
        with self.path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            rows = csv.DictReader(file, restkey="surplus", restval="")
            try:
                self._check_header(rows.fieldnames or ())
                for row in rows:
                    yield self._request(row, rows.line_num)
            except csv.Error as error:
                raise UnreadableRequests(f"{self.path}, line {rows.line_num}: {error}") from error

    def _check_header(self, names: Collection[str]) -> None:
        found = {name.strip().lower() for name in names}
        if missing := sorted(REQUIRED - found):
            raise UnreadableRequests(f"{self.path} has no column {', '.join(missing)}: not a list of service requests")

    def _request(self, row: dict[str, str], line: int) -> ServiceRequest:
        if row.pop("surplus", None):
            self.oddities["more fields than columns"] += 1
        field = {name.strip().lower(): self._text(value) for name, value in row.items()}
        address = self._given(field, "address", "address unknown")
        return ServiceRequest(
            number=self._number(field.get("srnumber", ""), line),
            category=self._given(field, "requesttype", "Other"),
            address=address,
            zipcode=self._zipcode(field.get("zipcode", ""), address),
            reported_at=self._moment(field, "createddate") or _UNKNOWN_DAY,
            due=self._moment(field, "servicedate"),
            channel=self._given(field, "requestsource", "Letter"),
            owner=self._given(field, "owner", "city"),
            district=self._given(field, "cd", "0"),
            crew=self._given(field, "assignto", "dispatch"),
            anonymous=field.get("anonymous", "").upper() == "Y",
        )

    def _text(self, value: str) -> str:
        """One line of at most 200 characters, in which nothing is left that cannot be printed."""
        text = _UNPRINTABLE.sub(" ", value).strip()
        if text != value.strip():
            self.oddities["unprintable characters"] += 1
        if len(text) > 200:
            self.oddities["overlong text"] += 1
        return text[:200].strip()

    def _given(self, field: dict[str, str], name: str, stand_in: str) -> str:
        if not (text := field.get(name, "")):
            self.oddities[f"no {name}"] += 1
        return text or stand_in

    def _number(self, text: str, line: int) -> str:
        """A number no other row has: a repeated one may well be another request, and dropping it would lose a
        person."""
        number = _UNSAFE.sub("-", text).strip("-")[:40]
        if not number:
            self.oddities["no srnumber"] += 1
            number = f"line-{line}"
        if number in self._taken:
            self.oddities["repeated srnumber"] += 1
            number = f"{number}-line-{line}"
        self._taken.add(number)
        return number

    def _zipcode(self, text: str, address: str) -> str:
        if _ZIP.match(text):
            return text
        self.oddities["no zipcode"] += 1
        at_end = _ZIP_AT_END.search(address)
        return at_end.group(1) if at_end else ""

    def _moment(self, field: dict[str, str], name: str) -> datetime | None:
        """The export's times have no zone; to the minute and for a demonstration, UTC will do."""
        if not (text := self._given(field, name, "")):
            return None
        for pattern in _DATE_FORMATS:
            try:
                return datetime.strptime(text, pattern).replace(tzinfo=UTC)
            except ValueError:
                continue
        self.oddities[f"unreadable {name}"] += 1
        return None
