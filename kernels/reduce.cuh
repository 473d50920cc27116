// Sums over a block in an order that the schedule of its warps cannot change.
#define WARP 32
#define ALL_LANES 0xffffffffu

// Sum of `value` over the block: by halves within each warp, then warp after warp. Thread 0 gets it, the others get 0.
// `slots`: blockDim.x / 32 doubles of shared memory that no other call uses, so that one barrier is enough.
// blockDim.x is a multiple of 32, and every thread of the block makes the call.
__device__ __forceinline__ double block_sum(double value, double* slots) {
    for (unsigned step = WARP / 2; step > 0; step /= 2) value += __shfl_down_sync(ALL_LANES, value, step);
    if (threadIdx.x % WARP == 0) slots[threadIdx.x / WARP] = value;
    __syncthreads();
    double sum = 0;
    if (threadIdx.x == 0) {
        for (unsigned warp = 0; warp < blockDim.x / WARP; ++warp) sum += slots[warp];
    }
    return sum;
}
