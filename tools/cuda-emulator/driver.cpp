// The driver (libcuda.so.1), as far as cudarc and candle use it: one device of compute capability
// 9.0 whose work is done within the call that asks for it. Functions that are missing here are
// missing from the library: the import libraries then name them and answer an error.

#include "driver.h"
#include "engine.h"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>

using namespace emu;

// ---- What the handles point to -----------------------------------------------------------------

struct CUctx_st {
    int retained;
};
struct CUstream_st {};
struct CUevent_st {
    unsigned flags;
    bool recorded;
    std::chrono::steady_clock::time_point time;
    CUstream stream;
};
struct CUmemPoolHandle_st {
    uint64_t release_threshold;
};

namespace {

CUctx_st primary;
CUmemPoolHandle_st pool;
std::set<CUstream> streams;
std::set<CUevent> events;

void check_event(CUevent event) {
    if (!events.count(event)) fail("%p is no event", static_cast<void *>(event));
}

// ---- Page-locked host memory -------------------------------------------------------------------

// Copies from and to it go on after the call. What arrives there is NaNs until somebody has
// waited, and what leaves from there must not change until then.
struct Flight {
    CUstream stream;
    char *host;
    std::vector<char> data;
    bool to_host;
};
std::map<char *, size_t> pinned;
std::vector<Flight> flights;

bool is_pinned(const void *host) {
    auto p = static_cast<char *>(const_cast<void *>(host));
    auto it = pinned.upper_bound(p);
    return it != pinned.begin() && p < (--it)->first + it->second;
}

void land(Flight &f) {
    if (f.to_host)
        memcpy(f.host, f.data.data(), f.data.size());
    else if (memcmp(f.host, f.data.data(), f.data.size()))
        fail("page-locked host memory was changed before the copy from it was waited for");
}

// Finishes the copies of a stream, or of all of them.
void wait_for(CUstream stream, bool all) {
    std::vector<Flight> left;
    for (auto &f : flights) {
        if (all || f.stream == stream)
            land(f);
        else
            left.push_back(std::move(f));
    }
    flights = std::move(left);
}

} // namespace

thread_local CUcontext current_context;
bool emu::context_is_current() { return current_context != nullptr; }

void check_stream(CUstream stream) {
    if (stream == nullptr || stream == CU_STREAM_LEGACY || stream == CU_STREAM_PER_THREAD) return;
    if (!streams.count(stream)) fail("%p is no stream", static_cast<void *>(stream));
}

extern "C" {

// ---- Device and context ------------------------------------------------------------------------

CUresult cuInit(unsigned) { return CUDA_SUCCESS; }

CUresult cuDriverGetVersion(int *version) {
    *version = CUDA_VERSION;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count) {
    *count = 1;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    *device = ordinal;
    return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice) {
    snprintf(name, size_t(length), "emulator");
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice) {
    memset(uuid, 0x45, sizeof *uuid);
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem(size_t *bytes, CUdevice) {
    *bytes = memory_total();
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice) {
    CALL;
    switch (attribute) { // of an H100
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 9; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 0; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
        *value = int(setting("CUDA_EMULATOR_SMS", 132));
        break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: *value = 64; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: *value = 0x7fffffff; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y: *value = 65535; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: *value = 65535; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR: *value = 2048; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR: *value = 32; break;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK: *value = 65536; break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = SHARED_DEFAULT; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = SHARED_MOST; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: *value = 228 << 10; break;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: *value = 50 << 20; break;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: *value = 1980000; break;
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *value = 1; break;
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING: *value = 1; break;
    case CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH: *value = 0; break;
    case CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY: *value = 0; break;
    default:
        fprintf(stderr, "CUDA emulator: device attribute %d is not known here\n", int(attribute));
        return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *c, CUdevice) {
    CALL;
    primary.retained++;
    *c = &primary;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice) {
    CALL;
    primary.retained--;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *c) {
    *c = current_context;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext c) {
    CALL;
    if (c && c != &primary) fail("%p is no context", static_cast<void *>(c));
    current_context = c;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice *device) {
    *device = 0;
    return current_context ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuCtxSynchronize(void) {
    IN_CONTEXT;
    wait_for(nullptr, true);
    return CUDA_SUCCESS;
}

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest) {
    *least = 0;
    *greatest = -5;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetFlags(unsigned) { return CUDA_SUCCESS; }

CUresult cuGetErrorName(CUresult error, const char **text) {
    switch (error) {
    case CUDA_SUCCESS: *text = "CUDA_SUCCESS"; break;
    case CUDA_ERROR_INVALID_VALUE: *text = "CUDA_ERROR_INVALID_VALUE"; break;
    case CUDA_ERROR_OUT_OF_MEMORY: *text = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case CUDA_ERROR_INVALID_CONTEXT: *text = "CUDA_ERROR_INVALID_CONTEXT"; break;
    case CUDA_ERROR_INVALID_DEVICE: *text = "CUDA_ERROR_INVALID_DEVICE"; break;
    case CUDA_ERROR_INVALID_HANDLE: *text = "CUDA_ERROR_INVALID_HANDLE"; break;
    case CUDA_ERROR_NOT_FOUND: *text = "CUDA_ERROR_NOT_FOUND"; break;
    case CUDA_ERROR_NOT_READY: *text = "CUDA_ERROR_NOT_READY"; break;
    case CUDA_ERROR_INVALID_PTX: *text = "CUDA_ERROR_INVALID_PTX"; break;
    default: *text = "CUDA_ERROR"; break;
    }
    return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char **text) {
    cuGetErrorName(error, text);
    if (error == CUDA_ERROR_OUT_OF_MEMORY) *text = "out of memory";
    return CUDA_SUCCESS;
}

// ---- Memory ------------------------------------------------------------------------------------

CUresult cuMemAlloc(CUdeviceptr *p, size_t bytes) {
    IN_CONTEXT;
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    *p = reinterpret_cast<CUdeviceptr>(allocate(bytes));
    return *p ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemAllocAsync(CUdeviceptr *p, size_t bytes, CUstream stream) {
    IN_CONTEXT;
    check_stream(stream);
    // The stream-ordered form takes nothing for nothing.
    *p = bytes ? reinterpret_cast<CUdeviceptr>(allocate(bytes)) : 0;
    return *p || !bytes ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *p, size_t bytes, CUmemoryPool from, CUstream stream) {
    if (from != &pool) return CUDA_ERROR_INVALID_VALUE;
    return cuMemAllocAsync(p, bytes, stream);
}

CUresult cuMemFree(CUdeviceptr p) {
    IN_CONTEXT;
    wait_for(nullptr, true); // it synchronises
    if (p) release(pointer(p));
    return CUDA_SUCCESS;
}

CUresult cuMemFreeAsync(CUdeviceptr p, CUstream stream) {
    IN_CONTEXT;
    check_stream(stream);
    if (p) release(pointer(p));
    return CUDA_SUCCESS;
}

CUresult cuMemGetInfo(size_t *free, size_t *total) {
    IN_CONTEXT;
    *total = memory_total();
    *free = *total - memory_used();
    return CUDA_SUCCESS;
}

#define MEMSET(name, T)                                                                            \
    CUresult name(CUdeviceptr p, T value, size_t count) {                                          \
        IN_CONTEXT;                                                                                \
        if (p % sizeof(T)) return CUDA_ERROR_INVALID_VALUE;                                        \
        writes(pointer(p), count * sizeof(T), "the destination");                                  \
        for (size_t i = 0; i < count; i++) static_cast<T *>(pointer(p))[i] = value;                \
        return CUDA_SUCCESS;                                                                       \
    }                                                                                              \
    CUresult name##Async(CUdeviceptr p, T value, size_t count, CUstream stream) {                  \
        IN_CONTEXT;                                                                                \
        check_stream(stream);                                                                      \
        return (name)(p, value, count);                                                            \
    }
// cuda.h renames the synchronous forms only.
#undef cuMemsetD8
#undef cuMemsetD16
#undef cuMemsetD32
#define cuMemsetD8_v2Async cuMemsetD8Async
#define cuMemsetD16_v2Async cuMemsetD16Async
#define cuMemsetD32_v2Async cuMemsetD32Async
MEMSET(cuMemsetD8_v2, unsigned char)
MEMSET(cuMemsetD16_v2, unsigned short)
MEMSET(cuMemsetD32_v2, unsigned)

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
    IN_CONTEXT;
    check_stream(stream);
    writes(pointer(to), bytes, "the destination");
    memcpy(pointer(to), from, bytes);
    if (is_pinned(from)) {
        auto *host = static_cast<char *>(const_cast<void *>(from));
        flights.push_back({stream, host, {host, host + bytes}, false});
    }
    return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
    IN_CONTEXT;
    check_stream(stream);
    reads(pointer(from), bytes, "the source");
    if (is_pinned(to)) {
        auto *device = static_cast<char *>(pointer(from));
        flights.push_back({stream, static_cast<char *>(to), {device, device + bytes}, true});
        memset(to, 0xff, bytes);
    } else { // to ordinary memory the call waits
        wait_for(stream, false);
        memcpy(to, pointer(from), bytes);
    }
    return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    IN_CONTEXT;
    check_stream(stream);
    if (to < from + bytes && from < to + bytes) fail("the source and the destination overlap");
    reads(pointer(from), bytes, "the source");
    writes(pointer(to), bytes, "the destination");
    memcpy(pointer(to), pointer(from), bytes);
    return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t bytes) {
    CALL;
    CUresult result = cuMemcpyHtoDAsync(to, from, bytes, nullptr);
    wait_for(nullptr, true);
    return result;
}

CUresult cuMemcpyDtoH(void *to, CUdeviceptr from, size_t bytes) {
    CALL;
    CUresult result = cuMemcpyDtoHAsync(to, from, bytes, nullptr);
    wait_for(nullptr, true);
    return result;
}

CUresult cuMemcpyDtoD(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
    return cuMemcpyDtoDAsync(to, from, bytes, nullptr);
}

CUresult cuMemHostAlloc(void **p, size_t bytes, unsigned) {
    IN_CONTEXT;
    *p = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    memset(*p, 0xff, bytes);
    pinned[static_cast<char *>(*p)] = bytes;
    return CUDA_SUCCESS;
}

CUresult cuMemAllocHost(void **p, size_t bytes) { return cuMemHostAlloc(p, bytes, 0); }

CUresult cuMemFreeHost(void *p) {
    IN_CONTEXT;
    wait_for(nullptr, true);
    if (!pinned.erase(static_cast<char *>(p))) fail("%p is no page-locked host memory", p);
    free(p);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *p, CUdevice) {
    *p = &pool;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetMemPool(CUmemoryPool *p, CUdevice) {
    *p = &pool;
    return CUDA_SUCCESS;
}

CUresult cuMemPoolSetAttribute(CUmemoryPool p, CUmemPool_attribute attribute, void *value) {
    CALL;
    if (p != &pool) return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: memcpy(&pool.release_threshold, value, 8); break;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
        if (*static_cast<uint64_t *>(value)) return CUDA_ERROR_INVALID_VALUE;
        forget_memory_peak();
        break;
    default: break;
    }
    return CUDA_SUCCESS;
}

CUresult cuMemPoolGetAttribute(CUmemoryPool p, CUmemPool_attribute attribute, void *value) {
    CALL;
    if (p != &pool) return CUDA_ERROR_INVALID_VALUE;
    auto *out = static_cast<uint64_t *>(value);
    switch (attribute) {
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: *out = pool.release_threshold; break;
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT: *out = memory_used(); break;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH: *out = memory_peak(); break;
    default: *static_cast<int *>(value) = 1; break;
    }
    return CUDA_SUCCESS;
}

CUresult cuMemPoolTrimTo(CUmemoryPool p, size_t) {
    return p == &pool ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

// ---- Streams and events ------------------------------------------------------------------------

CUresult cuStreamCreate(CUstream *stream, unsigned) {
    IN_CONTEXT;
    *stream = new CUstream_st;
    streams.insert(*stream);
    return CUDA_SUCCESS;
}

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int) {
    return cuStreamCreate(stream, flags);
}

CUresult cuStreamDestroy(CUstream stream) {
    IN_CONTEXT;
    check_stream(stream);
    wait_for(stream, false);
    streams.erase(stream);
    delete stream;
    return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream) {
    IN_CONTEXT;
    check_stream(stream);
    wait_for(stream, false);
    return CUDA_SUCCESS;
}

CUresult cuStreamQuery(CUstream stream) { return cuStreamSynchronize(stream); }

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
    IN_CONTEXT;
    check_stream(stream);
    check_event(event);
    return CUDA_SUCCESS;
}

CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status) {
    CALL;
    check_stream(stream);
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent *event, unsigned flags) {
    IN_CONTEXT;
    *event = new CUevent_st{flags, false, {}, nullptr};
    events.insert(*event);
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy(CUevent event) {
    IN_CONTEXT;
    check_event(event);
    events.erase(event);
    delete event;
    return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
    IN_CONTEXT;
    check_event(event);
    check_stream(stream);
    event->recorded = true;
    event->time = std::chrono::steady_clock::now();
    event->stream = stream;
    return CUDA_SUCCESS;
}

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned) {
    return cuEventRecord(event, stream);
}

CUresult cuEventSynchronize(CUevent event) {
    IN_CONTEXT;
    check_event(event);
    // Waits for later copies too: a copy after the event's record that is read early stays unfound.
    if (event->recorded) wait_for(event->stream, false);
    return CUDA_SUCCESS;
}

CUresult cuEventQuery(CUevent event) { return cuEventSynchronize(event); }

static CUresult elapsed(float *milliseconds, CUevent start, CUevent end) {
    CALL;
    check_event(start);
    check_event(end);
    if (!start->recorded || !end->recorded) return CUDA_ERROR_INVALID_HANDLE;
    if ((start->flags | end->flags) & CU_EVENT_DISABLE_TIMING) return CUDA_ERROR_INVALID_HANDLE;
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
    return CUDA_SUCCESS;
}
#undef cuEventElapsedTime
CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end) {
    return elapsed(ms, start, end);
}
CUresult cuEventElapsedTime_v2(float *ms, CUevent start, CUevent end) {
    return elapsed(ms, start, end);
}

} // extern "C"
