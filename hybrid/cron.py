"""Cron expressions: when a schedule ticks, in a time zone. As Debian's cron has it, summer time included."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from hybrid.errors import ScheduleError

EXAMPLES = "as '*/10 * * * *', '0 8 * * MON-FRI', or with seconds '*/30 * * * * *'"


class Cron:
    """When a schedule ticks. All times are in ms since 1970. Raises ScheduleError for an expression that is
    none or never ticks, and for an unknown time zone.
    """

    def __init__(self, expression: str, zone: str = "UTC") -> None:
        self.expression = expression
        self.zone = zone
        self._zone = _zone(zone)
        try:
            next(CronSim(expression, self._moment(0)))
        except CronSimError as error:
            raise ScheduleError(f"{expression!r} is no cron expression, {EXAMPLES}: {error}") from None
        except StopIteration:
            raise ScheduleError(f"{expression!r} never ticks: there is no such day") from None

    def after(self, moment: int) -> int:
        """Return the first tick after a moment."""
        ticks = CronSim(self.expression, self._moment(moment))
        return next(tick for each in ticks if (tick := _ms(each)) > moment)

    def latest(self, moment: int) -> int:
        """Return the last tick that is not after a moment."""
        ticks = CronSim(self.expression, self._moment(moment + 1), reverse=True)
        return next(tick for each in ticks if (tick := _ms(each)) <= moment)

    def _moment(self, ms: int) -> datetime:
        return datetime.fromtimestamp(ms / 1000, self._zone)


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, a path, a directory of them
        raise ScheduleError(f"no time zone is called {name!r}; one is Europe/Prague, or UTC") from None


def _ms(tick: datetime) -> int:
    return int(tick.timestamp()) * 1000
