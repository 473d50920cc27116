"""Numbers written as text, taken apart into sign, currency, digits and exponent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.files.reading import import_pyarrow

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Marks", "Parts", "fits", "signed_parts", "values_at"]

_CURRENCY = r"US\$|R\$|[$€£¥₹₽₩₺₫₪฿]|USD|EUR|GBP|CHF|JPY|CNY|INR|RUB|SEK|NOK|DKK|PLN|CZK|HUF|BRL|kr\.?|zł|Kč|Ft|Rs\.?"
_SIGNED = (
    r"^(?P<open>\()?(?P<sign>[-+])?\s?(?P<before>CURRENCY)?\s?(?P<inner>[-+])?"
    r"(?P<body>[.,]?[0-9](?:[0-9.,' ]*[0-9])?[.,]?)(?P<exponent>[eE][-+]?[0-9]+)?"
    r"\s?(?P<after>%|CURRENCY)?(?P<close>\))?$"
).replace("CURRENCY", _CURRENCY)
_BLANKS = "[\u00a0\u2007\u2009\u202f]"

# Patterns of the digits of a number by its decimal mark: ungrouped; in groups with the other mark, also of two digits
# as in India; in groups with a blank or an apostrophe.
_UNGROUPED = {".": r"^([0-9]+\.?[0-9]*|\.[0-9]+)$", ",": r"^([0-9]+,?[0-9]*|,[0-9]+)$"}
_GROUPED = {
    ".": r"^([1-9][0-9]{0,2}(,[0-9]{2,3})*,[0-9]{3}(\.[0-9]*)?)$",
    ",": r"^([1-9][0-9]{0,2}(\.[0-9]{2,3})*\.[0-9]{3}(,[0-9]*)?)$",
}
_SPACED = {".": r"^[1-9][0-9]{0,2}([ '][0-9]{3})+(\.[0-9]*)?$", ",": r"^[1-9][0-9]{0,2}([ '][0-9]{3})+(,[0-9]*)?$"}


@dataclass(frozen=True)
class Marks:
    """The marks in the numbers of a file.

    Attributes
    ----------
    decimal : "." or "," or None
        Decimal mark; None if each column is to show its own.
    thousands : str or None
        Mark between groups of three digits; None if the numbers are to show it.
    """

    decimal: str | None = None
    thousands: str | None = None

    @property
    def point_or_comma(self) -> str | None:
        """The decimal mark. Where thousands have a point or a comma it is the other one."""
        return self.decimal or {",": ".", ".": ","}.get(self.thousands or "")


class Parts(NamedTuple):
    """Words taken apart, an item for each word.

    Attributes
    ----------
    is_number : bool array
        Whether the word is a number at all.
    symbols : list of str
        Currency or percent sign, or "".
    signs : float64 array
        1 or -1; -1 too for a number in brackets, as accountants write it.
    bodies, exponents : Arrow strings
        The digits with their marks, and the exponent, such as ``e-3``.
    """

    is_number: NDArray[np.bool_]
    symbols: list[str]
    signs: NDArray[np.float64]
    bodies: pyarrow.Array
    exponents: pyarrow.Array


def signed_parts(words: pyarrow.Array) -> Parts:
    """The parts of words. A word that is no number has empty parts."""
    pc = import_pyarrow("pyarrow.compute")
    plain = pc.replace_substring_regex(pc.replace_substring_regex(words, "[−–]", "-"), _BLANKS, " ")
    plain = pc.replace_substring(plain, "’", "'")
    groups = pc.extract_regex(plain, _SIGNED)
    part = {field.name: pc.fill_null(pc.struct_field(groups, field.name), "") for field in groups.type}
    matches = np.asarray(groups.is_valid().to_numpy(zero_copy_only=False))
    texts = {name: part[name].to_pylist() for name in ("open", "close", "sign", "inner", "before", "after")}
    fits_together = np.array([
        (bracket == "(") == (end_bracket == ")") and not (before and after and after != "%") and not (sign and inner)
        for bracket, end_bracket, before, after, sign, inner in zip(
            texts["open"], texts["close"], texts["before"], texts["after"], texts["sign"], texts["inner"], strict=True
        )
    ], dtype=bool)  # fmt: skip
    signs = np.array([
        -1.0 if bracket or "-" in (sign, inner) else 1.0
        for bracket, sign, inner in zip(texts["open"], texts["sign"], texts["inner"], strict=True)
    ], dtype=np.float64)  # fmt: skip
    symbols = [before or after for before, after in zip(texts["before"], texts["after"], strict=True)]
    return Parts(matches & fits_together, symbols, signs, part["body"], part["exponent"])


def fits(bodies: pyarrow.Array, decimal: str, marks: Marks) -> NDArray[np.bool_]:
    """Which bodies are numbers with the decimal mark ``decimal``, and with the mark between thousands in ``marks``."""
    pc = import_pyarrow("pyarrow.compute")
    fitting = pc.match_substring_regex(bodies, _UNGROUPED[decimal])
    between = "." if decimal == "," else ","
    if marks.thousands in (None, between):
        fitting = pc.or_(fitting, pc.match_substring_regex(bodies, _GROUPED[decimal]))
    if marks.thousands in (None, " ", "'"):
        fitting = pc.or_(fitting, pc.match_substring_regex(bodies, _SPACED[decimal]))
    return np.asarray(fitting.to_numpy(zero_copy_only=False))


def values_at(parts: Parts, positions: NDArray[np.intp], decimal: str) -> NDArray[np.float64]:
    """The numbers of the parts at ``positions``, without their signs; the bodies there must fit ``decimal``."""
    pc = import_pyarrow("pyarrow.compute")
    digits = pc.replace_substring_regex(parts.bodies.take(positions), r"[^0-9" + re.escape(decimal) + "]", "")
    if decimal == ",":
        digits = pc.replace_substring(digits, ",", ".")
    texts = pc.binary_join_element_wise(
        digits, parts.exponents.take(positions), import_pyarrow().scalar("", digits.type)
    )
    return np.asarray(texts.cast("float64").to_numpy(zero_copy_only=False))
