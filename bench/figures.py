"""Figures of README and docs come from rows of ``bench/results/``: ``docs/figures.toml`` says which, and how shown.

``python bench/figures.py`` tells what is stale, ``python bench/figures.py --write`` fills the newest rows in and
draws the pictures anew. A table stands between ``<!-- rows: NAME -->`` and ``<!-- end of rows -->`` and is written as
a whole; a sentence stands in ``docs/figures.toml`` with ``{}`` in the place of its figures, and these alone are
written. `tests/test_docs_figures.py` holds that nothing is stale, and that numbers with a unit of time or memory
stand nowhere else.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from recorded import (
    RESULTS,
    ROOT,
    Row,
    Spec,
    above,
    arrived,
    fastest_peer,
    harness_races,
    is_ours,
    label,
    matches,
    newest_run,
    races,
    rows_of,
    run_of,
    specification,
)

NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
TABLE = re.compile(r"(<!-- rows: ([\w-]+) -->\n)(.*?)(<!-- end of rows -->)", re.S)
PICTURE = re.compile(r"(<!-- picture: ([\w-]+) -->\n)(.*?)(<!-- end of picture -->)", re.S)


class FigureError(Exception):
    """A figure has no row, or no place."""


def shown(row: Row, show: str, field: str) -> str:
    """A figure as documents show it: ``"seconds"``, ``"times"``, or a format of Python's for numbers."""
    if show == "times":
        return _times(row)
    if show == "seconds":
        return f"{_rounded(float(row[field]))} s"
    if show == "text":
        return row[field]
    return format(float(row[field]), show)


def _times(row: Row) -> str:
    """Time over ours, and what else is to be known: that a fit was ended, or where it ended."""
    ratio = float(row["per_ours"])
    number = f"{ratio:,.0f}" if ratio >= 30 else f"{ratio:.1f}" if ratio >= 1.05 else f"{ratio:.2f}"
    if row.get("note") == "ended at the limit":
        return f"over {number}"
    ended = "" if arrived(row) or above(row) != above(row) else f", {_power(above(row))} above"
    return number + ended


def _power(value: float) -> str:
    digit, exponent = f"{value:.0e}".split("e")
    return f"{digit}e{int(exponent)}" if abs(int(exponent)) > 1 else f"{value:.1g}"


def _rounded(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def where_measured(row: Row) -> str:
    """Processor and date of a run."""
    names = [name for name in ("AMD EPYC", "Intel Xeon") if all(word in row["processor"] for word in name.split())]
    return f"{(names or [row['processor']])[0]}, {row['date']}"


def picture_text(document: str, name: str, alt: str, program: str) -> str:
    """A picture in both themes; where there are no rows to draw, the program that would record them."""
    if not (ROOT / "docs" / "pictures" / f"{name}-light.svg").exists():
        return f"*{alt}*: not recorded yet; `{program}`.\n"
    folder = "docs/pictures" if "/" not in document else "pictures"
    dark = f'  <source media="(prefers-color-scheme: dark)" srcset="{folder}/{name}-dark.svg">'
    return f'<picture>\n{dark}\n  <img alt="{alt}" src="{folder}/{name}-light.svg">\n</picture>\n'


def table_text(spec: Spec, folder: Path = RESULTS) -> str:
    """A table in Markdown, from the newest rows."""
    if spec.get("kind") == "losses":
        return loss_text(spec, folder)
    if spec.get("kind") == "harness":
        return harness_text(folder)
    if "file" in spec and not rows_of(spec["file"], folder):
        return "*Not recorded yet.*\n"
    columns = spec["columns"]
    heads = [spec["head"], *(column["head"] for column in columns), "measured on"]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for entry in spec["rows"]:
        where = spec.get("where", {}) | entry.get("where", {})
        rows = rows_of(entry.get("file", spec.get("file")), folder)
        first = newest_run(rows, where | columns[0].get("where", {}))
        if not first and entry.get("optional"):
            continue
        if not first:
            raise FigureError(f"no row of {spec['name']} has {where | columns[0].get('where', {})}")
        run = [row for row in rows if run_of(row) == run_of(first[-1]) and matches(row, where)]
        cells = [_cell(column, run, first[-1]) for column in columns]
        lines.append(
            _line([label(entry.get("label", spec.get("label", "")), where), *cells, where_measured(first[-1])])
        )
    return "\n".join(lines) + "\n"


def _cell(column: Spec, run: list[Row], first: Row) -> str:
    if column.get("show") == "fastest":
        peer = fastest_peer(first, run)
        return f"{peer['solver'].partition(',')[0]} {_times(peer)}" if peer else ""
    found = newest_run(run, column.get("where", {}))
    has_value = found and found[-1].get(column.get("field", "per_ours"))
    return shown(found[-1], column.get("show", "times"), column.get("field", "per_ours")) if has_value else ""


def loss_text(spec: Spec, folder: Path = RESULTS) -> str:
    """All problems on which another library was faster and ended at the minimum, the greatest loss first."""
    lost = []
    for entry in spec["files"]:
        of_file = harness_races(folder) if entry["file"] == "peers" else races(entry["file"], entry["keys"], folder)
        for ours, others in of_file:
            peer = fastest_peer(ours, others)
            if peer and arrived(peer) and float(peer["per_ours"]) < 1:
                problem = ", ".join(part for key in entry["keys"] if (part := _part(key, ours.get(key, ""))))
                cells = [f"{entry['title']}: {problem}", shown(ours, "seconds", "seconds"), peer["solver"]]
                lost.append((float(peer["per_ours"]), [*cells, shown(peer, "times", ""), where_measured(peer)]))
    heads = ["problem", "gpu-logreg", "faster", "its time over ours", "measured on"]
    return "\n".join([_line(heads), _line(["---"] * 5), *(_line(cells) for _, cells in sorted(lost))]) + "\n"


def harness_text(folder: Path = RESULTS) -> str:
    """Problems of ``make bench``: seconds to 1e-8 of the minimum, ours and the fastest other's, and who missed it."""
    found = harness_races(folder)
    if not found:
        return "*Not recorded yet: `make bench`.*\n"
    heads = ["problem", "gpu-logreg", "fastest other", "its time over ours", "not there", "measured on"]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for ours, others in found:
        peer = fastest_peer(ours, others)
        tried = [row for row in others if row["suboptimality"] not in ("", "nan")]
        missed = ", ".join(row["solver"] for row in tried if not row["per_ours"])
        fastest = [peer["solver"], _times(peer)] if peer else ["", ""]
        lines.append(
            _line([ours["problem"], shown(ours, "seconds", "seconds"), *fastest, missed, where_measured(ours)])
        )
    return "\n".join(lines) + "\n"


def _part(key: str, value: str) -> str:
    """A column of a problem in words: ``569 rows``, ``C = 1.0``."""
    names = {"n": "rows", "d": "columns", "classes": "classes"}
    if key in names:
        return f"{int(value):,} {names[key]}" if value and (key, value) != ("classes", "2") else ""
    return f"{key} = {value}" if key == "C" else value


def _line(cells: list[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def figures_of(phrase: Spec, folder: Path = RESULTS) -> list[str]:
    """The figures of a sentence, from the newest rows."""
    result = []
    for figure in phrase["figures"]:
        spec = {key: value for key, value in phrase.items() if key != "figures"} | figure
        where = phrase.get("where", {}) | figure.get("where", {})
        found = newest_run(rows_of(spec["file"], folder), where)
        found = [row for row in found if row.get(spec["field"]) and not (spec.get("peers") and is_ours(row))]
        if not found:
            raise FigureError(f"no row of {spec['file']}.csv has {spec['field']} where {where}: {phrase['text']}")
        values = [float(row[spec["field"]]) * spec.get("scale", 1) for row in found]
        value = {"newest": values[-1], "least": min(values), "most": max(values)}[spec.get("pick", "newest")]
        if "over" in figure:
            value /= float(newest_run(rows_of(spec["file"], folder), where | figure["over"])[-1][spec["field"]])
        result.append(format(value, spec["show"]))
    return result


def pattern_of(text: str) -> re.Pattern[str]:
    """A sentence with its figures as groups, however its lines are broken."""
    words = [re.escape(word).replace(r"\{\}", f"({NUMBER})") for word in text.split()]
    return re.compile(r"\s+".join(words))


def rewritten(document: str, text: str, spec: Spec, folder: Path = RESULTS) -> str:
    """The text of a document with the figures of the newest rows."""
    tables = {table["name"]: table for table in spec.get("table", [])}
    text = TABLE.sub(lambda found: f"{found[1]}\n{table_text(tables[found[2]], folder)}\n{found[4]}", text)
    pictures = {picture["name"]: picture for picture in spec.get("picture", [])}
    for begin, name, old, end in PICTURE.findall(text):
        new = picture_text(document, name, pictures[name]["alt"], pictures[name]["program"])
        text = text.replace(begin + old + end, f"{begin}\n{new}\n{end}")
    for phrase in spec.get("phrase", []):
        if phrase["document"] == document:
            found = pattern_of(phrase["text"]).search(text)
            if found is None:
                raise FigureError(f"{document} does not say: {phrase['text']}")
            for group, figure in reversed(list(enumerate(figures_of(phrase, folder), 1))):
                text = text[: found.start(group)] + figure + text[found.end(group) :]
    return text


def documents() -> Iterator[str]:
    yield "README.md"
    yield from sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md") if _is_ours(path))


def _is_ours(path: Path) -> bool:
    return not {"_build", "generated"} & set(path.parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the figures of the newest rows")
    write, stale = parser.parse_args().write, []
    if write:
        import pictures

        pictures.write()
    for document in documents():
        path = ROOT / document
        text = path.read_text(encoding="utf-8")
        new = rewritten(document, text, specification())
        if new != text:
            stale.append(document)
            if write:
                path.write_text(new, encoding="utf-8")
    print("\n".join(f"{document}: {'written' if write else 'stale'}" for document in stale) or "nothing is stale")
    return bool(stale) and not write


if __name__ == "__main__":
    sys.exit(main())
