// Runs CUDA C++ on the CPU: g++ compiles a kernel's text, unchanged, after this header.
//
// - One fiber (ucontext) per CUDA thread. A fiber runs until it meets a barrier or a warp collective, so what a
//   schedule can change is the order of the stretches between them; a seed picks it, with warps of unequal speed.
// - Blocks run one after another, in random order.
// - __shared__ variables are thread_local, which is legal C++ inside a function and puts them all in one piece (every
//   fiber lives in one OS thread); every byte of it becomes 0xff (NaN) before each block. An `extern __shared__` array
//   is defined after the kernel's text, as large as a block may have; what is written beyond a launch's size is reported.
// - An asynchronous copy lands at once or when its thread waits for it, or for its group, at random: the earliest and
//   the latest moment that CUDA allows.
// - Refused, with the state of every thread: a deadlock, a barrier met at two places at once, a collective whose mask
//   misses its caller or names a lane that has exited, an invalid address, more shared memory than a block may have.
// - Not modelled: blocks at the same time, the interleaving of single memory accesses, warps in lockstep (a kernel
//   that counts on lockstep fails, as it may on a device), flushing of denormals, speed.
//
// To add a warp collective: build it on exchange(). To add an operation that waits: park the fiber with wait_for().
#pragma once
#pragma GCC system_header  // warnings are for the kernels
#include <math.h>
#include <ucontext.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
#define __shared__ thread_local
#define __syncthreads() kernel_host::block_barrier({"__syncthreads", __FILE__, __LINE__})
#define __syncwarp(...) KERNEL_HOST_COLLECTIVE(sync_warp, __syncwarp)(KERNEL_HOST_MASK(__VA_ARGS__))
#define __shfl_sync(...) KERNEL_HOST_COLLECTIVE(shuffle, __shfl_sync)(__VA_ARGS__)
#define __shfl_up_sync(...) KERNEL_HOST_COLLECTIVE(shuffle_up, __shfl_up_sync)(__VA_ARGS__)
#define __shfl_down_sync(...) KERNEL_HOST_COLLECTIVE(shuffle_down, __shfl_down_sync)(__VA_ARGS__)
#define __shfl_xor_sync(...) KERNEL_HOST_COLLECTIVE(shuffle_xor, __shfl_xor_sync)(__VA_ARGS__)
#define KERNEL_HOST_COLLECTIVE(function, name) kernel_host::Collective{{#name, __FILE__, __LINE__}}.function
#define KERNEL_HOST_MASK(...) 0xffffffffu __VA_OPT__(&(__VA_ARGS__))

struct Index3 {
    unsigned x, y, z;
};
static Index3 threadIdx, blockIdx, blockDim, gridDim;

inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
inline double __hiloint2double(int high, int low) {
    const unsigned long long bits = (unsigned long long)(unsigned)high << 32 | (unsigned)low;
    double x;
    memcpy(&x, &bits, 8);
    return x;
}
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
    const unsigned long long bytes = (unsigned long long)high << 32 | low;
    unsigned result = 0;
    for (unsigned k = 0; k < 4; ++k) result |= unsigned(bytes >> 8 * (selector >> 4 * k & 7u) & 255u) << 8 * k;
    return result;
}

namespace kernel_host {

constexpr unsigned WARP_LANES = 32;
constexpr size_t STACK_BYTES = 128 * 1024;
constexpr size_t STATIC_SHARED_BYTES = 48 * 1024;
constexpr size_t MOST_SHARED_BYTES = 99 * 1024;  // static and dynamic, of a block on compute capability 8.6 and later
constexpr size_t DYNAMIC_SHARED_BYTES = MOST_SHARED_BYTES + 4096;  // of the array, with a guard behind what is allowed
using Word = unsigned long long;

struct Place {
    const char* what;
    const char* file;
    int line;
    bool operator==(const Place& other) const { return line == other.line && strcmp(file, other.file) == 0; }
};

enum class State { ready, at_barrier, at_collective, exited };

struct Copy {
    void* to;
    const void* from;
    size_t bytes;
    unsigned group;  // of the copies before the same commit, counted from the first
};

struct Fiber {
    ucontext_t context;
    State state;
    Place place;           // where it waits
    unsigned mask;         // lanes of the collective it waits at
    Word given;            // what this lane hands to the collective
    Word got[WARP_LANES];  // what every lane of the mask had handed over when the last one arrived
    std::vector<Copy> copies;  // asynchronous ones under way
    unsigned groups;           // committed
};

// Small and the same everywhere, unlike std::shuffle (splitmix64).
struct Random {
    Word state;
    unsigned below(unsigned bound) {
        Word x = state += 0x9e3779b97f4a7c15ull;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
        return unsigned((x ^ (x >> 31)) >> 32) % bound;
    }
};

struct Report {
    char* text;
    size_t size, length;
    bool failed;
    void add(const char* format, ...) __attribute__((format(printf, 2, 3))) {
        va_list values;
        va_start(values, format);
        const int wanted = vsnprintf(text + length, size - length, format, values);
        va_end(values);
        length += wanted < int(size - length) ? wanted : size - length - 1;
        failed = true;
    }
};

// One launch: the fibers of the block that runs now, and who may run next.
struct Launch {
    std::vector<Fiber> fibers;
    std::unique_ptr<char[]> stacks;
    std::vector<unsigned> ready, warp_speed;
    ucontext_t scheduler;
    unsigned current, waiting, exited;  // the running fiber; how many are at the barrier, how many have exited
    Random random;
    Report report;
    void (*call)(void** arguments);
    void** arguments;
};
static Launch* launch;

// ---------------------------------------------------------------------------------------------- inside a fiber

// A load of a vector of the given number of bytes, as a device would do it or refuse it.
inline void load(void* to, const void* from, size_t bytes) {
    if (reinterpret_cast<size_t>(from) % bytes != 0)
        return launch->report.add("thread %u loads %zu bytes from an address that they do not divide", launch->current,
                                  bytes);
    memset(to, 0, bytes < 4 ? 4 : bytes);
    memcpy(to, from, bytes);
}

// IEEE 754 binary16 to binary32, exactly.
inline float from_float16(unsigned bits) {
    const unsigned exponent = bits >> 10 & 31u, fraction = bits & 1023u;
    const float sign = bits & 0x8000u ? -1.0f : 1.0f;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexpf(float(fraction), -24);
    return sign * ldexpf(float(fraction + 1024u), int(exponent) - 25);
}

inline Fiber& self() { return launch->fibers[launch->current]; }

// A copy of a vector from global to shared memory that need not have landed before it is waited for.
inline void copy_async(void* to, const void* from, size_t bytes) {
    if (reinterpret_cast<size_t>(from) % bytes != 0 || reinterpret_cast<size_t>(to) % bytes != 0)
        return launch->report.add("thread %u copies %zu bytes between addresses that they do not divide",
                                  launch->current, bytes);
    if (launch->random.below(2)) memcpy(to, from, bytes);
    else self().copies.push_back({to, from, bytes, self().groups});
}

inline void land(unsigned groups) {  // what belongs to the first so many
    std::vector<Copy> left;
    for (const Copy& copy : self().copies) {
        if (copy.group < groups) memcpy(copy.to, copy.from, copy.bytes);
        else left.push_back(copy);
    }
    self().copies.swap(left);
}

inline void copy_async_wait_all() { land(~0u); }

// The copies of this thread since the last commit become a group.
inline void copy_async_commit() { ++self().groups; }

// Waits until at most so many groups of this thread, the latest, are under way.
inline void copy_async_wait(unsigned latest) {
    const unsigned groups = self().groups;
    land(groups > latest ? groups - latest : 0);
}

inline void wait_for(State state, Place place) {
    Fiber& fiber = self();
    fiber.state = state;
    fiber.place = place;
    swapcontext(&fiber.context, &launch->scheduler);
}

inline void block_barrier(Place place) { wait_for(State::at_barrier, place); }

inline void fiber_main() {
    launch->call(launch->arguments);
    self().state = State::exited;  // uc_link leads back to the scheduler
}

struct Collective {
    Place place;

    // Hand `value` to the lanes of `mask`, wait for all of them, return what `source` handed over.
    template <class T>
    T exchange(unsigned mask, T value, unsigned source) const {
        static_assert(sizeof(T) <= sizeof(Word) && std::is_trivially_copyable<T>::value, "");
        Fiber& fiber = self();
        memcpy(&fiber.given, &value, sizeof(T));
        fiber.mask = mask;
        wait_for(State::at_collective, place);
        T result;
        memcpy(&result, &fiber.got[source], sizeof(T));
        return result;
    }

    void sync_warp(unsigned mask) const { exchange(mask, 0, 0); }

    template <class T>
    T shuffle(unsigned mask, T value, int source, unsigned width = WARP_LANES) const {
        return exchange(mask, value, first(width) + unsigned(source) % width);
    }
    template <class T>
    T shuffle_up(unsigned mask, T value, unsigned delta, unsigned width = WARP_LANES) const {
        return exchange(mask, value, lane() - first(width) >= delta ? lane() - delta : lane());
    }
    template <class T>
    T shuffle_down(unsigned mask, T value, unsigned delta, unsigned width = WARP_LANES) const {
        return exchange(mask, value, lane() - first(width) + delta < width ? lane() + delta : lane());
    }
    template <class T>
    T shuffle_xor(unsigned mask, T value, unsigned lanes, unsigned width = WARP_LANES) const {
        return exchange(mask, value, (lane() ^ lanes) < first(width) + width ? lane() ^ lanes : lane());
    }

    static unsigned lane() { return launch->current % WARP_LANES; }
    static unsigned first(unsigned width) { return lane() / width * width; }
};

}  // namespace kernel_host
