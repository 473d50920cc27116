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
//            columns of w and of the gradient, in registers. ROWS rows are worked on at once, at most min(LANES, 32).
//            LANES CHUNKS VEC >= d sizeof(STORAGE) > LANES (CHUNKS - 1) VEC, and VEC divides d sizeof(STORAGE).
//            ONCE 1: columns are converted once and kept so; 0: as they are stored, and converted for either use.
//   AHEAD    STAGES 0: rows go from memory to registers; VEC divides the stride and the address of X too. AHEAD 1: those
//            of the next batch while this one is worked on; 0: after it.
//   Stripes  STAGES 1 to 8, LANES at most 32: a warp copies the rows of a batch, which follow one another in memory, as
//            one stripe to shared memory, 16 bytes a thread, STAGES batches ahead. stride = d; 16 divides the address of
//            X and the bytes of a batch.
// Launch     1-D grid of any size, BLOCK threads (a multiple of 32), no dynamic shared memory. Each warp (each block,
//            where LANES is BLOCK) takes ROWS rows for each of its groups of LANES threads, then the same gridDim.x
//            blocks further on.
// Bytes      read n d STORAGE + n LABEL, and n WEIGHT with HAS_WEIGHT; written 8 (d + 2) gridDim.x.
// Never      stored: z, p, row_loss, dz, or anything else of length n. A row is loaded once, into registers (in a stripe
//            by way of shared memory), and stays there between its logit and its share of the gradient. Loads in flight
//            are what hides the latency: those of a batch, or of the batches ahead, of all warps of a multiprocessor.
// Order      A logit is summed by lanes, then in a tree over them. A lane adds its columns of the gradient in REAL over
//            its rows; groups of a warp in a tree, warps of a block in order, blocks by sum_partials in order, from
//            the warps on in float64. Loss and sum of dz are float64 throughout. No atomics. The bits depend on n, d,
//            the family and the grid alone.
// Limits     n < 2^62. CuPy compiles with -ftz=true: float32 numbers below 1.2e-38 count as 0.
//
// Needs logistic.cuh, reduce.cuh, rows.cuh and stripes.cuh before it.
typedef decltype(WEIGHT() * REAL()) WIDER;  // the wider of the two types

#define ROW_LANES (LANES < WARP ? LANES : WARP)  // lanes of a warp that share a row
#define GROUPS (WARP / ROW_LANES)                // rows that a warp loads with one instruction
#define BATCH (ROWS * GROUPS)                    // rows that a warp, or a block that shares them, has under way
#define HELD (CHUNKS * COLUMNS)                  // columns a thread holds
#define WARPS (BLOCK / WARP)
#define SHARED_ROW (LANES > WARP)
#define QUADS ((BATCH * LANES * CHUNKS * VEC + 15) / 16)  // of 16 bytes, that a stripe takes at most

// Whether a row has a vector at that place: lanes differ in their last chunk alone.
#define HOLDS(c, at) (LANES == 1 || (c) < CHUNKS - 1 || (at) < vectors)

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

struct Own {  // what is read of the row whose loss a thread computes
    LABEL label;
    WEIGHT weight;
};

// Label and weight of a row; where there is none, what counts nothing.
__device__ __forceinline__ Own own_of(const LABEL* y, const WEIGHT* s, bool exists) {
    return {exists ? *y : (LABEL)0, HAS_WEIGHT && exists ? *s : (WEIGHT)1};
}

#if !STAGES
// Loads the rows of a batch, of which there are so many, one at least; a row beyond them is the last one, and counts
// nothing. from: the first vector of the lane in the first row.
__device__ __forceinline__ void load_rows(Vector (&x)[ROWS][CHUNKS], const unsigned char* from, long long row_bytes,
                                          long long there, unsigned lane, unsigned group, int vectors) {
    const unsigned last = (unsigned)(there < BATCH ? (int)there : BATCH) - 1;
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        const unsigned row = (unsigned)(r * GROUPS) + group;
        const unsigned char* const at_row = from + (row < last ? row : last) * row_bytes;
#pragma unroll
        for (int c = 0; c < CHUNKS; ++c)
            x[r][c] = HOLDS(c, (int)lane + c * LANES) ? load_vector(at_row + c * LANES * VEC) : no_vector();
    }
}

#else
#define STRIPE (16 * QUADS)  // bytes of shared memory for one

// Has the warp copy the rows of a batch to shared memory; zeros take the place of those that are not there.
// from, to: 16 bytes for every lane apart. copies: of this lane for a whole batch.
__device__ __forceinline__ void copy_stripe(unsigned char* to, const unsigned char* from, long long there, int copies,
                                            int d) {
    if (there >= BATCH) {
#pragma unroll
        for (int k = 0; k < (QUADS + WARP - 1) / WARP; ++k)
            if (k < copies) copy_quad(to + k * 16 * WARP, from + k * 16 * WARP);
    } else if (there > 0) {  // the last rows of X
        const int lane = (int)(threadIdx.x % WARP);
        STORAGE* const columns = (STORAGE*)(to - 16 * lane);
        const STORAGE* const stored = (const STORAGE*)(from - 16 * lane);
#pragma unroll 1
        for (int at = lane; at < BATCH * d; at += WARP) columns[at] = at < (int)there * d ? stored[at] : STORAGE();
    }
    commit_copies();
}
#endif

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
    const unsigned nothing = (unsigned)(n >> 62);  // 0

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
    const long long step = takers * BATCH;
    const long long own_at = own * GROUPS + group;
    long long left = n - taker * BATCH;  // rows from this batch on
    const LABEL* own_y = y + taker * BATCH + own_at;
    const WEIGHT* own_s = HAS_WEIGHT ? s + taker * BATCH + own_at : s;
#if STAGES
    __shared__ Quad rings[WARPS][STAGES][QUADS];
    __shared__ Quad zeros[WARPS];  // the last vector of lanes that have none
    if (threadIdx.x % WARP == 0) zeros[warp] = Quad();
    const int lane_bytes = 16 * (int)(threadIdx.x % WARP);
    const int row_bytes = d * (int)sizeof(STORAGE);
    const int copies = (BATCH * row_bytes - lane_bytes + 16 * WARP - 1) / (16 * WARP);
    long long step_bytes = step * row_bytes;
    keep_number(step_bytes);
    unsigned char* const ring = (unsigned char*)rings[warp];
    const unsigned char* const own_vectors = ring + (int)group * row_bytes + (int)lane * VEC;
    const unsigned char* from = (const unsigned char*)X + taker * BATCH * row_bytes + lane_bytes;
#pragma unroll
    for (int k = 0; k < STAGES; ++k) {
        copy_stripe(ring + k * STRIPE + lane_bytes, from, left - k * step, copies, d);
        from += step_bytes;
    }
    int stage = 0;  // where the present batch begins in the ring
#else
    const long long row_bytes = stride * (int)sizeof(STORAGE);
    long long step_bytes = step * row_bytes;
    const unsigned char* from = (const unsigned char*)X + taker * BATCH * row_bytes + (int)lane * VEC;
    keep_number(step_bytes);
#if AHEAD
    Vector next[ROWS][CHUNKS];
    if (left > 0) load_rows(next, from, row_bytes, left, lane, group, vectors);
#endif
#endif
#if STAGES || AHEAD
    Own next_own = own_of(own_y, own_s, own_at < left);
#endif
    for (; left > 0; left -= step) {
        keep_number(from);
        Vector x[ROWS][CHUNKS];
#if STAGES
        wait_for_oldest_copies();
        __syncwarp();
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
#pragma unroll
            for (int c = 0; c < CHUNKS; ++c) {
                const unsigned char* const at = own_vectors + stage + r * GROUPS * row_bytes + c * LANES * VEC;
                x[r][c] = shared_vector(HOLDS(c, (int)lane + c * LANES) ? at : (const unsigned char*)&zeros[warp]);
            }
        }
        __syncwarp();  // all lanes have their rows: the stage may be filled again
        copy_stripe(ring + stage + lane_bytes, from, left - STAGES * step, copies, d);
        from += step_bytes;
        stage = stage < (STAGES - 1) * STRIPE ? stage + STRIPE : 0;
#elif AHEAD
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
#pragma unroll
            for (int c = 0; c < CHUNKS; ++c) x[r][c] = next[r][c];
        }
        from += step_bytes;
        if (left > step) load_rows(next, from, row_bytes, left - step, lane, group, vectors);
#else
        load_rows(x, from, row_bytes, left, lane, group, vectors);
        from += step_bytes;
#endif
        const bool exists = own_at < left;
#if STAGES || AHEAD
        const Own row_of = next_own;
        own_y += step;
        own_s += HAS_WEIGHT ? step : 0;
        next_own = own_of(own_y, own_s, own_at < left - step);
#else
        const Own row_of = own_of(own_y, own_s, exists);
        own_y += step;
        own_s += HAS_WEIGHT ? step : 0;
#endif

#if ONCE
        REAL converted[ROWS][HELD];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
#pragma unroll
            for (int k = 0; k < HELD; ++k) {
                converted[r][k] = column(x[r][k / COLUMNS], k % COLUMNS, STORAGE());
                keep_converted(converted[r][k]);
            }
        }
#define X_OF(r, c, k) converted[r][(c) * COLUMNS + (k)]
#else
#define X_OF(r, c, k) column(x[r][c], k, STORAGE())
#endif
        REAL z[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            z[r] = 0;
#pragma unroll
            for (int c = 0; c < CHUNKS; ++c) {
#pragma unroll
                for (int k = 0; k < COLUMNS; ++k) z[r] += w_held[c * COLUMNS + k] * X_OF(r, c, k);
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
        const LossAndDz of_row = loss_and_dz(narrowed(widened(own_z) + b), (REAL)row_of.label);
        const REAL own_dz = exists ? (REAL)((WIDER)row_of.weight * (WIDER)of_row.dz) : (REAL)0;
        if (counts && exists) {
            loss += (double)row_of.weight * widened(of_row.row_loss);
            db += widened(own_dz);
        }
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            const REAL dz = LANES == 1 ? own_dz : __shfl_sync(ALL_LANES, own_dz, r, ROW_LANES);
#pragma unroll
            for (int c = 0; c < CHUNKS; ++c) {
                if (!ONCE && sizeof(STORAGE) < sizeof(REAL)) keep_stored(x[r][c], nothing);
#pragma unroll
                for (int k = 0; k < COLUMNS; ++k) dw_held[c * COLUMNS + k] += dz * X_OF(r, c, k);
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
