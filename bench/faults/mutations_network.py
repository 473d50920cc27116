"""Faults for ``mutations.py`` in the kernels of networks, with the tests that are to see them."""

from __future__ import annotations

DENSE, FORWARD, GRADIENT, BACKWARD = "dense.cuh", "dense_forward.cu", "dense_gradient.cu", "dense_backward.cu"
BATCH, LOSSES, UPDATE = "batch.cuh", "row_losses.cu", "update.cu"

TESTS = ("tests/kernels/test_kernels_host_steps.py", "tests/kernels/test_kernels_host_updates.py")

FAULTS = {
    DENSE: [
        (
            "net: barrier before the tiles missing",
            "        __syncthreads();\n        put<A_ACROSS, TM>(tile.a, next_a);",
            "        put<A_ACROSS, TM>(tile.a, next_a);",
        ),
        (
            "net: barrier behind the tiles missing",
            "tile.b, next_b);\n        __syncthreads();\n",
            "tile.b, next_b);\n",
        ),
        ("net: what is beyond the end is fetched", "share.exists() && p < end ?", "share.exists() ?"),
        ("net: the same values again", "fetch<A_ACROSS, TM>(next_a, p + DEPTH, end, a);", ""),
        ("net: the last value of p left out", "p < end ? factor", "p < end - 1 ? factor"),
        ("net: the first column of a tile for all", "tile.b[q][own_column() + c]", "tile.b[q][own_column()]"),
        ("net: rows of another thread", "% (TN / RN) * RN; }", "% (TM / RM) * RN; }"),
        ("net: lanes across fetch the same p", "k % (DEPTH / NEAR) * NEAR :", "k % (DEPTH / NEAR) :"),
    ],
    FORWARD: [
        ("net: a row too many", "if (i < batch.rows && j < m) out", "if (i <= batch.rows && j < m) out"),
        ("net: intercept left out", "sum[r][c] + intercept", "sum[r][c]"),
        ("net: weights of the first tile of columns", "W[p * m + first + j]", "W[p * m + j]"),
        (
            "net: rows of the first tile",
            "const int i = i0 + (int)threadIdx.x / NEAR",
            "const int i = (int)threadIdx.x / NEAR",
        ),
        (
            "net: tiles of columns counted down",
            "const int per_row = (m + TN - 1) / TN;",
            "const int per_row = m / TN + 1;",
        ),
    ],
    GRADIENT: [
        ("net: no column of ones", "column == d ? (REAL)1 : (REAL)0", "(REAL)0"),
        ("net: parts overlap", "part * rows_of_part;", "part * (rows_of_part - 1);"),
        ("net: last row of a part left out", ": begin + rows_of_part;", ": begin + rows_of_part - 1;"),
        (
            "net: parts without rows not written",
            "    REAL* const out = partial",
            "    if (begin >= end) return;\n    REAL* const out = partial",
        ),
        ("net: parts over one another", "partial + part * n_params", "partial"),
        ("net: intercepts in the place of weights", ": out + b_at;", ": out + w_at;"),
        ("net: a tile of rows too many in each part", "(d + TM) / TM", "(d + 2 * TM) / TM"),
    ],
    BACKWARD: [
        ("net: no derivative", "sum[r][c] * derivative(a[i * d + j])", "sum[r][c]"),
        ("net: derivative of a wrong row", "derivative(a[i * d + j])", "derivative(a[j])"),
        ("net: weights not transposed", "Lines{W, j0, d, m}", "Lines{W, j0, d, d}"),
    ],
    BATCH: [
        (
            "net: the smaller last batch as large as the others",
            "left < batch_rows ? (int)left : batch_rows",
            "batch_rows",
        ),
        ("net: a batch beyond the last", "left <= 0 ? 0 :", "left <= 0 ? 1 :"),
        ("net: rows not gathered", "GATHER ? order[batch.first + i] : (int64)i", "(int64)i"),
        ("net: the first batch for all", "order[batch.first + i]", "order[i]"),
        ("net: stride left out", "(int64)i) * stride;", "(int64)i);"),
        ("net: halves of bfloat16 swapped", "(unsigned)bits << 16", "(unsigned)bits"),
    ],
    LOSSES: [
        ("net: turn not handed on", "turn[1] = number;", ""),
        ("net: weight left out of the loss of labels", "return (double)weight * loss;", "return loss;"),
        ("net: weight left out of dz", "weighted(weight, of_label.dz)", "of_label.dz"),
        (
            "net: losses of the batches before forgotten",
            "loss_sums[blockIdx.x] += loss;",
            "loss_sums[blockIdx.x] = loss;",
        ),
        ("net: label of the row within the batch", "order[batch.first + (exists ? row : 0)]", "(exists ? row : 0)"),
        ("net: the largest among the others", "if (k != largest.k) rest += e;", "rest += e;"),
        ("net: the label among the others", "if (k != label) others += e;", "others += e;\n        if (k != label) {}"),
        ("net: labels of the first row", "y + at * K", "y"),
        ("net: rows beyond the grid left out", "before += (int)gridDim.x * at_once", "before += batch.rows"),
    ],
    UPDATE: [
        ("net: a batch beyond the last updated", "if (batch >= batches) return;", ""),
        ("net: turn not counted up", "turn[0] = batch + 1;", "turn[0] = batch;"),
        ("net: parts left out", "for (int part = 1; part < parts; ++part)", "for (int part = 2; part < parts; ++part)"),
        ("net: rates of the first batch", "rates[3 * batch];", "rates[0];"),
        ("net: no correction of the mean square", "sqrt(v_j) * per_root", "sqrt(v_j)"),
        ("net: intercepts shrunk and penalised", "if (j < n_weights) {", "if (true) {"),
        ("net: what is not trained updated", "j < n_trained; j +=", "j < n; j +="),
        ("net: Nesterov's look ahead left out", "RULE == 2 ? (REAL)beta_1 * m_j - step * g : m_j", "m_j"),
        (
            "net: penalties of the batches before forgotten",
            "penalties[blockIdx.x] += 0.5",
            "penalties[blockIdx.x] = 0.5",
        ),
        ("net: no decay", "if (RULE == 3) w *= shrink;", ""),
    ],
}

HARMLESS = (
    (
        "net: blocks without rows work all the same",
        FORWARD,
        "if (i0 >= batch.rows) return;",
        "",
        "what they compute is not written",
    ),
    (
        "net: ones behind the intercepts too",
        GRADIENT,
        "column == d ? (REAL)1 : (REAL)0",
        "(REAL)1",
        "rows of the result behind the intercepts are not written",
    ),
)
