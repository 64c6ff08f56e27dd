// Device memory: every allocation apart from the others, filled with NaNs, with a record of what
// has been written.

#include "runtime.h"

#include <sys/mman.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>

namespace emu {

std::recursive_mutex lock;

namespace {

// Inaccessible bytes on either side, so that no overrun lands in a neighbour.
constexpr size_t GAP = 1 << 16;
constexpr size_t PAGE = 4096;
// Freed address ranges stay unused for this many frees, so that late accesses are found.
constexpr size_t QUARANTINE = 4096;

struct Freed {
    char *base;
    size_t bytes, mapped;
    uint64_t serial;
};

std::map<const char *, Allocation> live;
std::deque<Freed> freed;
size_t used, peak;
uint64_t serials;

size_t pages(size_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

void *reserve(size_t bytes, int protection) {
    void *p = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) fail("the host has no memory left");
    return p;
}

} // namespace

size_t memory_total() {
    static const size_t total = size_t(setting("CUDA_EMULATOR_MEMORY", 80ll << 30));
    return total;
}
size_t memory_used() { return used; }
size_t memory_peak() { return peak; }
void forget_memory_peak() { peak = used; }

void *allocate(size_t bytes) {
    std::lock_guard guard(lock);
    size_t room = (bytes + 511) / 512 * 512; // what the driver would take
    if (used + room > memory_total()) return nullptr;
    size_t mapped = pages(bytes) + 2 * GAP;
    char *base = static_cast<char *>(reserve(mapped, PROT_NONE)) + GAP;
    if (mprotect(base, pages(bytes), PROT_READ | PROT_WRITE)) fail("the host has no memory left");
    memset(base, 0xff, bytes); // NaN in every floating-point type
    used += room;
    peak = used > peak ? used : peak;
    Allocation a{base, bytes, ++serials, nullptr, nullptr};
    a.initialised = static_cast<uint8_t *>(reserve(pages(bytes), PROT_READ | PROT_WRITE));
    a.cells = static_cast<Cell *>(
        reserve(pages(bytes / CELL * sizeof(Cell) + sizeof(Cell)), PROT_READ | PROT_WRITE));
    live[base] = a;
    return base;
}

void release(void *pointer) {
    std::lock_guard guard(lock);
    auto it = live.find(static_cast<char *>(pointer));
    if (it == live.end()) fail("frees %p, %s", pointer, whereabouts(pointer).c_str());
    Allocation a = it->second;
    live.erase(it);
    used -= (a.bytes + 511) / 512 * 512;
    munmap(a.initialised, pages(a.bytes));
    munmap(a.cells, pages(a.bytes / CELL * sizeof(Cell) + sizeof(Cell)));
    mmap(a.base, pages(a.bytes), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
         -1, 0);
    freed.push_back({a.base, a.bytes, pages(a.bytes) + 2 * GAP, a.serial});
    if (freed.size() > QUARANTINE) {
        munmap(freed.front().base - GAP, freed.front().mapped);
        freed.pop_front();
    }
}

void forget_marks() {
    for (auto &[base, a] : live)
        madvise(a.cells, pages(a.bytes / CELL * sizeof(Cell) + sizeof(Cell)), MADV_DONTNEED);
}

const Allocation *find(const void *address) {
    auto p = static_cast<const char *>(address);
    auto it = live.upper_bound(p);
    if (it == live.begin()) return nullptr;
    const Allocation &a = (--it)->second;
    // One past the end belongs to it too: an empty view may sit there.
    return p <= a.base + a.bytes ? &a : nullptr;
}

std::string whereabouts(const void *address) {
    auto p = static_cast<const char *>(address);
    char text[200];
    for (auto &[base, a] : live) {
        if (p >= base - GAP && p < base + pages(a.bytes) + GAP) {
            if (p < base)
                snprintf(text, sizeof text, "%zd bytes before", base - p);
            else if (p >= base + a.bytes)
                snprintf(text, sizeof text, "%zd bytes past the end of", p - (base + a.bytes));
            else
                snprintf(text, sizeof text, "%zd bytes into", p - base);
            return std::string(text) + " allocation " + std::to_string(a.serial) + " of " +
                   std::to_string(a.bytes) + " bytes";
        }
    }
    for (auto f = freed.rbegin(); f != freed.rend(); ++f)
        if (p >= f->base - GAP && p < f->base + f->mapped - GAP)
            return "in allocation " + std::to_string(f->serial) + " of " +
                   std::to_string(f->bytes) + " bytes, freed before";
    return "not device memory";
}

static const Allocation &range(const void *pointer, size_t bytes, const char *what,
                               const char *verb) {
    const Allocation *a = find(pointer);
    auto p = static_cast<const char *>(pointer);
    if (!a || p + bytes > a->base + a->bytes)
        fail("%s: %s %zu bytes at %p, %s", what, verb, bytes, pointer,
             whereabouts(a ? a->base + a->bytes : pointer).c_str());
    return *a;
}

void reads(const void *pointer, size_t bytes, const char *what) {
    if (bytes == 0) return;
    std::lock_guard guard(lock);
    const Allocation &a = range(pointer, bytes, what, "reads");
    const uint8_t *initialised = a.initialised + (static_cast<const char *>(pointer) - a.base);
    if (auto hole = static_cast<const uint8_t *>(memchr(initialised, 0, bytes))) {
        static const bool check = setting("CUDA_EMULATOR_INIT", 1);
        if (check)
            fail("%s: reads memory that was never written, %s", what,
                 whereabouts(a.base + (hole - a.initialised)).c_str());
    }
}

void writes(void *pointer, size_t bytes, const char *what) {
    if (bytes == 0) return;
    std::lock_guard guard(lock);
    const Allocation &a = range(pointer, bytes, what, "writes");
    memset(a.initialised + (static_cast<char *>(pointer) - a.base), 1, bytes);
}

} // namespace emu
