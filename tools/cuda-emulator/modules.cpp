// The driver's other half: modules, which are found by the names in their PTX, and launches.

#include "emulate.h"

#include "driver.h"
#include "engine.h"

#include <dirent.h>
#include <dlfcn.h>
#include <link.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <set>

using namespace emu;

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

std::set<CUmodule> modules;

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
        size_t open = ptx.find_first_of("({", at),
               close = ptx[open] == '(' ? ptx.find(')', open) : open;
        PtxEntry entry;
        entry.name = ptx.substr(at, ptx.find_first_of(" \t\n(", at) - at);
        std::string parameters = ptx.substr(open, close - open);
        // .param .u64 .ptr .align 1 NAME or .param .align 8 .b8 NAME[24]
        for (size_t p = 0; (p = parameters.find(".param", p)) != std::string::npos;) {
            p += 6;
            size_t end = std::min(parameters.find(',', p), parameters.size());
            std::string one = parameters.substr(p, end - p);
            size_t bytes = 0;
            for (auto [type, size] :
                 std::initializer_list<std::pair<const char *, size_t>>{{".u64", 8},
                                                                        {".s64", 8},
                                                                        {".b64", 8},
                                                                        {".f64", 8},
                                                                        {".u32", 4},
                                                                        {".s32", 4},
                                                                        {".b32", 4},
                                                                        {".f32", 4},
                                                                        {".u16", 2},
                                                                        {".s16", 2},
                                                                        {".b16", 2},
                                                                        {".f16", 2},
                                                                        {".u8", 1},
                                                                        {".s8", 1},
                                                                        {".b8", 1}})
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
            if (segment.p_type == PT_LOAD)
                allow(begin, begin + segment.p_memsz, segment.p_flags & PF_W);
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

// Arguments come as addresses without sizes; a wrong order or width shows in most cases.
void check_arguments(const Kernel &kernel, void **arguments) {
    auto &described = kernel.arguments;
    for (size_t i = 0; i < described.size(); i++) {
        const Argument &a = described[i];
        auto *p = static_cast<const char *>(arguments[i]);
        for (size_t j = 0; j < described.size(); j++)
            if (p < arguments[j] && p + a.bytes > arguments[j])
                fail(
                    "argument %zu of %s takes %zu bytes, but argument %zu begins %td bytes on: was "
                    "a shorter type passed?",
                    i, kernel.name, a.bytes, j, static_cast<const char *>(arguments[j]) - p);
        if (a.bytes != 8) continue;
        uint64_t value;
        memcpy(&value, p, 8);
        if (a.integer64 && value && find(pointer(value)))
            fail("argument %zu of %s should be a number, but is a device pointer", i, kernel.name);
        if (!a.pointee) continue;
        if (value && !find(pointer(value)))
            fail("argument %zu of %s should be a device pointer, but is 0x%llx, %s", i, kernel.name,
                 (unsigned long long)value, whereabouts(pointer(value)).c_str());
        if (value % a.pointee)
            fail("argument %zu of %s, 0x%llx, is not aligned to %zu", i, kernel.name,
                 (unsigned long long)value, a.pointee);
    }
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
        fprintf(stderr,
                "CUDA emulator: no kernel library has all %zu kernels of the module of %s\n",
                entries.size(), entries[0].name.c_str());
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
        for (size_t i = 0; same && i < arguments.size(); i++)
            same = arguments[i].bytes == entry.parameters[i];
        if (!same)
            fail("%s of the program and of %s take different arguments: build both from the same "
                 "source",
                 entry.name.c_str(), best->path.c_str());
        loaded->functions[entry.name] = std::move(function);
    }
    *module = loaded.release();
    modules.insert(*module);
    return CUDA_SUCCESS;
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned, CUjit_option *,
                            void **) {
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

CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                        unsigned by, unsigned bz, unsigned shared, CUstream stream,
                        void **arguments, void **extra) {
    IN_CONTEXT;
    check_stream(stream);
    const char *name = f->kernel.name;
    static const bool trace = setting("CUDA_EMULATOR_TRACE", 0);
    if (trace)
        fprintf(stderr, "%s<<<(%u, %u, %u), (%u, %u, %u), %u>>>\n", name, gx, gy, gz, bx, by, bz,
                shared);
    if (!gx || !gy || !gz || !bx || !by || !bz || gx > 0x7fffffff || gy > 65535 || gz > 65535 ||
        bx > 1024 || by > 1024 || bz > 64 || bx * by * bz > f->most_threads ||
        shared > f->dynamic_shared) {
        fprintf(stderr,
                "CUDA emulator: %s cannot be launched with <<<(%u, %u, %u), (%u, %u, %u), %u>>>\n",
                name, gx, gy, gz, bx, by, bz, shared);
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (extra) return CUDA_ERROR_NOT_SUPPORTED;
    check_arguments(f->kernel, arguments);
    size_t limit = f->dynamic_shared > SHARED_DEFAULT ? SHARED_MOST : SHARED_DEFAULT;
    run({&f->kernel, {gx, gy, gz}, {bx, by, bz}, shared, limit, arguments});
    return CUDA_SUCCESS;
}

} // extern "C"
