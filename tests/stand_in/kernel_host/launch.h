// Launches for shim.h: the scheduler of a block's fibers, the fill of shared memory, and EXPORT_KERNEL.
#pragma once
#pragma GCC system_header
#include <link.h>
#include <signal.h>

#include <utility>

#include "shim.h"

namespace kernel_host {

// ------------------------------------------------------------------------------------------------ the scheduler

inline void make_ready(unsigned thread) {
    launch->fibers[thread].state = State::ready;
    launch->ready.push_back(thread);
}

// Take a ready fiber: any, or the one of the fastest warp among a few.
inline unsigned take_ready(unsigned candidates) {
    auto& ready = launch->ready;
    unsigned best = launch->random.below(ready.size());
    for (unsigned k = 1; k < candidates; ++k) {
        const unsigned other = launch->random.below(ready.size());
        if (launch->warp_speed[ready[other] / WARP_LANES] > launch->warp_speed[ready[best] / WARP_LANES]) best = other;
    }
    const unsigned thread = ready[best];
    ready[best] = ready.back();
    ready.pop_back();
    return thread;
}

inline void open_barrier_if_all_arrived() {
    Launch& run = *launch;
    if (run.waiting == 0 || run.waiting + run.exited < run.fibers.size()) return;
    const Fiber* one = nullptr;
    for (const Fiber& fiber : run.fibers) {
        if (fiber.state != State::at_barrier) continue;
        if (one && !(fiber.place == one->place)) return run.report.add("threads are at different barriers");
        one = &fiber;
    }
    run.waiting = 0;
    for (unsigned t = 0; t < run.fibers.size(); ++t)
        if (run.fibers[t].state == State::at_barrier) make_ready(t);
}

inline void open_collective_if_all_arrived(unsigned thread) {
    Launch& run = *launch;
    const Fiber& caller = run.fibers[thread];
    const unsigned begin = thread / WARP_LANES * WARP_LANES;
    if (!(caller.mask >> (thread - begin) & 1))
        return run.report.add("thread %u calls %s with mask %08x, which misses it", thread, caller.place.what,
                              caller.mask);
    Word table[WARP_LANES];
    memset(table, 0xff, sizeof(table));  // a lane outside the mask yields NaN
    for (unsigned lane = 0; lane < WARP_LANES; ++lane) {
        if (!(caller.mask >> lane & 1)) continue;
        const bool exists = begin + lane < run.fibers.size();
        if (!exists || run.fibers[begin + lane].state == State::exited)
            return run.report.add("thread %u calls %s with mask %08x; lane %u has exited or never was", thread,
                                  caller.place.what, caller.mask, lane);
        const Fiber& other = run.fibers[begin + lane];
        if (other.state != State::at_collective || !(other.place == caller.place) || other.mask != caller.mask) return;
        table[lane] = other.given;
    }
    const unsigned mask = caller.mask;
    for (unsigned lane = 0; lane < WARP_LANES; ++lane) {
        if (!(mask >> lane & 1)) continue;
        memcpy(run.fibers[begin + lane].got, table, sizeof(table));
        make_ready(begin + lane);
    }
}

inline void describe_threads() {
    Launch& run = *launch;
    auto same = [](const Fiber& a, const Fiber& b) {
        return a.state == b.state && (a.state == State::exited || a.state == State::ready || a.place == b.place);
    };
    run.report.add("; block %u", blockIdx.x);
    for (unsigned begin = 0, end; begin < run.fibers.size(); begin = end) {
        const Fiber& fiber = run.fibers[begin];
        for (end = begin + 1; end < run.fibers.size() && same(fiber, run.fibers[end]);) ++end;
        run.report.add("; threads %u to %u ", begin, end - 1);
        if (fiber.state == State::exited) run.report.add("have exited");
        else if (fiber.state == State::ready) run.report.add("could run");
        else run.report.add("wait at %s (%s:%d)", fiber.place.what, fiber.place.file, fiber.place.line);
    }
}

inline void run_block() {
    Launch& run = *launch;
    run.waiting = run.exited = 0;
    run.ready.clear();
    for (unsigned t = 0; t < run.fibers.size(); ++t) {
        ucontext_t& context = run.fibers[t].context;
        getcontext(&context);
        context.uc_stack.ss_sp = run.stacks.get() + t * STACK_BYTES;
        context.uc_stack.ss_size = STACK_BYTES;
        context.uc_link = &run.scheduler;
        run.fibers[t].copies.clear();
        run.fibers[t].groups = 0;
        makecontext(&context, fiber_main, 0);
        make_ready(t);
    }
    for (unsigned& speed : run.warp_speed) speed = run.random.below(1u << 30);
    const unsigned candidates = 1 + 7 * run.random.below(2);
    while (!run.ready.empty() && !run.report.failed) {
        run.current = take_ready(candidates);
        threadIdx = {run.current, 0, 0};
        Fiber& fiber = run.fibers[run.current];
        swapcontext(&run.scheduler, &fiber.context);
        run.waiting += fiber.state == State::at_barrier;
        run.exited += fiber.state == State::exited;
        if (fiber.state == State::at_collective) open_collective_if_all_arrived(run.current);
        else open_barrier_if_all_arrived();
    }
    if (!run.report.failed && run.exited < run.fibers.size()) run.report.add("deadlock");
    if (run.report.failed) describe_threads();
}

// --------------------------------------------------------------------- wild pointers, shared memory, launches

// A fiber that touches memory it may not ends its launch, not the process.
inline void report_segfault(int, siginfo_t* fault, void*) {
    launch->report.add("thread %u touched the address %p", launch->current, fault->si_addr);
    setcontext(&launch->scheduler);
}

// Catches segmentation faults as long as it lives.
struct SegfaultGuard {
    struct sigaction before;
    SegfaultGuard() {
        struct sigaction ours {};
        ours.sa_sigaction = report_segfault;
        ours.sa_flags = SA_SIGINFO;
        sigaction(SIGSEGV, &ours, &before);
    }
    ~SegfaultGuard() { sigaction(SIGSEGV, &before, nullptr); }
};

static thread_local char somewhere_in_shared_memory;

struct Storage {
    char* begin;
    size_t size;
};

// The thread-local storage of this shared object: all __shared__ variables of the kernels in it.
inline Storage shared_memory() {
    Storage storage{&somewhere_in_shared_memory, 1};
    dl_iterate_phdr(
        [](dl_phdr_info* object, size_t, void* found) {
            Storage& storage = *static_cast<Storage*>(found);
            for (int k = 0; k < object->dlpi_phnum; ++k) {
                const auto& segment = object->dlpi_phdr[k];
                char* begin = static_cast<char*>(object->dlpi_tls_data);
                if (segment.p_type != PT_TLS || begin == nullptr) continue;
                if (storage.begin >= begin && storage.begin < begin + segment.p_memsz) {
                    storage = {begin, segment.p_memsz};
                    return 1;
                }
            }
            return 0;
        },
        &storage);
    return storage;
}

// The `extern __shared__` array, if there is one; HostModule defines it and says its name.
inline Storage dynamic_shared_memory() {
#ifdef DYNAMIC_SHARED
    return {reinterpret_cast<char*>(DYNAMIC_SHARED), DYNAMIC_SHARED_BYTES};
#else
    return {nullptr, 0};
#endif
}

inline void check_beyond(const Storage& dynamic, size_t bytes) {
    for (size_t k = bytes; k < dynamic.size; ++k)
        if (dynamic.begin[k] != char(0xff))
            return launch->report.add("block %u wrote beyond its %zu bytes of dynamic shared memory", blockIdx.x, bytes);
}

inline int run_grid(unsigned grid, unsigned block, size_t shared_bytes, Word seed, void (*call)(void**),
                    void** arguments, char* text, size_t size) {
    const Storage shared = shared_memory(), dynamic = dynamic_shared_memory();
    const size_t static_bytes = shared.size - dynamic.size;
    Launch run{};
    run.report = {text, size, 0, false};
    if (static_bytes > STATIC_SHARED_BYTES) run.report.add("%zu bytes of static shared memory", static_bytes);
    if (static_bytes + shared_bytes > MOST_SHARED_BYTES)
        run.report.add("%zu bytes of shared memory", static_bytes + shared_bytes);
    run.fibers.resize(block);
    run.stacks.reset(new char[block * STACK_BYTES]);
    run.warp_speed.resize((block + WARP_LANES - 1) / WARP_LANES);
    run.random.state = seed;
    run.call = call;
    run.arguments = arguments;
    launch = &run;
    const SegfaultGuard guard;
    gridDim = {grid, 1, 1};
    blockDim = {block, 1, 1};
    std::vector<unsigned> order(grid);
    for (unsigned k = 0; k < grid; ++k) {  // a random permutation, built from the inside out
        const unsigned j = run.random.below(k + 1);
        order[k] = order[j];
        order[j] = k;
    }
    for (unsigned k = 0; k < grid && !run.report.failed; ++k) {
        blockIdx = {order[k], 0, 0};
        memset(shared.begin, 0xff, shared.size);
        run_block();
        if (!run.report.failed) check_beyond(dynamic, shared_bytes);
    }
    launch = nullptr;
    return run.report.failed;
}

#ifndef ROWS_CUH
struct float16;
struct bfloat16;
#else
using ::bfloat16;
using ::float16;
#endif

// Letters of NumPy for the types of parameters, b for bfloat16; P before the letter for a pointer to it.
template <class T>
constexpr char LETTER = std::is_same<T, float16>::value         ? 'e'
                        : std::is_same<T, bfloat16>::value       ? 'b'
                        : std::is_same<T, float>::value          ? 'f'
                        : std::is_same<T, double>::value         ? 'd'
                        : std::is_same<T, unsigned char>::value  ? 'B'
                        : std::is_same<T, unsigned short>::value ? 'H'
                        : std::is_same<T, int>::value            ? 'i'
                        : std::is_same<T, unsigned>::value       ? 'I'
                        : std::is_same<T, long long>::value      ? 'q'
                        : std::is_same<T, Word>::value           ? 'Q'
                                                                 : '?';

template <class... A>
void write_signature(void (*)(A...), char* text) {
    ((std::is_pointer<A>::value ? void(*text++ = 'P') : void(),
      *text++ = LETTER<std::remove_cv_t<std::remove_pointer_t<A>>>, *text++ = ' '),
     ...);
    *text = 0;
}

template <class... A, size_t... I>
void apply(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<A*>(arguments[I])...);
}
template <class... A>
void apply(void (*kernel)(A...), void** arguments) {
    apply(kernel, arguments, std::index_sequence_for<A...>{});
}

}  // namespace kernel_host

// Arguments as cuLaunchKernel takes them: a pointer to each.
#define EXPORT_KERNEL(name)                                                                                            \
    extern "C" void signature_##name(char* text) { kernel_host::write_signature(name, text); }                        \
    extern "C" int launch_##name(unsigned grid, unsigned block, size_t shared_bytes, unsigned long long seed,          \
                                 void** arguments, char* text, size_t size) {                                          \
        return kernel_host::run_grid(                                                                                  \
            grid, block, shared_bytes, seed, [](void** values) { kernel_host::apply(name, values); }, arguments, text, \
            size);                                                                                                     \
    }
