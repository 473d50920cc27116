// loss_and_gradient: one read of X for loss and gradient.
//
//     z_i = x_i . w + b       row_loss and dz_i = s_i (p_i - y_i) as in logistic.cuh
//     partial[k] = [sum dz_i x_i (d of them), sum dz_i, sum s_i row_loss_i]  over the rows of block k
//
// Shapes     X: n rows of d columns, `stride` columns apart. y, s: (n,). w: (d,). partial: (gridDim.x, d + 2).
// Types      STORAGE: float32, float64, float16, bfloat16, uint8 (X). REAL: float32 or float64 (w, the arithmetic).
//            LABEL: uint8 or REAL (y, in [0, 1]). HAS_WEIGHT 1: WEIGHT is float32 or float64; 0: WEIGHT is REAL, s is
//            not read. b and partial: float64.
// Family     LANES threads share a row: 1 to 32, or the whole block, each holding CHUNKS vectors of VEC bytes of it, with their
//            columns of w and of the gradient, in registers. ROWS rows are under way at once, at most min(LANES, 32).
//            LANES CHUNKS VEC >= d sizeof(STORAGE), and VEC divides d sizeof(STORAGE), the stride and the address of X.
// Launch     1-D grid of any size, BLOCK threads (a multiple of 32), no dynamic shared memory. Each warp (each block,
//            where LANES is BLOCK) takes ROWS rows for each of its groups of LANES threads, then the same gridDim.x
//            blocks further on.
// Bytes      read n d STORAGE + n LABEL, and n WEIGHT with HAS_WEIGHT; written 8 (d + 2) gridDim.x.
// Never      stored: z, p, row_loss, dz, or anything else of length n. A row is loaded once, into registers, and stays
//            there between its logit and its share of the gradient. Loads in flight are what hides the latency: those
//            of ROWS rows for every group, of all warps of a multiprocessor; no copy to shared memory is needed.
// Order      A logit is summed by lanes, then in a tree over them. A lane adds its columns of the gradient in REAL over
//            its rows; groups of a warp in a tree, warps of a block in order, blocks by sum_partials in order, from
//            the warps on in float64. Loss and sum of dz are float64 throughout. No atomics. The bits depend on n, d,
//            the family and the grid alone.
// Limits     n < 2^62. CuPy compiles with -ftz=true: float32 numbers below 1.2e-38 count as 0.
//
// Needs logistic.cuh, reduce.cuh and rows.cuh before it.
typedef decltype(WEIGHT() * REAL()) WIDER;  // the wider of the two types

#define ROW_LANES (LANES < WARP ? LANES : WARP)  // lanes of a warp that share a row
#define GROUPS (WARP / ROW_LANES)                // rows that a warp loads with one instruction
#define BATCH (ROWS * GROUPS)                    // rows that a warp, or a block that shares them, has under way
#define HELD (CHUNKS * COLUMNS)                  // columns a thread holds
#define WARPS (BLOCK / WARP)
#define SHARED_ROW (LANES > WARP)

// The sum over the lanes of a row of value[r], for r = lane % ROWS; the other r are summed by other lanes meanwhile.
// In every stage a lane hands over the half of its rows that it will not own.
__device__ __forceinline__ REAL sum_over_lanes(REAL* value, unsigned lane) {
#pragma unroll
    for (int half = ROWS / 2; half > 0; half /= 2) {
        const bool upper = (lane & (unsigned)half) != 0;
#pragma unroll
        for (int r = 0; r < half; ++r) {
            const REAL kept = upper ? value[r + half] : value[r];
            const REAL given = upper ? value[r] : value[r + half];
            value[r] = kept + __shfl_xor_sync(ALL_LANES, given, (unsigned)half);
        }
    }
    REAL sum = value[0];
#pragma unroll
    for (int step = ROWS; step < ROW_LANES; step *= 2) sum += __shfl_xor_sync(ALL_LANES, sum, (unsigned)step);
    return sum;
}

extern "C" __global__ void __launch_bounds__(BLOCK, RESIDENT)
loss_and_gradient(const STORAGE* X, long long stride, const LABEL* y, const WEIGHT* s, const REAL* w, double b,
                  double* partial, long long n, int d) {
    __shared__ double slots[2][WARPS];
#if SHARED_ROW
    __shared__ REAL logit_slots[2][WARPS][ROWS];
    int turn = 0;
#else
    __shared__ double dw_sums[LANES * HELD];
#endif
    const unsigned lane = threadIdx.x % LANES;
    const unsigned warp = threadIdx.x / WARP;
    const unsigned group = SHARED_ROW ? 0 : threadIdx.x % WARP / LANES;
    const unsigned own = lane % ROWS;  // the row of a batch whose loss this thread computes
    const bool counts = SHARED_ROW ? threadIdx.x < ROWS : lane < ROWS;  // several threads own a row; one counts it
    const int vectors = d / COLUMNS;

    REAL w_held[HELD];
    REAL dw_held[HELD];
#pragma unroll
    for (int c = 0; c < CHUNKS; ++c) {
#pragma unroll
        for (int k = 0; k < COLUMNS; ++k) {
            const int j = ((int)lane + c * LANES) * COLUMNS + k;
            w_held[c * COLUMNS + k] = j < d ? w[j] : (REAL)0;
            dw_held[c * COLUMNS + k] = 0;
        }
    }
    double loss = 0;
    double db = 0;

    const long long takers = SHARED_ROW ? gridDim.x : (long long)gridDim.x * WARPS;
    const long long taker = SHARED_ROW ? blockIdx.x : (long long)blockIdx.x * WARPS + warp;
    for (long long base = taker * BATCH; base < n; base += takers * BATCH) {
        Vector x[ROWS][CHUNKS];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            const long long row = base + r * GROUPS + group;
            const STORAGE* from = X + (row < n ? row : n - 1) * stride;  // a row beyond the last counts nothing below
#pragma unroll
            for (int c = 0; c < CHUNKS; ++c) {
                const int at = (int)lane + c * LANES;
                x[r][c] = at < vectors ? load_vector(from + at * COLUMNS) : no_vector();
            }
        }
        const long long own_row = base + own * GROUPS + group;
        const bool exists = own_row < n;
        const long long at = exists ? own_row : n - 1;
        const REAL label = (REAL)y[at];
        const WEIGHT weight = HAS_WEIGHT ? s[at] : (WEIGHT)1;

        REAL z[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            z[r] = 0;
#pragma unroll
            for (int c = 0; c < CHUNKS; ++c) {
#pragma unroll
                for (int k = 0; k < COLUMNS; ++k) z[r] += w_held[c * COLUMNS + k] * column(x[r][c], k, STORAGE());
            }
        }
        REAL own_z = sum_over_lanes(z, lane);
#if SHARED_ROW
        // Two sets of slots, in turn: a thread may write its next logits while another still reads these.
        if (threadIdx.x % WARP < ROWS) logit_slots[turn][warp][own] = own_z;
        __syncthreads();
        own_z = 0;
#pragma unroll
        for (int k = 0; k < WARPS; ++k) own_z += logit_slots[turn][k][own];
        turn ^= 1;
#endif
        const LossAndDz of_row = loss_and_dz((REAL)((double)own_z + b), label);
        const REAL own_dz = exists ? (REAL)((WIDER)weight * (WIDER)of_row.dz) : (REAL)0;
        if (counts && exists) {
            loss += (double)weight * (double)of_row.row_loss;
            db += (double)own_dz;
        }
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            const REAL dz = __shfl_sync(ALL_LANES, own_dz, r, ROW_LANES);
#pragma unroll
            for (int c = 0; c < CHUNKS; ++c) {
                if (sizeof(STORAGE) < sizeof(REAL)) keep_stored(x[r][c]);
#pragma unroll
                for (int k = 0; k < COLUMNS; ++k) dw_held[c * COLUMNS + k] += dz * column(x[r][c], k, STORAGE());
            }
        }
    }

    double* const out = partial + blockIdx.x * (long long)(d + 2);
#if SHARED_ROW
#pragma unroll
    for (int c = 0; c < CHUNKS; ++c) {
#pragma unroll
        for (int k = 0; k < COLUMNS; ++k) {
            const int j = ((int)lane + c * LANES) * COLUMNS + k;
            if (j < d) out[j] = (double)dw_held[c * COLUMNS + k];
        }
    }
#else
    // Groups of the warp in a tree; then warp after warp adds its sums to those in shared memory.
    for (unsigned turn = 0; turn < WARPS; ++turn) {
#pragma unroll
        for (int c = 0; c < CHUNKS; ++c) {
#pragma unroll
            for (int k = 0; k < COLUMNS; ++k) {
                if (turn == 0) {
#pragma unroll
                    for (int step = LANES; step < WARP; step *= 2)
                        dw_held[c * COLUMNS + k] += __shfl_xor_sync(ALL_LANES, dw_held[c * COLUMNS + k], (unsigned)step);
                }
                const int j = ((int)lane + c * LANES) * COLUMNS + k;
                if (warp == turn && group == 0)
                    dw_sums[j] = (turn == 0 ? 0.0 : dw_sums[j]) + (double)dw_held[c * COLUMNS + k];
            }
        }
        __syncthreads();
    }
    for (int j = (int)threadIdx.x; j < d; j += BLOCK) out[j] = dw_sums[j];
#endif
    loss = block_sum(loss, slots[0]);
    db = block_sum(db, slots[1]);
    if (threadIdx.x == 0) {
        out[d] = db;
        out[d + 1] = loss;
    }
}
