// The emulator against kernels with known results and known mistakes: each mistake must end the
// process with the expected message. Run through `run.sh TOOLKIT --selftest`.

#include <cuda.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

static const char *const PTX = R"(
.visible .entry right(.param .u64 a, .param .u64 b, .param .u64 c) {}
.visible .entry transpose(.param .u64 a, .param .u64 b, .param .u32 c, .param .u32 d) {}
.visible .entry past_the_end(.param .u64 a, .param .u32 b) {}
.visible .entry never_written(.param .u64 a, .param .u64 b) {}
.visible .entry no_barrier(.param .u64 a) {}
.visible .entry early_return(.param .u64 a, .param .u32 b) {}
.visible .entry half_a_warp(.param .u64 a) {}
.visible .entry absent_lane(.param .u64 a) {}
.visible .entry all_write_one(.param .u64 a) {}
.visible .entry blocks_meet(.param .u64 a) {}
.visible .entry misaligned(.param .u64 a) {}
.visible .entry shared_overrun(.param .u64 a) {}
)";

#define CHECK(call)                                                                                \
    do {                                                                                           \
        CUresult result = call;                                                                    \
        if (result != CUDA_SUCCESS) {                                                              \
            fprintf(stderr, "%s answers %d\n", #call, int(result));                                \
            exit(2);                                                                               \
        }                                                                                          \
    } while (0)

static CUmodule module;

struct Size {
    unsigned x = 1, y = 1, z = 1;
};

static void launch(const char *name, Size grid, Size block, unsigned shared,
                   std::vector<void *> arguments) {
    CUfunction f;
    CHECK(cuModuleGetFunction(&f, module, name));
    CHECK(cuLaunchKernel(f, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared, nullptr,
                         arguments.data(), nullptr));
    CHECK(cuCtxSynchronize());
}
static CUdeviceptr upload(const std::vector<float> &x) {
    CUdeviceptr p;
    CHECK(cuMemAlloc(&p, x.size() * 4));
    CHECK(cuMemcpyHtoD(p, x.data(), x.size() * 4));
    return p;
}
static std::vector<float> download(CUdeviceptr p, size_t n) {
    std::vector<float> x(n);
    CHECK(cuMemcpyDtoH(x.data(), p, n * 4));
    return x;
}

static void start() {
    CUdevice device;
    CUcontext context;
    CHECK(cuInit(0));
    CHECK(cuDeviceGet(&device, 0));
    CHECK(cuDevicePrimaryCtxRetain(&context, device));
    CHECK(cuCtxSetCurrent(context));
    CHECK(cuModuleLoadData(&module, PTX));
}

static void sums() {
    size_t n = 5000;
    std::vector<float> x(n);
    float expected = 0;
    for (size_t i = 0; i < n; i++) expected += x[i] = float(i % 7);
    CUdeviceptr in = upload(x), out = upload({0});
    launch("right", {3}, {96}, 0, {&in, &out, &n});
    float found = download(out, 1)[0];
    if (found != expected) {
        fprintf(stderr, "sum %f, expected %f\n", double(found), double(expected));
        exit(2);
    }
}

static void transposed() {
    int rows = 37, cols = 21;
    std::vector<float> x(size_t(rows * cols));
    for (size_t i = 0; i < x.size(); i++) x[i] = float(i);
    CUdeviceptr in = upload(x), out;
    CHECK(cuMemAlloc(&out, x.size() * 4));
    launch("transpose", {2, 3}, {16, 16}, 16 * 17 * 4, {&in, &out, &rows, &cols});
    auto y = download(out, x.size());
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++)
            if (y[size_t(c * rows + r)] != x[size_t(r * cols + c)]) exit(2);
}

// A kernel over one buffer of 64 numbers, and the number of them, if it asks.
static void mistake(const char *name, Size grid, Size block, int n) {
    CUdeviceptr x = upload(std::vector<float>(64, 1.f));
    launch(name, grid, block, 0, {&x, &n});
}

static void uninitialised() {
    CUdeviceptr x, y;
    CHECK(cuMemAlloc(&x, 256));
    CHECK(cuMemAlloc(&y, 256));
    launch("never_written", {1}, {64}, 0, {&x, &y});
}

static void wrong_order() {
    CUdeviceptr x = upload({1, 2, 3}), y = upload({1});
    size_t n = 3;
    launch("right", {1}, {32}, 0, {&n, &x, &y});
}

static void short_argument() {
    unsigned both[] = {3, 0}; // a count of 32 bits, and something else beside it
    int rows = 1;
    launch("transpose", {1}, {32}, 0, {both, both + 1, &rows, &rows});
}

static void too_much_memory() {
    CUdeviceptr x;
    if (cuMemAlloc(&x, size_t(1) << 50) != CUDA_ERROR_OUT_OF_MEMORY) exit(2);
    if (cuMemAlloc(&x, 0) != CUDA_ERROR_INVALID_VALUE) exit(2);
}

static void pinned_too_early() {
    CUdeviceptr x = upload({1, 2, 3});
    float *host;
    CHECK(cuMemHostAlloc(reinterpret_cast<void **>(&host), 12, 0));
    CHECK(cuMemcpyDtoHAsync(host, x, 12, nullptr));
    bool arrived = host[0] == 1;
    CHECK(cuStreamSynchronize(nullptr));
    if (arrived || host[2] != 3) exit(2);
    CHECK(cuMemcpyHtoDAsync(x, host, 12, nullptr));
    host[0] = 7;
    CHECK(cuStreamSynchronize(nullptr));
}

static void freed() {
    CUdeviceptr x = upload({1, 2, 3});
    CHECK(cuMemFree(x));
    download(x, 1);
}

static int failures;

// Runs a case in a process of its own; `expected` null means that it must end well.
template <typename F> void expect(const char *name, const char *expected, F run) {
    int pipes[2];
    if (pipe(pipes)) abort();
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], 2);
        close(pipes[0]);
        start();
        run();
        exit(0);
    }
    close(pipes[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(pipes[0], buffer, sizeof buffer)) > 0;)
        text.append(buffer, size_t(n));
    close(pipes[0]);
    int status;
    waitpid(child, &status, 0);
    bool ok = expected ? WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
                             text.find(expected) != std::string::npos
                       : WIFEXITED(status) && WEXITSTATUS(status) == 0;
    printf("%s %s\n", ok ? "ok  " : "FAIL", name);
    if (!ok || getenv("VERBOSE")) printf("%s\n", text.c_str());
    failures += !ok;
}

int main() {
    expect("sums", nullptr, sums);
    expect("transposed", nullptr, transposed);
    expect("past the end", "0 bytes past the end of allocation",
           [] { mistake("past_the_end", {3}, {32}, 64); });
    expect("never written", "never written", uninitialised);
    expect("no barrier", "nothing in between", [] { mistake("no_barrier", {1}, {64}, 0); });
    expect("early return", "not all threads reach its barrier",
           [] { mistake("early_return", {1}, {64}, 50); });
    expect("half a warp", "__shfl_xor_sync", [] { mistake("half_a_warp", {1}, {32}, 0); });
    expect("absent lane", "does not take part", [] { mistake("absent_lane", {1}, {32}, 0); });
    expect("all write one", "nothing in between", [] { mistake("all_write_one", {1}, {32}, 0); });
    expect("blocks meet", "nothing in between", [] { mistake("blocks_meet", {2}, {32}, 0); });
    expect("misaligned", "misaligned", [] { mistake("misaligned", {1}, {1}, 0); });
    expect("shared overrun", "of a shared variable of 32 bytes",
           [] { mistake("shared_overrun", {1}, {64}, 0); });
    expect("wrong order", "should be a device pointer", wrong_order);
    expect("short argument", "was a shorter type passed", short_argument);
    expect("too much memory", nullptr, too_much_memory);
    expect("page-locked memory", "changed before", pinned_too_early);
    expect("freed", "freed before", freed);
    return failures ? 1 : 0;
}
