// adam: penalty, gradient and update of all parameters in one launch; the twin of gpu_logreg/optimizers.py.
//
//     l2 = fixed_l2 + alpha / weight                     strength of the penalty on the mean loss of the batch
//     g  = grad_sum / weight + l2 w                      intercepts, which lie behind the weights, without l2 w
//     w  = shrink w                                      AdamW's decay, 1 - t decay; the weights only
//     m  = beta_1 m + (1 - beta_1) g                     v = beta_2 v + (1 - beta_2) g g
//     w  = w - step m / (sqrt(v) per_root + epsilon)     step = t / (1 - beta_1^k), per_root = 1 / sqrt(1 - beta_2^k)
//     square_partial[block] = sum of w w over the weights of the block, before the update
//
// Shapes     params, grad_sum, m, v: (n,), of which the first n_weights are weights and n_trained are updated.
//            weight: one number, sum(s) of the batch, on the device. square_partial: (gridDim.x,).
// Types      REAL: float32 or float64. weight, square_partial and the numbers: float64; the arithmetic is in REAL.
// Launch     1-D grid of any size, BLOCK threads (a multiple of 32, at most 1024), no dynamic shared memory. Thread t of
//            block k takes parameter k BLOCK + t, then every gridDim.x BLOCK-th after it.
// Bytes      read 4 n REAL, written 3 n REAL + 8 gridDim.x.
// Never      stored: the mean gradient with its penalty.
// Order      Parameters are independent. square_partial: float64, parameters of a thread in ascending order, threads as
//            in block_sum; no atomics.
// Limits     n < 2^63. CuPy compiles with -ftz=true: a float32 v below 1.2e-38 comes out as 0, as does m.
//
// Needs logistic.cuh and reduce.cuh before it.
extern "C" __global__ void __launch_bounds__(BLOCK)
adam(REAL* params, const REAL* grad_sum, REAL* m, REAL* v, const double* weight, double alpha, double fixed_l2,
     double shrink, double step, double per_root, double beta_1, double beta_2, double epsilon, double* square_partial,
     long long n_weights, long long n_trained) {
    __shared__ double slots[BLOCK / WARP];
    const double total = weight[0];
    const REAL scale = (REAL)(1 / total);
    const REAL l2 = (REAL)(fixed_l2 + alpha / total);
    const REAL rest_1 = (REAL)(1 - beta_1);
    const REAL rest_2 = (REAL)(1 - beta_2);
    double square = 0;
    for (long long j = (long long)blockIdx.x * BLOCK + threadIdx.x; j < n_trained; j += (long long)gridDim.x * BLOCK) {
        REAL w = params[j];
        REAL g = grad_sum[j] * scale;
        if (j < n_weights) {
            square += (double)w * (double)w;
            g += l2 * w;
            w *= (REAL)shrink;
        }
        const REAL m_j = (REAL)beta_1 * m[j] + rest_1 * g;
        const REAL v_j = (REAL)beta_2 * v[j] + rest_2 * g * g;
        m[j] = m_j;
        v[j] = v_j;
        params[j] = w - (REAL)step * m_j / (sqrt(v_j) * (REAL)per_root + (REAL)epsilon);
    }
    square = block_sum(square, slots);
    if (threadIdx.x == 0) square_partial[blockIdx.x] = square;
}
