// The driver (libcuda.so.1), as far as cudarc and candle use it: one device of compute capability
// 9.0 whose work is done within the call that asks for it. Functions that are missing here are
// missing from the library: the import libraries then name them and answer an error.

#include "emulate.h"

#include "engine.h"
#include "runtime.h"

#include <cuda.h>
#include <dirent.h>
#include <dlfcn.h>
#include <link.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
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
struct CUmod_st {
    std::map<std::string, std::unique_ptr<CUfunc_st>> functions;
};
struct CUfunc_st {
    Kernel kernel;
    CUmodule module;
    unsigned most_threads; // a block, by __launch_bounds__
    size_t dynamic_shared = SHARED_DEFAULT;
};

namespace {

CUctx_st primary;
CUmemPoolHandle_st pool;
thread_local CUcontext context;
std::set<CUstream> streams;
std::set<CUevent> events;
std::set<CUmodule> modules;

// Names the call in messages; nothing else can go on meanwhile.
#define CALL                                          \
    std::lock_guard guard(lock);                      \
    Call call(__func__)
#define IN_CONTEXT                                    \
    CALL;                                             \
    if (!context) return CUDA_ERROR_INVALID_CONTEXT

void *pointer(CUdeviceptr p) { return reinterpret_cast<void *>(p); }

void check_stream(CUstream stream) {
    if (stream == nullptr || stream == CU_STREAM_LEGACY || stream == CU_STREAM_PER_THREAD) return;
    if (!streams.count(stream)) fail("%p is no stream", static_cast<void *>(stream));
}

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
    if (f.to_host) memcpy(f.host, f.data.data(), f.data.size());
    else if (memcmp(f.host, f.data.data(), f.data.size()))
        fail("page-locked host memory was changed before the copy from it was waited for");
}

// Finishes the copies of a stream, or of all of them.
void wait_for(CUstream stream, bool all) {
    std::vector<Flight> left;
    for (auto &f : flights) {
        if (all || f.stream == stream) land(f);
        else left.push_back(std::move(f));
    }
    flights = std::move(left);
}

} // namespace

bool emu::context_is_current() { return context != nullptr; }

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
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = int(setting("CUDA_EMULATOR_SMS", 132)); break;
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
    *c = context;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext c) {
    CALL;
    if (c && c != &primary) fail("%p is no context", static_cast<void *>(c));
    context = c;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice *device) {
    *device = 0;
    return context ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
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

#define MEMSET(name, T)                                                                     \
    CUresult name(CUdeviceptr p, T value, size_t count) {                                   \
        IN_CONTEXT;                                                                         \
        if (p % sizeof(T)) return CUDA_ERROR_INVALID_VALUE;                                 \
        writes(pointer(p), count * sizeof(T), "the destination");                           \
        for (size_t i = 0; i < count; i++) static_cast<T *>(pointer(p))[i] = value;         \
        return CUDA_SUCCESS;                                                                \
    }                                                                                       \
    CUresult name##Async(CUdeviceptr p, T value, size_t count, CUstream stream) {           \
        IN_CONTEXT;                                                                         \
        check_stream(stream);                                                               \
        return (name)(p, value, count);                                                     \
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

CUresult cuMemcpyDtoD(CUdeviceptr to, CUdeviceptr from, size_t bytes) { return cuMemcpyDtoDAsync(to, from, bytes, nullptr); }

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
    if (attribute == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD) memcpy(&pool.release_threshold, value, 8);
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

CUresult cuMemPoolTrimTo(CUmemoryPool p, size_t) { return p == &pool ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }

// ---- Streams and events ------------------------------------------------------------------------

CUresult cuStreamCreate(CUstream *stream, unsigned) {
    IN_CONTEXT;
    *stream = new CUstream_st;
    streams.insert(*stream);
    return CUDA_SUCCESS;
}

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }

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

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned) { return cuEventRecord(event, stream); }

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
CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end) { return elapsed(ms, start, end); }
CUresult cuEventElapsedTime_v2(float *ms, CUevent start, CUevent end) { return elapsed(ms, start, end); }

} // extern "C"

// ---- Modules and kernels -----------------------------------------------------------------------

namespace {

struct PtxEntry {
    std::string name;
    std::vector<size_t> parameters; // bytes of each
    unsigned most_threads = 1024;
};

// The kernels that a PTX text defines.
std::vector<PtxEntry> entries_of(const std::string &ptx) {
    std::vector<PtxEntry> entries;
    for (size_t at = 0; (at = ptx.find(".entry ", at)) != std::string::npos;) {
        at += 7;
        size_t open = ptx.find_first_of("({", at), close = ptx[open] == '(' ? ptx.find(')', open) : open;
        PtxEntry entry;
        entry.name = ptx.substr(at, ptx.find_first_of(" \t\n(", at) - at);
        std::string parameters = ptx.substr(open, close - open);
        // .param .u64 .ptr .align 1 NAME or .param .align 8 .b8 NAME[24]
        for (size_t p = 0; (p = parameters.find(".param", p)) != std::string::npos;) {
            p += 6;
            size_t end = std::min(parameters.find(',', p), parameters.size());
            std::string one = parameters.substr(p, end - p);
            size_t bytes = 0;
            for (auto [type, size] : std::initializer_list<std::pair<const char *, size_t>>{
                     {".u64", 8}, {".s64", 8}, {".b64", 8}, {".f64", 8}, {".u32", 4}, {".s32", 4}, {".b32", 4}, {".f32", 4},
                     {".u16", 2}, {".s16", 2}, {".b16", 2}, {".f16", 2}, {".u8", 1}, {".s8", 1}, {".b8", 1}})
                if (one.find(type) != std::string::npos) {
                    bytes = size;
                    break;
                }
            size_t bracket = one.find('[');
            if (bracket != std::string::npos) bytes *= size_t(atoll(one.c_str() + bracket + 1));
            entry.parameters.push_back(bytes);
        }
        size_t body = ptx.find('{', close);
        std::string head = ptx.substr(close, body - close);
        size_t bound = head.find(".maxntid");
        if (bound != std::string::npos) {
            unsigned x = 1, y = 1, z = 1;
            sscanf(head.c_str() + bound + 8, "%u , %u , %u", &x, &y, &z);
            entry.most_threads = x * y * z;
        }
        entries.push_back(entry);
        at = body;
    }
    return entries;
}

// The folder of this library; the kernel libraries lie in kernels/ beside it.
std::string folder() {
    Dl_info info;
    dladdr(reinterpret_cast<void *>(folder), &info);
    std::string path = info.dli_fname;
    return path.substr(0, path.rfind('/'));
}

struct Library {
    std::string path;
    std::map<std::string, Kernel> kernels;
};

// Lets kernels read a library's constants and use its variables.
int allow_segments(dl_phdr_info *info, size_t, void *data) {
    auto *name = static_cast<const char *>(data);
    if (!strcmp(info->dlpi_name, name))
        for (int i = 0; i < info->dlpi_phnum; i++) {
            auto &segment = info->dlpi_phdr[i];
            auto *begin = reinterpret_cast<const char *>(info->dlpi_addr + segment.p_vaddr);
            if (segment.p_type == PT_LOAD) allow(begin, begin + segment.p_memsz, segment.p_flags & PF_W);
        }
    return 0;
}

const std::vector<Library> &libraries() {
    static std::vector<Library> all;
    if (!all.empty()) return all;
    std::string directory = folder() + "/kernels";
    if (DIR *dir = opendir(directory.c_str())) {
        while (dirent *entry = readdir(dir)) {
            std::string name = entry->d_name;
            if (name.size() < 4 || name.substr(name.size() - 3) != ".so") continue;
            std::string path = directory + "/" + name;
            // Local, for two libraries may well have kernels of the same name.
            void *handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
            if (!handle) fail("%s", dlerror());
            auto table = reinterpret_cast<std::vector<Kernel> (*)()>(dlsym(handle, "emu_kernels"));
            if (!table) fail("%s has no table of kernels", path.c_str());
            Library library{path, {}};
            for (auto &kernel : table()) library.kernels[kernel.name] = kernel;
            dl_iterate_phdr(allow_segments, const_cast<char *>(path.c_str()));
            all.push_back(std::move(library));
        }
        closedir(dir);
    }
    if (all.empty()) fail("there are no kernel libraries in %s", directory.c_str());
    return all;
}

} // namespace

extern "C" {

CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    IN_CONTEXT;
    std::string ptx = static_cast<const char *>(image);
    auto entries = entries_of(ptx);
    if (entries.empty()) return CUDA_ERROR_INVALID_PTX;
    // The library that has them all; the closest one, where several do.
    const Library *best = nullptr;
    for (auto &library : libraries()) {
        bool all = true;
        for (auto &entry : entries) all &= library.kernels.count(entry.name) != 0;
        if (all && (!best || library.kernels.size() < best->kernels.size())) best = &library;
    }
    if (!best) {
        fprintf(stderr, "CUDA emulator: no kernel library has all %zu kernels of the module of %s\n", entries.size(),
                entries[0].name.c_str());
        return CUDA_ERROR_INVALID_IMAGE;
    }
    auto loaded = std::make_unique<CUmod_st>();
    for (auto &entry : entries) {
        auto function = std::make_unique<CUfunc_st>();
        function->kernel = best->kernels.at(entry.name);
        function->module = loaded.get();
        function->most_threads = entry.most_threads;
        auto &arguments = function->kernel.arguments;
        bool same = arguments.size() == entry.parameters.size();
        for (size_t i = 0; same && i < arguments.size(); i++) same = arguments[i].bytes == entry.parameters[i];
        if (!same) fail("%s of the program and of %s take different arguments: build both from the same source", entry.name.c_str(), best->path.c_str());
        loaded->functions[entry.name] = std::move(function);
    }
    *module = loaded.release();
    modules.insert(*module);
    return CUDA_SUCCESS;
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned, CUjit_option *, void **) {
    return cuModuleLoadData(module, image);
}

CUresult cuModuleUnload(CUmodule module) {
    IN_CONTEXT;
    if (!modules.erase(module)) fail("%p is no module", static_cast<void *>(module));
    delete module;
    return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    IN_CONTEXT;
    if (!modules.count(module)) fail("%p is no module", static_cast<void *>(module));
    auto it = module->functions.find(name);
    if (it == module->functions.end()) return CUDA_ERROR_NOT_FOUND;
    *function = it->second.get();
    return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction f) {
    CALL;
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = int(f->most_threads); break;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: *value = int(f->dynamic_shared); break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS: *value = 32; break;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION: *value = 90; break;
    default: *value = 0; break;
    }
    return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction f, CUfunction_attribute attribute, int value) {
    CALL;
    if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
        if (value < 0 || size_t(value) > SHARED_MOST) return CUDA_ERROR_INVALID_VALUE;
        f->dynamic_shared = size_t(value);
    }
    return CUDA_SUCCESS;
}

CUresult cuFuncSetCacheConfig(CUfunction, CUfunc_cache) { return CUDA_SUCCESS; }

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction, int threads, size_t) {
    *blocks = std::max(1, std::min(32, 2048 / std::max(32, threads)));
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, CUstream stream, void **arguments, void **extra) {
    IN_CONTEXT;
    check_stream(stream);
    const char *name = f->kernel.name;
    static const bool trace = setting("CUDA_EMULATOR_TRACE", 0);
    if (trace) fprintf(stderr, "%s<<<(%u, %u, %u), (%u, %u, %u), %u>>>\n", name, gx, gy, gz, bx, by, bz, shared);
    if (!gx || !gy || !gz || !bx || !by || !bz || gx > 0x7fffffff || gy > 65535 || gz > 65535 || bx > 1024 || by > 1024 ||
        bz > 64 || bx * by * bz > f->most_threads || shared > f->dynamic_shared) {
        fprintf(stderr, "CUDA emulator: %s cannot be launched with <<<(%u, %u, %u), (%u, %u, %u), %u>>>\n", name, gx, gy, gz, bx,
                by, bz, shared);
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (extra) return CUDA_ERROR_NOT_SUPPORTED;
    for (size_t i = 0; i < f->kernel.arguments.size(); i++) {
        const Argument &a = f->kernel.arguments[i];
        uint64_t value = 0;
        if (a.bytes == 8) memcpy(&value, arguments[i], 8);
        // A wrong order or width of arguments shows in most cases.
        if (a.pointee) {
            if (value && !find(pointer(value))) fail("argument %zu of %s should be a device pointer, but is 0x%llx, %s", i, name, (unsigned long long)value, whereabouts(pointer(value)).c_str());
            if (value % a.pointee) fail("argument %zu of %s, 0x%llx, is not aligned to %zu", i, name, (unsigned long long)value, a.pointee);
        } else if (a.integer64 && value >> 40 && value >> 40 != 0xffffff) {
            fail("argument %zu of %s is 0x%llx: was a pointer or a 32-bit value passed for a 64-bit number?", i, name, (unsigned long long)value);
        }
    }
    size_t limit = f->dynamic_shared > SHARED_DEFAULT ? SHARED_MOST : SHARED_DEFAULT;
    run({&f->kernel, {gx, gy, gz}, {bx, by, bz}, shared, limit, arguments});
    return CUDA_SUCCESS;
}

} // extern "C"
