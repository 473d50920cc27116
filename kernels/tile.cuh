// Rows brought to shared memory by asynchronous copies, and read from there a vector of VEC bytes at a time.
//
// COPY  1, 2, 4, 8 or 16: bytes of one copy. It divides both addresses of a copy, or the hardware reports a misaligned
//       address. It copies 4 bytes and more asynchronously; 1 and 2 bytes, and all on compute capability 7.5, go
//       through a register and are there when the statement is done.
//
// Each PTX instruction has its twin for a host compiler beside it. Needs rows.cuh before it; VEC is 4 or 8.
#if defined(__CUDACC__) && (!defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800)
#define COPIES_ARE_ASYNCHRONOUS (COPY >= 4)
#else
#define COPIES_ARE_ASYNCHRONOUS 0
#endif

// COPY bytes from global to shared memory. Until the copying thread has returned from `wait_for_copies`, and for other
// threads until the barrier after that, what lies at `to` is undefined. Copies of 16 bytes bypass the first-level cache
// (.cg), since no thread reads them from global memory again; for shorter ones there is no such instruction.
__device__ __forceinline__ void copy_to_shared(unsigned char* to, const unsigned char* from) {
#if COPIES_ARE_ASYNCHRONOUS
    // "memory": the compiler must not move a read of the tile that was here before behind the copy.
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

// Waits for all copies of the calling thread, which need no commit before. What other threads have copied is there
// after the next barrier alone: each thread waits for its own copies.
__device__ __forceinline__ void wait_for_copies() {
#if COPIES_ARE_ASYNCHRONOUS
    asm volatile("cp.async.wait_all;" ::: "memory");
#elif !defined(__CUDACC__)
    kernel_host::copy_async_wait_all();
#endif
}

// VEC bytes of a row in shared memory; VEC divides `from`, because it divides PITCH. They were copied as bytes and are
// read as words: the barrier in between keeps the compiler from exchanging the two.
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
