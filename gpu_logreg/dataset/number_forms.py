"""Numbers in text: with a decimal comma, with marks between thousands, as percentages, amounts, dates and times.

All is decided on the different texts of a column, not on its rows. What is a number of another kind than a plain one
has a form, a word that is stored with the model, so that new rows are read in the same way; the marks of numbers belong
to a file, and are stored only for files that do not show which they use.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.dataset.dates import days_of, hours_of
from gpu_logreg.dataset.reading import import_pyarrow

__all__ = [
    "FORMS",
    "Marks",
    "Numbers",
    "UndecidedError",
    "checked_form",
    "describe_form",
    "find_decimal",
    "read_as",
    "read_numbers",
]

FORMS = ("percent", "amount", "date", "date dmy", "date mdy", "time")
"""Forms of numbers that are not plain; the currency of an amount follows it, as in ``amount $``."""

_CURRENCY = r"US\$|R\$|[$€£¥₹₽₩₺₫₪฿]|USD|EUR|GBP|CHF|JPY|CNY|INR|RUB|SEK|NOK|DKK|PLN|CZK|HUF|BRL|kr\.?|zł|Kč|Ft|Rs\.?"
_SIGNED = (
    r"^(?P<open>\()?(?P<sign>[-+])?\s?(?P<before>CURRENCY)?\s?(?P<inner>[-+])?"
    r"(?P<body>[.,]?[0-9](?:[0-9.,' ]*[0-9])?[.,]?)(?P<exponent>[eE][-+]?[0-9]+)?"
    r"\s?(?P<after>%|CURRENCY)?(?P<close>\))?$"
).replace("CURRENCY", _CURRENCY)
_BLANKS = "[\u00a0\u2007\u2009\u202f]"
_DIGIT = "[0-9]"
_CELLS_JUDGED = 50_000
_SHORT_DATE = r"^\d\d-\d\d-\d\d\b"
_AS_ISO = "write them as 2015-12-31"
_SAMPLED_WORDS = 200
_LONGEST_FORM = 12

# The bodies of numbers by their decimal mark: ungrouped, or in groups with the mark of thousands.
_UNGROUPED = {".": r"^([0-9]+\.?[0-9]*|\.[0-9]+)$", ",": r"^([0-9]+,?[0-9]*|,[0-9]+)$"}
_GROUPED = {
    ".": r"^([1-9][0-9]{0,2}(,[0-9]{2,3})*,[0-9]{3}(\.[0-9]*)?)$",
    ",": r"^([1-9][0-9]{0,2}(\.[0-9]{2,3})*\.[0-9]{3}(,[0-9]*)?)$",
}
_SPACED = {".": r"^[1-9][0-9]{0,2}([ '][0-9]{3})+(\.[0-9]*)?$", ",": r"^[1-9][0-9]{0,2}([ '][0-9]{3})+(,[0-9]*)?$"}
_EITHER = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")


@dataclass(frozen=True)
class Marks:
    """The marks that numbers of a file are written with.

    Attributes
    ----------
    decimal : "." or "," or None
        None where it is to be found, column by column.
    thousands : str or None
        What stands between groups of three digits; None where it is to be found.
    """

    decimal: str | None = None
    thousands: str | None = None

    @property
    def point_or_comma(self) -> str | None:
        """The decimal mark, which is the other of the two where thousands have one of them."""
        return self.decimal or {",": ".", ".": ","}.get(self.thousands or "")


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
    if not _alike(words.slice(0, _SAMPLED_WORDS)).all():
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
    parts, no_marks = _signed_parts(words), Marks()
    numbers = parts.matched & (_fits(parts.bodies, ".", no_marks) | _fits(parts.bodies, ",", no_marks))
    dates = [days_of(words, order) for order in ("dmy", "mdy")]
    return np.asarray(numbers | ~np.isnan(np.stack([*dates, hours_of(words)])).all(axis=0))


def read_as(words: Any, form: str | None, marks: Marks) -> NDArray[np.float64]:
    """Value of each word in a form known from training, NaN where it is none.

    A word without a currency belongs to any amount; a date whose text leaves no doubt of its order, to any order.
    """
    if form == "time":
        return hours_of(words)
    if form is not None and form.startswith("date"):
        return days_of(words, form.removeprefix("date").strip() or "ymd")
    parts = _signed_parts(words)
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
    fitting = {mark: allowed & _fits(parts.bodies, mark, marks) for mark in ",."}
    decimal = max(",.", key=lambda mark: (np.count_nonzero(fitting[mark]), mark == preferred))
    values, chosen = np.full(len(words), np.nan), np.flatnonzero(fitting[decimal])
    values[chosen] = parts.signs[chosen] * _values(parts, chosen, decimal)
    return values


class _Parts(NamedTuple):
    matched: NDArray[np.bool_]
    symbols: list[str]
    signs: NDArray[np.float64]
    bodies: Any
    exponents: Any


def _signed_parts(words: Any) -> _Parts:
    """Signs, currencies and digits of words; those that are no such number have empty parts."""
    pc = import_pyarrow("pyarrow.compute")
    plain = pc.replace_substring_regex(pc.replace_substring_regex(words, "[−–]", "-"), _BLANKS, " ")
    plain = pc.replace_substring(plain, "’", "'")
    found = pc.extract_regex(plain, _SIGNED)
    part = {field.name: pc.fill_null(pc.struct_field(found, field.name), "") for field in found.type}
    matched = np.asarray(found.is_valid().to_numpy(zero_copy_only=False))
    held = {name: part[name].to_pylist() for name in ("open", "close", "sign", "inner", "before", "after")}
    whole = np.array([
        (opened == "(") == (closed == ")") and not (before and after and after != "%") and not (sign and inner)
        for opened, closed, before, after, sign, inner in zip(
            held["open"], held["close"], held["before"], held["after"], held["sign"], held["inner"], strict=True
        )
    ], dtype=bool)  # fmt: skip
    signs = np.array([
        -1.0 if opened or "-" in (sign, inner) else 1.0
        for opened, sign, inner in zip(held["open"], held["sign"], held["inner"], strict=True)
    ], dtype=np.float64)  # fmt: skip
    symbols = [before or after for before, after in zip(held["before"], held["after"], strict=True)]
    return _Parts(matched & whole, symbols, signs, part["body"], part["exponent"])


def _fits(bodies: Any, decimal: str, marks: Marks) -> NDArray[np.bool_]:
    """Which bodies are numbers with that decimal mark."""
    pc = import_pyarrow("pyarrow.compute")
    fitting = pc.match_substring_regex(bodies, _UNGROUPED[decimal])
    between = "." if decimal == "," else ","
    if marks.thousands in (None, between):
        fitting = pc.or_(fitting, pc.match_substring_regex(bodies, _GROUPED[decimal]))
    if marks.thousands in (None, " ", "'"):
        fitting = pc.or_(fitting, pc.match_substring_regex(bodies, _SPACED[decimal]))
    return np.asarray(fitting.to_numpy(zero_copy_only=False))


def _values(parts: _Parts, chosen: NDArray[np.intp], decimal: str) -> NDArray[np.float64]:
    """The bodies at ``chosen``, which fit, without their signs."""
    pc = import_pyarrow("pyarrow.compute")
    digits = pc.replace_substring_regex(parts.bodies.take(chosen), r"[^0-9" + re.escape(decimal) + "]", "")
    if decimal == ",":
        digits = pc.replace_substring(digits, ",", ".")
    texts = pc.binary_join_element_wise(digits, parts.exponents.take(chosen), import_pyarrow().scalar("", digits.type))
    return np.asarray(texts.cast("float64").to_numpy(zero_copy_only=False))


def _decorated(words: Any, marks: Marks) -> Numbers | None:
    """Plain numbers, percentages, amounts of one currency."""
    parts = _signed_parts(words)
    if not parts.matched.all():
        return None
    symbols = set(parts.symbols)
    if len(symbols - {""}) > 1:
        return None
    symbol = next(iter(symbols - {""}), "")
    decimal = _decimal_of(words, parts, marks, symbol)
    if decimal is None:
        return None
    values = parts.signs * _values(parts, np.arange(len(words)), decimal)
    if symbol == "%" and "" in symbols and np.any(values[np.array(parts.symbols, dtype=object) == ""] != 0):
        return None  # 5 beside 5 % may be 500 %
    form = "percent" if symbol == "%" else f"amount {symbol}" if symbol else None
    seen = _any_contains(parts.bodies, ",") or _any_contains(parts.bodies, ".")
    return Numbers(form, values, decimal if seen else None)


def _decimal_of(words: Any, parts: _Parts, marks: Marks, symbol: str) -> str | None:
    """The decimal mark of numbers; None if they have none in common."""
    preferred = marks.point_or_comma
    fitting = {mark for mark in ",." if _fits(parts.bodies, mark, marks).all()}
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
