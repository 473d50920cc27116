// Which batch of rows a launch works on, when the host is not asked between the batches; and rows as they are stored.
//
// turn: two numbers on the device. turn[0] is the batch under way, from 0 on; every kernel of a batch reads it, and the
// last of them, update, counts it up. What a launch writes none of its blocks may read: row_losses copies turn[0] to
// turn[1], from which update takes it. A batch beyond the last has no rows, and its launches change nothing.
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

HD Batch batch_at(int64 number, int batch_rows, int64 n) {
    const int64 first = number * batch_rows;
    const int64 left = n - first;
    return {first, left <= 0 ? 0 : left < batch_rows ? (int)left : batch_rows};
}

#ifdef STORAGE
// STORAGE: float32, float64, float16, bfloat16 or uint8. Kernels are given those of 16 bits as the bits they are.
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

// Row i of a batch: where GATHER is 1 row order[first + i] of all rows, else row i of the batch itself.
__device__ __forceinline__ const STORED* row_of(const STORED* X, int64 stride, const int64* order, Batch batch, int i) {
    return X + (GATHER ? order[batch.first + i] : (int64)i) * stride;
}
#endif
