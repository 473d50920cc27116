"""Columns that number or name the rows: left out where they have no name, told of where they have one."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import Write, refusal, train, writer

from gpu_logreg.files.index_columns import pandas_index
from gpu_logreg.files.load import FileOptions, load_prediction_data
from gpu_logreg.files.schema import Schema

N = 40
LABELS = [at % 2 for at in range(N)]
SHUFFLED = random.Random(0).sample(range(N), N)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return writer(tmp_path)


def csv_with(name: str, cell: Callable[[int], object], place: int = 0) -> str:
    """A table of columns ``a``, ``y`` and another, of which a cell is a function of its row."""
    lines = []
    for at in range(-1, N):
        cells = ["a", "y"] if at < 0 else [f"{(at * 7) % 11 / 2}", str(LABELS[at])]
        cells.insert(place, name if at < 0 else str(cell(at)))
        lines.append(",".join(cells))
    return "\n".join(lines) + "\n"


INDEXES: dict[str, Callable[[int], object]] = {
    "counted": lambda at: at,
    "from one": lambda at: at + 1,
    "sorted": lambda at: SHUFFLED[at],
    "two tables": lambda at: at % (N // 2),
    "drawn": lambda at: SHUFFLED[at] // 2 * 2 if at % 5 == 0 else SHUFFLED[at],
    "names": lambda at: f"row {at}",
    "moments": lambda at: f"2020-01-01 00:{at:02d}:00",
}


@pytest.mark.parametrize("name", ["", "Unnamed: 0", '""'])
@pytest.mark.parametrize("kind", INDEXES)
def test_an_index_without_a_name_is_left_out(name: str, kind: str, write: Write) -> None:
    path = write("d.csv", csv_with(name, INDEXES[kind]))
    rows, _ = train(path)
    assert rows.names == ("a",)
    shown = "column 'Unnamed: 0'" if "Un" in name else "column 1, which has no name,"
    assert rows.remarks[-1] == f"{path}: {shown} is the index of the rows, and is left out; give it a name to keep it"
    assert load_prediction_data(path, Schema.fit(rows)).names == ("a",)


def test_what_has_no_name_and_is_no_index_stays(write: Write) -> None:
    assert train(write("d.csv", csv_with("", lambda at: at % 3)))[0].names == ("c0", "a")
    assert train(write("d.csv", csv_with("", lambda at: "xyz"[at % 3])))[0].names == ("c0", "a")
    assert train(write("d.csv", csv_with("", lambda at: at * 0.5)))[0].names == ("c0", "a")
    rows, y = train(write("d.csv", csv_with("", lambda at: at // 20)), "c0")
    assert (rows.names, y.tolist()) == (("a", "y"), [0] * 20 + [1] * 20)


@pytest.mark.parametrize("place", [0, 2])
def test_a_column_without_name_and_cells_is_left_out(place: int, write: Write) -> None:
    rows, _ = train(write("d.csv", csv_with("", lambda _: "", place)))
    assert rows.names == ("a",)
    assert f"column {place + 1}, which has no name, has no cells" in rows.remarks[0]


def test_an_index_in_the_file_of_a_data_frame(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [at % 7 / 2 for at in range(N)], "y": LABELS})
    path = tmp_path / "d.parquet"
    for indexed, index in [
        (frame.sort_values("y"), "__index_level_0__"),
        (frame.assign(id=[at // 4 for at in range(N)]).set_index("id"), "id"),
        (frame.set_axis([f"n{at}" for at in range(N)]), "__index_level_0__"),
    ]:
        indexed.to_parquet(path)
        rows, _ = train(path)
        assert rows.names == ("a",)
        assert f"column '{index}' is the index of the rows" in rows.remarks[0]
    frame.to_parquet(path)
    assert train(path)[0].names == ("a",)
    frame.sort_values("y").to_csv(tmp_path / "d.csv")
    assert train(tmp_path / "d.csv")[0].names == ("a",)


def test_an_index_whose_notes_are_lost(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    held = pa.table({"__index_level_0__": SHUFFLED, "a": [0.5] * N, "y": LABELS})
    pq.write_table(held, path)
    assert train(path)[0].names == ("a",)
    assert pandas_index(held.schema.with_metadata({"pandas": "{not JSON"})) == {"__index_level_0__"}


@pytest.mark.parametrize(
    "cell", [lambda at: at, lambda at: at + 1000, lambda at: SHUFFLED[at], lambda at: at + at // 10], ids=range(4)
)
def test_a_column_that_counts_the_rows_is_told_of(cell: Callable[[int], int], write: Write) -> None:
    with pytest.warns(UserWarning, match=r"column 'the id' holds whole numbers that rise.*with --drop 'the id'"):
        rows, _ = train(write("d.csv", csv_with("the id", cell)))
    assert rows.names == ("the id", "a")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = write("d.csv", csv_with("the id", cell))
        assert train(path, drop=["the id"])[0].names == ("a",)
        assert train(path, weight="the id")[0].names == ("the id", "a")


def test_a_text_of_its_own_in_most_rows_is_told_of(write: Write) -> None:
    path = write("d.csv", csv_with("name", lambda at: f"n{at % 30}"))
    with pytest.warns(
        UserWarning, match=r"column 'name' is text with a value of its own in 20 of 40 rows.*--drop name"
    ):
        Schema.fit(train(path)[0])
    assert Schema.fit(train(path, options=FileOptions(text=("name",)))[0]).text
    assert Schema.fit(train(write("d.csv", csv_with("name", lambda at: f"n{at % 20}")))[0]).text


def test_dates_without_marks_are_told_of(write: Write) -> None:
    with pytest.warns(UserWarning, match="'when' holds whole numbers like 20200105, which look like dates"):
        train(write("d.csv", csv_with("when", lambda at: 20200105 + 100 * (at % 12))))


@pytest.mark.parametrize(
    "cell",
    [
        lambda at: at * at,
        lambda at: at / 2,
        lambda at: at % 39,
        lambda at: 1,
        lambda at: "" if at == 3 else at,
        lambda at: f"w{at % 20}",
    ],
    ids=range(6),
)
def test_of_other_columns_nothing_is_told(cell: Callable[[int], object], write: Write) -> None:
    assert train(write("d.csv", csv_with("b", cell)))[0].remarks == ()


def test_rows_with_one_cell_more_than_the_header(write: Write) -> None:
    for names in ([str(at) for at in range(N)], [f'"{at + 1}"' for at in range(N)], [f"car {at}" for at in range(N)]):
        text = "a,y\n" + "".join(f"{name},{at % 7 / 2},{LABELS[at]}\n" for at, name in enumerate(names))
        rows, y = train(write("d.csv", text))
        assert (rows.names, y.tolist()) == (("a",), LABELS)
        assert "rows have one cell more than the header" in rows.remarks[0]
        assert "column 1, which has no name, is the index" in rows.remarks[1]
    path = write("d.csv", "a,y\n" + "".join(f"{at % 7},{at % 5},{LABELS[at]}\n" for at in range(N)))
    assert refusal(lambda: train(path), path) == (
        ": line 1, the header, has 2 fields, and the rows have 3; give each column a name in the header, or use "
        "--no-header if that line is a row"
    )
    ended = write("d.csv", "a,y\n" + "".join(f"{at % 7},{LABELS[at]},\n" for at in range(N)))
    rows, y = train(ended)  # each row ends in a separator
    assert (rows.names, y.tolist()) == (("a",), LABELS)
