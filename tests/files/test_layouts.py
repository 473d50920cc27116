"""How lines of text fall into cells: separators, comments, headers, rows that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_files import Write, refusal, train, writer

from gpu_logreg.files.load import FileOptions

NO_HEADER = FileOptions(header=False)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return writer(tmp_path)


@pytest.mark.parametrize(
    ("text", "names", "first"),
    [
        ("0,126;9,000;0\n-0,132;5,000;1\n", ("c0", "c1"), (0.126, 9)),
        ("0,5\t1,5\t0\n-0,5\t2,5\t1\n", ("c0", "c1"), (0.5, 1.5)),
        ("0,5|1,5|0\n-0,5|2,5|1\n", ("c0", "c1"), (0.5, 1.5)),
        ("  1.0  2.0\t0 \n 3.0 4.0   1\n", ("c0", "c1"), (1, 2)),
        ("0,5 1,5 0\n-0,5  2,5 1\n", ("c0", "c1"), (0.5, 1.5)),
        ("1, 2, 0\n3, 4, 1\n", ("c0", "c1"), (1, 2)),
        ("2020-01-01 10:00,2,0\n2020-01-02 11:00,4,1\n", ("c0", "c1"), (18262 + 10 / 24, 2)),
        ("1\t2;3\t0\n4\t5;6\t1\n", ("c0", "c1"), (1, "2;3")),
        ("Doe, Jo\t2\t0\nRoe, Al\t3\t1\n", ("c0", "c1"), ("Doe, Jo", 2)),
    ],
)  # fmt: skip
def test_the_separator_is_what_makes_cells_numbers(
    text: str, names: tuple[str, ...], first: tuple[object, ...], write: Write
) -> None:
    rows, y = train(write("d.csv", text), "c2", NO_HEADER)
    assert rows.names == names
    held = rows.arrow.to_pydict()
    assert tuple(column[0] for column in held.values()) == pytest.approx(first)
    assert y.tolist() == [0, 1]


def test_blanks_with_quotes_and_a_header(write: Write) -> None:
    rows, _ = train(write("d.txt", 'a "the b"  y\n 1   "u  v" 0\n2 w 1\n'))
    assert rows.arrow.to_pydict() == {"a": [1, 2], "the b": ["u  v", "w"]}
    path = write("d.csv", "a b y\n1 2 0\n\n1 2\n")
    assert ": line 4 has 2 fields where 3 were expected" in refusal(
        lambda: train(path, options=FileOptions(sep=" ")), path
    )


def test_a_separator_that_is_another(write: Write) -> None:
    path = write("d.csv", "a,y\n1,0\n2,1\n")
    assert "if cells are separated by ',', give --sep ," in refusal(
        lambda: train(path, options=FileOptions(sep=";")), path
    )


# ----------------------------------------------------------------------------------------------------------- comments


def test_comments(write: Write) -> None:
    text = "# made by x, of v 1.2\n#\n\na,b,y\n1,2,0\n# half, way\n#\n3,4,1\n  # the end\n"
    rows, y = train(write("d.csv", text))
    assert rows.arrow.to_pydict() == {"a": [1, 3], "b": [2, 4]}
    assert y.tolist() == [0, 1]
    assert rows.source.at(1).endswith("line 8")
    path = write("d.csv", text + "5\n")
    assert ": line 10 has 1 field where 3 were expected" in refusal(lambda: train(path), path)
    path = write("d.csv", "# only\n# comments\n")
    assert "nothing but lines that begin with '#'" in refusal(lambda: train(path), path)


def test_comments_among_blanks(write: Write) -> None:
    rows, _ = train(write("d.txt", "# x y\n1 2 0\n# z\n3   4 1\n"), "c2", NO_HEADER)
    assert rows.arrow.to_pydict() == {"c0": [1, 3], "c1": [2, 4]}


def test_what_begins_with_a_hash_and_is_no_comment(write: Write) -> None:
    rows, _ = train(write("d.csv", "# a,b,y\n1,2,0\n3,4,1\n"))  # as NumPy writes a header
    assert rows.names == ("a", "b")
    rows, _ = train(write("d.csv", "#,b,y\n7,2,0\n5,4,1\n"))
    assert rows.names == ("#", "b")
    rows, _ = train(write("d.csv", "colour,b,y\n#ff0000,2,0\n#00ff00,4,1\n"))
    assert rows.arrow.to_pydict()["colour"] == ["#ff0000", "#00ff00"]


# ------------------------------------------------------------------------------------------------------------ headers


def test_a_header_that_is_not_utf8(write: Write) -> None:
    path = write("d.csv", "a,größe,y\n1,2,0\n3,4,1\n".encode("latin1"))
    assert refusal(lambda: train(path), path) == (
        r", line 1: the header is not UTF-8 text ('gr\xf6\xdfe'); convert the file, for example with iconv -f latin1 "
        "-t utf-8"
    )
    path = write("d.csv", "# naïve\n\na,größe,y\n1,2,0\n".encode("latin1"))
    assert refusal(lambda: train(path), path).startswith(", line 3: the header")
    assert train(write("d.csv", "a,größe,y\n1,2,0\n3,4,1\n"))[0].names == ("a", "größe")


@pytest.mark.parametrize("code", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16(code: str, write: Write) -> None:
    path = write("d.csv", "a,größe,y\n1,2,0\n3,4,1\n".encode(code))
    assert refusal(lambda: train(path), path) == ": is UTF-16 text; convert it: iconv -f utf-16 -t utf-8"


def test_a_header_that_is_a_row(write: Write) -> None:
    path = write("d.csv", "0.5,1,0\n1.5,2,1\n2.5,3,0\n")
    with pytest.warns(
        UserWarning, match=r"line 1, the header, holds numbers such as '0\.5'; if it is a row, use --no-h"
    ):
        train(path, "1")
    assert train(write("d.csv", "0,1,2\n1.5,2,1\n2.5,3,0\n"), "2")[0].names == ("0", "1")


def test_a_row_that_is_a_header(write: Write) -> None:
    path = write("d.csv", "a,b,y\n1,2,0\n3,4,1\n5,6,1\n")
    assert refusal(lambda: train(path, "c2", NO_HEADER), path) == (
        ", line 1: holds 'a' above numbers such as '1', and no number itself, like a header; use --header, or --text "
        "c0 if that column is text"
    )
    path = write("d.csv", "a,b,y\n,,\ncm,kg,\n1,2,0\n3,4,1\n5,6,1\n")
    assert ", line 3: holds 'cm' above" not in refusal(lambda: train(path), path)  # a row of missing cells is before it
    path = write("d.csv", "a,b,y\ncm,kg,\n1,2,0\n3,4,1\n5,6,1\n")
    assert refusal(lambda: train(path), path).startswith(
        ", line 2: holds 'cm' above numbers such as '1', and no number"
    )
    text = write("d.csv", "code,y\nA,no\n1,yes\n2,no\n3,no\n")
    assert "or --text code if" in refusal(lambda: train(text), text)
    assert train(text, options=FileOptions(text=("code",)))[0].texts("code") == ["1", "2", "3", "A"]
    assert train(write("d.csv", "code,y\nA,0\n1,1\n2,0\n3,0\n"))[0].texts("code") == ["1", "2", "3", "A"]


def test_lines_to_skip_are_counted_as_they_are(write: Write) -> None:
    path = write("d.csv", "\n\nA title\n\na,b,y\n1,2,0\n3,4,1\n5,6,0\n")
    message = refusal(lambda: train(path), path)
    assert (
        message
        == ": line 3 has 1 field where 3 were expected; if it is not the header, pass over it with --skip-rows 3"
    )
    assert train(path, options=FileOptions(skip_rows=3))[0].names == ("a", "b")


# ------------------------------------------------------------------------------------------------ rows that are none


def test_the_header_once_more(write: Write) -> None:
    rows = "".join(f"{at % 7},u{at % 3},{at % 2}\n" for at in range(50))
    path = write("d.csv", f"a,b,y\n{rows}a,b,y\n{rows}")
    assert refusal(lambda: train(path), path) == ", line 52: repeats the header; delete the line"
    path = write("d.csv", f"a,b,y\n{rows}\na , b,y\n")
    assert refusal(lambda: train(path), path) == ", line 53: repeats the header; delete the line"
    rows = "".join(f"u{at % 3},v{at % 2}\n" for at in range(50))
    path = write("d.csv", f"b,y\n{rows}b,y\n")
    assert "line 52: repeats the header" in refusal(lambda: train(path), path)
    assert train(write("d.csv", f"u0,y\n{rows}"))[0].n_rows == 50  # a name that is a category, too


@pytest.mark.parametrize("word", ["Total", "TOTAL:", "Grand total", "Sum", "Average", "Summe", "Insgesamt"])
def test_totals(word: str, write: Write) -> None:
    rows = "".join(f"{'uvw'[at % 3]},{at % 7},{at % 2}\n" for at in range(30))
    path = write("d.csv", f"city,b,y\n{rows}{word},99,1\n")
    assert refusal(lambda: train(path), path) == (
        f", line 32: holds {word!r} in column 'city', like a row of totals; delete the line, or --text city if that "
        "is a text like others"
    )
    assert train(path, options=FileOptions(text=("city",)))[0].n_rows == 31
    assert train(write("d.csv", f"city,b,y\n{word},1,0\n{rows}"))[0].n_rows == 31
    assert train(write("d.csv", f"city,b,y\n{word},1,0\n{rows}{word},1,0\n"))[0].n_rows == 32
