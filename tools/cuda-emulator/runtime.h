// What the parts of the emulator share: device memory, checks, messages. Exported by the stand-in
// for libcuda.so.1, used by the other libraries too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "setting.h"

namespace emu {

// One lock over everything: calls come from several host threads, work is done in the call.
extern std::recursive_mutex lock;

// Ends the process with a message: what runs (kernel, block, thread, or library call), the source
// line, and what is wrong.
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
[[noreturn]] void fail_at(void *instruction, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// The library call in progress on this thread, for messages.
struct Call {
    explicit Call(const char *name);
    ~Call();
    const char *outer;
};

// A context is current on this thread (libraries need one as the driver does).
bool context_is_current();

// ---- Device memory -----------------------------------------------------------------------------

// Who touched a cell last, packed: see engine.cpp.
using Mark = uint64_t;
struct Cell {
    Mark write, read;
};
constexpr size_t CELL = 2; // bytes of memory a cell stands for

struct Allocation {
    char *base;
    size_t bytes;
    uint64_t serial;
    uint8_t *initialised; // one byte a byte
    Cell *cells;          // by base offset / CELL
};

void *allocate(size_t bytes); // null when there is no room left
void release(void *pointer);
size_t memory_total();
size_t memory_used();
size_t memory_peak();
void forget_memory_peak();

// The live allocation that holds the address, or null.
const Allocation *find(const void *address);
// Clears every cell.
void forget_marks();
// For messages: where an address lies in relation to the allocations, living and dead.
std::string whereabouts(const void *address);

// A library or a copy reads (what it reads must have been written) or writes device memory.
void reads(const void *pointer, size_t bytes, const char *what);
void writes(void *pointer, size_t bytes, const char *what);

} // namespace emu
