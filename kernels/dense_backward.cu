// dense_backward: the derivative of the loss by the sums z of the layer below, from that by the sums of a dense layer,
// for one batch.
//
//     below = (dz @ W.T) * f'(z)        f' from the activation a = f(z), the input of the layer
//
// Shapes     dz: (batch_rows, m), W: (d, m), a and below: (batch_rows, d), C order. turn: see batch.cuh.
// Types      REAL: float32 or float64. ACTIVATION: see activation.cuh.
// Launch     1-D grid of ceil(batch_rows / TM) ceil(d / TN) blocks of BLOCK threads, tiles of a row one after another;
//            no dynamic shared memory. Blocks beyond the rows of a smaller batch end at once.
//            Pointers are __restrict__: below overlaps neither dz nor W nor a, and turn is not written by this launch.
//            The compiler may read from them before a write, or through a cache that does not see it.
// Bytes      read rows m REAL for every TN columns, d m REAL for every TM rows, rows d REAL; written rows d REAL.
// Never      stored: dz @ W.T.
// Order      See dense.cuh; no sum is shared by blocks.
// Limits     d + TN, m + DEPTH, batch_rows + TM, d m, batch_rows d and batch_rows m < 2^31: places in dz, W, a and
//            below are counted in 32 bits. gpu_logreg.passes.cuda.steps_graph.graph_problem refuses what is larger.
//
// Needs logistic.cuh, activation.cuh, batch.cuh and dense.cuh before it.

// A factor whose rows lie one after another. Row first + k is read only where it exists: tiles reach beyond the last
// row and column of a result, and what is read there would be beyond the array. What is summed from the zeros in its
// place is not written.
struct Lines {
    const REAL* from;
    int first, count, length;
    __device__ __forceinline__ REAL operator()(int, int k, int p) const {
        return first + k < count ? from[(first + k) * length + p] : (REAL)0;
    }
};

extern "C" __global__ void __launch_bounds__(BLOCK, 1)
dense_backward(const long long* __restrict__ turn, int batch_rows, long long n, const REAL* __restrict__ dz,
               const REAL* __restrict__ W, const REAL* __restrict__ a, REAL* __restrict__ below, int d, int m) {
    const Batch batch = batch_at(turn[0], batch_rows, n);
    const int per_row = (d + TN - 1) / TN;
    const int i0 = (int)blockIdx.x / per_row * TM;
    const int j0 = (int)blockIdx.x % per_row * TN;
    if (i0 >= batch.rows) return;  // the whole block: i0 is the same for its threads, and none of them meets a barrier
    REAL sum[RM][RN] = {};
    multiply<true, true>(sum, 0, m, Lines{dz, i0, batch.rows, m}, Lines{W, j0, d, m});
#pragma unroll
    for (int r = 0; r < RM; ++r) {
        const int i = i0 + own_row() + r;
#pragma unroll
        for (int c = 0; c < RN; ++c) {
            const int j = j0 + own_column() + c;
            // A tile reaches beyond the last row and column; i * d + j has 32 bits only because of these two
            // conditions.
            if (i < batch.rows && j < d) below[i * d + j] = sum[r][c] * derivative(a[i * d + j]);
        }
    }
}
