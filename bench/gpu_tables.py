"""The figures of ``bench_gpu.py`` as tables of Markdown. A figure that is not there is shown as a dash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpu_passes import GOAL_RATIO


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


def tables(results: dict[str, Any]) -> str:
    """All sections."""
    sections = results["sections"]
    parts = []
    if "ceiling" in sections:
        parts += ["## Ceiling", _ceiling(sections["ceiling"])]
    for name in ("float32", "float64", "float16", "bfloat16", "uint8"):
        if name in sections:
            parts += [f"## The pass over {name} rows", _passes(sections[name])]
    if "classes" in sections:
        parts += ["## The pass over rows of many classes", _classes(sections["classes"])]
    if "fits" in sections:
        parts += ["## Whole fits", _fits(sections["fits"])]
    if "network" in sections:
        parts += ["## A network in training", _network(sections["network"])]
    if "first fit" in sections:
        parts += ["## First fit of a process", _first(sections["first fit"])]
    if "crossover" in sections:
        parts += ["## From the CPU to the GPU", _crossover(sections["crossover"])]
    if results["problems"]:
        parts += ["## Not measured", "\n".join(f"- {name}: {why}" for name, why in results["problems"].items())]
    return "\n\n".join(parts)


def _ceiling(found: dict[str, Any]) -> str:
    by = found["read_by"]
    how = f"{by['flight']} loads of 16 bytes under way in a thread, {by['blocks_per_multiprocessor']} blocks per SM"
    rows = [
        ["pure read", shown(found["read_gb_per_s"], ",.0f"), f"{how}, {'tiled' if by['tiled'] else 'interleaved'}"],
        ["copy, read + written", shown(found.get("copy_gb_per_s"), ",.0f"), found.get("copy_problem", "")],
    ]
    return f"{found['nbytes'] / 1e9:.2f} GB.\n\n" + table(["what", "GB/s", "how"], rows)


def _passes(found: dict[str, Any]) -> str:
    names = list(found["peers"])
    heads = ["d", "n", "ms", "GB/s", "share", "goal", "call ms", "registers", "local B", "error", "family"]
    if names:
        heads += [*(f"{name} ms" for name in names), "ratio", "cublas call ms"]
    lines = []
    for row in found["rows"]:
        family = " ".join(f"{key}={number}" for key, number in row.get("family", {}).items())
        met = "" if "met" not in row else " met" if row["met"] else " NOT MET"
        line = [
            *(str(row["d"]), shown(row.get("n"), ","), shown(row.get("ms")), shown(row.get("gb_per_s"), ",.0f")),
            *(shown(row.get("share"), ".1%"), shown(row.get("goal"), ".0%") + met, shown(row.get("call_ms"))),
            *(shown(row.get("registers"), "d"), shown(row.get("local_bytes"), "d"), shown(row.get("error"), ".0e")),
            str(row.get("problem", family)),
        ]
        if names:
            peers = row.get("peers", {})
            line += [shown(peers.get(name, {}).get("ms", peers.get(name, {}).get("problem"))) for name in names]
            line += [shown(row.get("ratio"), ".2f"), shown(row.get("cublas_call", {}).get("ms"))]
        lines.append(line)
    text = table(heads, lines)
    notes = [f"{name}: {note}" for name, note in found["peers"].items()]
    notes += [f"{name} is absent: {why}" for name, why in found["absent"].items()]
    if names:
        notes.insert(
            0,
            f"ratio: time of the fastest of {', '.join(names)} over ours, both on the device; "
            f"the goal is {GOAL_RATIO} for d = 64 to 2,048",
        )
    return "\n".join([text, "", *(f"- {note}" for note in notes)]) if notes else text


def _classes(found: dict[str, Any]) -> str:
    heads = ["d", "classes", "storage", "n", "ms", "GB/s", "share", "pure read ms", "call ms", "reference call ms"]
    heads += ["ratio", "registers", "local B", "error", "family"]
    lines = []
    for row in found["rows"]:
        family = " ".join(f"{key}={number}" for key, number in row.get("family", {}).items())
        lines.append(
            [
                *(str(row["d"]), str(row["classes"]), row["storage"], shown(row.get("n"), ","), shown(row.get("ms"))),
                *(shown(row.get("gb_per_s"), ",.0f"), shown(row.get("share"), ".1%"), shown(row.get("read_ms"))),
                *(shown(row.get("call_ms")), shown(row.get("reference_ms")), shown(row.get("ratio"), ".2f")),
                *(shown(row.get("registers"), "d"), shown(row.get("local_bytes"), "d"), shown(row.get("error"), ".0e")),
                str(row.get("problem", family)),
            ]
        )
    return table(heads, lines) + "\n\n- ratio: time of a call of the reference pass over one of ours"


def _fits(found: dict[str, Any]) -> str:
    lines = [
        [
            *(row["solver"], shown(row.get("seconds"), ".4f"), shown(row.get("reads_wall"), ".1f")),
            *(shown(row.get("n_reads"), ".1f"), shown(row.get("suboptimality"), ".1e")),
            row.get("problem") or ("yes" if row.get("reached") else "NO"),
        ]
        for row in found["rows"]
    ]
    scaled = "" if found["n"] == found["wanted_n"] else f" ({found['wanted_n']:,} do not fit)"
    head = f"{found['n']:,} x {found['d']} float32, resident{scaled}; one read at the ceiling "
    head += "-" if found["read_s"] is None else f"{1e3 * found['read_s']:.2f} ms"
    return head + ".\n\n" + table(["solver", "s", "reads, wall", "reads", "suboptimality", "1e-8 reached"], lines)


def _network(found: dict[str, Any]) -> str:
    lines, notes = [], [f"{name}: {note}" for name, note in found["notes"].items()]
    for row in found["rows"]:
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
        if "steps_ms" in row:
            parts = ", ".join(f"{what} {row[f'{what}_ms']:.3f} ms" for what in ("shuffle", "queue", "steps"))
            notes.append(f"batch {row['batch']}, an epoch of ours: {parts} (queue near steps: the device waits)")
    heads = ["batch", "trainer", "epoch ms", "rows/s", "ours / it", "goal", "error", "problem"]
    text = f"{found['source']}, {found['n']:,} x {found['d']}-{found['units']}-1, tanh, Adam, float32, resident.\n\n"
    return "\n".join([text + table(heads, lines), "", *(f"- {note}" for note in notes)])


def _first(found: dict[str, Any]) -> str:
    lines = [
        [state, *(shown(found[state].get(key), ".4f") for key in ("import_s", "first_fit_s", "warm_fit_s"))]
        for state in ("cold", "cached")
        if state in found
    ]
    return f"{found['n']:,} x {found['d']} float32.\n\n" + table(
        ["binaries", "import s", "first fit s", "warm s"], lines
    )


def _crossover(found: dict[str, Any]) -> str:
    lines = [
        [
            f"{row['n']:,} x {row['d']}",
            f"{row['nbytes'] / 2**20:.1f}",
            shown(1e3 * row["cpu_s"]),
            shown(1e3 * row["gpu_s"]),
        ]
        for row in found["rows"]
    ]
    least = found["crossover_nbytes"]
    said = (
        "The GPU is not faster at the largest size" if least is None else f"The GPU wins from {least / 2**20:.1f} MiB"
    )
    text = table(["rows", "MiB", "CPU ms", "GPU ms"], lines)
    return f'{text}\n\n{said}; device="auto" changes over at {found["auto_nbytes"] / 2**20:.1f} MiB.'
