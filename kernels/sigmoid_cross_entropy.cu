// sigmoid_cross_entropy: loss and derivative of every row from its logit, in one launch.
//
//     z = xw + b        row_loss = max(z, 0) - y z + log1p(exp(-|z|))        dz = s (p - y), p = 1 / (1 + exp(-z))
//     loss_partial[k] = sum of s row_loss,   db_partial[k] = sum of dz,      over the rows of block k
//
// Shapes     xw, y, s, dz: (n,). partial: (2, gridDim.x), loss_partial above db_partial. dz may be xw itself.
// Types      REAL: float32 or float64 (xw, dz). b: float64, added as such, because xw and b may be large and nearly
//            cancel. LABEL: uint8 or REAL (y, in [0, 1]).
//            HAS_WEIGHT 1: WEIGHT is float32 or float64. HAS_WEIGHT 0: WEIGHT is REAL, weights are 1, s is not read.
// Launch     1-D grid of any size, BLOCK threads (a multiple of 32, at most 1024; block_sum needs whole warps), no
//            dynamic shared memory.
//            Thread t of block k takes the rows k BLOCK + t, then every gridDim.x BLOCK-th row after it.
// Bytes      read n (REAL + LABEL), and n WEIGHT with HAS_WEIGHT; written n REAL + 16 gridDim.x. float32 with uint8
//            labels and no weights: 9 bytes a row.
// Never      stored: z, p, row_loss, or anything else of length n but dz.
// Order      Sums are float64: rows of a thread in ascending order, threads as in block_sum; no atomics. The bits
//            depend on n and the grid alone, not on the schedule. The caller adds the partial sums in a fixed order.
// Limits     n < 2^63 - gridDim.x BLOCK, so that the row behind the last one is still a number of 64 bits.
//            Pointers are not __restrict__, because dz may be xw itself: each row of xw is read before that row of dz
//            is written. dz may overlap xw in no other way, or a thread would read what another has overwritten.
//            CuPy compiles with -ftz=true: a float32 p or loss below 1.2e-38 comes out as 0.
//
// Needs logistic.cuh and reduce.cuh before it.
typedef decltype(WEIGHT() * REAL()) WIDER;  // the wider of the two types

extern "C" __global__ void __launch_bounds__(BLOCK)
sigmoid_cross_entropy(const REAL* xw, double b, const LABEL* y, const WEIGHT* s, REAL* dz, double* partial, long long n) {
    __shared__ double loss_slots[BLOCK / WARP];  // two sets: block_sum does not share its slots between calls
    __shared__ double db_slots[BLOCK / WARP];
    // gridDim.x * BLOCK is computed in 64 bits: in 32 it could wrap around, and rows would be counted twice.
    const long long step = (long long)gridDim.x * BLOCK;
    double loss = 0;
    double db = 0;
    // A thread without a row skips the loop and does not return: block_sum below waits for every thread of the block.
    for (long long row = (long long)blockIdx.x * BLOCK + threadIdx.x; row < n; row += step) {
        const LossAndDz of_row = loss_and_dz((REAL)((double)xw[row] + b), (REAL)y[row]);
        const WEIGHT weight = HAS_WEIGHT ? s[row] : (WEIGHT)1;
        const REAL weighted_dz = (REAL)((WIDER)weight * (WIDER)of_row.dz);  // one rounding, as in the reference pass
        dz[row] = weighted_dz;
        loss += (double)weight * (double)of_row.row_loss;
        db += (double)weighted_dz;
    }
    loss = block_sum(loss, loss_slots);
    db = block_sum(db, db_slots);
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = loss;
        partial[gridDim.x + blockIdx.x] = db;
    }
}
