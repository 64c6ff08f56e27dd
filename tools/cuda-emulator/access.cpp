// Every access that the kernel's code makes calls back here (gcc's -fsanitize=kernel-address makes
// it do so) and is checked: bounds, alignment, whether the memory was written before, and whether
// another thread may touch it at the same time.

#include "fiber.h"

#include <cstring>

namespace emu {

namespace {

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

// ---- Marks: who touched a cell -----------------------------------------------------------------

// launch 16 bits, block 20, thread 10, barriers passed 9, warp operations passed 8, atomic 1
struct Seen {
    uint64_t launch, block, thread, barriers, warps, atomic;
};
Mark pack(const Seen &s) {
    return s.launch << 48 | s.block << 28 | s.thread << 18 | s.barriers << 9 | s.warps << 1 |
           s.atomic;
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

[[noreturn]] void fail_race(void *instruction, const char *verb, const void *address, Mark earlier,
                            const char *before, const std::string &where) {
    Seen e = unpack(earlier);
    fail_at(
        instruction,
        "%s %p, %s, which thread %llu of block %llu %s with nothing in between that orders the two",
        verb, address, where.c_str(), (unsigned long long)e.thread, (unsigned long long)e.block,
        before);
}

void check_cells(Cell *cells, size_t offset, size_t bytes, bool write, bool atomic,
                 void *instruction, const void *address, bool in_shared) {
    // Neighbouring bytes share a cell.
    if (bytes < CELL) return;
    Mark now = mark(atomic);
    for (size_t i = offset / CELL; i <= (offset + bytes - 1) / CELL; i++) {
        Cell &cell = cells[i];
        if (races(cell.write, now))
            fail_race(instruction, write ? "writes" : "reads", address, cell.write, "wrote",
                      in_shared ? "in shared memory" : whereabouts(address));
        if (write && races(cell.read, now))
            fail_race(instruction, "writes", address, cell.read, "read",
                      in_shared ? "in shared memory" : whereabouts(address));
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
        fail_at(instruction, "%s %zu bytes at %p, which is not aligned to %zu", verb, bytes, p,
                bytes);
    if (const Allocation *a = locate(p)) {
        size_t offset = size_t(p - a->base);
        if (offset + bytes > a->bytes)
            fail_at(instruction, "%s %zu bytes at %p, %s", verb, bytes, p, whereabouts(p).c_str());
        if (write) {
            memset(a->initialised + offset, 1, bytes);
        } else if (settings.init && !all_set(a->initialised + offset, bytes)) {
            fail_at(instruction, "reads %zu bytes at %p that were never written, %s", bytes, p,
                    whereabouts(p).c_str());
        }
        if (settings.races)
            check_cells(a->cells, offset, bytes, write, atomic, instruction, p, false);
        return;
    }
    if (p >= shared && p < shared + SHARED_ROOM) {
        size_t offset = size_t(p - shared);
        for (auto &v : variables) {
            if (offset < v.begin || offset + bytes > v.end) continue;
            if (write) {
                memset(shared_initialised + offset, 1, bytes);
            } else if (settings.init && !all_set(shared_initialised + offset, bytes)) {
                fail_at(instruction, "reads %zu bytes of shared memory that were never written",
                        bytes);
            }
            if (settings.races)
                check_cells(shared_cells, offset, bytes, write, atomic, instruction, p, true);
            return;
        }
        for (auto &v : variables)
            if (offset >= v.begin && offset < v.end + SHARED_GAP)
                fail_at(instruction, "%s %zu bytes at offset %zu of a shared variable of %zu bytes",
                        verb, bytes, offset - v.begin, v.end - v.begin);
        fail_at(instruction, "%s %zu bytes of shared memory outside its variables", verb, bytes);
    }
    for (auto &r : allowed)
        if (p >= r.begin && p + bytes <= r.end && (r.writable || !write)) return;
    fail_at(instruction, "%s %zu bytes at %p, %s", verb, bytes, p, whereabouts(p).c_str());
}

} // namespace

void clear_shared() {
    memset(shared, 0xff, shared_used);
    memset(shared_initialised, 0, shared_used);
    memset(static_cast<void *>(shared_cells), 0, (shared_used / CELL + 1) * sizeof(Cell));
    variables.clear();
    variables.push_back({nullptr, 0, launch->dynamic_shared});
    shared_used = launch->dynamic_shared + SHARED_GAP;
    shared_declared = 0;
}

void forget_allocations() { memset(static_cast<void *>(recent), 0, sizeof recent); }

void allow(const void *begin, const void *end, bool writable) {
    allowed.push_back({static_cast<const char *>(begin), static_cast<const char *>(end), writable});
}

size_t permitted() { return allowed.size(); }
void forbid(size_t from) { allowed.resize(from); }

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
        fail("takes %zu bytes of shared memory, %zu of them dynamic; it may have %zu",
             shared_declared + launch->dynamic_shared, launch->dynamic_shared,
             launch->shared_limit);
    return shared + begin;
}

extern "C" void emu_atomic(const void *address, size_t bytes) {
    access(reinterpret_cast<uintptr_t>(address), bytes, false, true, __builtin_return_address(0));
    access(reinterpret_cast<uintptr_t>(address), bytes, true, true, __builtin_return_address(0));
}

// What instrumented code calls. Variables named threadIdx and so on are ours.
#define HOOKS(bytes)                                                                               \
    extern "C" void __asan_load##bytes##_noabort(uintptr_t address) {                              \
        access(address, bytes, false, false, __builtin_return_address(0));                         \
    }                                                                                              \
    extern "C" void __asan_store##bytes##_noabort(uintptr_t address) {                             \
        access(address, bytes, true, false, __builtin_return_address(0));                          \
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
