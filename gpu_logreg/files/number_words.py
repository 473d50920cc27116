"""The signs, digits and marks of numbers that are written as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.files.reading import import_pyarrow

__all__ = ["Marks", "Parts", "fits", "signed_parts", "values_at"]

_CURRENCY = r"US\$|R\$|[$€£¥₹₽₩₺₫₪฿]|USD|EUR|GBP|CHF|JPY|CNY|INR|RUB|SEK|NOK|DKK|PLN|CZK|HUF|BRL|kr\.?|zł|Kč|Ft|Rs\.?"
_SIGNED = (
    r"^(?P<open>\()?(?P<sign>[-+])?\s?(?P<before>CURRENCY)?\s?(?P<inner>[-+])?"
    r"(?P<body>[.,]?[0-9](?:[0-9.,' ]*[0-9])?[.,]?)(?P<exponent>[eE][-+]?[0-9]+)?"
    r"\s?(?P<after>%|CURRENCY)?(?P<close>\))?$"
).replace("CURRENCY", _CURRENCY)
_BLANKS = "[\u00a0\u2007\u2009\u202f]"

# The bodies of numbers by their decimal mark: ungrouped, or in groups with the mark of thousands.
_UNGROUPED = {".": r"^([0-9]+\.?[0-9]*|\.[0-9]+)$", ",": r"^([0-9]+,?[0-9]*|,[0-9]+)$"}
_GROUPED = {
    ".": r"^([1-9][0-9]{0,2}(,[0-9]{2,3})*,[0-9]{3}(\.[0-9]*)?)$",
    ",": r"^([1-9][0-9]{0,2}(\.[0-9]{2,3})*\.[0-9]{3}(,[0-9]*)?)$",
}
_SPACED = {".": r"^[1-9][0-9]{0,2}([ '][0-9]{3})+(\.[0-9]*)?$", ",": r"^[1-9][0-9]{0,2}([ '][0-9]{3})+(,[0-9]*)?$"}


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


class Parts(NamedTuple):
    """Words of numbers, taken apart: whether each is one, its currency or percent sign, sign, digits, exponent."""

    matched: NDArray[np.bool_]
    symbols: list[str]
    signs: NDArray[np.float64]
    bodies: Any
    exponents: Any


def signed_parts(words: Any) -> Parts:
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
    return Parts(matched & whole, symbols, signs, part["body"], part["exponent"])


def fits(bodies: Any, decimal: str, marks: Marks) -> NDArray[np.bool_]:
    """Which bodies are numbers with that decimal mark."""
    pc = import_pyarrow("pyarrow.compute")
    fitting = pc.match_substring_regex(bodies, _UNGROUPED[decimal])
    between = "." if decimal == "," else ","
    if marks.thousands in (None, between):
        fitting = pc.or_(fitting, pc.match_substring_regex(bodies, _GROUPED[decimal]))
    if marks.thousands in (None, " ", "'"):
        fitting = pc.or_(fitting, pc.match_substring_regex(bodies, _SPACED[decimal]))
    return np.asarray(fitting.to_numpy(zero_copy_only=False))


def values_at(parts: Parts, chosen: NDArray[np.intp], decimal: str) -> NDArray[np.float64]:
    """The bodies at ``chosen``, which fit, without their signs."""
    pc = import_pyarrow("pyarrow.compute")
    digits = pc.replace_substring_regex(parts.bodies.take(chosen), r"[^0-9" + re.escape(decimal) + "]", "")
    if decimal == ",":
        digits = pc.replace_substring(digits, ",", ".")
    texts = pc.binary_join_element_wise(digits, parts.exponents.take(chosen), import_pyarrow().scalar("", digits.type))
    return np.asarray(texts.cast("float64").to_numpy(zero_copy_only=False))
