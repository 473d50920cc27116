// The mathematics of one row of many classes, over the lanes that share the row; the twin of gpu_logreg/mathematics/softmax.py.
//
//     m        = largest logit                      e_k = exp(z_k - m), in [0, 1]
//     rest     = sum of e_k without the largest     sum_k e_k = 1 + rest
//     row_loss = log1p(rest) - (z_y - m)            cross-entropy, in nats
//     dz_k     = e_k / (1 + rest) for k != y        dz_y = -(sum of e_k for k != y) / (1 + rest), which keeps its digits
//                                                   where p_y is nearly 1
//
// K classes; lane `lane` of SOFTMAX_LANES (a power of two, at most 32 and K) takes the classes lane,
// lane + SOFTMAX_LANES, ... Needs logistic.cuh and reduce.cuh before it.
struct Largest {
    REAL z;
    int k;
};

// The larger of two logits, of equal ones the first. NaN is larger than every number, so that all lanes agree on it.
HD Largest larger(Largest a, Largest b) {
    const bool a_is_nan = a.z != a.z;
    const bool b_is_nan = b.z != b.z;
    const bool level = a_is_nan || b_is_nan ? a_is_nan && b_is_nan : a.z == b.z;
    const bool above = a_is_nan || b_is_nan ? b_is_nan && !a_is_nan : b.z > a.z;
    return above || (level && b.k < a.k) ? b : a;
}

__device__ __forceinline__ Largest largest_of_lanes(Largest own) {
#pragma unroll
    for (int step = SOFTMAX_LANES / 2; step > 0; step /= 2) {
        const REAL z = __shfl_xor_sync(ALL_LANES, own.z, (unsigned)step);
        const int k = __shfl_xor_sync(ALL_LANES, own.k, (unsigned)step);
        own = larger(own, {z, k});
    }
    return own;
}

__device__ __forceinline__ REAL sum_of_lanes(REAL value) {
#pragma unroll
    for (int step = SOFTMAX_LANES / 2; step > 0; step /= 2) value += __shfl_xor_sync(ALL_LANES, value, (unsigned)step);
    return value;
}
