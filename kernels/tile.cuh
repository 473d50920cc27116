// Rows brought to shared memory by asynchronous copies, and read from there a vector of VEC bytes at a time.
//
// COPY  1, 2, 4, 8 or 16: bytes of one copy; divides both its addresses. The hardware copies 4 bytes and more
//       asynchronously; 1 and 2 bytes, and all on compute capability 7.5, go through a register at once.
//
// Each PTX instruction has its twin for a host compiler beside it. Needs rows.cuh before it; VEC is 4 or 8.
#if defined(__CUDACC__) && (!defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800)
#define COPIES_ARE_ASYNCHRONOUS (COPY >= 4)
#else
#define COPIES_ARE_ASYNCHRONOUS 0
#endif

// COPY bytes from global to shared memory, which need not be there before `wait_for_copies`. They stay out of the
// first-level cache where the hardware lets them: no thread reads them from global memory again.
__device__ __forceinline__ void copy_to_shared(unsigned char* to, const unsigned char* from) {
#if COPIES_ARE_ASYNCHRONOUS
    asm volatile(
        "{ .reg .u64 at; .reg .u32 near; cvta.to.shared.u64 at, %0; cvt.u32.u64 near, at;"
#if COPY == 16
        " cp.async.cg.shared.global [near], [%1], 16; }"
#elif COPY == 8
        " cp.async.ca.shared.global [near], [%1], 8; }"
#else
        " cp.async.ca.shared.global [near], [%1], 4; }"
#endif
        ::"l"(to), "l"(from) : "memory");
#elif defined(__CUDACC__)
#if COPY >= 4
#pragma unroll
    for (int k = 0; k < COPY / 4; ++k) ((unsigned*)to)[k] = ((const unsigned*)from)[k];
#elif COPY == 2
    *(unsigned short*)to = *(const unsigned short*)from;
#else
    *to = *from;
#endif
#else
    kernel_host::copy_async(to, from, COPY);
#endif
}

// Waits for the copies of the calling thread; what other threads have copied is there after the next barrier.
__device__ __forceinline__ void wait_for_copies() {
#if COPIES_ARE_ASYNCHRONOUS
    asm volatile("cp.async.wait_all;" ::: "memory");
#elif !defined(__CUDACC__)
    kernel_host::copy_async_wait_all();
#endif
}

// VEC bytes of a row in shared memory.
__device__ __forceinline__ Vector shared_vector(const unsigned char* from) {
    Vector v;
#if VEC == 8
    const unsigned long long both = *(const unsigned long long*)from;
    v.word[0] = (unsigned)both;
    v.word[1] = (unsigned)(both >> 32);
#else
    v.word[0] = *(const unsigned*)from;
#endif
    return v;
}
