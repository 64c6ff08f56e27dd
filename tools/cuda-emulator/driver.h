// What the two halves of the driver share.
#pragma once

#include "runtime.h"

#include <cuda.h>

// The context of this thread.
extern thread_local CUcontext current_context;

// Names the call in messages; nothing else can go on meanwhile.
#define CALL                                                                                       \
    std::lock_guard guard(lock);                                                                   \
    Call call(__func__)
#define IN_CONTEXT                                                                                 \
    CALL;                                                                                          \
    if (!current_context) return CUDA_ERROR_INVALID_CONTEXT

inline void *pointer(CUdeviceptr p) { return reinterpret_cast<void *>(p); }

void check_stream(CUstream stream);
