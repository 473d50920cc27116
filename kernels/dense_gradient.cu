// dense_gradient: the gradient of a dense layer over one batch, as sums over parts of its rows.
//
//     dW = x.T @ dz        db = sum over rows of dz, as the product with a column of ones behind those of x
//     partial[k] = dW and db over the rows k rows_of_part to (k + 1) rows_of_part of the batch
//
// Shapes     x: (rows, d), rows of X as row_of finds them; dz: (batch_rows, m), C order. partial: (parts, n_params), in
//            which dW is written from w_at on and db from b_at on. X, order, turn: as in dense_forward.cu.
// Types      STORAGE: that of X. REAL: float32 or float64.
// Launch     1-D grid of parts ceil((d + 1) / TM) ceil(m / TN) blocks of BLOCK threads, a part after another; no dynamic
//            shared memory. A part without rows of a smaller batch is zero.
// Bytes      read rows d STORAGE for every TN columns, rows m REAL for every TM; written parts (d + 1) m REAL.
// Order      See dense.cuh: rows of a part in ascending order. update adds the parts in order; no atomics.
// Limits     d + 1, m, batch_rows m and d m < 2^31.
//
// Needs logistic.cuh, batch.cuh and dense.cuh before it.
struct RowsAndOnes {
    const STORED* X;
    long long stride;
    const long long* order;
    Batch batch;
    int first, d;
    __device__ __forceinline__ REAL operator()(int, int i, int p) const {
        const int column = first + i;
        if (column >= d) return column == d ? (REAL)1 : (REAL)0;
        return number_of(row_of(X, stride, order, batch, p)[column], STORAGE());
    }
};

struct Derivatives {
    const REAL* dz;
    int first, m;
    __device__ __forceinline__ REAL operator()(int, int j, int p) const {
        return first + j < m ? dz[p * m + first + j] : (REAL)0;
    }
};

extern "C" __global__ void __launch_bounds__(BLOCK, 1)
dense_gradient(const STORED* __restrict__ X, long long stride, const long long* __restrict__ order,
               const long long* __restrict__ turn, int batch_rows, long long n, const REAL* __restrict__ dz,
               REAL* __restrict__ partial, long long n_params, long long w_at, long long b_at, int d, int m,
               int rows_of_part) {
    const Batch batch = batch_at(turn[0], batch_rows, n);
    if (batch.rows == 0) return;
    const int per_row = (m + TN - 1) / TN;
    const int per_part = (d + TM) / TM * per_row;
    const int part = (int)blockIdx.x / per_part;
    const int i0 = (int)blockIdx.x % per_part / per_row * TM;
    const int j0 = (int)blockIdx.x % per_row * TN;
    const int begin = part * rows_of_part;
    const int end = batch.rows - begin < rows_of_part ? batch.rows : begin + rows_of_part;
    REAL sum[RM][RN] = {};
    if (begin < end)
        multiply<false, false>(sum, begin, end, RowsAndOnes{X, stride, order, batch, i0, d}, Derivatives{dz, j0, m});
    REAL* const out = partial + part * n_params;
#pragma unroll
    for (int r = 0; r < RM; ++r) {
        const int i = i0 + own_row() + r;
        REAL* const to = i < d ? out + w_at + (long long)i * m : out + b_at;
#pragma unroll
        for (int c = 0; c < RN; ++c) {
            const int j = j0 + own_column() + c;
            if (i <= d && j < m) to[j] = sum[r][c];
        }
    }
}
