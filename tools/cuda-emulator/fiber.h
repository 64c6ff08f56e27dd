// The state of the block that runs, shared by the parts of the engine.
#pragma once

#include "emulate.h"

#include "engine.h"
#include "runtime.h"

#include <vector>

namespace emu {

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

extern std::vector<Thread> threads; // of the block
extern Thread *current;             // null outside kernels
extern const Launch *launch;
extern uint64_t launches;     // so far; 0 is for memory that no kernel has touched
extern uint64_t block_number; // within the grid
extern bool fenced;           // a __threadfence was seen in this launch: blocks may communicate

struct Settings {
    bool init = setting("CUDA_EMULATOR_INIT", 1);
    bool races = setting("CUDA_EMULATOR_RACES", 1);
    bool reverse = setting("CUDA_EMULATOR_REVERSE", 0);
};
extern const Settings settings;

// The name of a warp operation.
const char *name_of(int kind);

// access.cpp
void clear_shared();
void forget_allocations();
// Memory of the host that the kernel may read until `forbid` is called with what `permitted` said.
size_t permitted();
void forbid(size_t from);

// report.cpp
void catch_signals();

} // namespace emu
