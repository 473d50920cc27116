"""How the cells of a table are read: which words mean a missing cell, and which columns are text or numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gpu_logreg.errors import DataError
from gpu_logreg.files.arrow_columns import MISSING_WORDS, numbers_among, to_canonical
from gpu_logreg.files.column_names import Source, drop_option, text_option
from gpu_logreg.files.dates import days_of_column
from gpu_logreg.files.number_forms import Numbers, UndecidedError, describe_form, read_as, read_numbers
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.reading import import_pyarrow

if TYPE_CHECKING:
    import pyarrow

__all__ = ["CellRules", "ReadColumn", "form_remarks", "is_text_type", "read_column"]


@dataclass(frozen=True)
class CellRules:
    """How to read the cells of one file.

    Attributes
    ----------
    missing : tuple of str
        Words for missing cells. An empty cell is missing in any case.
    text : collection of str
        Columns whose cells stay text.
    labels : str or None
        The column of the labels, in which dates and percentages are classes like other words.
    forms : mapping or None
        None in training, where the forms are found. For a model, the form of each of its numeric columns, None for
        plain numbers.
    marks : Marks
        Marks of the numbers in the file.
    is_untyped : bool
        Whether the format has no types, as CSV, so that text may be numbers.
    """

    missing: tuple[str, ...] = MISSING_WORDS
    text: Collection[str] = ()
    labels: str | None = None
    forms: Mapping[str, str | None] | None = None
    marks: Marks = field(default_factory=Marks)
    is_untyped: bool = False


class ReadColumn(NamedTuple):
    """A column as it was read.

    Attributes
    ----------
    column : pyarrow.ChunkedArray
        In the canonical form of a table.
    form : str or None
        The form of its numbers; None for plain numbers and for text.
    example : tuple of str and float, or None
        A cell and its number, where text was read as numbers.
    decimal : str or None
        The decimal mark, if the cells show it.
    """

    column: pyarrow.ChunkedArray
    form: str | None = None
    example: tuple[str, float] | None = None
    decimal: str | None = None


def read_column(name: str, column: pyarrow.ChunkedArray, source: Source, rules: CellRules) -> ReadColumn:
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
    if (as_text and not is_text_type(column.type)) or is_label_of_time:
        column = column.cast("string")
    elif types.is_date(column.type) or types.is_timestamp(column.type) or types.is_time(column.type):
        form = "time" if types.is_time(column.type) else "date"
        column = days_of_column(column)
    plain_at_once = rules.is_untyped and not as_text and rules.marks.point_or_comma != ","
    column = to_canonical(name, column, source, plain_at_once, rules.missing)
    if types.is_dictionary(column.type) and not as_text:
        read = _numbers_of(name, column, source, rules)
        if read is not None:
            return read
    _refuse_another_form(name, column, form, source, rules)
    return ReadColumn(column, form)


def is_text_type(dtype: pyarrow.DataType) -> bool:
    """Whether cells of a type of Arrow's are text."""
    types = import_pyarrow("pyarrow.types")
    return bool(types.is_dictionary(dtype) or str(dtype) in ("string", "large_string", "string_view"))


def _numbers_of(name: str, column: pyarrow.ChunkedArray, source: Source, rules: CellRules) -> ReadColumn | None:
    """The column as numbers, if all its words are numbers; else None."""
    pa = import_pyarrow()
    encoded = column.combine_chunks()
    words = encoded.dictionary.cast(pa.large_string())
    if name == rules.labels:
        numbers = _plain_labels(words, rules)
    elif rules.forms is None:
        numbers = _numbers_in_training(name, words, source, rules) if rules.is_untyped else None
    else:
        numbers = _numbers_of_model(name, encoded, words, source, rules)
    if numbers is None:
        return None
    values = pa.array(numbers.values).take(encoded.indices)
    plain = np.asarray(numbers_among(words).to_numpy(zero_copy_only=False))
    at = int(np.argmin(plain))  # the first word that is no plain number, if there is one
    example = (words[at].as_py(), float(numbers.values[at]))
    return ReadColumn(pa.chunked_array([values]), numbers.form, example, numbers.decimal)


def _plain_labels(words: pyarrow.Array, rules: CellRules) -> Numbers | None:
    """Labels as numbers where the file has a decimal comma: there ``1,0`` is the class 1 like ``1``."""
    if not rules.is_untyped or rules.marks.point_or_comma != ",":
        return None
    values = read_as(words, None, rules.marks)
    return None if np.isnan(values).any() else Numbers(None, values)


def _numbers_in_training(name: str, words: pyarrow.Array, source: Source, rules: CellRules) -> Numbers | None:
    """The numbers of words in the form that all of them have; None where they have none."""
    try:
        return read_numbers(words, rules.marks)
    except UndecidedError as error:
        raise DataError(
            f"{source.name}: column {name!r} {error}, {text_option(name)} to have it as text, or {drop_option(name)} "
            "to leave it out"
        ) from error


def _numbers_of_model(
    name: str, encoded: pyarrow.DictionaryArray, words: pyarrow.Array, source: Source, rules: CellRules
) -> Numbers | None:
    """The numbers of words in the form that the model has for the column.

    A word that is no number of that form is refused here; if the form is plain, the result is None, and the schema
    refuses the column.
    """
    assert rules.forms is not None
    form = rules.forms.get(name)
    if name not in rules.forms or (form is None and not rules.is_untyped):
        return None
    values = read_as(words, form, rules.marks)
    is_no_number = np.isnan(values)
    if not is_no_number.any():
        return Numbers(form, values)
    if form is None:
        return None
    pa, pc = import_pyarrow(), import_pyarrow("pyarrow.compute")
    row = pc.index(pa.array(is_no_number).take(encoded.indices), pa.scalar(True)).as_py()
    raise DataError(
        f"{source.at(row)}: column {name!r} held {describe_form(form)} in training, not {encoded[row].as_py()[:40]!r}"
    )


def _refuse_another_form(
    name: str, column: pyarrow.ChunkedArray, form: str | None, source: Source, rules: CellRules
) -> None:
    """Refuse numbers of a typed format, as Parquet, that are dates or times where training had none, or vice versa."""
    types = import_pyarrow("pyarrow.types")
    model_form = (rules.forms or {}).get(name)
    is_number = not (types.is_dictionary(column.type) or types.is_null(column.type))
    if rules.forms is None or name not in rules.forms or not is_number:
        return
    if (model_form or "").split(" ")[0] == (form or "") or (form is None and (model_form or "").startswith("amount")):
        return
    in_training = "numbers" if model_form is None else describe_form(model_form)
    in_file = "plain numbers" if form is None else describe_form(form)
    raise DataError(
        f"{source.name}: column {name!r} held {in_training} in training, and holds {in_file} here; correct it"
    )


def form_remarks(columns: Mapping[str, ReadColumn], source: Source) -> tuple[str, ...]:
    """One line for each form of numbers that is not plain: its columns, and how one of their cells was read."""
    by_form: dict[str, list[str]] = {}
    for name, read in columns.items():
        grouped = read.form is None and read.example is not None and any(mark in read.example[0] for mark in ", '(")
        if read.form is not None or grouped:
            by_form.setdefault(read.form or "numbers", []).append(name)
    return tuple(_form_remark(form, names, columns, source) for form, names in by_form.items())


def _form_remark(form: str, names: list[str], columns: Mapping[str, ReadColumn], source: Source) -> str:
    example = columns[names[0]].example
    first_names = ", ".join(map(repr, names[:4])) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    columns_are = f"column {first_names} is" if len(names) == 1 else f"columns {first_names} are"
    units = {"date": "days since 1970-01-01", "time": "hours"}.get(form.split(" ")[0])
    value = "" if example is None else f": {example[0]!r} is {example[1]:.10g}"
    kind = "numbers" if form == "numbers" else describe_form(form)
    return f"{source.name}: {columns_are} read as {kind}{f', in {units}' if units else ''}{value}"
