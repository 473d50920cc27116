// softmax_loss_and_gradient: one read of X for loss and gradient of K classes.
//
//     Z = X @ W.T + b         row_loss and dZ = s (P - Y) as in softmax.cuh
//     partial[block] = [dZ.T @ X (K times D), sum of dZ (K), sum of s row_loss]  over the rows of the block
//
// With PRODUCT 1 a product with the Hessian instead: y holds the probabilities P, W and b a direction, dZ is
// s (diag(p) - p p.T) z of every row, and the loss is 0.
//
// Shapes     X: n rows of D columns, `stride` columns apart. y, s: (n,). partial: (gridDim.x, K D + K + 1). b: (K,).
//            W: (PADDED_K, PADDED_D), zero beyond K and D. With PRODUCT y: (n, K).
// Types      STORAGE: float32, float64, float16, bfloat16, uint8 (X). REAL: float32 or float64 (W, the arithmetic).
//            y: numbers of classes, 0 to K - 1; REAL with PRODUCT. HAS_WEIGHT 1: WEIGHT is float32 or float64; 0: WEIGHT
//            is REAL, s is not read. b and partial: float64.
// Family     A block walks tiles of ROWS rows; two lie in shared memory, a row every PITCH bytes, one under way while
//            the other is used. Logits: LANES lanes share TILE_ROWS rows times TILE_CLASSES classes. Softmax:
//            SOFTMAX_LANES lanes share a row. Gradient: a thread holds TILE_CLASSES classes times HELD vectors of VEC
//            bytes; threads that cover (K, D) once are a slice, and slices take the rows of a tile in turn.
//            COPY divides D sizeof(STORAGE), PITCH, the bytes between two rows and the address of X, or a copy is
//            misaligned. VEC: 8 for float64, else 4. LANES and SOFTMAX_LANES are powers of two and at most 32, since
//            lanes find each other in shuffles by flipping a bit of their number. 16 divides the address of W.
//            W_SHARED 1: W is kept in shared memory; 0: read through the read-only cache.
// Launch     1-D grid of any size, BLOCK threads (a multiple of 32), SHARED bytes of dynamic shared memory, which the
//            caller has to ask for where it is more than 48 KB: the launch is refused otherwise, and with fewer bytes
//            the tiles would lie beyond what the block has. Block k takes tile k, then every gridDim.x-th after it. X,
//            y, s, W and b are not written while the kernel runs; W, which is __restrict__, may be read through a cache
//            that does not see such writes.
// Bytes      read n D STORAGE + 4 n (with PRODUCT n K REAL), and n WEIGHT with HAS_WEIGHT; written
//            8 (K D + K + 1) gridDim.x.
// Never      stored in global memory: Z, P, row_loss, dZ, or anything else of length n.
// Order      A logit is summed by lanes, then in a tree over them. A thread adds its share of the gradient in REAL over
//            its rows; slices in order, blocks by sum_partials in order, from the slices on in float64. Loss and sum of
//            dZ are float64 throughout. No atomics. The bits depend on n, D, K, the family and the grid alone.
// Limits     n < 2^62; (D + 1) (K + 1) < 2^31. Rows and bytes of X are counted in 64 bits, places in shared memory and
//            in a block's row of partial in 32. COPY < 4 copies nothing asynchronously. CuPy compiles with -ftz=true:
//            float32 numbers below 1.2e-38 count as 0. A label that is no class adds no loss and harms no memory; dZ
//            of its row is s P.
//
// Needs logistic.cuh, reduce.cuh, rows.cuh, tile.cuh and softmax.cuh before it.
#ifndef PRODUCT
#define PRODUCT 0
#endif
#if PRODUCT
typedef REAL OF_ROW;  // what is read of a row besides its columns
#else
typedef int OF_ROW;
#endif
typedef decltype(WEIGHT() * REAL()) WIDER;  // the wider of the two types

#define ROUNDED_UP(size, to) (((size) + (to) - 1) / (to) * (to))
#define ROW_BYTES (D * (int)sizeof(STORAGE))
#define VECTORS ((ROW_BYTES + VEC - 1) / VEC)                       // of a row
#define PADDED_D (VECTORS * COLUMNS)
#define CLASS_GROUPS ((K + TILE_CLASSES - 1) / TILE_CLASSES)
#define PADDED_K (CLASS_GROUPS * TILE_CLASSES)
#define PER_16 (16 / (int)sizeof(REAL))                             // numbers that one load from shared memory takes
#define Z_GROUP ROUNDED_UP(TILE_CLASSES, PER_16)                    // of a row in Z: a group of classes
// Numbers of a row of Z. Without the last 16 bytes the rows could begin in the same bank of shared memory, and the
// lanes of a softmax, which read one column of many rows, would wait for one another. A single number would do for
// that, but rows have to begin at multiples of 16 bytes for the loads of the gradient.
#define Z_PITCH (CLASS_GROUPS * Z_GROUP + PER_16)
#define ROW_TILES (ROWS / TILE_ROWS)
#define COLUMN_GROUPS ((VECTORS + HELD - 1) / HELD)
#define SLICE (COLUMN_GROUPS * CLASS_GROUPS)                        // threads of a slice
#define SLICES (BLOCK / SLICE < ROWS ? BLOCK / SLICE : ROWS)
#define DB_PARTS (BLOCK / K < ROWS ? BLOCK / K : ROWS)              // threads that share the sum of dZ of a class
#define WIDTH (K * (D + 1) + 1)

// Dynamic shared memory: b, W, Z (then dZ), two tiles; after the last tile the sums of the block in their place. Each
// part begins at a multiple of 16 bytes: W and Z are read, and the tiles written, 16 bytes at a time. SHARED is
// computed by gpu_logreg.passes.cuda.tuning.softmax_layout.shared_bytes from the same layout; the assertions below
// compare the two.
#define W_AT ROUNDED_UP(8 * K, 16)
#define Z_AT (W_AT + W_SHARED * ROUNDED_UP(PADDED_K * PADDED_D * (int)sizeof(REAL), 16))
#define TILES_AT (Z_AT + ROWS * Z_PITCH * (int)sizeof(REAL))
#define END_OF_TILES (TILES_AT + 2 * ROWS * PITCH)
#define END_OF_SUMS (8 * (DB_PARTS * K + (SLICES > 1 ? K * D : 0)))
static_assert(SHARED >= END_OF_TILES && SHARED >= END_OF_SUMS, "shared memory");
static_assert(SLICES >= 1 && K <= BLOCK && ROWS % TILE_ROWS == 0 && ROWS * SOFTMAX_LANES <= BLOCK, "family");
static_assert((HELD - 1) * COLUMN_GROUPS < VECTORS, "only the last vector of a thread may lie beyond the row");
static_assert(PITCH >= VECTORS * VEC && PITCH % VEC == 0 && PITCH % COPY == 0 && ROW_BYTES % COPY == 0, "rows");

// Weights of the columns of a vector, and some neighbours of dZ: aligned, so that the compiler reads each by one load.
// A place that the alignment does not divide would be a misaligned address: that is why PADDED_D is a multiple of
// COLUMNS, and Z_GROUP and Z_PITCH are multiples of PER_16.
struct alignas(COLUMNS * sizeof(REAL) < 16 ? COLUMNS * sizeof(REAL) : 16) WeightVector {
    REAL of[COLUMNS];
};
struct alignas(16) DzVector {
    REAL of[PER_16];
};

// Place of a class in a row of Z.
__device__ __forceinline__ int place_of(int k) { return k / TILE_CLASSES * Z_GROUP + k % TILE_CLASSES; }

// Begins to copy the rows from `first` on. In place of a row beyond the last the last one is copied again, as nothing
// behind X may be read; its dZ is set to zero. Copies end with the columns of a row: COPY divides their bytes, and what
// fills the last vector of a row is not overwritten.
__device__ __forceinline__ void copy_tile(unsigned char* tile, const STORAGE* X, long long stride, long long first,
                                          long long n) {
    const int per_row = ROW_BYTES / COPY;
#pragma unroll 2
    for (int i = (int)threadIdx.x; i < ROWS * per_row; i += BLOCK) {
        const int r = i / per_row;
        const int at = i % per_row * COPY;
        const long long row = first + r < n ? first + r : n - 1;
        copy_to_shared(tile + r * PITCH + at, (const unsigned char*)(X + row * stride) + at);
    }
}

// Sums over LANES lanes of COUNT values. While the number of values is even, every lane hands over the half of them
// that it will not own; the values that are left then are summed by a tree. Afterwards the lane owns `value[i]`, the
// sum of what was value[first + i], for i < COUNT / OWNERS, together with the lanes that have the same lane % OWNERS;
// these have the same bits, as in each step two lanes add the same two numbers. All 32 lanes of the warp make the call,
// since the mask ALL_LANES names them.
#define COUNT (TILE_ROWS * TILE_CLASSES)
#define LOWEST_BIT(number) ((number) & -(number))
#define OWNERS (LANES < LOWEST_BIT(COUNT) ? LANES : LOWEST_BIT(COUNT))
__device__ __forceinline__ int sum_over_lanes(REAL* value, int lane) {
    int first = 0;
#pragma unroll
    for (int step = 1; step < OWNERS; step *= 2) {
        const int half = COUNT / step / 2;
        const bool upper = (lane & step) != 0;
#pragma unroll
        for (int i = 0; i < half; ++i) {
            const REAL kept = upper ? value[i + half] : value[i];
            const REAL given = upper ? value[i] : value[i + half];
            value[i] = kept + __shfl_xor_sync(ALL_LANES, given, (unsigned)step);
        }
        first += upper ? half : 0;
    }
#pragma unroll
    for (int step = OWNERS; step < LANES; step *= 2) {
#pragma unroll
        for (int i = 0; i < COUNT / OWNERS; ++i) value[i] += __shfl_xor_sync(ALL_LANES, value[i], (unsigned)step);
    }
    return first;
}

// Z of a tile of rows: every group of LANES lanes takes one place after another, of TILE_ROWS rows times TILE_CLASSES
// classes.
__device__ __forceinline__ void add_logits(const unsigned char* tile, const REAL* W, const double* b, REAL* Z) {
    const int lane = (int)threadIdx.x % LANES;
    const int groups = BLOCK / LANES;
    const int places = ROW_TILES * CLASS_GROUPS;
#pragma unroll 1
    // Every lane goes round this loop equally often, because all lanes of a warp meet in the shuffles of
    // sum_over_lanes. A group for which no place is left sums the last one again, and does not write it.
    for (int before = 0; before < places; before += groups) {
        const int wanted = before + (int)threadIdx.x / LANES;
        const int place = wanted < places ? wanted : places - 1;
        const int row = place % ROW_TILES;
        const int group = place / ROW_TILES;
        REAL z[COUNT] = {};
#pragma unroll 1
        for (int at = lane; at < VECTORS; at += LANES) {
            REAL x[TILE_ROWS][COLUMNS];
#pragma unroll
            for (int r = 0; r < TILE_ROWS; ++r) {
                const Vector v = shared_vector(tile + (row + r * ROW_TILES) * PITCH + at * VEC);
#pragma unroll
                for (int c = 0; c < COLUMNS; ++c) x[r][c] = column(v, c, STORAGE());
            }
#pragma unroll
            for (int k = 0; k < TILE_CLASSES; ++k) {
                const WeightVector w =
                    *(const WeightVector*)(W + (group * TILE_CLASSES + k) * PADDED_D + at * COLUMNS);
#pragma unroll
                for (int r = 0; r < TILE_ROWS; ++r) {
#pragma unroll
                    for (int c = 0; c < COLUMNS; ++c) z[r * TILE_CLASSES + k] += w.of[c] * x[r][c];
                }
            }
        }
        const int first = sum_over_lanes(z, lane);
#pragma unroll
        for (int i = 0; i < COUNT / OWNERS; ++i) {
            const int r = row + (first + i) / TILE_CLASSES * ROW_TILES;
            const int k = (first + i) % TILE_CLASSES;
            // Of the lanes with the same sum one writes it, and only where there is a class: behind K may lie another
            // row.
            if (wanted < places && lane < OWNERS && group * TILE_CLASSES + k < K)
                Z[r * Z_PITCH + group * Z_GROUP + k] = (REAL)((double)z[i] + b[group * TILE_CLASSES + k]);
        }
    }
}

// dZ in the place of Z, and the loss of the row, which the lane of the row's class returns. All threads of the block
// make the call, those without a row too (taken is false): shuffles wait for all lanes of a warp. Such a lane neither
// reads nor writes Z. A lane reads and writes its own classes alone, so that no barrier is needed between the loops.
__device__ __forceinline__ double loss_and_dz_in_place(REAL* Z, bool exists, int label, WEIGHT weight) {
    const int lane = (int)threadIdx.x % SOFTMAX_LANES;
    const int row = (int)threadIdx.x / SOFTMAX_LANES;
    const bool taken = row < ROWS;  // whether the thread has a row; the zeros of the others go into no sum of a row
    REAL* const z = Z + (taken ? row : 0) * Z_PITCH;
    Largest largest = {taken ? z[place_of(lane)] : (REAL)0, lane};
    for (int k = lane + SOFTMAX_LANES; k < K; k += SOFTMAX_LANES)
        largest = larger(largest, {taken ? z[place_of(k)] : (REAL)0, k});
    largest = largest_of_lanes(largest);
    REAL rest = 0;
    REAL others = 0;
    REAL below_of_label = 0;
    for (int k = lane; k < K; k += SOFTMAX_LANES) {
        const REAL below = (taken ? z[place_of(k)] : (REAL)0) - largest.z;
        const REAL e = exp(below);
        if (k != largest.k) rest += e;
        if (k != label) others += e;
        else below_of_label = below;
        if (taken) z[place_of(k)] = e;
    }
    rest = sum_of_lanes(rest);
    others = sum_of_lanes(others);
    if (!taken) return 0;  // behind the last shuffle
    for (int k = lane; k < K; k += SOFTMAX_LANES) {
        const REAL dz = (k == label ? -others : z[place_of(k)]) / (1 + rest);
        // Zero for a row beyond the last, a copy of the last row: it would be counted twice.
        z[place_of(k)] = exists ? (REAL)((WIDER)weight * (WIDER)dz) : (REAL)0;
    }
    // A label below 0 may leave no remainder, and lane 0 would take it for one of its classes.
    const bool counts = exists && label >= 0 && label < K && label % SOFTMAX_LANES == lane;
    return counts ? (double)weight * (double)(log1p(rest) - below_of_label) : 0.0;
}

// (diag(p) - p p.T) z, times the weight, in the place of Z; p: the probabilities of the row. The mean of z is subtracted
// twice: what the first subtraction leaves has the rounding of the mean as its mean, and of a row that is nearly certain
// of its class that would be most of it. As above all threads make the call, and those without a row read nothing.
__device__ __forceinline__ void curve_in_place(REAL* Z, bool exists, const REAL* p, WEIGHT weight) {
    const int lane = (int)threadIdx.x % SOFTMAX_LANES;
    const int row = (int)threadIdx.x / SOFTMAX_LANES;
    const bool taken = row < ROWS;
    REAL* const z = Z + (taken ? row : 0) * Z_PITCH;
    for (int round = 0; round < 2; ++round) {
        REAL mean = 0;
        for (int k = lane; k < K; k += SOFTMAX_LANES) mean += taken ? p[k] * z[place_of(k)] : (REAL)0;
        mean = sum_of_lanes(mean);
        for (int k = lane; k < K; k += SOFTMAX_LANES)
            if (taken) z[place_of(k)] -= mean;
    }
    if (!taken) return;  // behind the last shuffle
    for (int k = lane; k < K; k += SOFTMAX_LANES) {
        const REAL curved = p[k] * z[place_of(k)];
        z[place_of(k)] = exists ? (REAL)((WIDER)curved * (WIDER)weight) : (REAL)0;  // zero: as above
    }
}

// dZ.T @ X of a tile, in the registers of a slice: every X that is read serves TILE_CLASSES classes. Where K is no
// multiple of TILE_CLASSES, the last group also sums classes beyond K, for which Z holds what happened to be in shared
// memory. Those sums, NaN perhaps, mix with no others and are not written.
__device__ __forceinline__ void add_gradient(const unsigned char* tile, const REAL* dZ, int column_group, int group,
                                             int slice, REAL (*dw)[HELD * COLUMNS]) {
    const int last = column_group + (HELD - 1) * COLUMN_GROUPS;
    // A last vector beyond the row would be read from the next row, or behind the tiles. The last vector of the row is
    // read in its place; the sums from it are not written.
    const int last_within = last < VECTORS ? last : VECTORS - 1;
#pragma unroll 1
    for (int r = slice; r < ROWS; r += SLICES) {
        DzVector dz[Z_GROUP / PER_16];
#pragma unroll
        for (int i = 0; i < Z_GROUP / PER_16; ++i)
            dz[i] = *(const DzVector*)(dZ + r * Z_PITCH + group * Z_GROUP + i * PER_16);
#pragma unroll
        for (int h = 0; h < HELD; ++h) {
            const int at = h < HELD - 1 ? column_group + h * COLUMN_GROUPS : last_within;
            const Vector v = shared_vector(tile + r * PITCH + at * VEC);
#pragma unroll
            for (int c = 0; c < COLUMNS; ++c) {
                const REAL x = column(v, c, STORAGE());
#pragma unroll
                for (int k = 0; k < TILE_CLASSES; ++k) dw[k][h * COLUMNS + c] += dz[k / PER_16].of[k % PER_16] * x;
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK, RESIDENT)
softmax_loss_and_gradient(const STORAGE* X, long long stride, const OF_ROW* y, const WEIGHT* s,
                          const REAL* __restrict__ W, const double* b, double* partial, long long n) {
    // The offsets above are multiples of 16 bytes from here, which helps where 16 divides the address of the array. NVRTC
    // aligns extern arrays of every type so, which tests/kernels/test_kernels_compile.py holds it to.
    extern __shared__ double dynamic_shared[];
    __shared__ double slots[BLOCK / WARP];
    unsigned char* const shared = (unsigned char*)dynamic_shared;
    REAL* const Z = (REAL*)(shared + Z_AT);
    const REAL* const weights = W_SHARED ? (const REAL*)(shared + W_AT) : W;
    const int thread = (int)threadIdx.x;
    const int slice = thread / SLICE;
    const int group = thread % SLICE / COLUMN_GROUPS;
    const int column_group = thread % SLICE % COLUMN_GROUPS;

    for (int k = thread; k < K; k += BLOCK) dynamic_shared[k] = b[k];
    if (W_SHARED) {
        for (int i = thread; i < PADDED_K * PADDED_D; i += BLOCK) ((REAL*)(shared + W_AT))[i] = W[i];
    }
    // What fills the last vector of a row behind its columns is multiplied by a weight of zero, and has to be a number:
    // shared memory holds anything at first, and with a NaN there every logit would be NaN. The copies never write
    // there.
    for (int r = thread; r < 2 * ROWS; r += BLOCK) {
        for (int k = ROW_BYTES; k < VECTORS * VEC; ++k) shared[TILES_AT + r * PITCH + k] = 0;
    }
    REAL dw[TILE_CLASSES][HELD * COLUMNS] = {};
    double loss = 0;
    double db = 0;

    const long long tiles = (n + ROWS - 1) / ROWS;
    unsigned char* tile = shared + TILES_AT;
    unsigned char* next = tile + ROWS * PITCH;
    // Places of the tiles and of the rows are computed in 64 bits: number * ROWS is a row of X.
    if (blockIdx.x < tiles) copy_tile(tile, X, stride, (long long)blockIdx.x * ROWS, n);
    for (long long number = blockIdx.x; number < tiles; number += gridDim.x) {
        const long long row = number * ROWS + thread / SOFTMAX_LANES;
        const bool exists = thread / SOFTMAX_LANES < ROWS && row < n;
        // Rows beyond the last read label and weight of the last one, which exist; neither is counted.
#if PRODUCT
        const REAL* const p = y + (exists ? row : n - 1) * K;
#else
        const int label = y[exists ? row : n - 1];
#endif
        const WEIGHT weight = HAS_WEIGHT ? s[exists ? row : n - 1] : (WEIGHT)1;
        wait_for_copies();
        __syncthreads();  // the tile is there, and no thread reads the one before any more
        // Each thread has waited for its own copies: without the barrier it would read columns that others have not
        // copied yet, and, in the first turn, b, W and the fillings that others have not written. The copies below go
        // to the tile of the turn before, and add_logits writes Z: a slow warp may have been reading both for its
        // gradient.
        if (number + gridDim.x < tiles) copy_tile(next, X, stride, (number + gridDim.x) * ROWS, n);
        add_logits(tile, weights, dynamic_shared, Z);
        __syncthreads();  // Z is complete: the lanes of a row read logits that other threads have written
#if PRODUCT
        curve_in_place(Z, exists, p, weight);
#else
        loss += loss_and_dz_in_place(Z, exists, label, weight);
#endif
        __syncthreads();  // dZ is complete: a slice reads all classes of a row, and all rows that it takes
        if (slice < SLICES) add_gradient(tile, Z, column_group, group, slice, dw);
        if (thread < DB_PARTS * K) {
            for (int r = thread / K; r < ROWS; r += DB_PARTS) db += (double)Z[r * Z_PITCH + place_of(thread % K)];
        }
        unsigned char* const used = tile;
        tile = next;
        next = used;
    }

    double* const out = partial + blockIdx.x * (long long)WIDTH;
    double* const db_sums = dynamic_shared;
    double* const dw_sums = SLICES > 1 ? db_sums + DB_PARTS * K : out;
    // The sums take the place of b, W, Z and the tiles. Without the barrier they would overwrite what a slow warp still
    // reads. No copy is under way that could overwrite them: in its last turn a block begins none.
    __syncthreads();  // all that was in shared memory has been read
    if (thread < DB_PARTS * K) db_sums[thread] = db;
    // Slice after slice adds its registers to the sums, which fixes the order and so the bits. Threads beyond the last
    // slice come to the barriers too.
    for (int turn = 0; turn < SLICES; ++turn) {
        if (slice == turn) {
#pragma unroll
            for (int i = 0; i < HELD * COLUMNS; ++i) {
                const int j = (column_group + i / COLUMNS * COLUMN_GROUPS) * COLUMNS + i % COLUMNS;
#pragma unroll
                for (int k = 0; k < TILE_CLASSES; ++k) {
                    double* const sum = dw_sums + (group * TILE_CLASSES + k) * D + j;
                    if (j < D && group * TILE_CLASSES + k < K) *sum = (turn == 0 ? 0.0 : *sum) + (double)dw[k][i];
                }
            }
        }
        // Without this barrier the next slice would add to sums that this one has not written yet. The last one is for
        // the threads that read the sums below, and those of dZ, which were written before the loop.
        __syncthreads();
    }
    if (SLICES > 1) {
        for (int j = thread; j < K * D; j += BLOCK) out[j] = dw_sums[j];
    }
    if (thread < K) {
        double sum = 0;
        for (int part = 0; part < DB_PARTS; ++part) sum += db_sums[part * K + thread];
        out[K * D + thread] = sum;
    }
    loss = block_sum(loss, slots);
    if (thread == 0) out[K * D + K] = loss;
}
