// Stripes of rows, brought to shared memory by asynchronous copies of 16 bytes, and read from there as vectors.
//
// STAGES  stripes of a warp that are under way at once; 0: none is, and rows are not copied.
//
// Compute capability 7.5 has no asynchronous copies: there they go through registers, at once. Each PTX instruction has
// its twin for a host compiler beside it. Needs rows.cuh before it.
struct __align__(16) Quad {
    unsigned word[4];
};

#if defined(__CUDACC__) && (!defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800)
#define ASYNCHRONOUS_STRIPES 1
#else
#define ASYNCHRONOUS_STRIPES 0
#endif

// 16 bytes from global to shared memory, past the first-level cache: no thread reads them from global memory again.
__device__ __forceinline__ void copy_quad(unsigned char* to, const unsigned char* from) {
#if ASYNCHRONOUS_STRIPES
    const unsigned at = (unsigned)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from) : "memory");
#elif defined(__CUDACC__)
    *(Quad*)to = *(const Quad*)from;
#else
    kernel_host::copy_async(to, from, 16);
#endif
}

// The copies of the calling thread since the last call are one stage.
__device__ __forceinline__ void commit_copies() {
#if ASYNCHRONOUS_STRIPES
    asm volatile("cp.async.commit_group;" ::: "memory");
#elif !defined(__CUDACC__)
    kernel_host::copy_async_commit();
#endif
}

// Waits for the calling thread's copies of the oldest of STAGES stages; those of other lanes are there once they have
// waited too and the warp has met.
__device__ __forceinline__ void wait_for_oldest_copies() {
#if ASYNCHRONOUS_STRIPES
    asm volatile("cp.async.wait_group %0;" ::"n"(STAGES > 0 ? STAGES - 1 : 0) : "memory");
#elif !defined(__CUDACC__)
    kernel_host::copy_async_wait(STAGES > 0 ? STAGES - 1 : 0);
#endif
}

// A vector of a row in shared memory, whose address VEC divides.
__device__ __forceinline__ Vector shared_vector(const unsigned char* from) {
    Vector v;
#ifdef __CUDACC__
#if VEC == 16
    const uint4 all = *(const uint4*)from;
    v.word[0] = all.x;
    v.word[1] = all.y;
    v.word[2] = all.z;
    v.word[3] = all.w;
#elif VEC == 8
    const uint2 both = *(const uint2*)from;
    v.word[0] = both.x;
    v.word[1] = both.y;
#elif VEC == 4
    v.word[0] = *(const unsigned*)from;
#elif VEC == 2
    v.word[0] = *(const unsigned short*)from;
#else
    v.word[0] = *from;
#endif
#else
    kernel_host::load(&v, from, VEC);
#endif
    return v;
}
