// The mathematics of one row of many classes, over the lanes that share the row; the twin of
// gpu_logreg/mathematics/softmax.py.
//
//     m        = largest logit                      e_k = exp(z_k - m), in [0, 1]
//     rest     = sum of e_k without the largest     sum_k e_k = 1 + rest
//     row_loss = log1p(rest) - (z_y - m)            cross-entropy, in nats
//     dz_k     = e_k / (1 + rest) for k != y        dz_y = -(sum of e_k for k != y) / (1 + rest), which keeps its digits
//                                                   where p_y is nearly 1
//
// K classes; lane `lane` of SOFTMAX_LANES takes the classes lane, lane + SOFTMAX_LANES, ... SOFTMAX_LANES is a power of
// two and at most 32, or shuffles would mix the rows of a warp; and at most K, or a lane would have no first class.
// All 32 lanes of a warp call the functions with shuffles, those without a row too: the mask ALL_LANES names them.
//
// Needs logistic.cuh and reduce.cuh before it.
struct Largest {
    REAL z;
    int k;
};

// The larger of two logits, of equal ones the one of the lower class. NaN counts as larger than every number. The
// result does not depend on the order of the arguments: in a plain comparison with NaN each lane would keep its own
// logit, lanes of one row would subtract different maxima, and the NaN could be lost from the sums.
HD Largest larger(Largest a, Largest b) {
    const bool a_is_nan = a.z != a.z;
    const bool b_is_nan = b.z != b.z;
    const bool level = a_is_nan || b_is_nan ? a_is_nan && b_is_nan : a.z == b.z;
    const bool above = a_is_nan || b_is_nan ? b_is_nan && !a_is_nan : b.z > a.z;
    return above || (level && b.k < a.k) ? b : a;
}

// Every lane of a row gets the largest logit of the row.
__device__ __forceinline__ Largest largest_of_lanes(Largest own) {
#pragma unroll
    for (int step = SOFTMAX_LANES / 2; step > 0; step /= 2) {
        const REAL z = __shfl_xor_sync(ALL_LANES, own.z, (unsigned)step);
        const int k = __shfl_xor_sync(ALL_LANES, own.k, (unsigned)step);
        own = larger(own, {z, k});
    }
    return own;
}

// Every lane of a row gets the sum over the lanes, with the same bits: in each step two lanes add the same two numbers,
// and addition commutes. So each lane may divide its own terms by the sum, and all of them divide by the same number.
__device__ __forceinline__ REAL sum_of_lanes(REAL value) {
#pragma unroll
    for (int step = SOFTMAX_LANES / 2; step > 0; step /= 2) value += __shfl_xor_sync(ALL_LANES, value, (unsigned)step);
    return value;
}
