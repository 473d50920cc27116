"""How the cells of a table are read: which words are missing, which columns are text, which text is numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.errors import DataError
from gpu_logreg.files.arrow_columns import MISSING_WORDS, canonical, numbers_among
from gpu_logreg.files.column_names import Source, drop_option, text_option
from gpu_logreg.files.dates import days_of_column
from gpu_logreg.files.number_forms import Numbers, UndecidedError, describe_form, read_as, read_numbers
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.reading import import_pyarrow

__all__ = ["CellRules", "ReadColumn", "form_remarks", "read_column"]


@dataclass(frozen=True)
class CellRules:
    """How to read the cells of one file.

    Attributes
    ----------
    missing : tuple of str
        Words for missing cells, apart from the empty one.
    text : collection of str
        Columns kept as text.
    labels : str or None
        The column of the labels, where dates and percentages are classes like other words.
    known : mapping or None
        In training None: forms are found. For a model, the form of each of its numeric columns, None for plain numbers.
    marks : Marks
        Of the numbers.
    in_text : bool
        Whether the format has no types, so that text may be numbers.
    """

    missing: tuple[str, ...] = MISSING_WORDS
    text: Collection[str] = ()
    labels: str | None = None
    known: Mapping[str, str | None] | None = None
    marks: Marks = field(default_factory=Marks)
    in_text: bool = False


class ReadColumn(NamedTuple):
    """A column in the canonical form of a table, the form of its numbers, a word and its value, a decimal mark."""

    column: Any
    form: str | None = None
    example: tuple[str, float] | None = None
    decimal: str | None = None


def read_column(name: str, column: Any, source: Source, rules: CellRules) -> ReadColumn:
    """Bring an Arrow column into the canonical form of a table, its text as numbers where the rules say so.

    Raises
    ------
    DataError
        Cells that cannot be read, or that are not what the model saw in training.
    """
    types = import_pyarrow("pyarrow.types")
    form = None
    as_text = name in rules.text
    is_label_of_time = name == rules.labels and types.is_temporal(column.type)
    if (as_text and not _is_text(column.type)) or is_label_of_time:
        column = column.cast("string")
    elif types.is_date(column.type) or types.is_timestamp(column.type) or types.is_time(column.type):
        form = "time" if types.is_time(column.type) else "date"
        column = days_of_column(column)
    plain_at_once = rules.in_text and not as_text and rules.marks.point_or_comma != ","
    column = canonical(name, column, source, plain_at_once, rules.missing)
    if types.is_dictionary(column.type) and not as_text:
        read = _numbers_of(name, column, source, rules)
        if read is not None:
            return read
    _refuse_another_form(name, column, form, source, rules)
    return ReadColumn(column, form)


def _is_text(dtype: Any) -> bool:
    types = import_pyarrow("pyarrow.types")
    return bool(types.is_dictionary(dtype) or str(dtype) in ("string", "large_string", "string_view"))


def _numbers_of(name: str, column: Any, source: Source, rules: CellRules) -> ReadColumn | None:
    """The column as numbers, where its words are some; else None."""
    pa = import_pyarrow()
    encoded = column.combine_chunks()
    words = encoded.dictionary.cast(pa.large_string())
    if name == rules.labels:
        numbers = _plain_labels(words, rules)
    elif rules.known is None:
        numbers = _found(name, words, source, rules) if rules.in_text else None
    else:
        numbers = _known(name, encoded, words, source, rules)
    if numbers is None:
        return None
    taken = pa.array(numbers.values).take(encoded.indices)
    plain = np.asarray(numbers_among(words).to_numpy(zero_copy_only=False))
    shown = int(np.argmin(plain))  # the first that is not, if there is one
    example = (words[shown].as_py(), float(numbers.values[shown]))
    return ReadColumn(pa.chunked_array([taken]), numbers.form, example, numbers.decimal)


def _plain_labels(words: Any, rules: CellRules) -> Numbers | None:
    """Labels written with a decimal comma, as numbers: in such a file 1,0 is a number like 1."""
    if not rules.in_text or rules.marks.point_or_comma != ",":
        return None
    values = read_as(words, None, rules.marks)
    return None if np.isnan(values).any() else Numbers(None, values)


def _found(name: str, words: Any, source: Source, rules: CellRules) -> Numbers | None:
    try:
        return read_numbers(words, rules.marks)
    except UndecidedError as error:
        raise DataError(
            f"{source.name}: column {name!r} {error}, {text_option(name)} to have it as text, or {drop_option(name)} "
            "to leave it out"
        ) from error


def _known(name: str, encoded: Any, words: Any, source: Source, rules: CellRules) -> Numbers | None:
    """Words in the form of the model; None where they are not, and the form is plain, which the schema refuses."""
    assert rules.known is not None
    form = rules.known.get(name)
    if name not in rules.known or (form is None and not rules.in_text):
        return None
    values = read_as(words, form, rules.marks)
    odd = np.isnan(values)
    if not odd.any():
        return Numbers(form, values)
    if form is None:
        return None
    pa, pc = import_pyarrow(), import_pyarrow("pyarrow.compute")
    row = pc.index(pa.array(odd).take(encoded.indices), pa.scalar(True)).as_py()
    raise DataError(
        f"{source.at(row)}: column {name!r} held {describe_form(form)} in training, not {encoded[row].as_py()[:40]!r}"
    )


def _refuse_another_form(name: str, column: Any, form: str | None, source: Source, rules: CellRules) -> None:
    """Refuse numbers that come typed and are of another kind than in training."""
    types = import_pyarrow("pyarrow.types")
    known = (rules.known or {}).get(name)
    is_number = not (types.is_dictionary(column.type) or types.is_null(column.type))
    if rules.known is None or name not in rules.known or not is_number:
        return
    if (known or "").split(" ")[0] == (form or "") or (form is None and (known or "").startswith("amount")):
        return
    held = "numbers" if known is None else describe_form(known)
    here = "plain numbers" if form is None else describe_form(form)
    raise DataError(f"{source.name}: column {name!r} held {held} in training, and holds {here} here; correct it")


def form_remarks(columns: Mapping[str, ReadColumn], source: Source) -> tuple[str, ...]:
    """What to tell of columns that were read as more than they seem: a line for each form."""
    by_form: dict[str, list[str]] = {}
    for name, read in columns.items():
        grouped = read.form is None and read.example is not None and any(mark in read.example[0] for mark in ", '(")
        if read.form is not None or grouped:
            by_form.setdefault(read.form or "numbers", []).append(name)
    return tuple(_form_remark(form, names, columns, source) for form, names in by_form.items())


def _form_remark(form: str, names: list[str], columns: Mapping[str, ReadColumn], source: Source) -> str:
    example = columns[names[0]].example
    shown = ", ".join(map(repr, names[:4])) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    columns_are = f"column {shown} is" if len(names) == 1 else f"columns {shown} are"
    units = {"date": "days since 1970-01-01", "time": "hours"}.get(form.split(" ")[0])
    value = "" if example is None else f": {example[0]!r} is {example[1]:.10g}"
    kind = "numbers" if form == "numbers" else describe_form(form)
    return f"{source.name}: {columns_are} read as {kind}{f', in {units}' if units else ''}{value}"
