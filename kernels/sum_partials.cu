// sum_partials: the second stage of every pass: adds the partial sums of the blocks, in a fixed order.
//
//     sums[j] = sum over k of partial[k][j]
//
// Shapes     partial: (blocks, width). sums: (width,). float64.
// Launch     1-D grid of ceil(width / 32) blocks of BLOCK threads, a multiple of 32. It reads what another kernel has
//            written: both have to be launched on one stream, which starts this one when the other has ended.
//            Warp t of a block adds partial[t], partial[t + BLOCK / 32], ... for 32 columns; then warp after warp.
// Bytes      read 8 blocks width, written 8 width.
// Order      as said; no atomics. The bits depend on blocks and BLOCK alone.
// Limits     width < 2^31 - 32, blocks < 2^31 - BLOCK / 32: columns and blocks are counted in 32 bits, places in 64.
//
// Needs reduce.cuh before it.
#define WARPS (BLOCK / WARP)

extern "C" __global__ void __launch_bounds__(BLOCK)
sum_partials(const double* partial, double* sums, int blocks, int width) {
    __shared__ double slots[WARPS][WARP];
    const int lane = (int)(threadIdx.x % WARP);
    const int warp = (int)(threadIdx.x / WARP);
    const int j = (int)blockIdx.x * WARP + lane;
    double sum = 0;
    // Lanes of the last block may have no column. They skip the reads, which would be beyond the array, and do not
    // return: a thread that has returned never comes to the barrier.
    if (j < width) {
        // blocks * width may need more than 32 bits: the product is computed in 64.
        for (int k = warp; k < blocks; k += WARPS) sum += partial[(long long)k * width + j];
    }
    slots[warp][lane] = sum;
    // Without this barrier the first warp reads sums that the other warps have not written.
    __syncthreads();
    if (warp == 0 && j < width) {
        for (int k = 1; k < WARPS; ++k) sum += slots[k][lane];
        sums[j] = sum;
    }
}
