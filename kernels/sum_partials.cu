// sum_partials: the second stage of every pass: adds the partial sums of the blocks, in a fixed order.
//
//     sums[j] = sum over k of partial[k][j]
//
// Shapes     partial: (blocks, width). sums: (width,). float64.
// Launch     1-D grid of ceil(width / 32) blocks of BLOCK threads, a multiple of 32.
//            Warp t of a block adds partial[t], partial[t + BLOCK / 32], ... for 32 columns; then warp after warp.
// Bytes      read 8 blocks width, written 8 width.
// Order      as said; no atomics. The bits depend on blocks and BLOCK alone.
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
    if (j < width) {
        for (int k = warp; k < blocks; k += WARPS) sum += partial[(long long)k * width + j];
    }
    slots[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && j < width) {
        for (int k = 1; k < WARPS; ++k) sum += slots[k][lane];
        sums[j] = sum;
    }
}
