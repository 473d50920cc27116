"""Dates in every usual form as days since 1970-01-01: Arrow matches the texts, NumPy computes the days."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.files.reading import import_pyarrow

if TYPE_CHECKING:
    import pyarrow

__all__ = ["ORDERS", "days_of", "days_of_column", "hours_of"]

ORDERS = ("ymd", "dmy", "mdy")
"""Orders of the day, month and year in a date of digits."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = r"(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2}(?:[.,]\d+)?))?\s*(?P<ap>[AaPp]\.?[Mm]\.?)?"
_TIME = rf"(?:(?:T|[ ,]+){_CLOCK}\s*(?P<z>Z|UTC|GMT|[-+]\d{{2}}(?::?\d{{2}})?)?)?$"
_WEEKDAY = r"^(?:(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? +)?"
_MONTH = r"(?P<name>(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*)\.?"
_PATTERNS = {
    "ymd": (
        r"^(?P<y>\d{4})(?P<sep>[-/.])(?P<m>\d{1,2})[-/.](?P<d>\d{1,2})" + _TIME,
        r"^(?P<y>[12]\d{3})(?P<m>\d{2})(?P<d>\d{2})T(?P<H>\d{2}):?(?P<M>\d{2}):?(?P<S>\d{2}(?:\.\d+)?)(?P<z>Z?)$",
        r"^(?P<y>[12]\d{3})[-/](?P<m>\d{2})$",
    ),
    "dmy": (r"^(?P<d>\d{1,2})(?P<sep>[-/.])(?P<m>\d{1,2})[-/.](?P<y>\d{4}|\d{2})" + _TIME,),
    "mdy": (r"^(?P<m>\d{1,2})(?P<sep>[-/.])(?P<d>\d{1,2})[-/.](?P<y>\d{4}|\d{2})" + _TIME,),
    "named": (
        _WEEKDAY + r"(?P<d>\d{1,2})(?:st|nd|rd|th|\.)?[- /]*" + _MONTH + r"[- /,]*(?P<y>\d{4}|\d{2})" + _TIME,
        _WEEKDAY + _MONTH + r"[- /]+(?P<d>\d{1,2})(?:st|nd|rd|th)?,?[- /]+(?P<y>\d{4})" + _TIME,
        r"^" + _MONTH + r"[- /,]+(?P<y>\d{4})$",
    ),
}
_CLOCK_ONLY = rf"^{_CLOCK}$"
_DAY_SECONDS = 86400.0

_FIRST_SHORT_YEAR = 69
"""First year of two digits that belongs to 19xx, as in POSIX: 69 is 1969, 68 is 2068."""


def days_of(words: pyarrow.Array, order: str) -> NDArray[np.float64]:
    """Days since 1970-01-01 of each of the Arrow strings ``words``, NaN for a word that is no date in that order.

    Parameters
    ----------
    words : pyarrow.Array of large_string
    order : "ymd", "dmy" or "mdy"
        Order of dates of digits. Dates with the name of a month are read in any order.
    """
    days = np.full(len(words), np.nan)
    for pattern in (*_PATTERNS["ymd"], *_PATTERNS["named"], *(() if order == "ymd" else _PATTERNS[order])):
        unread = np.flatnonzero(np.isnan(days))
        if not unread.size:
            break
        days[unread] = _matched_days(words.take(unread), pattern)
    return days


def hours_of(words: pyarrow.Array) -> NDArray[np.float64]:
    """Hours since midnight of times such as ``9:05`` and ``1:05:10 PM``, NaN for a word that is no time."""
    parts = _named_groups(words, _CLOCK_ONLY)
    return np.where(parts["matched"], _clock_seconds(parts) / 3600.0, np.nan)


def days_of_column(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """An Arrow column of dates or timestamps as float64 days since 1970-01-01; one of times as hours since midnight."""
    pa, types = import_pyarrow(), import_pyarrow("pyarrow.types")
    if types.is_time(column.type):
        micro = column.cast(pa.time64("us")).cast(pa.int64())
        return import_pyarrow("pyarrow.compute").divide(micro.cast(pa.float64()), 3.6e9)
    if types.is_date(column.type):
        return column.cast(pa.date32()).cast(pa.int32()).cast(pa.float64())
    micro = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    return import_pyarrow("pyarrow.compute").divide(micro.cast(pa.float64(), safe=False), 8.64e10)


def _named_groups(words: pyarrow.Array, pattern: str) -> dict[str, Any]:
    """The named groups of a pattern in each word: arrays of numbers, or of text, with 0 or "" for an absent group.

    Beside the groups there are ``matched``, whether a word matches, and ``short``, whether its year has two digits.
    """
    pa, pc = import_pyarrow(), import_pyarrow("pyarrow.compute")
    groups = pc.extract_regex(words, pattern)
    parts: dict[str, Any] = {"matched": np.asarray(groups.is_valid().to_numpy(zero_copy_only=False))}
    for field in groups.type:
        texts = pc.fill_null(pc.struct_field(groups, field.name), "")
        if field.name in ("ap", "z", "name", "sep"):
            parts[field.name] = texts
            continue
        numbers = pc.if_else(pc.equal(texts, ""), "0", pc.replace_substring(texts, ",", "."))
        parts[field.name] = np.asarray(numbers.cast(pa.float64()).to_numpy(zero_copy_only=False))
        if field.name == "y":
            parts["short"] = np.asarray(pc.equal(pc.utf8_length(texts), 2).to_numpy(zero_copy_only=False))
    return parts


def _matched_days(words: pyarrow.Array, pattern: str) -> NDArray[np.float64]:
    """Days since 1970-01-01 of the words that match ``pattern`` and are days of the calendar, else NaN."""
    pc = import_pyarrow("pyarrow.compute")
    parts = _named_groups(words, pattern)
    is_date, year = parts["matched"], parts["y"]
    if not is_date.any():
        return np.full(len(words), np.nan)
    year = np.where(parts["short"], year + np.where(year < _FIRST_SHORT_YEAR, 2000, 1900), year)
    if "name" in parts:
        first_letters = pc.utf8_lower(pc.utf8_slice_codeunits(parts["name"], 0, 3))
        months_by_name = import_pyarrow().array(_MONTHS, first_letters.type)
        month = (
            np.asarray(pc.fill_null(pc.index_in(first_letters, months_by_name), -1).to_numpy(zero_copy_only=False)) + 1
        )
    else:
        month = parts["m"]
    day = parts.get("d", np.ones(len(words)))
    is_date = is_date & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31) & (year >= 1)
    months = np.where(is_date, (year - 1970) * 12 + month - 1, 0).astype(np.int64)
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    next_first = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    is_date &= day <= next_first - first
    days = first + day - 1.0
    if "H" in parts:
        days = days + (_clock_seconds(parts) - _zone_seconds(parts["z"])) / _DAY_SECONDS
    return np.where(is_date, days, np.nan)


def _clock_seconds(parts: dict[str, Any]) -> NDArray[np.float64]:
    """Seconds since midnight; NaN for a time that no clock shows, such as 25:00 or 13 PM."""
    pc = import_pyarrow("pyarrow.compute")
    hour, minute, second = parts["H"], parts["M"], parts["S"]
    if "ap" in parts:
        letter = pc.utf8_lower(pc.utf8_slice_codeunits(parts["ap"], 0, 1))
        afternoon = np.asarray(pc.equal(letter, "p").to_numpy(zero_copy_only=False))
        morning = np.asarray(pc.equal(letter, "a").to_numpy(zero_copy_only=False))
        wrong = (afternoon | morning) & ((hour < 1) | (hour > 12))
        hour = np.where(wrong, np.nan, np.where(afternoon | morning, hour % 12 + 12 * afternoon, hour))
    fits = (hour < 24) & (minute < 60) & (second < 61)
    return np.where(fits, 3600 * hour + 60 * minute + second, np.nan)


def _zone_seconds(zones: pyarrow.Array) -> NDArray[np.float64]:
    """Offsets of time zones, such as ``+02:00``, in seconds east of Greenwich."""
    pc = import_pyarrow("pyarrow.compute")
    digits = pc.replace_substring_regex(zones, r"[^0-9]", "")
    digits = pc.utf8_slice_codeunits(pc.utf8_rpad(digits, 4, "0"), 0, 4)
    number = np.asarray(digits.cast("int64").to_numpy(zero_copy_only=False))
    negative = np.asarray(pc.starts_with(zones, "-").to_numpy(zero_copy_only=False))
    return np.asarray(np.where(negative, -1.0, 1.0) * (number // 100 * 3600 + number % 100 * 60))
