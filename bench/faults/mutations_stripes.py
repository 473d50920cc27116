"""Faults for ``mutations.py`` in rows ahead and stripes, of the kernel of two classes."""

from __future__ import annotations

FAULTS = [
    (
        "the same rows ahead again",
        "        from += step_bytes;\n        if (left > step)",
        "        if (left > step)",
    ),
    ("rows ahead cut as those before them", "row_bytes, left - step, lane", "row_bytes, left, lane"),
    (
        "labels of one batch for all",
        "own_y += step;\n        own_s += HAS_WEIGHT ? step : 0;\n        next_own",
        "own_s += HAS_WEIGHT ? step : 0;\n        next_own",
    ),
    (
        "weights of one batch for all",
        "own_s += HAS_WEIGHT ? step : 0;\n        next_own",
        "next_own",
    ),
    ("wait for the stripe missing", "        wait_for_oldest_copies();\n", ""),
    ("lanes do not meet after the wait", "copies();\n        __syncwarp();", "copies();"),
    ("a stage filled while lanes read it", "        __syncwarp();  // all lanes have their rows", "        //"),
    ("another batch in a stage", "left - STAGES * step, copies", "left - step, copies"),
    ("first batches in one stage", "copy_stripe(ring + k * STRIPE", "copy_stripe(ring"),
    ("first batches all the same", "copies, d);\n        from += step_bytes;\n    }", "copies, d);\n    }"),
    ("stages not in turn", "stage = stage < (STAGES - 1) * STRIPE ? stage + STRIPE : 0;", ""),
    ("stripes of all warps in one place", "(unsigned char*)rings[warp];", "(unsigned char*)rings[0];"),
    ("last copy of a stripe left out", "if (k < copies)", "if (k < copies - 1)"),
    ("too few copies for the end of a stripe", "- lane_bytes + 16 * WARP - 1)", "- lane_bytes)"),
    ("last rows not copied", "} else if (there > 0) {", "} else if (there > BATCH) {"),
    ("last row of all not copied", "at < (int)there * d", "at < ((int)there - 1) * d"),
    (
        "no zeros for rows that are not there",
        "for (int at = lane; at < BATCH * d;",
        "for (int at = lane; at < (int)there * d;",
    ),
    ("a stripe from a wrong row", "taker * BATCH * row_bytes + lane_bytes", "taker * row_bytes + lane_bytes"),
    ("first vector of a lane for every chunk", "row_bytes + c * LANES * VEC;", "row_bytes;"),
    ("first rows of a stripe again", "stage + r * GROUPS * row_bytes", "stage"),
    ("no zeros for lanes without a last vector", "zeros[warp] = Quad();", "zeros[warp].word[0] = 0;"),
    ("group left out in a stripe", "ring + (int)group * row_bytes +", "ring +"),
]
