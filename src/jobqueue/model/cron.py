"""When a crontab line comes round, and how that is said in words.

The rules are those of Debian's cron, by way of ``cronsim``: a job at a fixed hour runs once on the night on which the
clock goes back, and at once when its hour is left out in spring. What comes every so many minutes or hours keeps to
real time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from jobqueue.errors import InvalidOption
from jobqueue.model.times import LAST_MOMENT_MS

LONGEST_CRON = 200

NAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_AT = re.compile(r"At ((?:\d\d:\d\d(?::\d\d)?(?:, | and )?)+) (.+)")
_EXAMPLES = 'as in "30 2 * * MON-FRI" (minute, hour, day of month, month, day of week; seconds may come first)'


class Cron:
    """A crontab line in a time zone. Raises InvalidOption."""

    __slots__ = ("_fields", "_zone", "text")

    def __init__(self, text: str, timezone: str) -> None:
        self.text = text
        self._zone = zone(timezone)
        self._fields = _checked(text)

    def after(self, ms: int) -> int | None:
        """The first moment later than ``ms``, both in ms since 1970; None if there is none within 50 years."""
        try:
            # cronsim names the first of two equal clock times, which may lie behind us: go on until it does not.
            for found in CronSim(self._fields, datetime.fromtimestamp(ms // 1000, self._zone)):
                moment = round(found.timestamp()) * 1000
                if moment > ms:
                    return moment if moment <= LAST_MOMENT_MS else None
        except (OverflowError, ValueError):
            pass
        return None

    @property
    def words(self) -> str:
        """Such as "every day at 00:00, Europe/Berlin"."""
        said = CronSim(self._fields, _SOME_DAY).explain()
        day, weekday = self._fields.split()[-3::2]
        if "*" not in (day[0], weekday[0]):
            # Where both are given, either will do (crontab(5)).
            said = said.replace(" and on ", " or on ")
        at = _AT.fullmatch(said)
        said = f"{at[2]} at {at[1]}" if at else said[:1].lower() + said[1:]
        return f"{said}, {self._zone.key}"


_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def zone(name: str) -> ZoneInfo:
    """A time zone by its name. Raises InvalidOption."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        raise InvalidOption(
            f"timezone {name!r:.60} is not known here: use a name such as Europe/Berlin or UTC (the package tzdata "
            "brings the names to systems that lack them)"
        ) from None


@lru_cache(maxsize=1024)
def _checked(text: str) -> str:
    fields = NAMES.get(text.strip().lower(), text)
    if fields.lstrip().startswith("@"):
        raise InvalidOption(f"cron {text!r:.60} is not a name: there are {', '.join(NAMES)}")
    if len(fields) > LONGEST_CRON:
        raise InvalidOption(f"cron is {len(fields)} characters long, {LONGEST_CRON} are the most")
    try:
        ever = next(CronSim(fields, _SOME_DAY), None)
    except (CronSimError, ValueError, AssertionError, OverflowError) as error:
        wrong = str(error).lower() or "not a crontab line"
        raise InvalidOption(f"cron {text!r} cannot be read: {wrong}; write it {_EXAMPLES}") from None
    if ever is None:
        raise InvalidOption(f"cron {text!r} never comes round: there is no such day")
    return fields
