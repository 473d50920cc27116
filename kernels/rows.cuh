// Rows in any storage type, a vector of VEC bytes at a time.
//
// STORAGE  float32, float64, float16, bfloat16 or uint8: how the columns lie in memory. They are computed in REAL.
// VEC      1, 2, 4, 8 or 16: bytes of one load; divides the address and the length of every row. A load from an address
//          that VEC does not divide ends the kernel with an error (misaligned address), and no later call of the
//          process can use the device; gpu_logreg.passes.cuda.checks.alignment_of finds the largest VEC that is
//          allowed.
//
// Each PTX instruction has its twin for a host compiler beside it.
#define ROWS_CUH
#define COLUMNS (VEC / (int)sizeof(STORAGE))  // columns of a vector
#define WORDS (VEC < 4 ? 1 : VEC / 4)         // registers of a vector

struct float16 {
    unsigned short bits;
};
struct bfloat16 {
    unsigned short bits;
};

struct Vector {
    unsigned word[WORDS];
};

// VEC bytes of X from global memory. No other thread reads them, so they are kept out of the first-level cache, in
// which they would take the place of what is read again. ld.global.nc may answer from a cache that does not see writes
// of the running kernel: what lies at `from` must not be written before the kernel ends. The statement is neither
// volatile nor a barrier for the compiler, which may move or repeat it for the same reason.
__device__ __forceinline__ Vector load_vector(const void* from) {
    Vector v;
#ifdef __CUDACC__
#if VEC == 16
    asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(v.word[0]), "=r"(v.word[1]), "=r"(v.word[2]), "=r"(v.word[3]) : "l"(from));
#elif VEC == 8
    asm("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];" : "=r"(v.word[0]), "=r"(v.word[1]) : "l"(from));
#elif VEC == 4
    asm("ld.global.nc.u32 %0, [%1];" : "=r"(v.word[0]) : "l"(from));
#elif VEC == 2
    asm("ld.global.nc.u16 %0, [%1];" : "=r"(v.word[0]) : "l"(from));
#else
    asm("ld.global.nc.u8 %0, [%1];" : "=r"(v.word[0]) : "l"(from));
#endif
#else
    kernel_host::load(&v, from, VEC);
#endif
    return v;
}

__device__ __forceinline__ Vector no_vector() {
    Vector v;
#pragma unroll
    for (int k = 0; k < WORDS; ++k) v.word[k] = 0;
    return v;
}

// Makes the compiler convert the columns of v anew after the call. A compiler that knows v to be unchanged keeps the
// columns that it converted for the logits until the gradient needs them, in more registers than there are.
// nothing: 0, computed from an argument of the kernel, so that the compiler cannot know it. An exclusive or with it is
// one instruction for a word and changes no bit.
__device__ __forceinline__ void keep_stored(Vector& v, unsigned nothing) {
#pragma unroll
    for (int k = 0; k < WORDS; ++k) v.word[k] ^= nothing;
}

// Makes the compiler keep an address or a number of 64 bits in registers. It would compute it again from its parts for
// every row otherwise. The empty statement is volatile, or the compiler would remove it, and generates no instruction.
template <class Number>
__device__ __forceinline__ void keep_number(Number& number) {
#ifdef __CUDACC__
    asm volatile("" : "+l"(number));
#else
    (void)number;
#endif
}

// Makes the compiler forget how x was computed, so that it keeps it in a register and does not compute it again.
__device__ __forceinline__ void keep_converted(REAL& x) {
#ifdef __CUDACC__
    // The cast only satisfies the compiler in the branch that is not taken: x is a REAL, read and written as such.
    if (sizeof(REAL) == 8) asm volatile("" : "+d"(*(double*)&x));
    else asm volatile("" : "+f"(*(float*)&x));
#else
    (void)x;
#endif
}

// Column k of a vector, exactly; k is known when the loop around is unrolled, and must be: an index that is not known
// at compile time would put the vector into local memory. The last argument picks the storage type.
__device__ __forceinline__ REAL column(const Vector& v, int k, float32) { return (REAL)__uint_as_float(v.word[k]); }

// The indices are taken modulo WORDS because all overloads are compiled: for a narrower storage type, which never calls
// this one, a vector may have a single word, and an index beyond it would be refused or warned of.
__device__ __forceinline__ REAL column(const Vector& v, int k, float64) {
    return (REAL)__hiloint2double((int)v.word[(2 * k + 1) % WORDS], (int)v.word[2 * k % WORDS]);
}

__device__ __forceinline__ REAL column(const Vector& v, int k, float16) {
    const unsigned bits = v.word[k / 2] >> (16 * (k % 2)) & 0xffffu;
#ifdef __CUDACC__
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"((unsigned short)bits));
    return (REAL)x;
#else
    return (REAL)kernel_host::from_float16(bits);
#endif
}

__device__ __forceinline__ REAL column(const Vector& v, int k, bfloat16) {
    return (REAL)__uint_as_float(k % 2 ? v.word[k / 2] & 0xffff0000u : v.word[k / 2] << 16);
}

// The byte becomes the low end of the bits of a float between 2^23 and 2^23 + 255, where neighbouring floats are 1
// apart: the subtraction is exact. These two instructions run at full rate, which the conversion of an integer does not
// (by CUDA's table of instruction throughput; not measured here).
__device__ __forceinline__ REAL column(const Vector& v, int k, uint8) {
    return (REAL)(__uint_as_float(__byte_perm(v.word[k / 4], 0x4b000000u, 0x7440u + (unsigned)(k % 4))) - 8388608.0f);
}
