// update: penalty, gradient and update of all parameters in one launch; the twin of
// gpu_logreg/mathematics/optimizers.py.
//
//     l2 = fixed_l2 + alpha / weight                     strength of the penalty on the mean loss of the batch
//     g  = sum of the parts of grad / weight + l2 w      intercepts, which lie behind the weights, without l2 w
//
//     RULE 0    w  = w - t g                             gradient descent
//     RULE 1    m  = beta_1 m - t g;  w = w + m          with momentum
//     RULE 2    m  = beta_1 m - t g;  w = w + (beta_1 m - t g), with the new m: Nesterov's
//     RULE 3    w  = shrink w                            AdamW's decay, 1 - t decay; the weights only. Then Adam's:
//               m  = beta_1 m + (1 - beta_1) g           v = beta_2 v + (1 - beta_2) g g
//               w  = w - step m / (sqrt(v) per_root + epsilon)
//
//     penalties[block] += weight l2 / 2 * sum of w w over the weights of the block, before the update
//
// Shapes     params: (n,), of which the first n_weights are weights and n_trained are updated. grad: (parts, n).
//            m: (n_trained,), not read by RULE 0; v: (n_trained,), read by RULE 3. For every batch: weight, sum(s), in
//            `weights`: (batches,); t, or step, per_root and shrink, in `rates`: (batches, 3). penalties: (gridDim.x,).
//            turn[1] is the number of the batch, and turn[0] becomes the next one, see batch.cuh; where turn is null,
//            `number` is the number of the batch.
// Types      REAL: float32 or float64. weights, rates, penalties and the numbers: float64; the arithmetic is in REAL.
//            step = t / (1 - beta_1^k), per_root = 1 / sqrt(1 - beta_2^k) at the k-th update.
// Launch     1-D grid of any size, BLOCK threads (a multiple of 32, at most 256), no dynamic shared memory. Thread t of
//            block k takes parameter k BLOCK + t, then every gridDim.x BLOCK-th after it. The bounds of the launch ask
//            for 4 blocks on a multiprocessor, that is at most 64 registers for a thread of 256.
// Bytes      read (1 + parts) n REAL and written n REAL, with RULE 1 and 2 one more of each, with RULE 3 two.
// Never      stored: the mean gradient with its penalty.
// Order      Parameters are independent; parts are added in order. penalties: float64, parameters of a thread in
//            ascending order, threads as in block_sum, batches one after another; no atomics.
// Limits     n < 2^63. CuPy compiles with -ftz=true: a float32 v below 1.2e-38 comes out as 0, as does m.
//
// Needs logistic.cuh and reduce.cuh before it.
extern "C" __global__ void __launch_bounds__(BLOCK, 4)
update(REAL* params, const REAL* grad, int parts, REAL* m, REAL* v, const double* weights, const double* rates,
       long long* turn, long long number, long long batches, double alpha, double fixed_l2, double beta_1, double beta_2,
       double epsilon, double* penalties, long long n, long long n_weights, long long n_trained) {
    __shared__ double slots[BLOCK / WARP];
    const long long batch = turn ? turn[1] : number;
    if (batch >= batches) return;  // all threads of all blocks alike: none of them is waited for by block_sum
    const double total = weights[batch];
    const REAL scale = (REAL)(1 / total);
    const double penalty = fixed_l2 + alpha / total;
    const REAL l2 = (REAL)penalty;
    const REAL step = (REAL)rates[3 * batch];
    const REAL per_root = (REAL)rates[3 * batch + 1];
    const REAL shrink = (REAL)rates[3 * batch + 2];
    const REAL rest_1 = (REAL)(1 - beta_1);
    const REAL rest_2 = (REAL)(1 - beta_2);
    double square = 0;
    for (long long j = (long long)blockIdx.x * BLOCK + threadIdx.x; j < n_trained; j += (long long)gridDim.x * BLOCK) {
        REAL w = params[j];
        REAL g = grad[j];
        // In ascending order, by one thread: the bits of g depend on the parts alone. part * n has 64 bits.
        for (int part = 1; part < parts; ++part) g += grad[part * n + j];
        g *= scale;
        if (j < n_weights) {
            square += (double)w * (double)w;
            g += l2 * w;
            if (RULE == 3) w *= shrink;
        }
        if (RULE == 0) {
            w -= step * g;
        } else if (RULE == 3) {
            const REAL m_j = (REAL)beta_1 * m[j] + rest_1 * g;
            const REAL v_j = (REAL)beta_2 * v[j] + rest_2 * g * g;
            m[j] = m_j;
            v[j] = v_j;
            w -= step * m_j / (sqrt(v_j) * per_root + (REAL)epsilon);
        } else {
            const REAL m_j = (REAL)beta_1 * m[j] - step * g;
            m[j] = m_j;
            w += RULE == 2 ? (REAL)beta_1 * m_j - step * g : m_j;
        }
        params[j] = w;
    }
    square = block_sum(square, slots);
    // Each block has its own sum, and launches follow one another: no two additions to it are under way at once.
    if (threadIdx.x == 0) penalties[blockIdx.x] += 0.5 * penalty * total * square;
    // Other blocks may not have begun yet, and read turn[1] when they do; see batch.cuh.
    if (turn && blockIdx.x == 0 && threadIdx.x == 0) turn[0] = batch + 1;
}
