// Runs kernels: blocks one after another, the threads of a block as fibers.
#pragma once

#include <cstddef>

#include <vector_types.h>

namespace emu {

struct Kernel;

struct Launch {
    const Kernel *kernel;
    dim3 grid, block;
    size_t dynamic_shared;
    void **arguments;
};

void run(const Launch &launch);

// Memory of a kernel library that kernels may read (constants) or also write (variables).
void allow(const void *begin, const void *end, bool writable);

constexpr size_t SHARED_STATIC = 48 << 10;  // bytes a block may declare
constexpr size_t SHARED_MOST = 227 << 10;   // with dynamic memory, on compute capability 9.0
constexpr size_t SHARED_DEFAULT = 48 << 10; // dynamic, unless the function's attribute is raised

} // namespace emu
