"""Faults for ``mutations.py`` in the kernel of many classes, with the tests that are to see them."""

from __future__ import annotations

FAMILY, SOFTMAX, TILE = "softmax_loss_and_gradient.cu", "softmax.cuh", "tile.cuh"

TESTS = ("tests/passes/cuda/test_cuda_classes.py", "tests/passes/cuda/test_cuda_products.py")

FAULTS = {
    FAMILY: [
        # Tiles.
        ("K: wait for the copies missing", "        wait_for_copies();\n", ""),
        ("K: barrier before a tile missing", "        __syncthreads();  // the tile is there,", "        //"),
        ("K: barrier between logits and softmax missing", "        __syncthreads();  // Z is complete", "        //"),
        (
            "K: barrier between softmax and gradient missing",
            "        __syncthreads();  // dZ is complete",
            "        //",
        ),
        ("K: the next tile over the present one", "copy_tile(next, X", "copy_tile(tile, X"),
        ("K: the next tile from a wrong place", "(number + gridDim.x) * ROWS", "(number + 1) * ROWS"),
        ("K: tiles not exchanged", "        next = used;\n", "        tile = used;\n"),
        ("K: the grid steps too far", "number += gridDim.x)", "number += gridDim.x + 1)"),
        ("K: ragged last tile skipped", "tiles = (n + ROWS - 1) / ROWS", "tiles = n / ROWS"),
        ("K: rows beyond the last read", "first + r < n ? first + r : n - 1;", "first + r;"),
        ("K: stride ignored", "(X + row * stride)", "(X + row * D)"),
        ("K: last copy of a row left out", "i < ROWS * per_row; i", "i < ROWS * per_row - 1; i"),
        ("K: end of a row not filled", "shared[TILES_AT + r * PITCH + k] = 0;", ";"),
        ("K: end of a row filled in one tile only", "r < 2 * ROWS; r", "r < ROWS; r"),
        # Logits.
        ("K: last vector of a row left out", "at < VECTORS; at += LANES", "at < VECTORS - 1; at += LANES"),
        (
            "K: lanes hand over what they keep",
            "upper ? value[i] : value[i + half]",
            "upper ? value[i + half] : value[i]",
        ),
        ("K: place of what a lane owns", "first += upper ? half : 0;", ""),
        ("K: tree over the other lanes missing", "step = OWNERS; step < LANES", "step = LANES; step < LANES"),
        ("K: last turn of logits left out", "before < places; before", "before + groups <= places; before"),
        ("K: weights of the first classes for all", "(group * TILE_CLASSES + k) * PADDED_D", "k * PADDED_D"),
        (
            "K: intercept rounded before it is added",
            "(REAL)((double)z[i] + b[group * TILE_CLASSES + k])",
            "z[i] + (REAL)b[group * TILE_CLASSES + k]",
        ),
        ("K: intercepts of the first classes for all", "z[i] + b[group * TILE_CLASSES + k]", "z[i] + b[k]"),
        ("K: weights half there", "i < PADDED_K * PADDED_D; i", "i < PADDED_K * PADDED_D / 2; i"),
        # Products with the Hessian.
        ("K: the mean of a product subtracted once", "round < 2; ++round", "round < 1; ++round"),
        (
            "K: probabilities of a wrong row",
            "y + (exists ? row : n - 1) * K;",
            "y + (exists ? number * ROWS : n - 1) * K;",
        ),
        ("K: a product of rows that are not there", "exists ? (REAL)((WIDER)curved", "true ? (REAL)((WIDER)curved"),
        ("K: no weight in a product", "(REAL)((WIDER)curved * (WIDER)weight)", "curved"),
        # Softmax.
        ("K: last row skipped", "< ROWS && row < n;", "< ROWS && row < n - 1;"),
        ("K: dZ of rows that are not there", "exists ? (REAL)((WIDER)weight", "true ? (REAL)((WIDER)weight"),
        ("K: loss of rows that are not there", "counts = exists && label", "counts = label"),
        ("K: negative label counted", "exists && label >= 0 && label", "exists && label"),
        ("K: no weight in dZ", "(REAL)((WIDER)weight * (WIDER)dz)", "dz"),
        (
            "K: weight twice in the loss",
            "(double)weight * (double)(log1p",
            "(double)weight * (double)weight * (double)(log1p",
        ),
        ("K: loss from the first lane", "label % SOFTMAX_LANES == lane", "lane == 0"),
        ("K: the largest logit counted twice", "if (k != largest.k) rest += e;", "rest += e;"),
        ("K: logarithm that loses small losses", "log1p(rest)", "log(1 + rest)"),
        ("K: largest logit not subtracted", "(REAL)0) - largest.z;", "(REAL)0);"),
        (
            "K: dZ that cancels where p is near 1",
            "(k == label ? -others : z[place_of(k)]) / (1 + rest)",
            "z[place_of(k)] / (1 + rest) - (REAL)(k == label)",
        ),
        ("K: place of a class without its group", "k / TILE_CLASSES * Z_GROUP + k % TILE_CLASSES;", "k;"),
        # Gradient and the sums of a block.
        ("K: slices take every row", "r < ROWS; r += SLICES", "r < ROWS; ++r"),
        ("K: dZ of the first classes for all", "r * Z_PITCH + group * Z_GROUP + i", "r * Z_PITCH + i"),
        ("K: vectors of a thread confused", "column_group + h * COLUMN_GROUPS : last", "column_group + h : last"),
        ("K: sums in shared memory not initialised", "(turn == 0 ? 0.0 : *sum)", "*sum"),
        ("K: only the last slice's gradient", "(turn == 0 ? 0.0 : *sum)", "0.0"),
        (
            "K: barrier between slices missing",
            "        __syncthreads();\n    }\n    if (SLICES > 1)",
            "    }\n    if (SLICES > 1)",
        ),
        ("K: sums over what is still read", "    __syncthreads();  // all that was", "    //"),
        ("K: last column not written", "if (j < D && group", "if (j < D - 1 && group"),
        ("K: columns beyond the last written", "if (j < D && group", "if (group"),
        ("K: classes beyond the last written", "j < D && group * TILE_CLASSES + k < K) *sum", "j < D) *sum"),
        ("K: a part of the sum of dZ left out", "int part = 0; part", "int part = 1; part"),
        ("K: rows of dZ added too often", "r < ROWS; r += DB_PARTS", "r < ROWS; ++r"),
        ("K: partial sums of blocks overlap", "blockIdx.x * (long long)WIDTH", "blockIdx.x * (long long)(WIDTH - 1)"),
    ],
    SOFTMAX: [
        ("K: last step of the sum over lanes missing", "step > 0; step /= 2) value", "step > 1; step /= 2) value"),
        ("K: the largest logit of some lanes", "step > 0; step /= 2) {", "step > 1; step /= 2) {"),
        ("K: the smallest logit", ": b.z > a.z;", ": b.z < a.z;"),
        ("K: lanes disagree on NaN", "a_is_nan || b_is_nan ? b_is_nan && !a_is_nan : b.z", "b.z"),
        ("K: lanes disagree on equal logits", "(level && b.k < a.k)", "level"),
    ],
    TILE: [
        ("K: words of float64 swapped", "v.word[0] = (unsigned)both;", "v.word[0] = (unsigned)(both >> 32);"),
    ],
}

HARMLESS = (
    (
        "K: idle groups of lanes write the last place",
        FAMILY,
        "if (wanted < places && lane",
        "if (lane",
        "they write the bits that its own group writes in the same turn",
    ),
    (
        "K: the first row for rows that are not there",
        FAMILY,
        "first + r < n ? first + r : n - 1;",
        "first + r < n ? first + r : 0;",
        "any row that exists will do: its dZ is zero, and what is not finite in it is in the sums already",
    ),
    (
        "K: a vector beyond the row read",
        FAMILY,
        "last < VECTORS ? last : VECTORS - 1;",
        "last;",
        "what is summed from it is not written, and shared memory goes on behind the tiles or the shim would say so",
    ),
    (
        "K: label beyond the last row read",
        FAMILY,
        "y[exists ? row : n - 1]",
        "y[row]",
        "changes no sum; the shim does not report reads, on a GPU compute-sanitizer does",
    ),
)
