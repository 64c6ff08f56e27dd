// Settings from the environment.
#pragma once

#include <cstdlib>

namespace emu {

// CUDA_EMULATOR_<NAME> as a number; `otherwise` when unset.
inline long long setting(const char *name, long long otherwise) {
    const char *text = getenv(name);
    return text && *text ? atoll(text) : otherwise;
}

} // namespace emu
