// row_losses: losses of the rows of one batch from their logits, and dz = s (p - y) in the place of the logits.
//
//     loss_sums[k] += sum of s row_loss over the rows of block k
//
// Shapes     z: (batch_rows, K), C order. y: (n_rows,), with LABELS 1 (n_rows, K), C order. s: (n_rows,). Label and
//            weight of row i are those of the row order[first + i]. loss_sums: (gridDim.x,). order, turn: see
//            batch.cuh.
// Types      REAL: float32 or float64. LABEL: any of whole numbers, or REAL. WEIGHT: float32 or float64; HAS_WEIGHT 0:
//            weights are 1, s is not read.
//            LABELS 1: a loss of two classes for every logit, logistic.cuh (one logit too); 0: of K classes,
//            softmax.cuh.
// Launch     1-D grid of any size, BLOCK threads (a multiple of 32), no dynamic shared memory. SOFTMAX_LANES lanes
//            share a row, BLOCK / SOFTMAX_LANES rows are taken by a block at once. Batches are launched one after
//            another: two launches at once would add to the same loss_sums, and one of the additions could be lost.
// Bytes      read rows K REAL, labels, weights, and 8 bytes of order a row; written rows K REAL + 8 gridDim.x.
// Never      stored: p, losses of rows.
// Order      Sums of losses are float64: rows of a lane in ascending order, threads as in block_sum, batches one after
//            another; no atomics.
// Limits     batch_rows + gridDim.x BLOCK / SOFTMAX_LANES < 2^31: rows of a batch are counted in 32 bits, places in z
//            in 64. Labels of classes are 0 to K - 1; another one touches no memory, but its row adds a wrong dz and
//            loss.
//
// Needs logistic.cuh, reduce.cuh, softmax.cuh and batch.cuh before it.
typedef decltype(WEIGHT() * REAL()) WIDER;  // the wider of the two types

__device__ __forceinline__ REAL weighted(WEIGHT weight, REAL dz) { return (REAL)((WIDER)weight * (WIDER)dz); }

// dz of every logit by itself in the place of z, and the loss of the logits of this lane. There is no shuffle, so that
// a lane without a row need not make the call.
__device__ __forceinline__ double by_label(REAL* z, const LABEL* y, WEIGHT weight, int lane, int K) {
    double loss = 0;
    for (int k = lane; k < K; k += SOFTMAX_LANES) {
        const LossAndDz of_label = loss_and_dz(z[k], (REAL)y[k]);
        z[k] = weighted(weight, of_label.dz);
        loss += (double)of_label.row_loss;
    }
    return (double)weight * loss;
}

// dz of one class among K in the place of z; the lane of the row's class returns the loss. Every lane of a warp makes
// the call, those without a row too (exists is false): the shuffles name all 32 lanes, and wait for them. Such a lane
// reads and writes nothing of z. A lane reads and writes its own classes alone, so that no barrier is needed between
// the loops.
__device__ __forceinline__ double by_class(REAL* z, bool exists, int64 label, WEIGHT weight, int lane, int K) {
    Largest largest = {exists ? z[lane] : (REAL)0, lane};
    for (int k = lane + SOFTMAX_LANES; k < K; k += SOFTMAX_LANES) largest = larger(largest, {exists ? z[k] : (REAL)0, k});
    largest = largest_of_lanes(largest);
    REAL rest = 0;
    REAL others = 0;
    REAL below_of_label = 0;
    for (int k = lane; k < K; k += SOFTMAX_LANES) {
        const REAL below = (exists ? z[k] : (REAL)0) - largest.z;
        const REAL e = exp(below);
        if (k != largest.k) rest += e;
        if (k != label) others += e;
        else below_of_label = below;
        if (exists) z[k] = e;
    }
    rest = sum_of_lanes(rest);
    others = sum_of_lanes(others);
    if (!exists) return 0;  // behind the last shuffle
    for (int k = lane; k < K; k += SOFTMAX_LANES) z[k] = weighted(weight, (k == label ? -others : z[k]) / (1 + rest));
    return label % SOFTMAX_LANES == lane ? (double)weight * (double)(log1p(rest) - below_of_label) : 0.0;
}

extern "C" __global__ void __launch_bounds__(BLOCK)
row_losses(REAL* z, const LABEL* y, const WEIGHT* s, const long long* order, long long* turn, int batch_rows, long long n,
           double* loss_sums, int K) {
    __shared__ double slots[BLOCK / WARP];
    const int64 number = turn[0];
    const Batch batch = batch_at(number, batch_rows, n);
    if (blockIdx.x == 0 && threadIdx.x == 0) turn[1] = number;  // no block of this launch reads it
    if (batch.rows == 0) return;  // all threads alike: none of them is waited for in a shuffle or by block_sum
    const int lane = (int)threadIdx.x % SOFTMAX_LANES;
    const int at_once = BLOCK / SOFTMAX_LANES;
    double loss = 0;
    // `before` is the same for all threads of a block: lanes of a warp go round the loop equally often, also those
    // whose row is beyond the batch, and meet in the shuffles of by_class. In place of their row they are given row 0,
    // of which they read the label and the weight, and nothing else.
    for (int before = (int)blockIdx.x * at_once; before < batch.rows; before += (int)gridDim.x * at_once) {
        const int row = before + (int)threadIdx.x / SOFTMAX_LANES;
        const bool exists = row < batch.rows;
        const int64 at = order[batch.first + (exists ? row : 0)];
        const WEIGHT weight = HAS_WEIGHT ? s[at] : (WEIGHT)1;
        REAL* const of_row = z + (int64)(exists ? row : 0) * K;
        if (!LABELS) loss += by_class(of_row, exists, (int64)y[at], weight, lane, K);
        else if (exists) loss += by_label(of_row, y + at * K, weight, lane, K);
    }
    loss = block_sum(loss, slots);
    if (threadIdx.x == 0) loss_sums[blockIdx.x] += loss;
}
