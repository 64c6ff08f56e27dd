// Runs kernels: blocks one after another, the threads of a block as fibers that give way at
// barriers and warp operations.

#include "fiber.h"

#include <sys/mman.h>

#include <cstring>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emu {

std::vector<Thread> threads;
Thread *current;
const Launch *launch;
uint64_t launches;
uint64_t block_number;
bool fenced;
const Settings settings;

const char *name_of(int kind) {
    static const char *const names[] = {"__syncwarp",       "__shfl_sync",      "__shfl_up_sync",
                                        "__shfl_down_sync", "__shfl_xor_sync",  "a warp vote",
                                        "a warp reduction", "a warp reduction", "a warp reduction",
                                        "a warp reduction", "a warp reduction", "a warp reduction"};
    return names[kind];
}

namespace {

// ---- Fibers ------------------------------------------------------------------------------------

std::vector<char *> stacks; // not in use
void *scheduler;            // its stack pointer

// Saves the callee-saved registers and the stack pointer, takes up another stack.
extern "C" void emu_switch(void **save, void *load);
asm(R"(
.text
.globl emu_switch
.hidden emu_switch
.type emu_switch,@function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp,(%rdi)
    movq %rsi,%rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emu_switch,.-emu_switch
)");

void give_way() {
    emu_switch(&current->stack_pointer, scheduler);
    threadIdx = current->position; // others ran meanwhile
}

void fiber() {
    launch->kernel->call(launch->arguments);
    current->state = State::Done;
    emu_switch(&current->stack_pointer, scheduler);
    __builtin_unreachable();
}

char *new_stack() {
    if (!stacks.empty()) {
        char *stack = stacks.back();
        stacks.pop_back();
        return stack;
    }
    // The lowest page stays inaccessible, to find endless recursion and large local arrays.
    void *p = mmap(nullptr, STACK, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mprotect(p, 4096, PROT_NONE)) fail("the host has no memory left");
    return static_cast<char *>(p);
}

void resume(Thread &thread) {
    current = &thread;
    threadIdx = thread.position;
    if (thread.state == State::Fresh) {
        thread.stack = new_stack();
        auto top = reinterpret_cast<void **>(thread.stack + STACK);
        *--top = nullptr; // the ABI wants 16 bytes and a return address at a function's first
                          // instruction
        *--top = reinterpret_cast<void *>(fiber);
        top -= 6;
        thread.stack_pointer = top;
    }
    thread.state = State::Ready;
    emu_switch(&scheduler, thread.stack_pointer);
    if (thread.state == State::Done) {
        stacks.push_back(thread.stack);
        thread.stack = nullptr;
    }
}

// ---- Warp operations ---------------------------------------------------------------------------

// The lane whose value a shuffle takes, as the PTX manual defines it.
int source_lane(const Thread &thread, int lane) {
    int segment = lane & ~(thread.width - 1), last = segment + thread.width - 1, source = lane;
    switch (Warp(thread.kind)) {
    case Warp::Shuffle: source = segment + (thread.argument & (thread.width - 1)); break;
    case Warp::ShuffleUp:
        source = lane - thread.argument < segment ? lane : lane - thread.argument;
        break;
    case Warp::ShuffleDown:
        source = lane + thread.argument > last ? lane : lane + thread.argument;
        break;
    case Warp::ShuffleXor:
        source = (lane ^ thread.argument) > last ? lane : lane ^ thread.argument;
        break;
    default: break;
    }
    return source;
}

// Completes the operation of the lanes in `members`, which have all arrived.
void complete(Thread *warp, unsigned members) {
    uint64_t all = 0;
    bool first = true;
    for (int lane = 0; lane < 32; lane++) {
        if (!(members >> lane & 1)) continue;
        Thread &t = warp[lane];
        uint64_t v = t.bits;
        auto low = int64_t(v);
        switch (Warp(t.kind)) {
        case Warp::Ballot: all |= uint64_t(v != 0) << lane; break;
        case Warp::Add: all += v; break;
        case Warp::Min: all = first || low < int64_t(all) ? v : all; break;
        case Warp::Max: all = first || low > int64_t(all) ? v : all; break;
        case Warp::And: all = first ? v : all & v; break;
        case Warp::Or: all |= v; break;
        case Warp::Xor: all ^= v; break;
        default: break;
        }
        first = false;
    }
    for (int lane = 0; lane < 32; lane++) {
        if (!(members >> lane & 1)) continue;
        Thread &t = warp[lane];
        Warp kind = Warp(t.kind);
        if (kind == Warp::Shuffle || kind == Warp::ShuffleUp || kind == Warp::ShuffleDown ||
            kind == Warp::ShuffleXor) {
            int source = source_lane(t, lane);
            if (!(members >> source & 1)) {
                current = &t;
                threadIdx = t.position;
                fail("%s reads lane %d, which does not take part (mask %08x, taking part %08x)",
                     name_of(t.kind), source, t.mask, members);
            }
            t.result = warp[source].bits;
        } else {
            t.result = all;
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        if (!(members >> lane & 1)) continue;
        warp[lane].state = State::Ready;
        warp[lane].warps++;
    }
}

// Completes what can be completed in a warp; whether anything could.
bool settle_warp(Thread *warp, unsigned size) {
    bool progress = false;
    for (unsigned lane = 0; lane < size; lane++) {
        Thread &t = warp[lane];
        if (t.state != State::Warp) continue;
        unsigned members = 0;
        bool complete_set = true;
        for (unsigned other = 0; other < size; other++) {
            Thread &o = warp[other];
            if (!(t.mask >> other & 1) || o.state == State::Done) continue;
            if (o.state != State::Warp || o.mask != t.mask)
                complete_set = false;
            else if (o.kind != t.kind || o.bytes != t.bytes) {
                current = &t;
                threadIdx = t.position;
                fail("is at %s while thread %u of its warp is at %s, with the same mask %08x",
                     name_of(t.kind), o.index, name_of(o.kind), t.mask);
            }
            members |= 1u << other;
        }
        if (complete_set) {
            complete(warp, members);
            progress = true;
        }
    }
    return progress;
}

// ---- Blocks ------------------------------------------------------------------------------------

std::string list_states() {
    std::string text;
    for (auto &t : threads) {
        if (text.size() > 400) return text + " ...";
        const char *at = t.state == State::Done      ? "returned"
                         : t.state == State::Barrier ? "__syncthreads"
                                                     : name_of(t.kind);
        text += " " + std::to_string(t.index) + ":" + at;
    }
    return text;
}

// Lets the threads of one warp run until all are done or at the block's barrier.
void run_warp(Thread *warp, unsigned size) {
    for (bool progress = true; progress;) {
        for (unsigned i = 0; i < size; i++) {
            Thread &t = warp[settings.reverse ? size - 1 - i : i];
            if (t.state == State::Fresh || t.state == State::Ready) resume(t);
        }
        current = nullptr;
        progress = settle_warp(warp, size);
        current = nullptr;
    }
}

void run_block() {
    size_t count = threads.size();
    clear_shared();
    for (size_t i = 0; i < count; i++) {
        Thread &t = threads[i];
        unsigned x = unsigned(i) % blockDim.x, yz = unsigned(i) / blockDim.x;
        t = {};
        t.state = State::Fresh;
        t.index = unsigned(i);
        t.position = {x, yz % blockDim.y, yz / blockDim.y};
    }
    size_t warps = (count + 31) / 32;
    for (;;) {
        for (size_t w = 0; w < warps; w++) {
            size_t at = 32 * (settings.reverse ? warps - 1 - w : w);
            run_warp(&threads[at], unsigned(std::min<size_t>(32, count - at)));
        }
        size_t done = 0, waiting = 0;
        for (auto &t : threads) {
            done += t.state == State::Done;
            waiting += t.state == State::Barrier;
        }
        if (done == count) return;
        if (waiting != count) {
            for (auto &t : threads)
                if (t.state != State::Done) {
                    current = &t;
                    threadIdx = t.position;
                    break;
                }
            fail("waits for ever, for not all threads reach its barrier: %zu of %zu at "
                 "__syncthreads, %zu returned:%s",
                 waiting, count, done, list_states().c_str());
        }
        int sum = 0, how = threads[0].how;
        for (auto &t : threads) {
            sum += t.value != 0;
            if (t.how != how) fail("threads meet at different kinds of barriers");
        }
        for (auto &t : threads) {
            t.value = how == 1 ? sum : how == 2 ? sum == int(count) : sum != 0;
            t.state = State::Ready;
            t.barriers++;
            t.warps = 0;
        }
    }
}

} // namespace

void run(const Launch &what) {
    std::lock_guard guard(lock);
    catch_signals();
    launch = &what;
    if (++launches > 0xffff) { // the marks have no more room
        forget_marks();
        launches = 1;
    }
    fenced = false;
    forget_allocations();
    threads.resize(size_t(what.block.x) * what.block.y * what.block.z);
    gridDim = what.grid;
    blockDim = what.block;
    // The arguments lie on the host.
    size_t before = permitted();
    allow(what.arguments, what.arguments + what.kernel->arguments.size(), false);
    for (size_t i = 0; i < what.kernel->arguments.size(); i++) {
        auto *p = static_cast<const char *>(what.arguments[i]);
        allow(p, p + what.kernel->arguments[i].bytes, false);
    }
    uint64_t blocks = uint64_t(gridDim.x) * gridDim.y * gridDim.z;
    for (uint64_t i = 0; i < blocks; i++) {
        block_number = settings.reverse ? blocks - 1 - i : i;
        blockIdx = {unsigned(block_number % gridDim.x),
                    unsigned(block_number / gridDim.x % gridDim.y),
                    unsigned(block_number / gridDim.x / gridDim.y)};
        run_block();
    }
    forbid(before);
    launch = nullptr;
}

extern "C" int emu_barrier(int value, int how) {
    current->value = value;
    current->how = how;
    current->state = State::Barrier;
    give_way();
    return current->value;
}

extern "C" uint64_t emu_warp(int kind, unsigned mask, uint64_t value, int argument, int width,
                             int bytes) {
    if (!(mask >> (current->index & 31) & 1))
        fail_at(__builtin_return_address(0), "is at %s, but not in its mask %08x", name_of(kind),
                mask);
    if (width < 1 || width > 32 || (width & (width - 1)))
        fail_at(__builtin_return_address(0), "shuffles over a width of %d", width);
    current->kind = kind;
    current->mask = mask;
    current->bits = value;
    current->argument = argument;
    current->width = width;
    current->bytes = bytes;
    current->state = State::Warp;
    give_way();
    return current->result;
}

extern "C" void emu_fence(void) { fenced = true; }

} // namespace emu
