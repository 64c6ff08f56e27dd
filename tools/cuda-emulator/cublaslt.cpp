// cuBLASLt (libcublasLt.so.13): matrix products with epilogues, and the promises around them.

#include "gemm.h"
#include "runtime.h"

#include <cstdio>
#include <set>

using namespace emu;

namespace {

struct Handle {};
std::set<Handle *> handles;

// The opaque structures, which a caller may also keep on its own stack (the *Init functions).
struct Desc {
    int compute, scale, pointer_mode, transa, transb, transc, epilogue, bias_type;
    void *bias;
    int64_t bias_stride;
};
struct Layout {
    int type, order, batch;
    int64_t rows, cols, ld, stride;
};
struct Preference {
    size_t workspace;
    uint32_t alignment[4]; // A, B, C, D
};
static_assert(sizeof(Desc) <= 256 && sizeof(Layout) <= 64 && sizeof(Preference) <= 64);

// What an algorithm remembers of the search that found it.
struct Algorithm {
    uint64_t magic, workspace;
    uint32_t alignment[4];
    int64_t m, n, k;
    uint64_t unused;
};
constexpr uint64_t MAGIC = 0x4c746d61746d756c;
struct Result {
    Algorithm algorithm;
    size_t workspace;
    int status;
    float waves;
    int reserved[4];
};
static_assert(sizeof(Algorithm) == 64 && sizeof(Result) == 96);

constexpr int R_32F = 0, R_64F = 1;
constexpr int COMPUTE_32F = 68, COMPUTE_32F_PEDANTIC = 69, COMPUTE_64F = 70;
constexpr int COMPUTE_32F_FAST_16F = 74, COMPUTE_32F_FAST_16BF = 75, COMPUTE_32F_FAST_TF32 = 77;

#define ENTER                                                                                      \
    std::lock_guard guard(lock);                                                                   \
    Call call(__func__)

// Copies an attribute whose size must be right.
template <typename T> int set(T &to, const void *from, size_t bytes, const char *what) {
    if (!from || bytes != sizeof(T))
        return refuse(INVALID_VALUE, "%s takes %zu bytes, not %zu", what, sizeof(T), bytes);
    memcpy(&to, from, bytes);
    return SUCCESS;
}

// The product that the descriptors describe, without pointers; checks what needs none.
int describe(const Desc &desc, const Layout &a, const Layout &b, const Layout &c, const Layout &d,
             Product &p) {
    if (desc.pointer_mode != 0)
        return refuse(NOT_SUPPORTED, "scalars in device memory are not emulated");
    for (auto *l : {&a, &b, &c, &d}) {
        if (l->order != 0)
            return refuse(NOT_SUPPORTED, "orders other than column-major are not emulated");
        if (type_of(l->type) == Type::None)
            return refuse(NOT_SUPPORTED, "data type %d is not emulated", l->type);
        if (l->ld < l->rows || l->rows <= 0 || l->cols <= 0)
            return refuse(INVALID_VALUE,
                          "a layout of %lld rows, %lld columns, leading dimension %lld",
                          (long long)l->rows, (long long)l->cols, (long long)l->ld);
        if (l->batch != d.batch) return refuse(INVALID_VALUE, "different batch counts");
    }
    if (desc.transc) return refuse(NOT_SUPPORTED, "C transposed");
    int64_t m = desc.transa ? a.cols : a.rows, k = desc.transa ? a.rows : a.cols;
    int64_t kb = desc.transb ? b.cols : b.rows, n = desc.transb ? b.rows : b.cols;
    if (k != kb || c.rows != m || c.cols != n || d.rows != m || d.cols != n)
        return refuse(INVALID_VALUE,
                      "shapes: op(A) %lld x %lld, op(B) %lld x %lld, C %lld x %lld, D %lld x %lld",
                      (long long)m, (long long)k, (long long)kb, (long long)n, (long long)c.rows,
                      (long long)c.cols, (long long)d.rows, (long long)d.cols);
    Type x = type_of(a.type), y = type_of(d.type);
    // The rows of cublasLtMatmul's table for these types.
    bool supported = a.type == b.type && c.type == d.type;
    switch (desc.compute) {
    case COMPUTE_32F:
    case COMPUTE_32F_PEDANTIC:
        supported &= desc.scale == R_32F &&
                     ((x == Type::F32 && y == Type::F32) ||
                      ((x == Type::BF16 || x == Type::F16) && (y == x || y == Type::F32)));
        break;
    case COMPUTE_32F_FAST_TF32:
    case COMPUTE_32F_FAST_16F:
    case COMPUTE_32F_FAST_16BF:
        supported &= desc.scale == R_32F && x == Type::F32 && y == Type::F32;
        break;
    case COMPUTE_64F: supported &= desc.scale == R_64F && x == Type::F64 && y == Type::F64; break;
    default: supported = false;
    }
    if (!supported)
        return refuse(NOT_SUPPORTED, "A %s, B %s, C %s, D %s, compute type %d, scale type %d",
                      name_of(x), name_of(type_of(b.type)), name_of(type_of(c.type)), name_of(y),
                      desc.compute, desc.scale);
    switch (desc.epilogue) {
    case DEFAULT:
    case RELU:
    case BIAS:
    case RELU | BIAS:
    case GELU:
    case GELU | BIAS:
    case BGRADA:
    case BGRADB: break;
    default: return refuse(NOT_SUPPORTED, "epilogue %d is not emulated", desc.epilogue);
    }
    if (desc.epilogue >= BGRADA && d.batch > 1)
        return refuse(NOT_SUPPORTED, "bias gradients of a batch are not emulated");
    if ((desc.epilogue & BIAS) && d.batch > 1 && desc.bias_stride != 0)
        return refuse(NOT_SUPPORTED, "one bias for each of a batch is not emulated");
    // Without 8-bit operands, the bias has D's type.
    if (desc.bias_type != -1 && desc.bias_type != d.type)
        return refuse(NOT_SUPPORTED, "a bias of data type %d with D of %d", desc.bias_type, d.type);
    auto view = [](const Layout &l, int transposed) {
        return Matrix{nullptr, type_of(l.type), l.rows, l.cols, l.ld, l.stride, transposed != 0};
    };
    p = {m,
         n,
         k,
         d.batch,
         view(a, desc.transa),
         view(b, desc.transb),
         view(c, 0),
         view(d, 0),
         1,
         0,
         desc.compute == COMPUTE_32F_FAST_TF32,
         desc.epilogue,
         desc.bias};
    return SUCCESS;
}

} // namespace

extern "C" {

int cublasLtCreate(Handle **handle) {
    ENTER;
    if (!context_is_current())
        return refuse(NOT_INITIALIZED, "cublasLtCreate: no context is current");
    *handle = new Handle;
    handles.insert(*handle);
    return SUCCESS;
}

int cublasLtDestroy(Handle *handle) {
    ENTER;
    if (!handles.erase(handle)) return NOT_INITIALIZED;
    delete handle;
    return SUCCESS;
}

size_t cublasLtGetVersion(void) { return 130000; }

int cublasLtMatmulDescInit_internal(Desc *desc, size_t, int compute, int scale) {
    *desc = {compute, scale, 0, 0, 0, 0, DEFAULT, -1, nullptr, 0};
    return SUCCESS;
}

int cublasLtMatmulDescCreate(Desc **desc, int compute, int scale) {
    *desc = new Desc;
    return cublasLtMatmulDescInit_internal(*desc, sizeof(Desc), compute, scale);
}

int cublasLtMatmulDescDestroy(Desc *desc) {
    delete desc;
    return SUCCESS;
}

int cublasLtMatmulDescSetAttribute(Desc *desc, int attribute, const void *value, size_t bytes) {
    ENTER;
    switch (attribute) {
    case 0: return set(desc->compute, value, bytes, "COMPUTE_TYPE");
    case 1: return set(desc->scale, value, bytes, "SCALE_TYPE");
    case 2: return set(desc->pointer_mode, value, bytes, "POINTER_MODE");
    case 3: return set(desc->transa, value, bytes, "TRANSA");
    case 4: return set(desc->transb, value, bytes, "TRANSB");
    case 5: return set(desc->transc, value, bytes, "TRANSC");
    case 7: return set(desc->epilogue, value, bytes, "EPILOGUE");
    case 8: return set(desc->bias, value, bytes, "BIAS_POINTER");
    case 10: return set(desc->bias_stride, value, bytes, "BIAS_BATCH_STRIDE");
    case 26: return set(desc->bias_type, value, bytes, "BIAS_DATA_TYPE");
    default: return refuse(INVALID_VALUE, "attribute %d of a product is not emulated", attribute);
    }
}

int cublasLtMatrixLayoutCreate(Layout **layout, int type, uint64_t rows, uint64_t cols,
                               int64_t ld) {
    *layout = new Layout{type, 0, 1, int64_t(rows), int64_t(cols), ld, 0};
    return SUCCESS;
}

int cublasLtMatrixLayoutDestroy(Layout *layout) {
    delete layout;
    return SUCCESS;
}

int cublasLtMatrixLayoutSetAttribute(Layout *layout, int attribute, const void *value,
                                     size_t bytes) {
    ENTER;
    switch (attribute) {
    case 0: return set(layout->type, value, bytes, "TYPE");
    case 1: return set(layout->order, value, bytes, "ORDER");
    case 2: return set(layout->rows, value, bytes, "ROWS");
    case 3: return set(layout->cols, value, bytes, "COLS");
    case 4: return set(layout->ld, value, bytes, "LD");
    case 5: return set(layout->batch, value, bytes, "BATCH_COUNT");
    case 6: return set(layout->stride, value, bytes, "STRIDED_BATCH_OFFSET");
    default: return refuse(INVALID_VALUE, "attribute %d of a layout is not emulated", attribute);
    }
}

int cublasLtMatmulPreferenceCreate(Preference **preference) {
    *preference = new Preference{0, {256, 256, 256, 256}}; // the documented defaults
    return SUCCESS;
}

int cublasLtMatmulPreferenceDestroy(Preference *preference) {
    delete preference;
    return SUCCESS;
}

int cublasLtMatmulPreferenceSetAttribute(Preference *preference, int attribute, const void *value,
                                         size_t bytes) {
    ENTER;
    switch (attribute) {
    case 1: return set(preference->workspace, value, bytes, "MAX_WORKSPACE_BYTES");
    case 5:
    case 6:
    case 7:
    case 8: return set(preference->alignment[attribute - 5], value, bytes, "MIN_ALIGNMENT_BYTES");
    case 0:
    case 3:
    case 12: return SUCCESS; // restrict a search that is not one
    default:
        return refuse(INVALID_VALUE, "attribute %d of a preference is not emulated", attribute);
    }
}

int cublasLtMatmulAlgoGetHeuristic(Handle *handle, const Desc *desc, const Layout *a,
                                   const Layout *b, const Layout *c, const Layout *d,
                                   const Preference *preference, int wanted, Result *results,
                                   int *found) {
    ENTER;
    if (!handles.count(handle)) return NOT_INITIALIZED;
    if (!desc || !a || !b || !c || !d || !results || !found || wanted < 1)
        return refuse(INVALID_VALUE, "a null argument");
    *found = 0;
    Product p;
    if (int status = describe(*desc, *a, *b, *c, *d, p)) return status;
    // To see what a caller does without an algorithm.
    static const bool refused = setting("CUDA_EMULATOR_CUBLASLT_REFUSES", 0);
    if (refused) return NOT_SUPPORTED;
    Preference defaults{0, {256, 256, 256, 256}},
        &pr = preference ? *const_cast<Preference *>(preference) : defaults;
    // As much workspace as it may have, up to an amount that depends on the shape.
    size_t workspace = size_t(p.m) * size_t(p.n) * 4;
    workspace = std::min(pr.workspace, (workspace + 255) / 256 * 256);
    Result r{};
    r.algorithm = {MAGIC, workspace, {}, p.m, p.n, p.k, 0};
    memcpy(r.algorithm.alignment, pr.alignment, sizeof pr.alignment);
    r.workspace = workspace;
    r.waves = 1;
    results[0] = r;
    *found = 1;
    return SUCCESS;
}

int cublasLtMatmul(Handle *handle, const Desc *desc, const void *alpha, const void *a,
                   const Layout *la, const void *b, const Layout *lb, const void *beta,
                   const void *c, const Layout *lc, void *d, const Layout *ld,
                   const Algorithm *algorithm, void *workspace, size_t workspace_bytes, void *) {
    ENTER;
    if (!handles.count(handle)) return NOT_INITIALIZED;
    if (!context_is_current()) return refuse(NOT_INITIALIZED, "no context is current");
    if (!desc || !alpha || !beta || !la || !lb || !lc || !ld)
        return refuse(INVALID_VALUE, "a null argument");
    Product p;
    if (int status = describe(*desc, *la, *lb, *lc, *ld, p)) return status;
    bool wide = desc->scale == R_64F;
    p.alpha = wide ? *static_cast<const double *>(alpha) : *static_cast<const float *>(alpha);
    p.beta = wide ? *static_cast<const double *>(beta) : *static_cast<const float *>(beta);
    p.a.data = a;
    p.b.data = b;
    p.c.data = c;
    p.d.data = d;
    if ((p.epilogue & (BIAS | BGRADA | BGRADB)) && !p.bias)
        return refuse(INVALID_VALUE, "the epilogue needs a bias pointer");
    if ((p.epilogue & BIAS) && reinterpret_cast<uintptr_t>(p.bias) % 16) {
        // Nothing is documented about it; PyTorch takes care that the search knows.
        static bool said = false;
        if (!said)
            fprintf(stderr,
                    "CUDA emulator: the bias, %p, is not aligned to 16 bytes, which no search is "
                    "told\n",
                    p.bias);
        said = true;
    }
    if (p.beta != 0 && c == d &&
        (lc->ld != ld->ld || lc->type != ld->type || lc->stride != ld->stride))
        return refuse(INVALID_VALUE, "C and D are the same memory in different layouts");
    if (workspace_bytes) {
        if (!workspace || reinterpret_cast<uintptr_t>(workspace) % 16)
            return refuse(INVALID_VALUE, "the workspace is not aligned to 16");
        // What the algorithm leaves there is of no use to anyone.
        writes(workspace, workspace_bytes, "the workspace");
        memset(workspace, 0xff, workspace_bytes);
    }
    if (algorithm) {
        if (algorithm->magic != MAGIC)
            return refuse(INVALID_VALUE, "the algorithm comes from no search");
        if (algorithm->m != p.m || algorithm->n != p.n || algorithm->k != p.k)
            return refuse(NOT_SUPPORTED, "the algorithm was found for another shape");
        if (algorithm->workspace > workspace_bytes)
            return refuse(INVALID_VALUE, "the algorithm wants %zu bytes of workspace, not %zu",
                          size_t(algorithm->workspace), workspace_bytes);
        const void *pointers[] = {a, b, p.beta != 0 ? c : nullptr, d};
        for (int i = 0; i < 4; i++)
            if (reinterpret_cast<uintptr_t>(pointers[i]) % algorithm->alignment[i])
                fail("%c, %p, is less aligned than the %u bytes that the search for the algorithm "
                     "was told (the default is 256: "
                     "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_%c_BYTES)",
                     "ABCD"[i], pointers[i], algorithm->alignment[i], "ABCD"[i]);
    }
    multiply(p);
    return SUCCESS;
}

} // extern "C"
