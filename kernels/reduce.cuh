// Sums over a block whose order of additions is fixed, so that their bits do not depend on which warp runs first.
#define WARP 32
#define ALL_LANES 0xffffffffu

// Sum of `value` over the block: by halves within each warp, then warp after warp. Thread 0 gets it, the others get 0.
//
// Launch   blockDim.x is a multiple of 32, and every thread of the block makes the call. A shuffle with the mask
//          ALL_LANES and a barrier wait for all threads: with a partial warp, or where some threads have returned
//          before, the result is undefined or the block hangs.
// slots    blockDim.x / 32 doubles of shared memory that no other call uses. There is no barrier behind the last read:
//          with slots of an earlier call a fast warp would overwrite what thread 0 has not read yet.
// Order    Each step adds the upper half of the lanes to the lower half, and one thread adds the warps in ascending
//          order. Atomic additions would add in the order of arrival, which gives other bits in every run.
__device__ __forceinline__ double block_sum(double value, double* slots) {
    for (unsigned step = WARP / 2; step > 0; step /= 2) value += __shfl_down_sync(ALL_LANES, value, step);
    if (threadIdx.x % WARP == 0) slots[threadIdx.x / WARP] = value;
    // Without this barrier thread 0 reads slots that other warps have not written.
    __syncthreads();
    double sum = 0;
    if (threadIdx.x == 0) {
        for (unsigned warp = 0; warp < blockDim.x / WARP; ++warp) sum += slots[warp];
    }
    return sum;
}
