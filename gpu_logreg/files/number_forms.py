"""Numbers in text: with a decimal comma, with marks between thousands, as percentages, amounts, dates and times.

All is decided on the different texts of a column, not on its rows. What is a number of another kind than a plain one
has a form, a word that is stored with the model, so that new rows are read in the same way; the marks of numbers belong
to a file, and are stored only for files that do not show which they use.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.files.dates import days_of, hours_of
from gpu_logreg.files.number_words import Marks, Parts, fits, signed_parts, values_at
from gpu_logreg.files.reading import import_pyarrow

__all__ = [
    "FORMS",
    "Numbers",
    "UndecidedError",
    "checked_form",
    "describe_form",
    "find_decimal",
    "like_numbers",
    "read_as",
    "read_numbers",
]

FORMS = ("percent", "amount", "date", "date dmy", "date mdy", "time")
"""Forms of numbers that are not plain; the currency of an amount follows it, as in ``amount $``."""

_DIGIT = "[0-9]"
_CELLS_JUDGED = 50_000
_SHORT_DATE = r"^\d\d-\d\d-\d\d\b"
_AS_ISO = "write them as 2015-12-31"
_WITH_UNIT = r"^[-+]?[0-9][0-9.,]*\s?(?P<unit>[\p{L}°/²³]{1,6})$"
_FOREIGN_DATE = r"^[0-9]{1,2}\.? \p{L}{3,}\.? [0-9]{4}$"
_FEW_UNITS = 3
_SAMPLED_WORDS = 200
_LONGEST_FORM = 12
_EITHER = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")


class Numbers(NamedTuple):
    """Different texts of a column as numbers: their form (None: plain), their values, and the decimal mark if seen."""

    form: str | None
    values: NDArray[np.float64]
    decimal: str | None = None


class UndecidedError(Exception):
    """Texts that may be read as different numbers; the message says which and how to decide."""


def find_decimal(cells: Iterable[str]) -> str | None:
    """The decimal mark that numbers among the first cells of a file leave no doubt of; None where they are at odds."""
    found = set()
    for cell in itertools.islice(cells, _CELLS_JUDGED):
        if "," not in cell and "." not in cell:
            continue
        body = cell.strip().strip("$€£¥%-+() ").replace(" ", "")
        for mark, other in ((",", "."), (".", ",")):
            if mark not in body or _EITHER.fullmatch(body) or body.count(mark) > 1:
                continue
            whole, _, part = body.partition(mark)
            groups = whole.split(other)
            if re.fullmatch(r"\d*([eE][-+]?\d+)?", part) and all(group.isdecimal() or not whole for group in groups):
                if len(groups) > 1 and any(len(group) != 3 for group in groups[1:]):
                    continue
                if whole or part:
                    found.add(mark)
    return found.pop() if len(found) == 1 else None


def checked_form(form: object) -> str | None:
    """A form that was stored with a model; ValueError where it is none."""
    known = form in FORMS or (isinstance(form, str) and form.startswith("amount ") and len(form) <= _LONGEST_FORM)
    if form is None or (isinstance(form, str) and known):
        return form
    raise ValueError(f"the form {str(form)[:20]!r} of numbers is not known")


def describe_form(form: str) -> str:
    """The plural of a form, for messages."""
    if form.startswith("amount"):
        return f"amounts in {form.removeprefix('amount ')}"
    order = {"date dmy": " (day first)", "date mdy": " (month first)"}.get(form, "")
    return {"percent": "percentages", "time": "times of day"}.get(form, f"dates{order}")


def read_numbers(words: Any, marks: Marks) -> Numbers | None:
    """The numbers that all ``words`` are, or None.

    Parameters
    ----------
    words : pyarrow.Array of large_string
        All different, without blanks around them, none missing.
    marks : Marks

    Raises
    ------
    UndecidedError
        If they are numbers, but of which value depends on a mark or an order that they do not show.
    """
    if not _all(import_pyarrow("pyarrow.compute").match_substring_regex(words, _DIGIT)):
        return None
    if not _alike(words.slice(0, _SAMPLED_WORDS)).all():  # the rest of the way is longer
        return None
    return _decorated(words, marks) or _dated(words)


def like_numbers(words: Any) -> NDArray[np.bool_]:
    """Which words are numbers of any form, each by itself; all False where most of a sample of them are not."""
    at = np.arange(0, len(words), 1 + len(words) // _SAMPLED_WORDS)
    alike = _alike(words.take(at))
    if len(at) == len(words):
        return alike
    return _alike(words) if 2 * np.count_nonzero(alike) > len(at) else np.zeros(len(words), dtype=bool)


def _alike(words: Any) -> NDArray[np.bool_]:
    parts, no_marks = signed_parts(words), Marks()
    numbers = parts.matched & (fits(parts.bodies, ".", no_marks) | fits(parts.bodies, ",", no_marks))
    dates = [days_of(words, order) for order in ("dmy", "mdy")]
    return np.asarray(numbers | ~np.isnan(np.stack([*dates, hours_of(words)])).all(axis=0) | _with_words(words))


def _with_words(words: Any) -> NDArray[np.bool_]:
    """Which words are numbers with a unit, of few in all, or dates with a month in another language."""
    pc = import_pyarrow("pyarrow.compute")
    dates = np.asarray(pc.match_substring_regex(words, _FOREIGN_DATE).to_numpy(zero_copy_only=False))
    units = pc.struct_field(pc.extract_regex(words, _WITH_UNIT), "unit")
    few = len(units.unique().drop_null()) <= _FEW_UNITS
    return dates | np.asarray(units.is_valid().to_numpy(zero_copy_only=False)) if few else dates


def read_as(words: Any, form: str | None, marks: Marks) -> NDArray[np.float64]:
    """Value of each word in a form known from training, NaN where it is none.

    A word without a currency belongs to any amount; a date whose text leaves no doubt of its order, to any order.
    """
    if form == "time":
        return hours_of(words)
    if form is not None and form.startswith("date"):
        return days_of(words, form.removeprefix("date").strip() or "ymd")
    parts = signed_parts(words)
    symbols = np.array(parts.symbols, dtype=object)
    if form == "percent":  # 0 needs no sign
        bare_zero = import_pyarrow("pyarrow.compute").match_substring_regex(parts.bodies, "^0([.,]0*)?$")
        allowed = (symbols == "%") | ((symbols == "") & np.asarray(bare_zero.to_numpy(zero_copy_only=False)))
    elif form is None:
        allowed = symbols == ""
    else:
        allowed = (symbols == "") | (symbols == form.removeprefix("amount").strip())
    allowed &= parts.matched
    preferred = marks.point_or_comma or "."
    fitting = {mark: allowed & fits(parts.bodies, mark, marks) for mark in ",."}
    decimal = max(",.", key=lambda mark: (np.count_nonzero(fitting[mark]), mark == preferred))
    values, chosen = np.full(len(words), np.nan), np.flatnonzero(fitting[decimal])
    values[chosen] = parts.signs[chosen] * values_at(parts, chosen, decimal)
    return values


def _decorated(words: Any, marks: Marks) -> Numbers | None:
    """Plain numbers, percentages, amounts of one currency."""
    parts = signed_parts(words)
    if not parts.matched.all():
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
        return None  # 5 beside 5 % may be 500 %
    form = "percent" if symbol == "%" else f"amount {symbol}" if symbol else None
    seen = _any_contains(parts.bodies, ",") or _any_contains(parts.bodies, ".")
    return Numbers(form, values, decimal if seen else None)


def _decimal_of(words: Any, parts: Parts, marks: Marks, symbol: str) -> str | None:
    """The decimal mark of numbers; None if they have none in common."""
    preferred = marks.point_or_comma
    fitting = {mark for mark in ",." if fits(parts.bodies, mark, marks).all()}
    if len(fitting) < 2 or preferred is not None:
        return preferred if preferred in fitting else next(iter(fitting), None)
    has = [mark for mark in ",." if _any_contains(parts.bodies, mark)]
    if not has or (has == ["."] and not symbol):
        return "."
    # Each number with a mark is like 1,234, which is grouped or has three decimals.
    bodies = parts.bodies.to_pylist()
    bare = [len(body) for body in bodies if has[0] not in body]
    if any(length > 3 for length in bare):
        return has[0]
    if bare:
        return "." if has[0] == "," else ","
    example = words[next(at for at, body in enumerate(bodies) if has[0] in body)].as_py()
    raise UndecidedError(
        f"holds numbers such as {example!r}, whose {'comma' if has[0] == ',' else 'point'} may mark decimals or "
        f"thousands; say which: --decimal {has[0]} or --thousands {has[0]}"
    )


def _dated(words: Any) -> Numbers | None:
    """Dates of one order, or times of day."""
    days = days_of(words, "ymd")
    if not np.isnan(days).any():
        return Numbers("date", days)
    by_order = {order: days_of(words, order) for order in ("dmy", "mdy")}
    fitting = {order: days for order, days in by_order.items() if not np.isnan(days).any()}
    if len(fitting) == 2:
        day_first = fitting["dmy"]
        if (day_first == fitting["mdy"]).all() or _all_contain(words, "."):  # 03.04.2015 is of the 3rd of April
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


def _all(flags: Any) -> bool:
    return bool(import_pyarrow("pyarrow.compute").all(flags).as_py())


def _any_contains(words: Any, mark: str) -> bool:
    pc = import_pyarrow("pyarrow.compute")
    return bool(pc.any(pc.match_substring(words, mark)).as_py())


def _all_contain(words: Any, mark: str) -> bool:
    return _all(import_pyarrow("pyarrow.compute").match_substring(words, mark))
