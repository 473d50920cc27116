"""Numbers in text: with a decimal comma, with marks between thousands, as percentages, amounts, dates and times.

All is decided on the different texts of a column, which are fewer than its rows. Numbers that are not plain have a
form, a word that is stored with the model, so that new rows are read in the same way. The decimal mark and the mark
between thousands belong to a file; those of the training file are stored for files whose numbers show none.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.files.dates import days_of, hours_of
from gpu_logreg.files.number_words import Marks, Parts, fits, signed_parts, values_at
from gpu_logreg.files.reading import import_pyarrow

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "FORMS",
    "Numbers",
    "UndecidedError",
    "check_form",
    "describe_form",
    "find_decimal",
    "like_numbers",
    "read_as",
    "read_numbers",
]

FORMS = ("percent", "amount", "date", "date dmy", "date mdy", "time")
"""Forms of numbers that are not plain. The form of an amount ends in its currency: ``amount $``."""

_DIGIT = "[0-9]"

_CELLS_JUDGED = 50_000
"""Most cells of the first rows that are searched for a decimal mark: those of 100 rows of 500 columns."""

_SHORT_DATE = r"^\d\d-\d\d-\d\d\b"
_AS_ISO = "write them as 2015-12-31"
_WITH_UNIT = r"^[-+]?[0-9][0-9.,]*\s?(?P<unit>[\p{L}°/²³]{1,6})$"
_FOREIGN_DATE = r"^[0-9]{1,2}\.? \p{L}{3,}\.? [0-9]{4}$"

_FEW_UNITS = 3
"""Most different units behind the numbers of a column, as kg and g; with more, the words are codes such as ``12a``."""

_SAMPLED_WORDS = 200
"""Words that are judged first: most columns of text are known not to be numbers by these."""

_LONGEST_FORM = 12
"""Most letters of a form; the longest currency has three."""

_AMBIGUOUS = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")


class Numbers(NamedTuple):
    """Different texts of a column as numbers.

    Attributes
    ----------
    form : str or None
        One of `FORMS`; None for plain numbers.
    values : float64 array, one for each text
    decimal : str or None
        The decimal mark; None where no text has a mark.
    """

    form: str | None
    values: NDArray[np.float64]
    decimal: str | None = None


class UndecidedError(Exception):
    """Texts that may be read as different numbers; the message says which and how to decide."""


def find_decimal(cells: Iterable[str]) -> str | None:
    """The decimal mark of the numbers among the first cells of a file; None where none shows it, or two disagree.

    A cell such as ``1,234`` shows nothing, as its comma may mark decimals or thousands.
    """
    decimals = set()
    for cell in itertools.islice(cells, _CELLS_JUDGED):
        if "," not in cell and "." not in cell:
            continue
        body = cell.strip().strip("$€£¥%-+() ").replace(" ", "")
        for mark, other in ((",", "."), (".", ",")):
            if mark not in body or _AMBIGUOUS.fullmatch(body) or body.count(mark) > 1:
                continue
            whole, _, part = body.partition(mark)
            groups = whole.split(other)
            if re.fullmatch(r"\d*([eE][-+]?\d+)?", part) and all(group.isdecimal() or not whole for group in groups):
                if len(groups) > 1 and any(len(group) != 3 for group in groups[1:]):
                    continue
                if whole or part:
                    decimals.add(mark)
    return decimals.pop() if len(decimals) == 1 else None


def check_form(form: object) -> str | None:
    """The form ``form`` of a model file, if it is one; else ValueError."""
    is_known = form in FORMS or (isinstance(form, str) and form.startswith("amount ") and len(form) <= _LONGEST_FORM)
    if form is None or (isinstance(form, str) and is_known):
        return form
    raise ValueError(f"the form {str(form)[:20]!r} of numbers is not known")


def describe_form(form: str) -> str:
    """The plural of a form, for messages."""
    if form.startswith("amount"):
        return f"amounts in {form.removeprefix('amount ')}"
    order = {"date dmy": " (day first)", "date mdy": " (month first)"}.get(form, "")
    return {"percent": "percentages", "time": "times of day"}.get(form, f"dates{order}")


def read_numbers(words: pyarrow.Array, marks: Marks) -> Numbers | None:
    """Read words as numbers of one form; None if they are none.

    Parameters
    ----------
    words : pyarrow.Array of large_string
        Different words, without blanks around them and without missing ones.
    marks : Marks

    Raises
    ------
    UndecidedError
        The words are numbers, but their values depend on a mark, or an order of day and month, that they do not show.
    """
    if not _all(import_pyarrow("pyarrow.compute").match_substring_regex(words, _DIGIT)):
        return None
    if not _is_like_number(words.slice(0, _SAMPLED_WORDS)).all():  # cheap, and enough for most columns of text
        return None
    return _plain_or_amounts(words, marks) or _dates_or_times(words)


def like_numbers(words: pyarrow.Array) -> NDArray[np.bool_]:
    """Which words are numbers of any form, each judged by itself; all False if most of a sample of them are not."""
    at = np.arange(0, len(words), 1 + len(words) // _SAMPLED_WORDS)
    is_like_number = _is_like_number(words.take(at))
    if len(at) == len(words):
        return is_like_number
    return (
        _is_like_number(words) if 2 * np.count_nonzero(is_like_number) > len(at) else np.zeros(len(words), dtype=bool)
    )


def _is_like_number(words: pyarrow.Array) -> NDArray[np.bool_]:
    """Which words are a number, a date or a time, in any notation."""
    parts, no_marks = signed_parts(words), Marks()
    numbers = parts.is_number & (fits(parts.bodies, ".", no_marks) | fits(parts.bodies, ",", no_marks))
    dates = [days_of(words, order) for order in ("dmy", "mdy")]
    return np.asarray(numbers | ~np.isnan(np.stack([*dates, hours_of(words)])).all(axis=0) | _has_unit_or_month(words))


def _has_unit_or_month(words: pyarrow.Array) -> NDArray[np.bool_]:
    """Which words are numbers with a unit, if there are few units, or dates with a month in another language."""
    pc = import_pyarrow("pyarrow.compute")
    dates = np.asarray(pc.match_substring_regex(words, _FOREIGN_DATE).to_numpy(zero_copy_only=False))
    units = pc.struct_field(pc.extract_regex(words, _WITH_UNIT), "unit")
    few = len(units.unique().drop_null()) <= _FEW_UNITS
    return dates | np.asarray(units.is_valid().to_numpy(zero_copy_only=False)) if few else dates


def read_as(words: pyarrow.Array, form: str | None, marks: Marks) -> NDArray[np.float64]:
    """The value of each word in the form that a model has for the column; NaN for a word that is no number of the form.

    A number without a currency may be an amount in any. A date with the year first or the name of its month is read
    whatever the order of the form.
    """
    if form == "time":
        return hours_of(words)
    if form is not None and form.startswith("date"):
        return days_of(words, form.removeprefix("date").strip() or "ymd")
    parts = signed_parts(words)
    symbols = np.array(parts.symbols, dtype=object)
    if form == "percent":  # 0 without a sign is 0 % too
        bare_zero = import_pyarrow("pyarrow.compute").match_substring_regex(parts.bodies, "^0([.,]0*)?$")
        is_allowed = (symbols == "%") | ((symbols == "") & np.asarray(bare_zero.to_numpy(zero_copy_only=False)))
    elif form is None:
        is_allowed = symbols == ""
    else:
        is_allowed = (symbols == "") | (symbols == form.removeprefix("amount").strip())
    is_allowed &= parts.is_number
    preferred = marks.point_or_comma or "."
    fitting = {mark: is_allowed & fits(parts.bodies, mark, marks) for mark in ",."}
    decimal = max(",.", key=lambda mark: (np.count_nonzero(fitting[mark]), mark == preferred))
    values, at = np.full(len(words), np.nan), np.flatnonzero(fitting[decimal])
    values[at] = parts.signs[at] * values_at(parts, at, decimal)
    return values


def _plain_or_amounts(words: pyarrow.Array, marks: Marks) -> Numbers | None:
    """Words as plain numbers, percentages or amounts of one currency; None where they are none, or mixed."""
    parts = signed_parts(words)
    if not parts.is_number.all():
        return None
    symbols = set(parts.symbols)
    if len(symbols - {""}) > 1:
        return None
    symbol = next(iter(symbols - {""}), "")
    decimal = _decimal_of(words, parts, marks, symbol)
    if decimal is None:
        return None
    values = parts.signs * values_at(parts, np.arange(len(words)), decimal)
    if symbol == "%" and "" in symbols and np.any(values[np.array(parts.symbols, dtype=object) == ""] != 0):
        return None  # beside 5 %, a 5 without a sign may mean 500 %
    form = "percent" if symbol == "%" else f"amount {symbol}" if symbol else None
    has_mark = _any_contains(parts.bodies, ",") or _any_contains(parts.bodies, ".")
    return Numbers(form, values, decimal if has_mark else None)


def _decimal_of(words: pyarrow.Array, parts: Parts, marks: Marks, symbol: str) -> str | None:
    """The decimal mark that all numbers of a column can have; None if there is none."""
    preferred = marks.point_or_comma
    fitting = {mark for mark in ",." if fits(parts.bodies, mark, marks).all()}
    if len(fitting) < 2 or preferred is not None:
        return preferred if preferred in fitting else next(iter(fitting), None)
    has = [mark for mark in ",." if _any_contains(parts.bodies, mark)]
    if not has or (has == ["."] and not symbol):
        return "."
    # Both marks are possible, so each number with a mark is like 1,234: a thousand, or a number with three decimals.
    # Another number of four digits without a mark shows that thousands are not grouped; shorter ones suggest they are.
    bodies = parts.bodies.to_pylist()
    lengths = [len(body) for body in bodies if has[0] not in body]
    if any(length > 3 for length in lengths):
        return has[0]
    if lengths:
        return "." if has[0] == "," else ","
    example = words[next(at for at, body in enumerate(bodies) if has[0] in body)].as_py()
    raise UndecidedError(
        f"holds numbers such as {example!r}, whose {'comma' if has[0] == ',' else 'point'} may mark decimals or "
        f"thousands; say which: --decimal {has[0]} or --thousands {has[0]}"
    )


def _dates_or_times(words: pyarrow.Array) -> Numbers | None:
    """Words as dates of one order or as times of day; None where they are neither."""
    days = days_of(words, "ymd")
    if not np.isnan(days).any():
        return Numbers("date", days)
    by_order = {order: days_of(words, order) for order in ("dmy", "mdy")}
    fitting = {order: days for order, days in by_order.items() if not np.isnan(days).any()}
    if len(fitting) == 2:
        day_first = fitting["dmy"]
        if (day_first == fitting["mdy"]).all() or _all_contain(words, "."):  # dates with points have the day first
            return Numbers("date dmy", day_first)
        at = int(np.argmax(day_first != fitting["mdy"]))
        raise UndecidedError(
            f"holds dates such as {words[at].as_py()!r}, all of which may have the day or the month first; {_AS_ISO}"
        )
    if fitting and _all(import_pyarrow("pyarrow.compute").match_substring_regex(words, _SHORT_DATE)):
        pc = import_pyarrow("pyarrow.compute")
        century = import_pyarrow().scalar("20", words.type)
        if not np.isnan(
            days_of(pc.binary_join_element_wise(century, words, import_pyarrow().scalar("", words.type)), "ymd")
        ).any():
            raise UndecidedError(
                f"holds dates such as {words[0].as_py()!r}, whose year may be first or last; {_AS_ISO}"
            )
    for order, days in fitting.items():
        return Numbers(f"date {order}", days)
    hours = hours_of(words)
    return None if np.isnan(hours).any() else Numbers("time", hours)


def _all(flags: pyarrow.BooleanArray) -> bool:
    return bool(import_pyarrow("pyarrow.compute").all(flags).as_py())


def _any_contains(words: pyarrow.Array, mark: str) -> bool:
    pc = import_pyarrow("pyarrow.compute")
    return bool(pc.any(pc.match_substring(words, mark)).as_py())


def _all_contain(words: pyarrow.Array, mark: str) -> bool:
    return _all(import_pyarrow("pyarrow.compute").match_substring(words, mark))
