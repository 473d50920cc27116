"""Faults put into the kernels on purpose, and whether the tests see them.

Run with ``python bench/faults/mutations.py``, or with a part of a name for some; ``--record`` keeps the result. Each
fault is a replacement of text in a copy of ``kernels/``; the tests then run on that copy, to the first failure. The
file is its own pytest plugin: ``pytest -p mutations --kernels FOLDER`` takes the kernels from there.

A harmless fault changes no sum; its reason is given, and the tests are to pass with it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import mutations_network as network
import mutations_softmax as softmax
import mutations_stripes as stripes

ROOT = Path(__file__).parents[2]
TESTS = (
    "tests/passes/cuda/test_cuda_dense.py",
    "tests/kernels/test_kernels_host.py",
    "tests/passes/cuda/test_cuda_products.py",
)
"""And `mutations_softmax.TESTS` for the kernel of many classes, `mutations_network.TESTS` for those of networks."""
SECONDS = 400

FAMILY, SUM, ROWS = "loss_and_gradient.cu", "sum_partials.cu", "rows.cuh"
REDUCE, LOGISTIC = "reduce.cuh", "logistic.cuh"


class Mutation(NamedTuple):
    """A fault; ``harmless`` says why no test can see it, where none can."""

    name: str
    file: str
    old: str
    new: str
    harmless: str = ""


FAULTS = {
    FAMILY: [
        # Lanes of a row.
        ("barrier missing between logits and their sum", "own] = own_z;\n        __syncthreads();", "own] = own_z;"),
        ("one set of slots for logits, not two", "turn ^= 1;", ""),
        ("the last warp's logits left out", "k < WARPS; ++k) own_z", "k < WARPS - 1; ++k) own_z"),
        ("logits of another row of the batch", "logit_slots[turn][k][own];", "logit_slots[turn][k][0];"),
        (
            "lanes hand over the half they keep",
            "given = upper ? value[r] : value[r + half]",
            "given = upper ? value[r + half] : value[r]",
        ),
        ("upper and lower lanes confused", "(lane & (unsigned)half) != 0", "(lane & (unsigned)half) == 0"),
        (
            "first step of the tree over lanes missing",
            "for (int step = ROWS; step < ROW_LANES",
            "for (int step = 2 * ROWS; step < ROW_LANES",
        ),
        (
            "last step of the tree over lanes missing",
            "for (int step = ROWS; step < ROW_LANES",
            "for (int step = ROWS; 2 * step < ROW_LANES",
        ),
        ("dz of the first group for every group", "own_dz, r, ROW_LANES)", "own_dz, r)"),
        ("dz of the lane's own row for every row", "own_dz, r, ROW_LANES)", "own_dz, (int)own, ROW_LANES)"),
        # Rows.
        ("last row skipped", "exists = own_at < left;", "exists = own_at < left - 1;"),
        ("a row beyond the last counted", "exists = own_at < left;", "exists = own_at <= left;"),
        ("last batch skipped where it is one row", "left > 0; left", "left > 1; left"),
        ("dz of rows that are not there", "own_dz = exists ? ", "own_dz = true ? "),
        ("loss of rows that are not there", "if (counts && exists)", "if (counts)"),
        (
            "rows of groups in another order than their labels",
            "row = (unsigned)(r * GROUPS) + group;",
            "row = group * ROWS + (unsigned)r;",
        ),
        ("group left out of the row", "row = (unsigned)(r * GROUPS) + group;", "row = (unsigned)(r * GROUPS);"),
        ("rows after the last read", "(row < last ? row : last)", "row"),
        (
            "the last row one too far",
            "(unsigned)(there < BATCH ? (int)there : BATCH) - 1;",
            "(unsigned)(there < BATCH ? (int)there : BATCH);",
        ),
        ("labels of a wrong row", "own_at = own * GROUPS + group;", "own_at = own + group;"),
        ("the grid steps too little", "step = takers * BATCH;", "step = takers;"),
        ("the grid steps too far", "step = takers * BATCH;", "step = takers * BATCH * 2;"),
        (
            "warps of a block take the same rows",
            "(long long)blockIdx.x * WARPS + warp;",
            "(long long)blockIdx.x * WARPS;",
        ),
        ("stride ignored", "row_bytes = stride * (int)", "row_bytes = d * (long long)"),
        (
            "every warp counts a row that a block shares",
            "SHARED_ROW ? threadIdx.x < ROWS :",
            "SHARED_ROW ? threadIdx.x % WARP < ROWS :",
        ),
        ("every lane counts a row", ": lane < ROWS;", ": true;"),
        *stripes.FAULTS,
        # Columns.
        ("a vector too many", "(at) < vectors)", "(at) <= vectors)"),
        ("last vector left out", "(at) < vectors)", "(at) < vectors - 1)"),
        ("last column without its weight", "= j < d ? w[j]", "= j < d - 1 ? w[j]"),
        ("last column not written where a block shares a row", "if (j < d) out[j]", "if (j < d - 1) out[j]"),
        ("last column not written", "j < d; j += BLOCK", "j < d - 1; j += BLOCK"),
        ("columns of a first chunk for every chunk", "dz * X_OF(r, c, k)", "dz * X_OF(r, 0, k)"),
        # The row's arithmetic in the kernel.
        ("no curvature in a product", "(REAL)row_of.label * of_logit}", "of_logit}"),
        ("dz of the loss in a product", "PRODUCT ? LossAndDz", "false ? LossAndDz"),
        (
            "weight twice in the loss",
            "loss += (double)row_of.weight *",
            "loss += (double)row_of.weight * (double)row_of.weight *",
        ),
        (
            "weight twice in dz",
            "? (REAL)((WIDER)row_of.weight *",
            "? (REAL)((WIDER)row_of.weight * (WIDER)row_of.weight *",
        ),
        ("no weight in dz", "? (REAL)((WIDER)row_of.weight *", "? (REAL)((WIDER)1 *"),
        ("no weight in the loss", "loss += (double)row_of.weight *", "loss +="),
        ("intercept rounded before it is added", "narrowed(widened(own_z) + b)", "(own_z + (REAL)b)"),
        ("intercept left out", "narrowed(widened(own_z) + b)", "own_z"),
        # Sums over rows.
        ("sums in shared memory not initialised", "(turn == 0 ? 0.0 : dw_sums[j])", "dw_sums[j]"),
        ("only the last warp's gradient", "(turn == 0 ? 0.0 : dw_sums[j])", "0.0"),
        ("barrier missing between warps", "        __syncthreads();\n    }\n    for (int j", "    }\n    for (int j"),
        (
            "groups of a warp not all added",
            "for (int step = LANES; step < WARP",
            "for (int step = 2 * LANES; step < WARP",
        ),
        ("groups of a warp added once for every warp", "if (turn == 0) {", "if (turn < WARPS) {"),
        ("every group of a warp adds the sum of all", "warp == turn && group == 0", "warp == turn"),
        ("loss and sum of dz in one set of slots", "block_sum(db, slots[1])", "block_sum(db, slots[0])"),
        (
            "loss and sum of dz swapped",
            "out[d] = db;\n        out[d + 1] = loss;",
            "out[d] = loss;\n        out[d + 1] = db;",
        ),
        ("partial sums of blocks overlap", "blockIdx.x * (long long)(d + 2)", "blockIdx.x * (long long)(d + 1)"),
    ],
    SUM: [
        ("blocks beyond the first slice left out", "k += WARPS) sum", "k += blocks) sum"),
        ("first slice of blocks left out", "int k = warp; k < blocks", "int k = warp + WARPS; k < blocks"),
        ("barrier missing", "__syncthreads();", ""),
        ("second warp left out", "int k = 1; k < WARPS", "int k = 2; k < WARPS"),
        ("rows of partial sums too short", "(long long)k * width + j", "(long long)k * (width - 1) + j"),
        ("columns overlap", "(int)blockIdx.x * WARP + lane", "(int)blockIdx.x * (WARP - 1) + lane"),
        ("written beyond the last column", "if (warp == 0 && j < width)", "if (warp == 0)"),
    ],
    ROWS: [
        ("bytes in reverse", "0x7440u + (unsigned)(k % 4)", "0x7440u + (unsigned)(3 - k % 4)"),
        ("selector of bytes wrong", "0x7440u +", "0x7400u +"),
        ("bytes one too large", "- 8388608.0f", "- 8388607.0f"),
        ("halves of bfloat16 swapped", "k % 2 ? v.word", "k % 2 == 0 ? v.word"),
        ("low half of bfloat16 left in", "& 0xffff0000u", "& 0xffffffffu"),
        ("halves of float16 swapped", "(16 * (k % 2))", "(16 * ((k + 1) % 2))"),
        (
            "words of float64 swapped",
            "(int)v.word[(2 * k + 1) % WORDS], (int)v.word[2 * k % WORDS]",
            "(int)v.word[2 * k % WORDS], (int)v.word[(2 * k + 1) % WORDS]",
        ),
        ("what is not loaded is not zero", "v.word[k] = 0;", "v.word[k] = 0xffffffffu;"),
    ],
    REDUCE: [
        ("barrier of the block's sum missing", "    __syncthreads();\n", ""),
        ("first step within a warp missing", "step = WARP / 2;", "step = WARP / 4;"),
        ("last step within a warp missing", "step > 0;", "step > 1;"),
        ("first warp left out", "unsigned warp = 0;", "unsigned warp = 1;"),
    ],
    LOGISTIC: [
        ("softplus that overflows", "(z > 0 ? z : 0) - y * z + log1p_of_odds(e, q)", "log1p(exp(z)) - y * z"),
        ("softplus that loses small losses", "+ log1p_of_odds(e, q), z", "+ log(1 + e), z"),
        ("exponential that overflows", "exp(-fabs(z))", "exp(-z)"),
        ("dz that cancels where p is near y", "z >= 0 ? (1 - y) - q : q - y}", "(z >= 0 ? 1 - q : q) - y}"),
        ("sign of the label term", "- y * z", "+ y * z"),
        ("quotient without its remainder", "fmaf(fmaf(-q, denominator, e), reciprocal, q)", "q"),
        ("a coefficient of the logarithm", "0.22656340897083282f", "0.22646340897083282f"),
        ("logarithm without its first term", "fmaf(q * q, r, q)", "q * q * r"),
    ],
}

# They change no sum, for a reason, and the tests are to pass with them.
HARMLESS = (
    Mutation("another zero byte", ROWS, "0x7440u +", "0x7450u +", "bytes 4, 5 and 6 of the pair are all zero"),
    Mutation(
        "the first row of its batch for rows that are not there",
        FAMILY,
        "(row < last ? row : last)",
        "(row <= last ? row : 0)",
        "any row that exists will do: its dz is zero, and what is not finite in it is in the sums already",
    ),
    Mutation(
        "slots begin with the second set",
        FAMILY,
        "int turn = 0;\n",
        "int turn = 1;\n",
        "the sets are used in turn, whichever is first",
    ),
    Mutation(
        "dz of zero at z = 0 from the other branch",
        LOGISTIC,
        ", z >= 0 ?",
        ", z > 0 ?",
        "at z = 0 both branches are 1/2 - y, exactly",
    ),
    Mutation(
        "label beyond the last row read",
        FAMILY,
        "exists ? *y : (LABEL)0",
        "*y",
        "changes no sum; the shim does not report reads, on a GPU compute-sanitizer does",
    ),
)

ALL_FAULTS = FAULTS | softmax.FAULTS | network.FAULTS
MUTATIONS = (
    *(Mutation(name, file, *texts) for file in ALL_FAULTS for name, *texts in ALL_FAULTS[file]),
    *HARMLESS,
    *(Mutation(*texts) for texts in (*softmax.HARMLESS, *network.HARMLESS)),
)


def pytest_addoption(parser) -> None:
    """As a pytest plugin: ``--kernels FOLDER``."""
    parser.addoption("--kernels", required=True, help="folder to take the text of kernels from")


def pytest_configure(config) -> None:
    """Kernels come from that folder."""
    from gpu_logreg.passes.cuda import source as kernel_text

    folder = Path(config.getoption("--kernels"))
    assert folder.is_dir()
    kernel_text.files = lambda _: folder


class Outcome(NamedTuple):
    """What the tests said: the verdict, and the first that failed."""

    verdict: str
    by: str


def run_tests(mutation: Mutation | None, tests: tuple[str, ...]) -> Outcome:
    """Run the tests on kernels with a fault, or on the kernels as they are."""
    with tempfile.TemporaryDirectory() as scratch:
        kernels = Path(scratch, "kernels")
        shutil.copytree(ROOT / "kernels", kernels)
        if mutation is not None:
            (kernels / mutation.file).write_text(mutated(mutation))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-rf", "-p", "mutations", "-p", "no:cacheprovider"]
        command += ["--kernels", str(kernels), "-m", "not gpu", *tests]
        environment = os.environ | {
            "PYTHONPATH": str(ROOT / "bench" / "faults"),
            "TMPDIR": scratch,  # what is compiled goes with it
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
        }
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return Outcome("caught", f"no end in {SECONDS} s")
    if done.returncode == 0:
        return Outcome("missed", "")
    failed = re.findall(r"^FAILED (?:tests/)?(\S+)", done.stdout, re.MULTILINE)
    if done.returncode != 1 or len(failed) != 1:
        raise SystemExit(f"{mutation}: pytest ended with {done.returncode}\n{done.stdout}{done.stderr}")
    if re.search(r"\.cuh?:\d+:\d+: (fatal )?error:", done.stdout):
        return Outcome("does not compile", failed[0])
    return Outcome("caught", failed[0])


def mutated(mutation: Mutation) -> str:
    """The text of the file with the fault."""
    text = (ROOT / "kernels" / mutation.file).read_text()
    if text.count(mutation.old) != 1 or mutation.old == mutation.new:
        raise SystemExit(f"{mutation.name}: {mutation.old!r} is {text.count(mutation.old)} times in {mutation.file}")
    return text.replace(mutation.old, mutation.new)


def tests_of(file: str) -> tuple[str, ...]:
    """The tests that are to see a fault in that file."""
    return softmax.TESTS if file in softmax.FAULTS else network.TESTS if file in network.FAULTS else TESTS


def main() -> None:
    wanted = [part for part in sys.argv[1:] if not part.startswith("--")]
    mutations = [m for m in MUTATIONS if not wanted or any(part in m.name for part in wanted)]
    for mutation in mutations:
        mutated(mutation)  # so that a text that is not there ends the run before it begins
    with ThreadPoolExecutor(2) as pool:
        tests = [tests_of(mutation.file) for mutation in mutations]
        plain = pool.submit(run_tests, None, tuple(dict.fromkeys(path for paths in tests for path in paths)))
        outcomes = [pool.submit(run_tests, *each) for each in zip(mutations, tests, strict=True)]
        if plain.result().verdict != "missed":
            raise SystemExit(f"the kernels as they are fail: {plain.result().by}")
        rows = []
        print(f"{'file':30}{'mutation':58}{'verdict':18}by")
        for mutation, outcome in zip(mutations, outcomes, strict=True):
            verdict, by = outcome.result()
            expected = "missed" if mutation.harmless else "caught"
            note = f"harmless: {mutation.harmless}" if mutation.harmless else by
            mark = "" if verdict == expected else "   NOT EXPECTED"
            print(f"{mutation.file:30}{mutation.name:58}{verdict:18}{note}{mark}", flush=True)
            rows.append(
                {
                    "file": mutation.file,
                    "mutation": mutation.name,
                    "verdict": verdict,
                    "by": by,
                    "harmless": mutation.harmless,
                }
            )
    faults = [row for row in rows if not row["harmless"]]
    caught = sum(row["verdict"] == "caught" for row in faults)
    print(f"{caught} of {len(faults)} faults caught; {len(rows) - len(faults)} harmless ones", flush=True)
    if "--record" in sys.argv:
        sys.path.append(str(ROOT / "bench"))
        from record import append

        print("kept in", append("mutations", rows).name)
    if caught < len(faults):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
