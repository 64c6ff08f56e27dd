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
    size_t shared_limit; // of static and dynamic shared memory together
    void **arguments;
};

void run(const Launch &launch);

// Memory of a kernel library that kernels may read (constants) or also write (variables).
void allow(const void *begin, const void *end, bool writable);

// Shared memory that a block may have on compute capability 9.0, static and dynamic together: the
// larger amount where the function's attribute allows more dynamic memory than the smaller.
constexpr size_t SHARED_DEFAULT = 48 << 10;
constexpr size_t SHARED_MOST = 227 << 10;

} // namespace emu
