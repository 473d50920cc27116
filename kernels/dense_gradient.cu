// dense_gradient: the gradient of a dense layer over one batch, as sums over parts of its rows.
//
//     dW = x.T @ dz        db = sum over rows of dz, as the product with a column of ones behind those of x
//     partial[k] = dW and db over the rows k rows_of_part to (k + 1) rows_of_part of the batch
//
// Shapes     x: (rows, d), rows of X as row_of finds them; dz: (batch_rows, m), C order. partial: (parts, n_params), in
//            which dW is written from w_at on and db from b_at on. X, order, turn: as in dense_forward.cu.
// Types      STORAGE: that of X. REAL: float32 or float64.
// Launch     1-D grid of parts ceil((d + 1) / TM) ceil(m / TN) blocks of BLOCK threads, a part after another; no
//            dynamic shared memory. A part without rows of a smaller batch is zero: update adds all parts, and would
//            add what an earlier batch has left there.
//            Pointers are __restrict__: partial overlaps neither X nor dz, and order and turn are not written by this
//            launch. The compiler may read from them before a write, or through a cache that does not see it.
// Bytes      read rows d STORAGE for every TN columns, rows m REAL for every TM; written parts (d + 1) m REAL.
// Order      See dense.cuh: rows of a part in ascending order. update adds the parts in order; no atomics.
// Limits     d + TM, m + TN, batch_rows + DEPTH, batch_rows + parts, batch_rows m and d m < 2^31: places in dz are
//            counted in 32 bits, those in X and partial in 64. gpu_logreg.passes.cuda.steps_graph.graph_problem refuses
//            what is larger.
//
// Needs logistic.cuh, batch.cuh and dense.cuh before it.

// Rows of the batch in X with a column of ones behind the d columns, and zeros behind that: column d of X would be the
// first of the next row. `multiply` asks only for p < end, which is at most batch.rows, so that `order` is not read
// beyond the batch.
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

// Tiles reach beyond the last column of dz: what is read there would be of the next row, or beyond the array.
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
    if (batch.rows == 0) return;  // all threads alike: none of them meets a barrier
    const int per_row = (m + TN - 1) / TN;
    const int per_part = (d + TM) / TM * per_row;
    const int part = (int)blockIdx.x / per_part;
    const int i0 = (int)blockIdx.x % per_part / per_row * TM;
    const int j0 = (int)blockIdx.x % per_row * TN;
    const int begin = part * rows_of_part;
    const int end = batch.rows - begin < rows_of_part ? batch.rows : begin + rows_of_part;
    REAL sum[RM][RN] = {};
    // begin and end are the same for all threads of the block: either all of them meet the barriers or none does.
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
            // A tile reaches beyond the intercepts and the last column, into other parameters or beyond the array.
            if (i <= d && j < m) to[j] = sum[r][c];
        }
    }
}
