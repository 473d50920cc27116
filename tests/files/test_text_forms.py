"""Numbers in text: marks, percentages, amounts, dates, times; in training and in the rows to predict."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from data_files import Write, refusal, train, writer

from gpu_logreg.errors import DataError
from gpu_logreg.files.dates import days_of, days_of_column, hours_of
from gpu_logreg.files.load import FileOptions, load_labelled_data, load_prediction_data
from gpu_logreg.files.number_forms import UndecidedError, find_decimal, like_numbers, read_as, read_numbers
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.schema import Schema


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return writer(tmp_path)


def words(*texts: str) -> Any:
    return pa.array(texts, pa.large_string())


def days(year: int, month: int, day: int, hours: float = 0.0) -> float:
    return (datetime.date(year, month, day) - datetime.date(1970, 1, 1)).days + hours / 24


# ------------------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("texts", "form", "values"),
    [
        (("+5", "1e3", "-.5", "3."), None, [5, 1000, -0.5, 3]),
        (("−5", "3.25"), None, [-5, 3.25]),
        (("0,126", "9,000", "-1,5e-2"), None, [0.126, 9, -0.015]),
        (("1,234", "999", "12,345,678"), None, [1234, 999, 12345678]),
        (("1,234.50", "0.25"), None, [1234.5, 0.25]),
        (("1.234,50", "7"), None, [1234.5, 7]),
        (("1.234.567", "1.234"), None, [1234567, 1234]),
        (("1 234", "12 345,6", "5"), None, [1234, 12345.6, 5]),
        (("1\u00a0234", "1\u202f234\u202f567"), None, [1234, 1234567]),
        (("1'234.5", "7’000"), None, [1234.5, 7000]),
        (("12,34,567", "1,00,000.5"), None, [1234567, 100000.5]),
        (("1,234", "1500"), None, [1.234, 1500]),
        (("12.5%", "3 %", "0", "-1%"), "percent", [12.5, 3, 0, -1]),
        (("12,5 %", "3%"), "percent", [12.5, 3]),
        (("$1,234.50", "-$5", "$-3", "($7.00)", "12"), "amount $", [1234.5, -5, -3, -7, 12]),
        (("1.234,50 €", "7 €"), "amount €", [1234.5, 7]),
        (("USD 5", "12 USD"), "amount USD", [5, 12]),
        (("9:05", "13:30:36", "1:30 PM"), "time", [9 + 5 / 60, 13.51, 13.5]),
    ],
)
def test_what_texts_are_as_numbers(texts: tuple[str, ...], form: str | None, values: list[float]) -> None:
    read = read_numbers(words(*texts), Marks())
    assert read is not None
    assert read.form == form
    np.testing.assert_allclose(read.values, values, rtol=1e-15)
    np.testing.assert_array_equal(read_as(words(*texts), form, Marks(read.decimal)), read.values)


@pytest.mark.parametrize(
    "texts",
    [
        ("5%", "5"),
        ("$5", "€5"),
        ("1,5", "2.5"),
        ("10-19", "20-29"),
        ("A11", "A12"),
        ("12 kg", "5 kg"),
        ("5", "five"),
        ("1.2.3", "10.0.0.1"),
        ("(5", "6"),
        ("123 45", "678 90"),
        ("2015-02-30", "2015-01-01"),
        ("25:00", "1:00"),
    ],
)
def test_what_is_no_number(texts: tuple[str, ...]) -> None:
    assert read_numbers(words(*texts), Marks()) is None


def test_numbers_that_a_mark_decides() -> None:
    ambiguous = words("1,234", "9,876")
    with pytest.raises(UndecidedError, match=r"'1,234', whose comma may mark.*--decimal , or --thousands ,"):
        read_numbers(ambiguous, Marks())
    for marks, values in [
        (Marks(","), [1.234, 9.876]),
        (Marks("."), [1234, 9876]),
        (Marks(None, ","), [1234, 9876]),
        (Marks(None, "."), [1.234, 9.876]),
    ]:
        read = read_numbers(ambiguous, marks)
        assert read is not None
        assert read.values.tolist() == values
    with pytest.raises(UndecidedError, match=r"'€1\.234', whose point"):
        read_numbers(words("€1.234", "€5.678"), Marks())
    grouped = read_numbers(words("1.234", "12.500"), Marks(","))
    assert grouped is not None
    assert grouped.values.tolist() == [1234, 12500]


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["0,126", "x", "5"], ","),
        (["1,234"], None),
        (["1,234.5"], "."),
        (["1.234,5 €"], ","),
        (["12.5%"], "."),
        (["1,5", "1.5"], None),
        (["1.2.3", "10.0.0.1", "2015.01.21", "a,5"], None),
        (["2,50"], ","),
    ],
)
def test_the_decimal_mark_of_a_file(cells: list[str], mark: str | None) -> None:
    assert find_decimal(cells) == mark


def test_which_words_are_like_numbers() -> None:
    texts = words("12", "1,5", "5%", "$3", "2015-01-02", "10:30", "unknown", "x1", "")
    assert like_numbers(texts).tolist() == [True] * 6 + [False] * 3


# -------------------------------------------------------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2015-01-21", days(2015, 1, 21)),
        ("2015/1/2", days(2015, 1, 2)),
        ("2015.01.21 10:30", days(2015, 1, 21, 10.5)),
        ("2015-01-21T12:00:00.9Z", days(2015, 1, 21, 12 + 0.9 / 3600)),
        ("2015-01-21 01:00:00+02:00", days(2015, 1, 20, 23)),
        ("2015-01-21 22:00-0330", days(2015, 1, 22, 1.5)),
        ("20150121T060000", days(2015, 1, 21, 6)),
        ("2015-03", days(2015, 3, 1)),
        ("21 Jan 2015", days(2015, 1, 21)),
        ("21-Jan-15", days(2015, 1, 21)),
        ("Jan 21, 2015", days(2015, 1, 21)),
        ("Wed, 21 Jan 2015 10:00:00 GMT", days(2015, 1, 21, 10)),
        ("January 3rd, 2015 1:30 PM", days(2015, 1, 3, 13.5)),
        ("Sept 2015", days(2015, 9, 1)),
        ("29 February 2016", days(2016, 2, 29)),
    ],
)
def test_dates_of_any_order(text: str, expected: float) -> None:
    for order in ("ymd", "dmy", "mdy"):
        np.testing.assert_allclose(days_of(words(text), order), expected, rtol=1e-12)
    read = read_numbers(words(text, "1999-12-31"), Marks())
    assert read is not None
    assert read.form == "date"


@pytest.mark.parametrize("text", ["2015-13-01", "2015-02-29", "2015-01-21 25:00", "20-01-2015x", "Foo 2, 2015", "x"])
def test_what_is_no_date(text: str) -> None:
    for order in ("ymd", "dmy", "mdy"):
        assert np.isnan(days_of(words(text), order)).all()


def test_the_order_is_decided_by_the_column() -> None:
    first = days(2015, 2, 1)
    for texts, form, start in [
        (("02/01/2015", "12/31/2015"), "date mdy", first),
        (("01/02/2015", "31/12/2015"), "date dmy", first),
        (("01/02/15 0:00", "31/12/15 12:00"), "date dmy", first),
        (("01.02.2015", "03.04.2015"), "date dmy", first),
        (("1/1/2015", "2/2/2015"), "date dmy", days(2015, 1, 1)),
        (("2/1/68", "12/31/69"), "date mdy", days(2068, 2, 1)),
    ]:
        read = read_numbers(words(*texts), Marks())
        assert read is not None
        assert read.form == form
        assert read.values[0] == start
    for texts, why in [(("01/02/2015", "03/04/2015"), "day or the month first"), (("15-01-02", "16-02-03"), "last")]:
        with pytest.raises(UndecidedError, match=why):
            read_numbers(words(*texts), Marks())
    assert read_numbers(words("13/01/2015", "01/13/2015"), Marks()) is None


def test_typed_dates_and_times() -> None:
    moment = datetime.datetime(2015, 1, 21, 12)
    for column, expected in [
        (pa.array([moment.date()]), days(2015, 1, 21)),
        (pa.array([moment], pa.timestamp("s")), days(2015, 1, 21, 12)),
        (pa.array([moment], pa.timestamp("ns", "UTC")), days(2015, 1, 21, 12)),
        (pa.array([datetime.time(12, 30)], pa.time32("s")), 12.5),
    ]:
        assert days_of_column(pa.chunked_array([column])).to_pylist() == [expected]
    assert hours_of(words("0:00", "x"))[0] == 0


# -------------------------------------------------------------------------------------------------------------- files


def table(columns: dict[str, list[str]], sep: str = ",") -> str:
    lines = [sep.join(columns)]
    lines += [sep.join(f'"{c}"' if sep in c else c for c in row) for row in zip(*columns.values(), strict=True)]
    return "\n".join(lines) + "\n"


HELD = {
    "rate": ["12.5%", "NA", "7%"],
    "price": ["$1,234.50", "$0.99", "-$3.00"],
    "when": ["01/21/2015", "12/08/2015", "07/01/2015"],
    "at": ["2015-01-21T06:00", "2015-01-22 12:00:00", "2015-01-23"],
    "clock": ["9:30", "10:00", "23:15"],
    "people": ["1,234,567", "12", "999"],
    "y": ["no", "yes", "no"],
}
FORMS = {"rate": "percent", "price": "amount $", "when": "date mdy", "at": "date", "clock": "time"}


def test_a_file_of_many_forms(write: Write) -> None:
    rows, _ = train(write("d.csv", table(HELD)))
    assert dict(rows.forms) == FORMS
    assert rows.numbers("rate").tolist()[::2] == [12.5, 7]
    assert rows.numbers("price").tolist() == [1234.5, 0.99, -3]
    assert rows.numbers("when")[0] == days(2015, 1, 21)
    assert rows.numbers("at").tolist() == [days(2015, 1, 21, 6), days(2015, 1, 22, 12), days(2015, 1, 23)]
    assert rows.numbers("clock").tolist() == [9.5, 10, 23.25]
    assert rows.numbers("people").tolist() == [1234567, 12, 999]
    told = "\n".join(rows.remarks)
    assert "column 'rate' is read as percentages: '12.5%' is 12.5" in told
    assert "column 'when' is read as dates (month first), in days since 1970-01-01: '01/21/2015' is 16456" in told
    assert "column 'people' is read as numbers: '1,234,567' is 1234567" in told
    part = rows.take_rows(np.array([2, 0])).take(["price", "when"])
    assert part.numbers("price").tolist() == [-3, 1234.5]
    assert part.forms["when"] == "date mdy"


def test_a_model_reads_new_rows_as_it_did_in_training(write: Write) -> None:
    rows, _ = train(write("d.csv", table(HELD)))
    schema = Schema.from_json(Schema.fit(rows).to_json())
    new = {
        **HELD,
        "rate": ["1%", "2%", "0"],
        "price": ["5", "6", "7"],
        "when": ["02/03/2015", "2015-02-03", "3 Feb 2015"],
    }
    found = load_prediction_data(write("new.csv", table(new)), schema)
    assert found.numbers("price").tolist() == [5, 6, 7]
    assert found.numbers("when").tolist() == [days(2015, 2, 3)] * 3
    assert load_labelled_data(write("new.csv", table(new)), schema, "y")[0].numbers("rate").tolist() == [1, 2, 0]
    for name, cells, why in [
        ("rate", ["1%", "2", "3%"], ", line 3: column 'rate' held percentages in training, not '2'"),
        ("rate", ["1", "2", "3"], ": column 'rate' held percentages in training, and holds plain numbers here"),
        ("price", ["$5", "€6", "$7"], ", line 3: column 'price' held amounts in $ in training, not '€6'"),
        ("when", ["21/02/2015"] * 3, ", line 2: column 'when' held dates (month first) in training, not '21/02/2015'"),
        ("when", ["7", "8", "9"], ": column 'when' held dates (month first) in training, and holds plain numbers here"),
        ("clock", ["2015-01-01"] * 3, ": column 'clock' held times of day in training, and holds dates here"),
        ("people", ["5%", "6%", "7%"], ", line 2: column 'people' held numbers in training, not '5%'"),
        ("people", ["2015-01-01"] * 3, ": column 'people' held numbers in training, and holds dates here"),
    ]:
        path = write("odd.csv", table({**new, name: cells}))
        assert refusal(lambda path=path: load_prediction_data(path, schema), path).startswith(why)


def test_decimal_commas(write: Write) -> None:
    held = {"a": ["0,5", "1,25", "9,000"], "b": ["1.234", "12.500", "999"], "c": ["7,5 %"] * 3, "y": ["0", "1", "0"]}
    rows, y = train(write("d.csv", table(held, ";")))
    assert rows.numbers("a").tolist() == [0.5, 1.25, 9]
    assert rows.numbers("b").tolist() == [1234, 12500, 999]
    assert rows.numbers("c").tolist() == [7.5] * 3
    assert rows.marks.decimal == ","
    assert y.tolist() == [0, 1, 0]
    assert any("numbers are read with a decimal comma" in remark for remark in rows.remarks)
    schema = Schema.fit(rows)
    alone = write("one.csv", "a;b;c\n9,000;1.234;7,5%\n")  # shows no mark of its own but in the percentage
    assert load_prediction_data(alone, schema, marks=rows.marks).numbers("a").tolist() == [9]
    points = write("points.csv", "a,b,c\n0.5,1234,7.5%\n")
    assert load_prediction_data(points, schema, marks=rows.marks).numbers("a").tolist() == [0.5]
    labels = write("labels.csv", "a;y\n0,5;1,0\n1,5;0,0\n")
    assert train(labels)[1].tolist() == [1, 0]


def test_marks_that_are_given(write: Write) -> None:
    path = write("d.csv", "a;y\n1,234;0\n9,876;1\n")
    assert "--decimal , or --thousands ,, --text a to have it" in refusal(lambda: train(path), path)
    assert train(path, options=FileOptions(decimal=","))[0].numbers("a").tolist() == [1.234, 9.876]
    assert train(path, options=FileOptions(thousands=","))[0].numbers("a").tolist() == [1234, 9876]
    for wrong in ({"decimal": "x"}, {"thousands": "x"}, {"decimal": ",", "thousands": ","}):
        with pytest.raises(DataError):
            FileOptions(**wrong)  # type: ignore[arg-type]


def test_dates_that_cannot_be_decided(write: Write) -> None:
    path = write("d.csv", "when,y\n01/02/2015,0\n03/04/2015,1\n")
    assert refusal(lambda: train(path), path) == (
        ": column 'when' holds dates such as '01/02/2015', all of which may have the day or the month first; "
        "write them as 2015-12-31, --text when to have it as text, or --drop when to leave it out"
    )
    assert train(path, options=FileOptions(text=("when",)))[0].kind("when") == "text"


def test_labels_are_classes_whatever_they_look_like(write: Write) -> None:
    assert train(write("d.csv", "a,y\n1,10%\n2,20%\n"))[1].tolist() == ["10%", "20%"]
    assert train(write("d.csv", "a,y\n1,0-9\n2,10-19\n"))[1].tolist() == ["0-9", "10-19"]
    dates = "a,y\n1,2020-01-01\n2,2020-01-02\n"
    assert train(write("d.csv", dates))[1].tolist() == ["2020-01-01", "2020-01-02"]


def test_a_word_among_percentages(write: Write) -> None:
    cells = [f"{at}.5%" for at in range(40)] + ["unknown"]
    path = write("d.csv", table({"rate": cells, "y": ["0", "1"] * 20 + ["0"]}))
    rows, _ = train(path)
    with pytest.warns(
        UserWarning, match=r"'rate' is text because of cells like 'unknown' \(.*line 42\).*--missing unk"
    ):
        Schema.fit(rows)
    rows, _ = train(path, options=FileOptions(missing=("unknown",)))
    assert (rows.kind("rate"), rows.arrow.column("rate").null_count) == ("numeric", 1)


@pytest.mark.parametrize(
    ("cell", "odd"),
    [
        (lambda at: f"{at} cm", "0 cm"),
        (lambda at: f"{at}k" if at % 2 else f"{at}.5M", "0.5M"),
        (lambda at: f"{at % 28 + 1}. Mai {2000 + at}", "1. Mai 2000"),
        (lambda at: "0000-00-00" if at == 9 else f"2020-01-{at % 28 + 1:02d}", "0000-00-00"),
        (lambda at: f"${at}" if at % 2 else f"€{at}", "€0"),
        (lambda at: f"{at},5" if at % 2 else f"{at}.5", "1,5"),
    ],
)
def test_what_looks_like_numbers_and_is_text_is_told_of(cell: Any, odd: str, write: Write) -> None:
    rows, _ = train(write("d.csv", table({"b": [cell(at) for at in range(30)], "y": ["0", "1"] * 15})))
    with pytest.warns(UserWarning, match=f"'b' is text because of cells like '{odd}'.*write all its cells alike"):
        Schema.fit(rows)


def test_a_form_that_a_model_file_makes_up() -> None:
    column = {"name": "a", "kind": "numeric", "mean": 0.0, "flagged": False}
    for form in ("date", "amount kr", None):
        held = {"schema_version": 1, "first_index": 0, "columns": [{**column, "form": form}]}
        assert Schema.from_json(json.dumps(held)).numeric[0].form == form
    for form in ("furlongs", 7, "amount " + "x" * 99):
        held = {"schema_version": 1, "first_index": 0, "columns": [{**column, "form": form}]}
        with pytest.raises(DataError, match="not known"):
            Schema.from_json(json.dumps(held))
