// cuDNN 9 (libcudnn.so.9): the two-dimensional convolutions of the descriptor interface.

#include "number.h"
#include "runtime.h"

#include <cstdarg>
#include <cstdio>
#include <set>
#include <vector>

using namespace emu;

namespace {

// cudnnStatus_t
constexpr int SUCCESS = 0, NOT_INITIALIZED = 1001, BAD_PARAM = 2000, SHAPE_MISMATCH = 2008,
              NOT_SUPPORTED = 3000;
constexpr int FMA_MATH = 3; // cudnnMathType_t

struct Handle {
    void *stream;
};
std::set<Handle *> handles;

struct Tensor {
    Type type = Type::None;
    int dims[4], strides[4]; // N, C, H, W
    bool channels_last() const { return strides[1] == 1 && (dims[2] * dims[3] > 1 || dims[1] > 1); }
};
// The same for K, C, R, S; the strides follow from the format.
struct Filter : Tensor {
    int format;
};
struct Convolution {
    int pad[2], stride[2], dilation[2], mode, math, groups;
    Type compute = Type::None;
};

struct Performance {
    int algorithm, status;
    float time;
    size_t memory;
    int determinism, math, reserved[3];
};

int refuse(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
int refuse(int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "CUDA emulator: cuDNN status %d: ", status);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return status;
}

#define ENTER                                                                                      \
    std::lock_guard guard(lock);                                                                   \
    Call call(__func__)

Type type_of(int data_type) { // cudnnDataType_t
    switch (data_type) {
    case 0: return Type::F32;
    case 1: return Type::F64;
    case 2: return Type::F16;
    case 9: return Type::BF16;
    default: return Type::None;
    }
}

void pack_strides(const int *dims, bool last, int *strides) {
    int n = dims[1] * dims[2] * dims[3];
    int nchw[] = {n, dims[2] * dims[3], dims[3], 1}, nhwc[] = {n, 1, dims[3] * dims[1], dims[1]};
    memcpy(strides, last ? nhwc : nchw, sizeof nchw);
}

enum class Direction { Forward, Data, Filter };

// The shape of a convolution, from its descriptors.
struct Problem {
    const Tensor *x, *y;
    const Filter *w;
    const Convolution *c;
    int n, k, ch, h, wd, r, s, oh, ow;
};

int describe(Direction direction, const Tensor *x, const Filter *w, const Convolution *c,
             const Tensor *y, int algorithm, Problem &p) {
    if (!x || !w || !c || !y) return refuse(BAD_PARAM, "a null descriptor");
    if (x->type == Type::None || w->type == Type::None || y->type == Type::None ||
        c->compute == Type::None)
        return refuse(BAD_PARAM, "a descriptor that was never set");
    if (c->groups != 1) return refuse(NOT_SUPPORTED, "groups are not emulated");
    if (c->mode != 1) return refuse(NOT_SUPPORTED, "only cross-correlation is emulated");
    if (x->type != w->type || x->type != y->type)
        return refuse(NOT_SUPPORTED, "x %s, w %s, y %s", name_of(x->type), name_of(w->type),
                      name_of(y->type));
    // PSEUDO_BFLOAT16, PSEUDO_HALF, FLOAT and DOUBLE of the manual.
    if (c->compute != (x->type == Type::F64 ? Type::F64 : Type::F32))
        return refuse(NOT_SUPPORTED, "tensors of %s computed in %s", name_of(x->type),
                      name_of(c->compute));
    p = {x,          y,          w,          c,          x->dims[0], w->dims[0], x->dims[1],
         x->dims[2], x->dims[3], w->dims[2], w->dims[3], 0,          0};
    p.oh = (p.h + 2 * c->pad[0] - c->dilation[0] * (p.r - 1) - 1) / c->stride[0] + 1;
    p.ow = (p.wd + 2 * c->pad[1] - c->dilation[1] * (p.s - 1) - 1) / c->stride[1] + 1;
    if (w->dims[1] != p.ch || y->dims[0] != p.n || y->dims[1] != p.k || y->dims[2] != p.oh ||
        y->dims[3] != p.ow)
        return refuse(SHAPE_MISMATCH,
                      "x (%d, %d, %d, %d) with filters (%d, %d, %d, %d) gives (%d, %d, %d, %d), "
                      "not y's (%d, %d, %d, %d)",
                      p.n, p.ch, p.h, p.wd, p.k, w->dims[1], p.r, p.s, p.n, p.k, p.oh, p.ow,
                      y->dims[0], y->dims[1], y->dims[2], y->dims[3]);
    // With NHWC filters, the tensors are NHWC too, and only the first two algorithms know them.
    bool last = w->format == 1;
    if (last && !((x->channels_last() || x->dims[1] * x->dims[2] * x->dims[3] == x->dims[1]) &&
                  (y->channels_last() || y->dims[1] * y->dims[2] * y->dims[3] == y->dims[1])))
        return refuse(NOT_SUPPORTED, "NHWC filters with NCHW tensors");
    if (!last && p.ch > 1 && p.h * p.wd > 1 && x->channels_last())
        return refuse(NOT_SUPPORTED, "NCHW filters with NHWC tensors");
    if (algorithm >= 0) {
        bool three = p.r == 3 && p.s == 3 && c->stride[0] == 1 && c->stride[1] == 1 &&
                     c->dilation[0] == 1 && c->dilation[1] == 1;
        int winograd = direction == Direction::Forward ? 6 : 4;
        bool known = algorithm == 0 || algorithm == 1 ||
                     (!last && algorithm == winograd && three && x->type == Type::F32);
        if (!known) return refuse(NOT_SUPPORTED, "algorithm %d for this shape", algorithm);
    }
    return SUCCESS;
}

// Not what the library wants, but something that depends on shape and algorithm, as there.
size_t workspace_of(const Problem &p, Direction direction, int algorithm) {
    if (algorithm == 0 && direction == Direction::Forward) return 0;
    size_t columns = size_t(p.oh) * size_t(p.ow) * size_t(p.ch) * size_t(p.r);
    return (columns * 4 + 1024 * size_t(algorithm + 1) + 255) / 256 * 256;
}

template <typename D> int find_algorithms(Direction direction, const Tensor *x, const Filter *w,
                                          const Convolution *c, const Tensor *y, int wanted,
                                          int *found, D *results) {
    Problem p;
    if (int status = describe(direction, x, w, c, y, -1, p)) return status;
    if (wanted < 1 || !found || !results) return refuse(BAD_PARAM, "no room for results");
    *found = 0;
    for (int algorithm : {1, 0}) {
        if (*found == wanted) break;
        // Algorithm 0 of both gradients adds atomically.
        bool deterministic = algorithm == 1 || direction == Direction::Forward;
        results[(*found)++] = {algorithm,     SUCCESS, 1.f, workspace_of(p, direction, algorithm),
                               deterministic, c->math, {}};
    }
    return SUCCESS;
}

// ---- Memory ------------------------------------------------------------------------------------

// Row by row along the last dimension that is dense, for strides may leave holes.
void check(const Tensor &t, const void *data, const char *name, bool write) {
    if (!data) fail("%s is null", name);
    size_t size = bytes_of(t.type);
    if (reinterpret_cast<uintptr_t>(data) % 16) {
        static bool said = false;
        if (!said)
            fprintf(stderr,
                    "CUDA emulator: %s, %p, is not aligned to 16 bytes, which cuDNN's faster "
                    "kernels want\n",
                    name, data);
        said = true;
    }
    if (reinterpret_cast<uintptr_t>(data) % size)
        fail("%s, %p, is not aligned to its elements", name, data);
    bool last = t.strides[1] == 1;
    int inner = last ? 1 : 3, dense = t.strides[inner] == 1 ? t.dims[inner] : 1;
    int order[4] = {0, last ? 2 : 1, last ? 3 : 2, inner};
    for (int a = 0; a < t.dims[order[0]]; a++)
        for (int b = 0; b < t.dims[order[1]]; b++)
            for (int c = 0; c < t.dims[order[2]]; c++)
                for (int d = 0; d < t.dims[inner]; d += dense) {
                    int64_t at = int64_t(a) * t.strides[order[0]] +
                                 int64_t(b) * t.strides[order[1]] +
                                 int64_t(c) * t.strides[order[2]] + int64_t(d) * t.strides[inner];
                    auto *p = static_cast<char *>(const_cast<void *>(data)) + at * int64_t(size);
                    if (write)
                        writes(p, size_t(dense) * size, name);
                    else
                        reads(p, size_t(dense) * size, name);
                }
}

size_t extent(const Tensor &t) {
    size_t last = 0;
    for (int i = 0; i < 4; i++) last += size_t(t.dims[i] - 1) * size_t(t.strides[i]);
    return (last + 1) * bytes_of(t.type);
}

void check_apart(const Tensor &in, const void *a, const Tensor &out, const void *b,
                 const char *name) {
    auto p = static_cast<const char *>(a), q = static_cast<const char *>(b);
    if (p < q + extent(out) && q < p + extent(in)) fail("%s and the result overlap", name);
}

int64_t at(const Tensor &t, int n, int c, int h, int w) {
    return int64_t(n) * t.strides[0] + int64_t(c) * t.strides[1] + int64_t(h) * t.strides[2] +
           int64_t(w) * t.strides[3];
}

// As reals, channels last; filters as (R, S, C, K).
template <typename T> std::vector<T> unpack(const Tensor &t, const void *data, bool tf32) {
    std::vector<T> out;
    out.reserve(size_t(t.dims[0]) * size_t(t.dims[1]) * size_t(t.dims[2]) * size_t(t.dims[3]));
    for (int n = 0; n < t.dims[0]; n++)
        for (int h = 0; h < t.dims[2]; h++)
            for (int w = 0; w < t.dims[3]; w++)
                for (int c = 0; c < t.dims[1]; c++) {
                    T v = T(load(t.type, data, at(t, n, c, h, w)));
                    out.push_back(tf32 ? T(to_tf32(float(v))) : v);
                }
    return out;
}
template <typename T> std::vector<T> unpack_filter(const Filter &f, const void *data, bool tf32) {
    std::vector<T> out;
    for (int r = 0; r < f.dims[2]; r++)
        for (int s = 0; s < f.dims[3]; s++)
            for (int c = 0; c < f.dims[1]; c++)
                for (int k = 0; k < f.dims[0]; k++) {
                    T v = T(load(f.type, data, at(f, k, c, r, s)));
                    out.push_back(tf32 ? T(to_tf32(float(v))) : v);
                }
    return out;
}
template <typename T>
void store_scaled(const Tensor &t, void *data, int64_t i, T alpha, T beta, T v) {
    v *= alpha;
    if (beta != 0) v += beta * T(load(t.type, data, i));
    store(t.type, data, i, double(v));
}

// ---- The convolutions --------------------------------------------------------------------------

// The pixels of x under tap (r, s) of output pixel (i, j), or null in the padding.
struct Tap {
    int h, w;
    bool inside;
};
Tap tap(const Problem &p, int i, int j, int r, int s) {
    int h = i * p.c->stride[0] - p.c->pad[0] + r * p.c->dilation[0],
        w = j * p.c->stride[1] - p.c->pad[1] + s * p.c->dilation[1];
    return {h, w, h >= 0 && h < p.h && w >= 0 && w < p.wd};
}

template <typename T> void compute(const Problem &p, Direction direction, T alpha, T beta,
                                   const void *x, const void *w, const void *y) {
    bool tf32 = p.x->type == Type::F32 && p.c->math != FMA_MATH; // DEFAULT_MATH allows it too
    size_t ch = size_t(p.ch), k = size_t(p.k);
    std::vector<T> xs, ws, ys;
    if (direction != Direction::Data)
        xs = unpack<T>(*p.x, x, tf32);
    else
        xs.resize(size_t(p.n) * size_t(p.h) * size_t(p.wd) * ch);
    if (direction != Direction::Filter)
        ws = unpack_filter<T>(*p.w, w, tf32);
    else
        ws.resize(size_t(p.r) * size_t(p.s) * ch * k);
    if (direction != Direction::Forward)
        ys = unpack<T>(*p.y, y, tf32);
    else
        ys.resize(size_t(p.n) * size_t(p.oh) * size_t(p.ow) * k);
    for (int n = 0; n < p.n; n++)
        for (int i = 0; i < p.oh; i++)
            for (int j = 0; j < p.ow; j++)
                for (int r = 0; r < p.r; r++)
                    for (int s = 0; s < p.s; s++) {
                        Tap t = tap(p, i, j, r, s);
                        if (!t.inside) continue;
                        T *px = &xs[((size_t(n) * size_t(p.h) + size_t(t.h)) * size_t(p.wd) +
                                     size_t(t.w)) *
                                    ch];
                        T *py = &ys[((size_t(n) * size_t(p.oh) + size_t(i)) * size_t(p.ow) +
                                     size_t(j)) *
                                    k];
                        T *pw = &ws[(size_t(r) * size_t(p.s) + size_t(s)) * ch * k];
                        for (size_t c = 0; c < ch; c++, pw += k) {
                            if (direction == Direction::Forward) {
                                for (size_t o = 0; o < k; o++) py[o] += px[c] * pw[o];
                            } else if (direction == Direction::Data) {
                                T sum = 0;
                                for (size_t o = 0; o < k; o++) sum += py[o] * pw[o];
                                px[c] += sum;
                            } else {
                                for (size_t o = 0; o < k; o++) pw[o] += px[c] * py[o];
                            }
                        }
                    }
    size_t i = 0;
    if (direction == Direction::Filter) {
        for (int r = 0; r < p.r; r++)
            for (int s = 0; s < p.s; s++)
                for (int c = 0; c < p.ch; c++)
                    for (int o = 0; o < p.k; o++)
                        store_scaled(*p.w, const_cast<void *>(w), at(*p.w, o, c, r, s), alpha, beta,
                                     ws[i++]);
        return;
    }
    const Tensor &t = direction == Direction::Forward ? *p.y : *p.x;
    void *out = const_cast<void *>(direction == Direction::Forward ? y : x);
    auto &values = direction == Direction::Forward ? ys : xs;
    for (int n = 0; n < t.dims[0]; n++)
        for (int h = 0; h < t.dims[2]; h++)
            for (int v = 0; v < t.dims[3]; v++)
                for (int c = 0; c < t.dims[1]; c++)
                    store_scaled(t, out, at(t, n, c, h, v), alpha, beta, values[i++]);
}

int convolve(Handle *handle, Direction direction, const void *alpha, const Tensor *x,
             const void *px, const Filter *w, const void *pw, const Convolution *c, int algorithm,
             void *workspace, size_t bytes, const void *beta, const Tensor *y, const void *py) {
    if (!handles.count(handle)) return NOT_INITIALIZED;
    if (!context_is_current()) return refuse(NOT_INITIALIZED, "no context is current");
    Problem p;
    if (int status = describe(direction, x, w, c, y, algorithm, p)) return status;
    // To see what a caller does whose algorithm was found, but does not run.
    static const long long refused = setting("CUDA_EMULATOR_CUDNN_REFUSES", 0);
    if (refused >> algorithm & 1) return NOT_SUPPORTED;
    size_t needed = workspace_of(p, direction, algorithm);
    if (bytes < needed || (needed && !workspace))
        return refuse(BAD_PARAM, "the algorithm wants %zu bytes of workspace, not %zu", needed,
                      bytes);
    if (needed) { // what the algorithm leaves there is of no use to anyone
        writes(workspace, needed, "the workspace");
        memset(workspace, 0xff, needed);
    }
    bool wide = x->type == Type::F64;
    double al = wide ? *static_cast<const double *>(alpha) : *static_cast<const float *>(alpha);
    double be = wide ? *static_cast<const double *>(beta) : *static_cast<const float *>(beta);
    const Tensor &out = direction == Direction::Forward ? *y
                        : direction == Direction::Data  ? *x
                                                        : *w;
    const void *result = direction == Direction::Forward ? py
                         : direction == Direction::Data  ? px
                                                         : pw;
    if (direction != Direction::Data)
        check(*x, px, "x", false), check_apart(*x, px, out, result, "x");
    if (direction != Direction::Filter)
        check(*w, pw, "w", false), check_apart(*w, pw, out, result, "w");
    if (direction != Direction::Forward)
        check(*y, py, "dy", false), check_apart(*y, py, out, result, "dy");
    if (be != 0) check(out, result, "the result, which is added to,", false);
    check(out, result, "the result", true);
    if (wide)
        compute<double>(p, direction, al, be, px, pw, py);
    else
        compute<float>(p, direction, float(al), float(be), px, pw, py);
    return SUCCESS;
}

} // namespace

extern "C" {

size_t cudnnGetVersion(void) { return 91000; }
size_t cudnnGetCudartVersion(void) { return 13000; }

const char *cudnnGetErrorString(int status) {
    switch (status) {
    case SUCCESS: return "CUDNN_STATUS_SUCCESS";
    case NOT_INITIALIZED: return "CUDNN_STATUS_NOT_INITIALIZED";
    case SHAPE_MISMATCH: return "CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH";
    case NOT_SUPPORTED: return "CUDNN_STATUS_NOT_SUPPORTED";
    default: return "CUDNN_STATUS_BAD_PARAM";
    }
}

int cudnnCreate(Handle **handle) {
    ENTER;
    if (!context_is_current()) return refuse(NOT_INITIALIZED, "cudnnCreate: no context is current");
    *handle = new Handle{};
    handles.insert(*handle);
    return SUCCESS;
}

int cudnnDestroy(Handle *handle) {
    ENTER;
    if (!handles.erase(handle)) return NOT_INITIALIZED;
    delete handle;
    return SUCCESS;
}

int cudnnSetStream(Handle *handle, void *stream) {
    ENTER;
    if (!handles.count(handle)) return NOT_INITIALIZED;
    handle->stream = stream;
    return SUCCESS;
}

int cudnnCreateTensorDescriptor(Tensor **t) {
    *t = new Tensor;
    return SUCCESS;
}
int cudnnDestroyTensorDescriptor(Tensor *t) {
    delete t;
    return SUCCESS;
}
int cudnnSetTensor4dDescriptor(Tensor *t, int format, int type, int n, int c, int h, int w) {
    ENTER;
    if (n < 1 || c < 1 || h < 1 || w < 1)
        return refuse(BAD_PARAM, "a tensor of (%d, %d, %d, %d)", n, c, h, w);
    if (type_of(type) == Type::None || format > 1)
        return refuse(NOT_SUPPORTED, "data type %d or format %d", type, format);
    t->type = type_of(type);
    int dims[] = {n, c, h, w};
    memcpy(t->dims, dims, sizeof dims);
    pack_strides(t->dims, format == 1, t->strides);
    return SUCCESS;
}
int cudnnSetTensor4dDescriptorEx(Tensor *t, int type, int n, int c, int h, int w, int sn, int sc,
                                 int sh, int sw) {
    ENTER;
    if (int status = cudnnSetTensor4dDescriptor(t, 0, type, n, c, h, w)) return status;
    int strides[] = {sn, sc, sh, sw};
    for (int i = 0; i < 4; i++)
        if (strides[i] < 1 && t->dims[i] > 1)
            return refuse(BAD_PARAM, "stride %d of dimension %d", strides[i], i);
    memcpy(t->strides, strides, sizeof strides);
    return SUCCESS;
}
int cudnnSetTensorNdDescriptor(Tensor *t, int type, int count, const int *dims,
                               const int *strides) {
    if (count != 4)
        return refuse(NOT_SUPPORTED, "tensors of %d dimensions are not emulated", count);
    return cudnnSetTensor4dDescriptorEx(t, type, dims[0], dims[1], dims[2], dims[3], strides[0],
                                        strides[1], strides[2], strides[3]);
}

int cudnnCreateFilterDescriptor(Filter **f) {
    *f = new Filter;
    return SUCCESS;
}
int cudnnDestroyFilterDescriptor(Filter *f) {
    delete f;
    return SUCCESS;
}
int cudnnSetFilter4dDescriptor(Filter *f, int type, int format, int k, int c, int h, int w) {
    int status = cudnnSetTensor4dDescriptor(f, format, type, k, c, h, w);
    f->format = format;
    return status;
}
int cudnnSetFilterNdDescriptor(Filter *f, int type, int format, int count, const int *dims) {
    if (count != 4)
        return refuse(NOT_SUPPORTED, "filters of %d dimensions are not emulated", count);
    return cudnnSetFilter4dDescriptor(f, type, format, dims[0], dims[1], dims[2], dims[3]);
}

int cudnnCreateConvolutionDescriptor(Convolution **c) {
    *c = new Convolution;
    return SUCCESS;
}
int cudnnDestroyConvolutionDescriptor(Convolution *c) {
    delete c;
    return SUCCESS;
}
int cudnnSetConvolution2dDescriptor(Convolution *c, int pad_h, int pad_w, int stride_h,
                                    int stride_w, int dilation_h, int dilation_w, int mode,
                                    int compute) {
    ENTER;
    if (pad_h < 0 || pad_w < 0 || stride_h < 1 || stride_w < 1 || dilation_h < 1 || dilation_w < 1)
        return refuse(BAD_PARAM, "padding (%d, %d), stride (%d, %d), dilation (%d, %d)", pad_h,
                      pad_w, stride_h, stride_w, dilation_h, dilation_w);
    *c = {{pad_h, pad_w},  {stride_h, stride_w}, {dilation_h, dilation_w}, mode, 0, 1,
          type_of(compute)};
    return SUCCESS;
}
int cudnnSetConvolutionNdDescriptor(Convolution *c, int count, const int *pad, const int *stride,
                                    const int *dilation, int mode, int compute) {
    if (count != 2)
        return refuse(NOT_SUPPORTED, "convolutions of %d dimensions are not emulated", count);
    return cudnnSetConvolution2dDescriptor(c, pad[0], pad[1], stride[0], stride[1], dilation[0],
                                           dilation[1], mode, compute);
}
int cudnnSetConvolutionMathType(Convolution *c, int math) {
    c->math = math;
    return SUCCESS;
}
int cudnnSetConvolutionGroupCount(Convolution *c, int groups) {
    c->groups = groups;
    return SUCCESS;
}

int cudnnGetConvolutionForwardAlgorithm_v7(Handle *, const Tensor *x, const Filter *w,
                                           const Convolution *c, const Tensor *y, int wanted,
                                           int *found, Performance *results) {
    ENTER;
    return find_algorithms(Direction::Forward, x, w, c, y, wanted, found, results);
}
int cudnnGetConvolutionBackwardDataAlgorithm_v7(Handle *, const Filter *w, const Tensor *dy,
                                                const Convolution *c, const Tensor *dx, int wanted,
                                                int *found, Performance *results) {
    ENTER;
    return find_algorithms(Direction::Data, dx, w, c, dy, wanted, found, results);
}
int cudnnGetConvolutionBackwardFilterAlgorithm_v7(Handle *, const Tensor *x, const Tensor *dy,
                                                  const Convolution *c, const Filter *dw,
                                                  int wanted, int *found, Performance *results) {
    ENTER;
    return find_algorithms(Direction::Filter, x, dw, c, dy, wanted, found, results);
}

int cudnnGetConvolutionForwardWorkspaceSize(Handle *, const Tensor *x, const Filter *w,
                                            const Convolution *c, const Tensor *y, int algorithm,
                                            size_t *bytes) {
    ENTER;
    Problem p;
    if (int status = describe(Direction::Forward, x, w, c, y, algorithm, p)) return status;
    *bytes = workspace_of(p, Direction::Forward, algorithm);
    return SUCCESS;
}
int cudnnGetConvolutionBackwardDataWorkspaceSize(Handle *, const Filter *w, const Tensor *dy,
                                                 const Convolution *c, const Tensor *dx,
                                                 int algorithm, size_t *bytes) {
    ENTER;
    Problem p;
    if (int status = describe(Direction::Data, dx, w, c, dy, algorithm, p)) return status;
    *bytes = workspace_of(p, Direction::Data, algorithm);
    return SUCCESS;
}
int cudnnGetConvolutionBackwardFilterWorkspaceSize(Handle *, const Tensor *x, const Tensor *dy,
                                                   const Convolution *c, const Filter *dw,
                                                   int algorithm, size_t *bytes) {
    ENTER;
    Problem p;
    if (int status = describe(Direction::Filter, x, dw, c, dy, algorithm, p)) return status;
    *bytes = workspace_of(p, Direction::Filter, algorithm);
    return SUCCESS;
}

int cudnnConvolutionForward(Handle *handle, const void *alpha, const Tensor *x, const void *px,
                            const Filter *w, const void *pw, const Convolution *c, int algorithm,
                            void *workspace, size_t bytes, const void *beta, const Tensor *y,
                            void *py) {
    ENTER;
    return convolve(handle, Direction::Forward, alpha, x, px, w, pw, c, algorithm, workspace, bytes,
                    beta, y, py);
}
int cudnnConvolutionBackwardData(Handle *handle, const void *alpha, const Filter *w, const void *pw,
                                 const Tensor *dy, const void *pdy, const Convolution *c,
                                 int algorithm, void *workspace, size_t bytes, const void *beta,
                                 const Tensor *dx, void *pdx) {
    ENTER;
    return convolve(handle, Direction::Data, alpha, dx, pdx, w, pw, c, algorithm, workspace, bytes,
                    beta, dy, pdy);
}
int cudnnConvolutionBackwardFilter(Handle *handle, const void *alpha, const Tensor *x,
                                   const void *px, const Tensor *dy, const void *pdy,
                                   const Convolution *c, int algorithm, void *workspace,
                                   size_t bytes, const void *beta, const Filter *dw, void *pdw) {
    ENTER;
    return convolve(handle, Direction::Filter, alpha, x, px, dw, pdw, c, algorithm, workspace,
                    bytes, beta, dy, pdy);
}

} // extern "C"
