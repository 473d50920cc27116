// dense_forward: a dense layer of one batch: gather of the rows, product, intercepts and activation in one launch.
//
//     out = f(x @ W + b)                logits where f is the identity
//
// Shapes     x: (rows, d), rows of X as row_of finds them. W: (d, m), b: (m,), out: (batch_rows, m), C order.
//            X: `stride` elements from a row to the next. order: (n,), the rows of the epoch. turn: see batch.cuh.
// Types      STORAGE: that of X. REAL: float32 or float64. ACTIVATION: see activation.cuh.
// Launch     1-D grid of ceil(batch_rows / TM) ceil(m / TN) blocks of BLOCK threads, tiles of a row one after another;
//            no dynamic shared memory. Blocks beyond the rows of a smaller batch end at once.
//            Pointers are __restrict__: out overlaps neither X nor W nor b, and order and turn are not written by this
//            launch. The compiler may read from them before a write, or through a cache that does not see it.
// Bytes      read rows d STORAGE for every TN columns, d m REAL for every TM rows; written rows m REAL.
// Never      stored: the rows of the batch, x @ W.
// Order      See dense.cuh; no sum is shared by blocks.
// Limits     d + DEPTH, m + TN, batch_rows + TM, d m and batch_rows m < 2^31: places in W and out are counted in 32
//            bits, those in X in 64. gpu_logreg.passes.cuda.steps_graph.graph_problem refuses what is larger.
//
// Needs logistic.cuh, activation.cuh, batch.cuh and dense.cuh before it.

// The rows of the batch in X. A row beyond the last one of the batch has a null pointer and gives zeros: reading its
// place from `order` would be beyond the batch, and for the last batch beyond the array.
struct Rows {
    const STORED* row[Share<true, TM>::SLOTS];  // those that this thread fetches
    __device__ __forceinline__ REAL operator()(int slot, int, int p) const {
        return row[slot] ? number_of(row[slot][p], STORAGE()) : (REAL)0;
    }
};

// Tiles reach beyond the last column of W: what is read there would be of the next row, or beyond the array.
struct Weights {
    const REAL* W;
    int first, m;
    __device__ __forceinline__ REAL operator()(int, int j, int p) const {
        return first + j < m ? W[p * m + first + j] : (REAL)0;
    }
};

extern "C" __global__ void __launch_bounds__(BLOCK, 1)
dense_forward(const STORED* __restrict__ X, long long stride, const long long* __restrict__ order,
              const long long* __restrict__ turn, int batch_rows, long long n, const REAL* __restrict__ W,
              const REAL* __restrict__ b, REAL* __restrict__ out, int d, int m) {
    const Batch batch = batch_at(turn[0], batch_rows, n);
    const int per_row = (m + TN - 1) / TN;
    const int i0 = (int)blockIdx.x / per_row * TM;
    const int j0 = (int)blockIdx.x % per_row * TN;
    if (i0 >= batch.rows) return;  // the whole block: i0 is the same for its threads, and none of them meets a barrier
    Rows rows;
#pragma unroll
    for (int slot = 0; slot < Share<true, TM>::SLOTS; ++slot) {
        // i0 + `outer` of this slot in Share: with another formula the thread would fetch from rows of other threads.
        const int i = i0 + (int)threadIdx.x / NEAR + slot * FAR;
        rows.row[slot] = i < batch.rows ? row_of(X, stride, order, batch, i) : nullptr;
    }
    REAL sum[RM][RN] = {};
    multiply<true, false>(sum, 0, d, rows, Weights{W, j0, m});
#pragma unroll
    for (int c = 0; c < RN; ++c) {
        const int j = j0 + own_column() + c;
        const REAL intercept = j < m ? b[j] : (REAL)0;
#pragma unroll
        for (int r = 0; r < RM; ++r) {
            const int i = i0 + own_row() + r;
            const REAL z = sum[r][c] + intercept;
            // A tile reaches beyond the last row and column; i * m + j has 32 bits only because of these two
            // conditions.
            if (i < batch.rows && j < m) out[i * m + j] = activated(z);
        }
    }
}
