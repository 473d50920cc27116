// loss_and_gradient: one read of X for loss and gradient.
//
//     z_i = x_i . w + b       row_loss and dz_i = s_i (p_i - y_i) as in logistic.cuh
//     partial[k] = [sum dz_i x_i (d of them), sum dz_i, sum s_i row_loss_i]  over the rows of block k
//
// With PRODUCT 1 a product with the Hessian instead: y holds the curvatures h_i = s_i p_i (1 - p_i), w and b a direction,
// dz_i = h_i z_i, and the loss is 0.
//
// Shapes     X: n rows of d columns, `stride` columns apart. y, s: (n,). w: (d,). partial: (gridDim.x, d + 2).
// Types      STORAGE: float32, float64, float16, bfloat16, uint8 (X). REAL: float32 or float64 (w, the arithmetic).
//            LABEL: uint8 or REAL (y, in [0, 1]); REAL with PRODUCT. HAS_WEIGHT 1: WEIGHT is float32 or float64; 0:
//            WEIGHT is REAL, s is not read, as with PRODUCT. b and partial: float64.
// Family     LANES threads share a row: 1 to 32, or the whole block, each holding CHUNKS vectors of VEC bytes of it,
//            with their columns of w and of the gradient, in registers. ROWS rows are worked on at once, at most
//            min(LANES, 32). LANES and ROWS are powers of two: lanes find each other in shuffles by flipping a bit of
//            their number.
//            LANES CHUNKS VEC >= d sizeof(STORAGE) > LANES (CHUNKS - 1) VEC, and VEC divides d sizeof(STORAGE): a lane
//            either has a whole vector of a row or none, and none only in its last chunk.
//            ONCE 1: columns are converted once and kept so; 0: as they are stored, and converted for either use.
//   AHEAD    STAGES 0: rows go from memory to registers; VEC divides the bytes between two rows and the address of X,
//            or a load is misaligned. AHEAD 1: those of the next batch while this one is worked on; 0: after it.
//   Stripes  STAGES 1 to 8, LANES at most 32: a warp copies the rows of a batch, which follow one another in memory, as
//            one stripe to shared memory, 16 bytes a thread, STAGES batches ahead. stride = d, or the gap between two
//            rows would be taken for columns; 16 divides the address of X and the bytes of a batch, or copies of all
//            batches but the first would be misaligned.
// Launch     1-D grid of any size, BLOCK threads (a multiple of 32, equal to LANES where that is more than 32), no
//            dynamic shared memory; the static arrays take what tuning.family_model.static_shared_bytes says. Each warp
//            (each block, where LANES is BLOCK) takes ROWS rows for each of its groups of LANES threads, then the same
//            gridDim.x blocks further on. X, y, s and w are not written while the kernel runs.
// Bytes      read n d STORAGE + n LABEL, and n WEIGHT with HAS_WEIGHT; written 8 (d + 2) gridDim.x.
// Never      stored: z, p, row_loss, dz, or anything else of length n. A row is loaded once, into registers (in a
//            stripe by way of shared memory), and stays there between its logit and its share of the gradient. Loads in
//            flight are what hides the latency: those of a batch, or of the batches ahead, of all warps of a
//            multiprocessor.
// Order      A logit is summed by lanes, then in a tree over them. A lane adds its columns of the gradient in REAL over
//            its rows; groups of a warp in a tree, warps of a block in order, blocks by sum_partials in order, from
//            the warps on in float64. Loss and sum of dz are float64 throughout. No atomics. The bits depend on n, d,
//            the family and the grid alone.
// Limits     n < 2^62. Rows and bytes of X are counted in 64 bits, columns and the bytes of a batch in 32: the
//            registers of a block hold far fewer than 2^31. CuPy compiles with -ftz=true: float32 numbers below 1.2e-38
//            count as 0.
//
// Needs logistic.cuh, reduce.cuh, rows.cuh and stripes.cuh before it.
#ifndef PRODUCT
#define PRODUCT 0
#endif

typedef decltype(WEIGHT() * REAL()) WIDER;  // the wider of the two types

#define ROW_LANES (LANES < WARP ? LANES : WARP)  // lanes of a warp that share a row
#define GROUPS (WARP / ROW_LANES)                // rows that a warp loads with one instruction
#define BATCH (ROWS * GROUPS)                    // rows that a warp, or a block that shares them, has under way
#define HELD (CHUNKS * COLUMNS)                  // columns a thread holds
#define WARPS (BLOCK / WARP)
#define SHARED_ROW (LANES > WARP)
#define QUADS ((BATCH * LANES * CHUNKS * VEC + 15) / 16)  // of 16 bytes, that a stripe takes at most

// Whether a row has a vector at that place, which only the last chunk of a lane may lack. A load there would take
// columns of the next row, or what lies beyond X. The other conditions are known when the loops are unrolled, so that
// no other chunk is tested.
#define HOLDS(c, at) (LANES == 1 || (c) < CHUNKS - 1 || (at) < vectors)

// The sum over the lanes of a row of value[r], for r = lane % ROWS; the other r are summed by other lanes meanwhile.
// In every stage a lane hands over the half of its rows that it will not own.
//
// Lanes with the same lane % ROWS get the same bits: in each step two of them add the same two numbers, and addition
// commutes. So each may compute loss and dz of its row for itself, and all agree on them. All 32 lanes of the warp
// make the call, since the mask ALL_LANES names them: the loop over batches is left by all of them at once.
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

// Label and weight of a row. Beyond the last row nothing is read, since that would be outside y and s; the numbers
// given there enter no sum, because own_dz is set to zero and the loss is not added.
__device__ __forceinline__ Own own_of(const LABEL* y, const WEIGHT* s, bool exists) {
    return {exists ? *y : (LABEL)0, HAS_WEIGHT && exists ? *s : (WEIGHT)1};
}

#if !STAGES
// Loads the rows of a batch. there: rows of X from the first one of the batch on, one at least. In place of a row
// beyond the last the last one is loaded again: its dz is zero, and it lies in memory that may be read. Zero times a
// NaN or an infinity is NaN, but then the sums are not finite anyway, by the last row itself. from: the first vector of
// the lane in the first row.
__device__ __forceinline__ void load_rows(Vector (&x)[ROWS][CHUNKS], const unsigned char* from, long long row_bytes,
                                          long long there, unsigned lane, unsigned group, int vectors) {
    // The number of rows is cut to BATCH while it has 64 bits: (int)there alone would be negative from 2^31 rows on.
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

// Has the warp copy the rows of a batch to shared memory, where zeros take the place of rows beyond the last.
// from, to: where the first copy of this lane begins; lanes are 16 bytes apart. copies: their number for a whole batch.
// The copies have to cover the stripe exactly: one more would read behind X, and write to the stripe of the next stage.
__device__ __forceinline__ void copy_stripe(unsigned char* to, const unsigned char* from, long long there, int copies,
                                            int d) {
    if (there >= BATCH) {
#pragma unroll
        for (int k = 0; k < (QUADS + WARP - 1) / WARP; ++k)
            if (k < copies) copy_quad(to + k * 16 * WARP, from + k * 16 * WARP);
    } else if (there > 0) {
        // The last rows of X may end between two multiples of 16 bytes, where a copy of 16 bytes would read behind X.
        // They are copied column by column, without asynchronous copies: __syncwarp() makes them visible to the other
        // lanes.
        const int lane = (int)(threadIdx.x % WARP);
        STORAGE* const columns = (STORAGE*)(to - 16 * lane);
        const STORAGE* const stored = (const STORAGE*)(from - 16 * lane);
#pragma unroll 1
        for (int at = lane; at < BATCH * d; at += WARP) columns[at] = at < (int)there * d ? stored[at] : STORAGE();
    }
    // Also where nothing was copied: the wait counts stages, and without an empty one behind the last batch it would
    // return while the stripe that it is to wait for is still under way.
    commit_copies();
}
#endif

extern "C" __global__ void __launch_bounds__(BLOCK, RESIDENT)
loss_and_gradient(const STORAGE* X, long long stride, const LABEL* y, const WEIGHT* s, const REAL* w, double b,
                  double* partial, long long n, int d) {
    __shared__ double slots[2][WARPS];  // one set for each call of block_sum, which does not share its slots
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
    const unsigned nothing = (unsigned)(n >> 62);  // 0, which the compiler cannot know: see keep_stored

    REAL w_held[HELD];
    REAL dw_held[HELD];
#pragma unroll
    for (int c = 0; c < CHUNKS; ++c) {
#pragma unroll
        for (int k = 0; k < COLUMNS; ++k) {
            const int j = ((int)lane + c * LANES) * COLUMNS + k;
            w_held[c * COLUMNS + k] = j < d ? w[j] : (REAL)0;  // w ends at d
            dw_held[c * COLUMNS + k] = 0;
        }
    }
    double loss = 0;
    double db = 0;

    // In 64 bits, because a grid may have up to 2^31 - 1 blocks: in 32 bits the product could wrap around.
    const long long takers = SHARED_ROW ? gridDim.x : (long long)gridDim.x * WARPS;
    const long long taker = SHARED_ROW ? blockIdx.x : (long long)blockIdx.x * WARPS + warp;
    const long long step = takers * BATCH;
    const long long own_at = own * GROUPS + group;
    long long left = n - taker * BATCH;  // rows from this batch on
    const LABEL* own_y = y + taker * BATCH + own_at;
    const WEIGHT* own_s = HAS_WEIGHT ? s + taker * BATCH + own_at : s;
#if STAGES
    __shared__ Quad rings[WARPS][STAGES][QUADS];  // Quad is aligned to 16 bytes, as copies of 16 bytes need
    // Read in place of the last vector of lanes that have none, so that all lanes do the same. One for each warp: the
    // first __syncwarp() of the loop then is enough for its lanes to see it, and no barrier of the block is needed.
    __shared__ Quad zeros[WARPS];
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
    // `left` is the same for all threads that share a batch: for the lanes of a warp, which meet in shuffles, and for
    // the threads of a block that shares rows, which meet at a barrier. Where a block does not share rows, its warps
    // leave the loop at different times, and wait for each other only behind it.
    for (; left > 0; left -= step) {
        keep_number(from);
        Vector x[ROWS][CHUNKS];
#if STAGES
        // Each lane waits for its own copies; what the other lanes have copied is there when the warp has met.
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
        __syncwarp();  // all lanes have their rows: a new stripe would overwrite what slower lanes have not read
        // Behind the last batch nothing is copied: when a warp leaves the loop, no copy to its stages is under way.
        copy_stripe(ring + stage + lane_bytes, from, left - STAGES * step, copies, d);
        from += step_bytes;
        stage = stage < (STAGES - 1) * STRIPE ? stage + STRIPE : 0;
#elif AHEAD
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
#pragma unroll
            for (int c = 0; c < CHUNKS; ++c) x[r][c] = next[r][c];
        }
        // Where no batch follows, nothing is loaded, since `from` is behind X; what `next` then holds is not used.
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
        // Without the barrier a thread would read slots that other warps have not written. There are two sets of slots,
        // in turn, instead of a second barrier: a fast warp writes its next logits into the other set while a slow one
        // reads these, and the barrier of that batch keeps it from coming back to this set before all have read it.
        // Every thread adds the warps in ascending order, so that all of them get the same bits.
        if (threadIdx.x % WARP < ROWS) logit_slots[turn][warp][own] = own_z;
        __syncthreads();
        own_z = 0;
#pragma unroll
        for (int k = 0; k < WARPS; ++k) own_z += logit_slots[turn][k][own];
        turn ^= 1;
#endif
        const REAL of_logit = narrowed(widened(own_z) + b);
        const LossAndDz of_row = PRODUCT ? LossAndDz{(REAL)0, (REAL)row_of.label * of_logit}
                                         : loss_and_dz(of_logit, (REAL)row_of.label);
        // Zero for a row beyond the last: its logit is that of a copy of the last row, or of zeros.
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

    // Each block has its own row of `partial`, at a place of 64 bits: nothing is added to what another block writes.
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
    // Groups of the warp in a tree; then warp after warp adds its sums to those in shared memory, which fixes the order
    // and so the bits. All warps go round the loop, as all of them have to come to its barriers; the tree is within
    // turn 0, where all 32 lanes of every warp are.
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
        // Without this barrier the next warp would add to sums that this one has not written yet. The last one is for
        // the threads that read the sums below.
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
