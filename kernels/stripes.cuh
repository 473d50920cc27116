// Stripes of rows, brought to shared memory by asynchronous copies of 16 bytes, and read from there as vectors.
//
// STAGES  stripes of a warp that are under way at once; 0: none is, and rows are not copied.
//
// Compute capability 7.5 has no asynchronous copies: there the copies go through registers, and are complete when the
// statement is. Each PTX instruction has its twin for a host compiler beside it.
//
// Shared memory is written here as bytes or as STORAGE and read as Vector. Between the two there is always a barrier,
// across which the compiler moves no access to memory; without it, it might exchange accesses of different types.
//
// Needs rows.cuh before it.
struct __align__(16) Quad {  // aligned, because a copy of 16 bytes to any other address is an error
    unsigned word[4];
};

#if defined(__CUDACC__) && (!defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800)
#define ASYNCHRONOUS_STRIPES 1
#else
#define ASYNCHRONOUS_STRIPES 0
#endif

// 16 bytes from global to shared memory; 16 has to divide both addresses. They bypass the first-level cache (.cg),
// since no thread reads them from global memory again. What is at `to` is undefined until the copying thread has waited
// for the copy, and for other threads until they have met that thread at a barrier after its wait.
__device__ __forceinline__ void copy_quad(unsigned char* to, const unsigned char* from) {
#if ASYNCHRONOUS_STRIPES
    const unsigned at = (unsigned)__cvta_generic_to_shared(to);  // addresses within shared memory have 32 bits
    // "memory": the compiler must not move reads of the stage, from before it was free, behind the copy.
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from) : "memory");
#elif defined(__CUDACC__)
    *(Quad*)to = *(const Quad*)from;
#else
    kernel_host::copy_async(to, from, 16);
#endif
}

// The copies of the calling thread since the last call are one stage, and there may be none: a thread without copies
// makes the call too, since the wait below counts stages and not copies.
__device__ __forceinline__ void commit_copies() {
#if ASYNCHRONOUS_STRIPES
    asm volatile("cp.async.commit_group;" ::: "memory");
#elif !defined(__CUDACC__)
    kernel_host::copy_async_commit();
#endif
}

// Waits for the calling thread's copies of the oldest of STAGES stages: until at most STAGES - 1 of the stages that it
// has committed are under way. Each lane has copied a part of the stripe and waits for its own part alone, so that a
// lane may read what others have copied only after __syncwarp().
__device__ __forceinline__ void wait_for_oldest_copies() {
#if ASYNCHRONOUS_STRIPES
    asm volatile("cp.async.wait_group %0;" ::"n"(STAGES > 0 ? STAGES - 1 : 0) : "memory");
#elif !defined(__CUDACC__)
    kernel_host::copy_async_wait(STAGES > 0 ? STAGES - 1 : 0);
#endif
}

// A vector of a row in shared memory. VEC has to divide its address, or the load ends the kernel with an error.
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
