// Runs kernels: blocks one after another, the threads of a block as fibers that give way at
// barriers and warp operations. Every access that the kernel's code makes calls back here
// (gcc's -fsanitize=kernel-address makes it do so) and is checked: bounds, alignment, whether the
// memory was written before, and whether another thread may touch it at the same time.

#include "emulate.h"

#include "engine.h"
#include "runtime.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emu {

namespace {

// ---- Fibers ------------------------------------------------------------------------------------

enum class State { Fresh, Ready, Barrier, Warp, Done };

struct Thread {
    State state;
    unsigned index; // within the block
    uint3 position;
    void *stack_pointer;
    char *stack;
    unsigned barriers, warps; // passed so far: who is ordered with whom
    int value, how;           // of the barrier
    // The warp operation waited at.
    int kind, argument, width, bytes;
    unsigned mask;
    uint64_t bits, result;
};

constexpr size_t STACK = 256 << 10;

std::vector<Thread> threads;
std::vector<char *> stacks; // not in use
Thread *current;            // null outside kernels
void *scheduler;            // its stack pointer
const Launch *launch;
uint64_t launches;
uint64_t block_number;
bool fenced; // a __threadfence was seen in this launch: blocks may communicate

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
    void *p = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mprotect(p, 4096, PROT_NONE)) fail("the host has no memory left");
    return static_cast<char *>(p);
}

void resume(Thread &thread) {
    current = &thread;
    threadIdx = thread.position;
    if (thread.state == State::Fresh) {
        thread.stack = new_stack();
        auto top = reinterpret_cast<void **>(thread.stack + STACK);
        *--top = nullptr; // the ABI wants 16 bytes and a return address at a function's first instruction
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

const char *name_of(int kind) {
    static const char *const names[] = {"__syncwarp", "__shfl_sync", "__shfl_up_sync", "__shfl_down_sync", "__shfl_xor_sync",
                                        "a warp vote", "a warp reduction", "a warp reduction", "a warp reduction",
                                        "a warp reduction", "a warp reduction", "a warp reduction"};
    return names[kind];
}

// The lane whose value a shuffle takes, as the PTX manual defines it.
int source_lane(const Thread &thread, int lane) {
    int segment = lane & ~(thread.width - 1), last = segment + thread.width - 1, source = lane;
    switch (Warp(thread.kind)) {
    case Warp::Shuffle: source = segment + (thread.argument & (thread.width - 1)); break;
    case Warp::ShuffleUp: source = lane - thread.argument < segment ? lane : lane - thread.argument; break;
    case Warp::ShuffleDown: source = lane + thread.argument > last ? lane : lane + thread.argument; break;
    case Warp::ShuffleXor: source = (lane ^ thread.argument) > last ? lane : lane ^ thread.argument; break;
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
        if (kind == Warp::Shuffle || kind == Warp::ShuffleUp || kind == Warp::ShuffleDown || kind == Warp::ShuffleXor) {
            int source = source_lane(t, lane);
            if (!(members >> source & 1)) {
                current = &t;
                threadIdx = t.position;
                fail("%s reads lane %d, which does not take part (mask %08x, taking part %08x)", name_of(t.kind), source,
                     t.mask, members);
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
            if (o.state != State::Warp || o.mask != t.mask) complete_set = false;
            else if (o.kind != t.kind || o.bytes != t.bytes) {
                current = &t;
                threadIdx = t.position;
                fail("is at %s while thread %u of its warp is at %s, with the same mask %08x", name_of(t.kind), o.index,
                     name_of(o.kind), t.mask);
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

// ---- Shared memory -----------------------------------------------------------------------------

struct Variable {
    const void *site;
    size_t begin, end;
};

constexpr size_t SHARED_GAP = 64; // between variables, so that no overrun lands in a neighbour
constexpr size_t SHARED_ROOM = 512 << 10;
alignas(1024) char shared[SHARED_ROOM];
uint8_t shared_initialised[SHARED_ROOM];
Cell shared_cells[SHARED_ROOM / CELL];
std::vector<Variable> variables; // of this block; the first is the dynamic memory
size_t shared_used, shared_declared;

void clear_shared() {
    memset(shared, 0xff, shared_used);
    memset(shared_initialised, 0, shared_used);
    memset(static_cast<void *>(shared_cells), 0, (shared_used / CELL + 1) * sizeof(Cell));
    variables.clear();
    variables.push_back({nullptr, 0, launch->dynamic_shared});
    shared_used = launch->dynamic_shared + SHARED_GAP;
    shared_declared = 0;
}

// ---- Marks: who touched a cell -----------------------------------------------------------------

// launch 16 bits, block 20, thread 10, barriers passed 9, warp operations passed 8, atomic 1
struct Seen {
    uint64_t launch, block, thread, barriers, warps, atomic;
};
Mark pack(const Seen &s) {
    return s.launch << 48 | s.block << 28 | s.thread << 18 | s.barriers << 9 | s.warps << 1 | s.atomic;
}
Seen unpack(Mark m) {
    return {m >> 48, m >> 28 & 0xfffff, m >> 18 & 0x3ff, m >> 9 & 0x1ff, m >> 1 & 0xff, m & 1};
}
Mark mark(bool atomic) {
    return pack({launches, block_number & 0xfffff, current->index, current->barriers & 0x1ff,
                 current->warps & 0xff, atomic});
}
constexpr Mark SAME_THREAD = ~((1ull << 18) - 1);

// Whether nothing orders the access `now` after the earlier one.
bool races(Mark earlier, Mark now) {
    if (((earlier ^ now) & SAME_THREAD) == 0 || ((earlier ^ now) >> 48) != 0) return false;
    Seen e = unpack(earlier), n = unpack(now);
    if (e.atomic && n.atomic) return false;
    if (e.block != n.block) return !fenced;
    if (e.barriers != n.barriers) return false;
    return !(e.thread / 32 == n.thread / 32 && e.warps != n.warps);
}

struct Settings {
    bool init = setting("CUDA_EMULATOR_INIT", 1);
    bool races = setting("CUDA_EMULATOR_RACES", 1);
    bool reverse = setting("CUDA_EMULATOR_REVERSE", 0);
} const settings;

[[noreturn]] void fail_race(void *instruction, const char *verb, const void *address, Mark earlier, const char *before,
                            const std::string &where) {
    Seen e = unpack(earlier);
    fail_at(instruction, "%s %p, %s, which thread %llu of block %llu %s with nothing in between that orders the two", verb,
            address, where.c_str(), (unsigned long long)e.thread, (unsigned long long)e.block, before);
}

void check_cells(Cell *cells, size_t offset, size_t bytes, bool write, bool atomic, void *instruction, const void *address,
                 bool in_shared) {
    // Neighbouring bytes share a cell.
    if (bytes < CELL) return;
    Mark now = mark(atomic);
    for (size_t i = offset / CELL; i <= (offset + bytes - 1) / CELL; i++) {
        Cell &cell = cells[i];
        if (races(cell.write, now))
            fail_race(instruction, write ? "writes" : "reads", address, cell.write, "wrote",
                      in_shared ? "in shared memory" : whereabouts(address));
        if (write && races(cell.read, now))
            fail_race(instruction, "writes", address, cell.read, "read", in_shared ? "in shared memory" : whereabouts(address));
        if (write) cell.write = now;
        if (!write || atomic) cell.read = now;
    }
}

// ---- Accesses ----------------------------------------------------------------------------------

struct Allowed {
    const char *begin, *end;
    bool writable;
};
std::vector<Allowed> allowed;

// The allocations touched last: most accesses need no search.
const Allocation *recent[4];
unsigned next_recent;

const Allocation *locate(const char *p) {
    for (auto *a : recent)
        if (a && p >= a->base && p < a->base + a->bytes) return a;
    const Allocation *a = find(p);
    if (!a || p >= a->base + a->bytes) return nullptr;
    recent[next_recent++ % 4] = a;
    return a;
}

bool all_set(const uint8_t *p, size_t bytes) {
    switch (bytes) {
    case 1: return *p;
    case 2: return *reinterpret_cast<const uint16_t *>(p) == 0x0101;
    case 4: return *reinterpret_cast<const uint32_t *>(p) == 0x01010101;
    case 8: return *reinterpret_cast<const uint64_t *>(p) == 0x0101010101010101;
    default: return !memchr(p, 0, bytes);
    }
}

void access(uintptr_t address, size_t bytes, bool write, bool atomic, void *instruction) {
    if (!current) return;
    auto p = reinterpret_cast<const char *>(address);
    if (p >= current->stack && p + bytes <= current->stack + STACK) return;
    const char *verb = write ? "writes" : "reads";
    if (bytes <= 16 && (bytes & (bytes - 1)) == 0 && address % bytes != 0)
        fail_at(instruction, "%s %zu bytes at %p, which is not aligned to %zu", verb, bytes, p, bytes);
    if (const Allocation *a = locate(p)) {
        size_t offset = size_t(p - a->base);
        if (offset + bytes > a->bytes)
            fail_at(instruction, "%s %zu bytes at %p, %s", verb, bytes, p, whereabouts(p).c_str());
        if (write) {
            memset(a->initialised + offset, 1, bytes);
        } else if (settings.init && !all_set(a->initialised + offset, bytes)) {
            fail_at(instruction, "reads %zu bytes at %p that were never written, %s", bytes, p, whereabouts(p).c_str());
        }
        if (settings.races) check_cells(a->cells, offset, bytes, write, atomic, instruction, p, false);
        return;
    }
    if (p >= shared && p < shared + SHARED_ROOM) {
        size_t offset = size_t(p - shared);
        for (auto &v : variables) {
            if (offset < v.begin || offset + bytes > v.end) continue;
            if (write) {
                memset(shared_initialised + offset, 1, bytes);
            } else if (settings.init && !all_set(shared_initialised + offset, bytes)) {
                fail_at(instruction, "reads %zu bytes of shared memory that were never written", bytes);
            }
            if (settings.races) check_cells(shared_cells, offset, bytes, write, atomic, instruction, p, true);
            return;
        }
        for (auto &v : variables)
            if (offset >= v.begin && offset < v.end + SHARED_GAP)
                fail_at(instruction, "%s %zu bytes at offset %zu of a shared variable of %zu bytes", verb, bytes,
                        offset - v.begin, v.end - v.begin);
        fail_at(instruction, "%s %zu bytes of shared memory outside its variables", verb, bytes);
    }
    for (auto &r : allowed)
        if (p >= r.begin && p + bytes <= r.end && (r.writable || !write)) return;
    fail_at(instruction, "%s %zu bytes at %p, %s", verb, bytes, p, whereabouts(p).c_str());
}

// ---- Messages ----------------------------------------------------------------------------------

thread_local const char *call_name;

// The process is about to end, so that this is no place for the restrictions on signal handlers.
void print_line(void *instruction) {
    Dl_info info;
    if (!instruction || !dladdr(instruction, &info)) return;
    char command[4096];
    snprintf(command, sizeof command, "addr2line -i -f -C -s -e '%s' 0x%zx 1>&2", info.dli_fname,
             size_t(static_cast<char *>(instruction) - static_cast<char *>(info.dli_fbase)) - 1);
    fflush(stderr);
    if (system(command)) fprintf(stderr, "at %p in %s\n", instruction, info.dli_fname);
}

[[noreturn]] void end(void *instruction, const char *format, va_list arguments) {
    fprintf(stderr, "\nCUDA emulator: ");
    if (current) {
        fprintf(stderr, "kernel %s<<<(%u, %u, %u), (%u, %u, %u)>>>, block (%u, %u, %u), thread (%u, %u, %u) ",
                launch->kernel->name, gridDim.x, gridDim.y, gridDim.z, blockDim.x, blockDim.y, blockDim.z, blockIdx.x,
                blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    } else if (launch) {
        fprintf(stderr, "kernel %s: ", launch->kernel->name);
    } else if (call_name) {
        fprintf(stderr, "%s: ", call_name);
    }
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    print_line(instruction);
    signal(SIGABRT, SIG_DFL);
    abort();
}

struct sigaction previous[64];

void on_signal(int number, siginfo_t *info, void *context) {
    if (current) {
        auto *ip = reinterpret_cast<char *>(static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP]);
        if (number == SIGILL) fail_at(ip + 1, "has undefined behaviour (misaligned, overflowing, out of an array's bounds, or a division by zero)");
        if (number == SIGFPE) fail_at(ip + 1, "divides by zero");
        auto *p = static_cast<char *>(info->si_addr);
        if (p >= current->stack && p < current->stack + 4096) fail_at(ip + 1, "overflows its stack");
        fail_at(ip + 1, "touches %p, %s", static_cast<void *>(p), whereabouts(p).c_str());
    }
    sigaction(number, &previous[number], nullptr); // the instruction runs again
}

void catch_signals() {
    static bool done = false;
    if (done) return;
    done = true;
    for (int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) {
        struct sigaction action = {};
        action.sa_sigaction = on_signal;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigaction(number, &action, &previous[number]);
    }
}

// A fiber's overflown stack cannot hold the handler; the standard library gives its threads another
// one, other callers may not.
void provide_signal_stack() {
    stack_t now;
    if (sigaltstack(nullptr, &now) == 0 && !(now.ss_flags & SS_DISABLE)) return;
    static thread_local std::vector<char> room(64 << 10);
    stack_t mine = {};
    mine.ss_sp = room.data();
    mine.ss_size = room.size();
    sigaltstack(&mine, nullptr);
}

// ---- Blocks ------------------------------------------------------------------------------------

std::string list_states() {
    std::string text;
    for (auto &t : threads) {
        if (text.size() > 400) return text + " ...";
        const char *at = t.state == State::Done ? "returned" : t.state == State::Barrier ? "__syncthreads" : name_of(t.kind);
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
            fail("waits for ever, for not all threads reach its barrier: %zu of %zu at __syncthreads, %zu returned:%s", waiting,
                 count, done, list_states().c_str());
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

void allow(const void *begin, const void *end, bool writable) {
    allowed.push_back({static_cast<const char *>(begin), static_cast<const char *>(end), writable});
}

void run(const Launch &what) {
    std::lock_guard guard(lock);
    catch_signals();
    provide_signal_stack();
    launch = &what;
    if (++launches > 0xffff) { // the marks have no more room; 0 is for memory that no kernel has touched
        forget_marks();
        launches = 1;
    }
    fenced = false;
    memset(static_cast<void *>(recent), 0, sizeof recent);
    threads.resize(size_t(what.block.x) * what.block.y * what.block.z);
    gridDim = what.grid;
    blockDim = what.block;
    // The arguments lie on the host.
    size_t before = allowed.size();
    allow(what.arguments, what.arguments + what.kernel->arguments.size(), false);
    for (size_t i = 0; i < what.kernel->arguments.size(); i++) {
        auto *p = static_cast<const char *>(what.arguments[i]);
        allow(p, p + what.kernel->arguments[i].bytes, false);
    }
    uint64_t blocks = uint64_t(gridDim.x) * gridDim.y * gridDim.z;
    for (uint64_t i = 0; i < blocks; i++) {
        block_number = settings.reverse ? blocks - 1 - i : i;
        blockIdx = {unsigned(block_number % gridDim.x), unsigned(block_number / gridDim.x % gridDim.y),
                    unsigned(block_number / gridDim.x / gridDim.y)};
        run_block();
    }
    allowed.resize(before);
    launch = nullptr;
}

Call::Call(const char *name) : outer(call_name) { call_name = name; }
Call::~Call() { call_name = outer; }

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    end(nullptr, format, arguments);
}

void fail_at(void *instruction, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    end(instruction, format, arguments);
}

extern "C" int emu_barrier(int value, int how) {
    current->value = value;
    current->how = how;
    current->state = State::Barrier;
    give_way();
    return current->value;
}

extern "C" uint64_t emu_warp(int kind, unsigned mask, uint64_t value, int argument, int width, int bytes) {
    if (!(mask >> (current->index & 31) & 1)) fail_at(__builtin_return_address(0), "is at %s, but not in its mask %08x", name_of(kind), mask);
    if (width < 1 || width > 32 || (width & (width - 1))) fail_at(__builtin_return_address(0), "shuffles over a width of %d", width);
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

extern "C" void emu_atomic(const void *address, size_t bytes) {
    access(reinterpret_cast<uintptr_t>(address), bytes, false, true, __builtin_return_address(0));
    access(reinterpret_cast<uintptr_t>(address), bytes, true, true, __builtin_return_address(0));
}

extern "C" void emu_fence(void) { fenced = true; }

extern "C" void *emu_shared(const void *site, size_t bytes, size_t alignment) {
    if (!site) return shared;
    for (auto &v : variables)
        if (v.site == site) return shared + v.begin;
    size_t begin = (shared_used + alignment - 1) / alignment * alignment;
    variables.push_back({site, begin, begin + bytes});
    shared_used = begin + bytes + SHARED_GAP;
    shared_declared += bytes;
    if (shared_declared > SHARED_DEFAULT) fail("declares more than 48 KiB of shared memory");
    if (shared_declared + launch->dynamic_shared > launch->shared_limit)
        fail("takes %zu bytes of shared memory, %zu of them dynamic; it may have %zu", shared_declared + launch->dynamic_shared,
             launch->dynamic_shared, launch->shared_limit);
    return shared + begin;
}

// What instrumented code calls. Variables named threadIdx and so on are ours.
#define HOOKS(bytes)                                                                     \
    extern "C" void __asan_load##bytes##_noabort(uintptr_t address) {                    \
        access(address, bytes, false, false, __builtin_return_address(0));               \
    }                                                                                    \
    extern "C" void __asan_store##bytes##_noabort(uintptr_t address) {                   \
        access(address, bytes, true, false, __builtin_return_address(0));                \
    }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
extern "C" void __asan_loadN_noabort(uintptr_t address, size_t bytes) {
    access(address, bytes, false, false, __builtin_return_address(0));
}
extern "C" void __asan_storeN_noabort(uintptr_t address, size_t bytes) {
    access(address, bytes, true, false, __builtin_return_address(0));
}
extern "C" void __asan_handle_no_return(void) {}

} // namespace emu
