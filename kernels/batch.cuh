// Which batch of rows a launch works on, when the host is not asked between the batches; and rows as they are stored.
//
// turn: two numbers on the device. turn[0] is the batch under way, from 0 on; every kernel of a batch but update reads
// it. update, the last kernel of a batch, counts it up. Blocks of one launch start and end at any time, and there is no
// barrier between them: were update to read turn[0] as well, a block that starts late would read the number of the next
// batch, which the first block has already written. So row_losses, which reads turn[0], copies it to turn[1], and
// update reads turn[1] and writes turn[0]. No launch reads what it writes.
//
// The kernels of a batch, and the batches, are launched on one stream, in order; a kernel reads what the one before
// wrote. A graph replays a fixed number of batches and may go beyond the last one: such a batch has no rows, and its
// launches change nothing but turn[1].
//
// Needs logistic.cuh before it.
typedef unsigned short uint16;
typedef int int32;
typedef unsigned uint32;
typedef long long int64;
typedef unsigned long long uint64;

struct Batch {
    int64 first;  // of its rows, in the order of the epoch
    int rows;
};

// `number * batch_rows` is computed in 64 bits: a batch far beyond the last must not wrap around to rows that exist.
HD Batch batch_at(int64 number, int batch_rows, int64 n) {
    const int64 first = number * batch_rows;
    const int64 left = n - first;
    return {first, left <= 0 ? 0 : left < batch_rows ? (int)left : batch_rows};
}

#ifdef STORAGE
// STORAGE: float32, float64, float16, bfloat16 or uint8. Kernels get a pointer to STORED, which for the types of 16
// bits is uint16, their bits: CuPy passes a view of those, and no header of CUDA's is needed.
struct float16 {};
struct bfloat16 {};

template <class T>
struct Stored {
    typedef T type;
};
template <>
struct Stored<float16> {
    typedef uint16 type;
};
template <>
struct Stored<bfloat16> {
    typedef uint16 type;
};
typedef Stored<STORAGE>::type STORED;

HD REAL number_of(float32 x, float32) { return (REAL)x; }
HD REAL number_of(float64 x, float64) { return (REAL)x; }
HD REAL number_of(uint8 x, uint8) { return (REAL)x; }

__device__ __forceinline__ REAL number_of(uint16 bits, bfloat16) {
    return (REAL)__uint_as_float((unsigned)bits << 16);
}

__device__ __forceinline__ REAL number_of(uint16 bits, float16) {
#ifdef __CUDACC__
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return (REAL)x;
#else
    return (REAL)kernel_host::from_float16(bits);
#endif
}

// Row i of a batch: where GATHER is 1 row order[first + i] of all rows, else row i of the batch itself. i < batch.rows,
// or `order` is read beyond its end. The offset is computed in 64 bits: X may have 2^31 elements and more.
__device__ __forceinline__ const STORED* row_of(const STORED* X, int64 stride, const int64* order, Batch batch, int i) {
    return X + (GATHER ? order[batch.first + i] : (int64)i) * stride;
}
#endif
