// dense_backward: from the derivative by what a dense layer gives to that by what its input layer computed, of one batch.
//
//     below = (dz @ W.T) * f'(z)        f' from the activation a = f(z), the input of the layer
//
// Shapes     dz: (batch_rows, m), W: (d, m), a and below: (batch_rows, d), C order. turn: see batch.cuh.
// Types      REAL: float32 or float64. ACTIVATION: see activation.cuh.
// Launch     1-D grid of ceil(batch_rows / TM) ceil(d / TN) blocks of BLOCK threads, tiles of a row one after another;
//            no dynamic shared memory. Blocks beyond the rows of a smaller batch end at once.
// Bytes      read rows m REAL for every TN columns, d m REAL for every TM rows, rows d REAL; written rows d REAL.
// Never      stored: dz @ W.T.
// Order      See dense.cuh; no sum is shared by blocks.
// Limits     d, m, d m, batch_rows d and batch_rows m < 2^31.
//
// Needs logistic.cuh, activation.cuh, batch.cuh and dense.cuh before it.
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
    if (i0 >= batch.rows) return;
    REAL sum[RM][RN] = {};
    multiply<true, true>(sum, 0, m, Lines{dz, i0, batch.rows, m}, Lines{W, j0, d, m});
#pragma unroll
    for (int r = 0; r < RM; ++r) {
        const int i = i0 + own_row() + r;
#pragma unroll
        for (int c = 0; c < RN; ++c) {
            const int j = j0 + own_column() + c;
            if (i < batch.rows && j < d) below[i * d + j] = sum[r][c] * derivative(a[i * d + j]);
        }
    }
}
