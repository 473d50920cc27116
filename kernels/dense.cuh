// A matrix product of which every block of threads makes a tile, for the three products of a dense layer.
//
//     sum[i][j] = sum over p of a(i, p) b(p, j)          i < TM, j < TN, p from `begin` to `end`
//
// DEPTH values of p at a time: both factors are fetched into registers, put into shared memory, and multiplied from
// there, every thread a tile of RM times RN; the next DEPTH values are on their way from memory meanwhile.
//
// TM, TN     of a block; TM / RM times TN / RN are its BLOCK threads. TM and TN are multiples of RM and RN.
// DEPTH      a multiple of 8. BLOCK a multiple of 32; kernels say __launch_bounds__(BLOCK, 1): without it ptxas would
//            spill registers to local memory to make room for more blocks.
// Order      Products of an element of the result are added in ascending order of p, in REAL, by one thread, whatever
//            the tile: the choice of a tile changes no bit of a result.
// Launch     Every thread of the block calls `multiply`, with the same `begin` and `end`, and once: it has barriers, at
//            which a thread that has returned, or goes round the loop less often, would never arrive.
// Limits     end + DEPTH < 2^31.
//
// Needs logistic.cuh before it.

// Numbers behind each row of a tile. Rows of 32 numbers, or a multiple of 32, begin in the same bank of shared memory:
// the NEAR lanes of a warp that have fetched neighbouring values of p would write them one after another. The padding
// is of 16 bytes and not of one number, because rows have to begin at multiples of 16 bytes: the reads of RM or RN
// neighbours then are loads of up to 16 bytes.
#define PAD (16 / (int)sizeof(REAL))
#define NEAR 8  // values of p next to each other that the lanes of a warp fetch together
#define FAR (BLOCK / NEAR)

struct alignas(16) Tiles {
    REAL a[DEPTH][TM + PAD];
    REAL b[DEPTH][TN + PAD];
};

// The tiles of the block; static, so that a host compiler gives each library its own.
static __device__ __forceinline__ Tiles& tiles() {
    __shared__ Tiles shared;
    return shared;
}

// What a thread fetches of a factor of T rows or columns: the k-th of COUNT elements is `outer`, p.
// ACROSS: elements of the same `outer` lie next to each other in memory, else those of the same p do.
// BLOCK times COUNT may be more than the T DEPTH elements of a tile. Those beyond do not exist: they are not fetched,
// and `put` does not write them, which would be behind the row or the tile.
template <bool ACROSS, int T>
struct Share {
    static const int SLOTS = (T + FAR - 1) / FAR;  // values of `outer` that a thread meets, where ACROSS
    static const int COUNT = ACROSS ? SLOTS * (DEPTH / NEAR) : (T * DEPTH + BLOCK - 1) / BLOCK;
    int slot, outer, p;
    __device__ __forceinline__ explicit Share(int k)
        : slot(k / (DEPTH / NEAR)),
          outer(ACROSS ? (int)threadIdx.x / NEAR + slot * FAR : ((int)threadIdx.x + k * BLOCK) % T),
          p(ACROSS ? (int)threadIdx.x % NEAR + k % (DEPTH / NEAR) * NEAR : ((int)threadIdx.x + k * BLOCK) / T) {}
    __device__ __forceinline__ bool exists() const { return outer < T && p < DEPTH; }
};

template <bool ACROSS, int T, class Factor>
__device__ __forceinline__ void fetch(REAL* value, int begin, int end, const Factor& factor) {
#pragma unroll
    for (int k = 0; k < Share<ACROSS, T>::COUNT; ++k) {
        const Share<ACROSS, T> share(k);
        const int p = begin + share.p;
        // From `end` on the factor has other numbers or none: zeros in their place add nothing to the sum.
        value[k] = share.exists() && p < end ? factor(share.slot, share.outer, p) : (REAL)0;
    }
}

template <bool ACROSS, int T>
__device__ __forceinline__ void put(REAL (*tile)[T + PAD], const REAL* value) {
#pragma unroll
    for (int k = 0; k < Share<ACROSS, T>::COUNT; ++k) {
        const Share<ACROSS, T> share(k);
        if (share.exists()) tile[share.p][share.outer] = value[k];
    }
}

// First row and column of the thread's tile within that of the block.
__device__ __forceinline__ int own_row() { return (int)threadIdx.x / (TN / RN) * RM; }
__device__ __forceinline__ int own_column() { return (int)threadIdx.x % (TN / RN) * RN; }

// `a(slot, i, p)` and `b(slot, j, p)` give the factors for i and j within the tile, zero where there is nothing.
template <bool A_ACROSS, bool B_ACROSS, class A, class B>
__device__ __forceinline__ void multiply(REAL (*sum)[RN], int begin, int end, const A& a, const B& b) {
    Tiles& tile = tiles();
    REAL next_a[Share<A_ACROSS, TM>::COUNT];
    REAL next_b[Share<B_ACROSS, TN>::COUNT];
    fetch<A_ACROSS, TM>(next_a, begin, end, a);
    fetch<B_ACROSS, TN>(next_b, begin, end, b);
#pragma unroll 1
    for (int p = begin; p < end; p += DEPTH) {
        // Without this barrier a fast warp would overwrite tiles of the turn before that another warp still reads.
        __syncthreads();
        put<A_ACROSS, TM>(tile.a, next_a);
        put<B_ACROSS, TN>(tile.b, next_b);
        __syncthreads();
        // Behind this barrier both tiles are complete. The next values are asked for before the multiplication, which
        // hides the time that they take to arrive; they wait in registers, since the tiles are being read.
        if (p + DEPTH < end) {
            fetch<A_ACROSS, TM>(next_a, p + DEPTH, end, a);
            fetch<B_ACROSS, TN>(next_b, p + DEPTH, end, b);
        }
#pragma unroll 8
        for (int q = 0; q < DEPTH; ++q) {
            REAL own_a[RM];
            REAL own_b[RN];
#pragma unroll
            for (int r = 0; r < RM; ++r) own_a[r] = tile.a[q][own_row() + r];
#pragma unroll
            for (int c = 0; c < RN; ++c) own_b[c] = tile.b[q][own_column() + c];
#pragma unroll
            for (int r = 0; r < RM; ++r) {
#pragma unroll
                for (int c = 0; c < RN; ++c) sum[r][c] += own_a[r] * own_b[c];
            }
        }
    }
}
