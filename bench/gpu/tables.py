"""The results of ``check.py`` as Markdown. A figure that is not there is shown as a dash.

Nothing heavy is imported: tables are written anew after every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gpu.goals import GOAL_RATIO, judged
from gpu.journal import rows_of, wrong_of

Rows = Sequence[dict[str, Any]]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown with columns of even width."""
    lines = [list(heads), *[list(row) for row in rows]]
    widths = [max(len(line[k]) for line in lines) for k in range(len(heads))]
    text = [
        "| " + " | ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|")
    return "\n".join(text)


def shown(value: Any, form: str = ".3f") -> str:
    """A figure in a cell; a dash where it was not measured."""
    if value is None or value == "":
        return "-"
    return format(value, form) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def readable(lines: Sequence[dict[str, Any]]) -> str:
    """Everything that the lines of the results say."""
    found = list(lines)

    def rows(section: str) -> list[dict[str, Any]]:
        return rows_of(found, section)

    parts = [_head(rows("facts")), "## Steps", _steps(found)]
    wrong = wrong_of(found)
    if wrong:
        parts += ["## Wrong", "\n".join(f"- {text}" for text in wrong)]
    limits = judged(rows)
    if limits:
        parts += ["## The limits", table(["what", "figure, limit", ""], limits)]
    for section, (title, shown_as) in SECTIONS.items():
        if rows(section):
            parts += [f"## {title}", shown_as(rows(section))]
    return "\n\n".join([*parts, ""])


def _head(facts: Rows) -> str:
    if not facts:
        return "# A run without a device"
    newest = facts[-1]
    names = [name for name in newest if name not in ("name", "commit", "date")]
    lines = [f"# {newest['name']}, {newest['date']}, commit {newest['commit']}", ""]
    return "\n".join([*lines, *(f"- {name}: {newest[name]}" for name in names)])


def _last_ends(lines: Rows) -> list[dict[str, Any]]:
    ends = {line["step"]: line for line in lines if line["kind"] == "end"}
    return list(ends.values())


def _steps(lines: Rows) -> str:
    cells = []
    ends = {line["step"]: line for line in _last_ends(lines)}
    for step in dict.fromkeys(line["step"] for line in lines if line["kind"] in ("begin", "end")):
        end = ends.get(step, {"outcome": "did not end"})
        compiled = end.get("compiled", {})
        cells.append(
            [
                *(step, str(end.get("run", "-")), end["outcome"], shown(end.get("seconds"), ".1f")),
                *(shown(end.get("limit"), ".0f"), shown(compiled.get("ours"), "d"), shown(compiled.get("cupy"), "d")),
            ]
        )
    return table(["step", "run", "outcome", "s", "limit s", "compiled, ours", "compiled, CuPy's"], cells)


def _ceiling(rows_found: Rows) -> str:
    found = rows_found[-1]
    by = found["read_by"]
    how = f"{by['flight']} loads of 16 bytes under way in a thread, {by['blocks_per_multiprocessor']} blocks per SM"
    rows = [
        ["pure read", shown(found["read_gb_per_s"], ",.0f"), f"{how}, {'tiled' if by['tiled'] else 'interleaved'}"],
        ["copy, read + written", shown(found.get("copy_gb_per_s"), ",.0f"), found.get("copy_problem", "")],
    ]
    return f"{found['nbytes'] / 1e9:.2f} GB.\n\n" + table(["what", "GB/s", "how"], rows)


def _passes(rows: Rows) -> str:
    heads = ["d", "n", "ms", "GB/s", "share", "goal", "call ms", "registers", "local B", "error", "family"]
    lines = []
    for row in rows:
        met = "" if "met" not in row else " met" if row["met"] else " NOT MET"
        lines.append(
            [
                *(str(row["d"]), shown(row.get("n"), ","), shown(row.get("ms")), shown(row.get("gb_per_s"), ",.0f")),
                *(shown(row.get("share"), ".1%"), shown(row.get("goal"), ".0%") + met, shown(row.get("call_ms"))),
                *(shown(row.get("registers"), "d"), shown(row.get("local_bytes"), "d"), shown(row.get("error"), ".0e")),
                str(row.get("problem", _member(row.get("family", {})))),
            ]
        )
    return table(heads, lines)


def _member(family: dict[str, Any]) -> str:
    return " ".join(f"{key}={number}" for key, number in family.items())


def _peers(rows: Rows) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row["peers"]))
    lines = []
    for row in rows:
        peers = [row["peers"].get(name, {}) for name in names]
        line = [str(row["d"]), shown(row.get("n"), ","), shown(row.get("ms", row.get("problem")))]
        line += [shown(peer.get("ms", peer.get("problem"))) for peer in peers]
        lines.append([*line, shown(row.get("ratio"), ".2f"), shown(row.get("cublas_call", {}).get("ms"))])
    notes = {f"{name}: {peer['note']}" for row in rows for name, peer in row["peers"].items() if "note" in peer}
    said = f"ratio: time of the fastest of the others over ours, both on the device; the goal is {GOAL_RATIO}"
    text = table(["d", "n", "ours ms", *(f"{name} ms" for name in names), "ratio", "cublas call ms"], lines)
    return "\n".join([text, "", f"- {said}", *(f"- {note}" for note in sorted(notes))])


def _classes(rows: Rows) -> str:
    heads = ["d", "classes", "storage", "n", "ms", "GB/s", "share", "pure read ms", "call ms", "reference call ms"]
    heads += ["ratio", "registers", "local B", "error", "family"]
    lines = []
    for row in rows:
        lines.append(
            [
                *(str(row["d"]), str(row["classes"]), row["storage"], shown(row.get("n"), ","), shown(row.get("ms"))),
                *(shown(row.get("gb_per_s"), ",.0f"), shown(row.get("share"), ".1%"), shown(row.get("read_ms"))),
                *(shown(row.get("call_ms")), shown(row.get("reference_ms")), shown(row.get("ratio"), ".2f")),
                *(shown(row.get("registers"), "d"), shown(row.get("local_bytes"), "d"), shown(row.get("error"), ".0e")),
                str(row.get("problem", _member(row.get("family", {})))),
            ]
        )
    return table(heads, lines) + "\n\n- ratio: time of a call of the reference pass over one of ours"


def _fits(rows: Rows) -> str:
    lines = [
        [
            *(f"{row['n']:,} x {row['d']}", row["solver"], shown(row.get("seconds"), ".4f")),
            *(shown(row.get("reads_wall"), ".1f"), shown(row.get("n_reads"), ".1f")),
            *(
                shown(row.get("suboptimality"), ".1e"),
                "-" if "reached" not in row else "yes" if row["reached"] else "NO",
            ),
            row.get("problem", "" if row["n"] == row["wanted_n"] else f"{row['wanted_n']:,} rows do not fit"),
        ]
        for row in rows
    ]
    heads = ["float32 rows, resident", "solver", "s", "reads, wall", "reads", "suboptimality", "1e-8 reached", ""]
    return table(heads, lines)


def _network(rows: Rows) -> str:
    lines, notes = [], []
    for row in rows:
        if "problem" in row:
            notes.append(f"batch {row['batch']}: {row['problem']}")
        for name, one in row.get("trainers", {}).items():
            met = "" if "met" not in one else " met" if one["met"] else " NOT MET"
            line = [str(row["batch"]), name, shown(one.get("epoch_ms")), shown(one.get("rows_per_s"), ",.0f")]
            line += [
                shown(one.get("ratio"), ".2f"),
                shown(one.get("goal"), ".1f") + met,
                shown(one.get("error"), ".0e"),
            ]
            lines.append([*line, one.get("problem", "")])
            notes += [f"{name}: {one['note']}"] if one.get("note") else []
        if "steps_ms" in row:
            parts = ", ".join(f"{what} {row[f'{what}_ms']:.3f} ms" for what in ("shuffle", "queue", "steps"))
            notes.append(f"batch {row['batch']}, an epoch of ours: {parts} (queue near steps: the device waits)")
    heads = ["batch", "trainer", "epoch ms", "rows/s", "ours / it", "goal", "error", "problem"]
    sizes = [f"{row['source']}, {row['n']:,} x {row['d']}-{row['units']}-1" for row in rows if "source" in row]
    text = f"{sizes[-1] if sizes else '-'}, tanh, Adam, float32, resident.\n\n"
    return "\n".join([text + table(heads, lines), "", *(f"- {note}" for note in dict.fromkeys(notes))])


def _first(rows: Rows) -> str:
    lines = [
        [
            row["state"],
            *(shown(row.get(key), ".4f") for key in ("import_s", "first_fit_s", "warm_fit_s")),
            row.get("problem", ""),
        ]
        for row in rows
    ]
    head = f"{rows[0]['n']:,} x {rows[0]['d']} float32.\n\n"
    return head + table(["binaries", "import s", "first fit s", "warm s", "problem"], lines)


def _crossover(rows: Rows) -> str:
    lines = [
        [
            f"{row['n']:,} x {row['d']}",
            f"{row['nbytes'] / 2**20:.1f}",
            shown(1e3 * row["cpu_s"]),
            shown(1e3 * row["gpu_s"]),
        ]
        for row in rows
    ]
    least = crossover_nbytes(rows)
    won = f"The GPU wins from {least / 2**20:.1f} MiB" if least else "The GPU is not faster at the largest size"
    text = table(["rows", "MiB", "CPU ms", "GPU ms"], lines)
    return f'{text}\n\n{won}; device="auto" changes over at {rows[-1]["auto_nbytes"] / 2**20:.1f} MiB.'


def crossover_nbytes(rows: Rows) -> int | None:
    """The least size from which the GPU is faster at every size measured; None where it is not at the largest."""
    least = None
    for row in sorted(rows, key=lambda row: -row["nbytes"]):
        if row["gpu_s"] >= row["cpu_s"]:
            break
        least = row["nbytes"]
    return least


def _smoke(rows: Rows) -> str:
    return table(
        ["fit", "error", ""],
        [[row["fit"], shown(row.get("error"), ".0e"), row.get("problem", "right")] for row in rows],
    )


def _ladder(rows: Rows) -> str:
    lines = []
    for row in sorted(rows, key=lambda row: (row["d"], row["storage"], -row.get("gb_per_s", 0.0))):
        line = [str(row["d"]), row["storage"], _member(row["family"]), shown(row.get("registers"), "d")]
        line += [shown(row.get("local_bytes"), "d"), shown(row.get("ms")), shown(row.get("gb_per_s"), ",.0f")]
        lines.append([*line, "chosen" if row["chosen"] else "", row.get("problem", "")])
    return table(["d", "storage", "member", "registers", "local B", "ms", "GB/s", "", "problem"], lines)


def _tests(rows: Rows) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["outcome"]] = counts.get(row["outcome"], 0) + 1
    said = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
    failed = [f"- {row['test']}: {row['problem']}" for row in rows if row["outcome"] == "failed"]
    slowest = sorted(rows, key=lambda row: -row["seconds"])[:3]
    longest = ", ".join(f"{row['test']} {row['seconds']} s" for row in slowest)
    return "\n".join([f"{said}; longest: {longest}", *(["", *failed] if failed else [])])


def _plain(rows: Rows) -> str:
    """Rows as they are: a column for every name."""
    heads = list(dict.fromkeys(name for row in rows for name in row if name != "said"))
    lines = [
        [shown(row.get(name), ",.3f" if isinstance(row.get(name), float) else "") for name in heads] for row in rows
    ]
    return table(heads, lines)


def _sanitized(rows: Rows) -> str:
    counts = {tool: sum(row["tool"] == tool for row in rows) for tool in dict.fromkeys(row["tool"] for row in rows)}
    wrong = [f"- {row['tool']}, {row['case']}: {row['problem']}" for row in rows if "problem" in row]
    return "\n".join([", ".join(f"{tool}: {count} cases" for tool, count in counts.items()), *wrong])


SECTIONS: dict[str, tuple[str, Callable[[Rows], str]]] = {
    "smoke": ("Tiny fits against the CPU", _smoke),
    "ceiling": ("Ceiling", _ceiling),
    "ceiling problem": ("No ceiling", _plain),
    **{
        name: (f"The pass over {name} rows", _passes) for name in ("float32", "float64", "float16", "bfloat16", "uint8")
    },
    "classes": ("The pass over rows of many classes", _classes),
    "products": ("Products with the Hessian", _plain),
    "fits": ("Whole fits", _fits),
    "streams": ("Rows streamed from the host", _plain),
    "ladder": ("Members of the family", _ladder),
    "tests": ("Tests", _tests),
    "test files": ("Test files", _plain),
    "counters": ("Counters of the profiler", _plain),
    "sanitizers": ("compute-sanitizer", _plain),
    "sanitized": ("Under compute-sanitizer", _sanitized),
    "network": ("A network in training", _network),
    "peers": ("Other libraries on the same rows", _peers),
    "first fit": ("First fit of a process", _first),
    "crossover": ("From the CPU to the GPU", _crossover),
    "kernels": ("Kernels that were carried along", _plain),
}
