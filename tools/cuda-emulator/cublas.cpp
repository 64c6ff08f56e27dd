// cuBLAS (libcublas.so.13): the matrix products.

#include "gemm.h"
#include "runtime.h"

#include <set>

using namespace emu;

namespace {

struct Handle {
    void *stream;
    int math_mode, pointer_mode;
};
std::set<Handle *> handles;

constexpr int TF32_MATH = 3; // cublasMath_t
constexpr int COMPUTE_16F = 64, COMPUTE_32F = 68, COMPUTE_32F_PEDANTIC = 69,
              COMPUTE_64F = 70; // cublasComputeType_t
constexpr int COMPUTE_32F_FAST_16F = 74, COMPUTE_32F_FAST_16BF = 75, COMPUTE_32F_FAST_TF32 = 77;

#define ENTER                                                                                      \
    std::lock_guard guard(lock);                                                                   \
    Call call(__func__);                                                                           \
    if (!handles.count(handle)) return NOT_INITIALIZED

int gemm(Handle *handle, int transa, int transb, int m, int n, int k, double alpha, double beta,
         const void *a, Type ta, int lda, int64_t stride_a, const void *b, Type tb, int ldb,
         int64_t stride_b, void *c, Type tc, int ldc, int64_t stride_c, int batch, bool tf32) {
    if (handle->pointer_mode != 0)
        return refuse(NOT_SUPPORTED, "scalars in device memory are not emulated");
    if (m < 0 || n < 0 || k < 0 || batch < 0)
        return refuse(INVALID_VALUE, "a negative size: %d %d %d, batch %d", m, n, k, batch);
    int a_rows = transa ? k : m, b_rows = transb ? n : k;
    if (lda < (a_rows > 1 ? a_rows : 1))
        return refuse(INVALID_VALUE, "lda %d is less than the %d rows of A", lda, a_rows);
    if (ldb < (b_rows > 1 ? b_rows : 1))
        return refuse(INVALID_VALUE, "ldb %d is less than the %d rows of B", ldb, b_rows);
    if (ldc < (m > 1 ? m : 1))
        return refuse(INVALID_VALUE, "ldc %d is less than the %d rows of C", ldc, m);
    Product p{m, n, k, batch, {}, {}, {}, {}, alpha, beta, tf32, DEFAULT, nullptr};
    p.a = {a, ta, a_rows, transa ? m : k, lda, stride_a, transa != 0};
    p.b = {b, tb, b_rows, transb ? k : n, ldb, stride_b, transb != 0};
    p.c = p.d = {c, tc, m, n, ldc, stride_c};
    multiply(p);
    return SUCCESS;
}

// The combinations of cublasGemmEx's table that are emulated; the scalars' type is the compute
// type's.
int gemm_ex(Handle *handle, int transa, int transb, int m, int n, int k, const void *alpha,
            const void *a, int ta, int lda, int64_t stride_a, const void *b, int tb, int ldb,
            int64_t stride_b, const void *beta, void *c, int tc, int ldc, int64_t stride_c,
            int batch, int compute) {
    Type x = type_of(ta), y = type_of(tc);
    bool supported = ta == tb;
    switch (compute) {
    case COMPUTE_32F:
    case COMPUTE_32F_PEDANTIC:
        supported &= (x == Type::F32 && y == Type::F32) ||
                     ((x == Type::BF16 || x == Type::F16) && (y == x || y == Type::F32));
        break;
    case COMPUTE_32F_FAST_TF32:
    case COMPUTE_32F_FAST_16F:
    case COMPUTE_32F_FAST_16BF: supported &= x == Type::F32 && y == Type::F32; break;
    case COMPUTE_64F: supported &= x == Type::F64 && y == Type::F64; break;
    default: supported = false; // 16F has scalars in half precision, and sums in it
    }
    if (!supported)
        return refuse(NOT_SUPPORTED, "A %d, B %d, C %d with compute type %d", ta, tb, tc, compute);
    bool wide = compute == COMPUTE_64F;
    double al = wide ? *static_cast<const double *>(alpha) : *static_cast<const float *>(alpha);
    double be = wide ? *static_cast<const double *>(beta) : *static_cast<const float *>(beta);
    bool tf32 = x == Type::F32 && (compute == COMPUTE_32F_FAST_TF32 ||
                                   (compute == COMPUTE_32F && handle->math_mode == TF32_MATH));
    return gemm(handle, transa, transb, m, n, k, al, be, a, x, lda, stride_a, b, x, ldb, stride_b,
                c, y, ldc, stride_c, batch, tf32);
}

} // namespace

extern "C" {

int cublasCreate_v2(Handle **handle) {
    std::lock_guard guard(lock);
    if (!context_is_current())
        return refuse(NOT_INITIALIZED, "cublasCreate: no context is current");
    *handle = new Handle{};
    handles.insert(*handle);
    return SUCCESS;
}

int cublasDestroy_v2(Handle *handle) {
    ENTER;
    handles.erase(handle);
    delete handle;
    return SUCCESS;
}

int cublasGetVersion_v2(Handle *, int *version) {
    *version = 130000;
    return SUCCESS;
}

int cublasSetStream_v2(Handle *handle, void *stream) {
    ENTER;
    handle->stream = stream;
    return SUCCESS;
}

int cublasGetStream_v2(Handle *handle, void **stream) {
    ENTER;
    *stream = handle->stream;
    return SUCCESS;
}

int cublasSetWorkspace_v2(Handle *handle, void *workspace, size_t bytes) {
    ENTER;
    if (bytes && !find(workspace)) fail("the workspace is no device memory");
    return SUCCESS;
}

int cublasSetMathMode(Handle *handle, int mode) {
    ENTER;
    handle->math_mode = mode & 0xf;
    return SUCCESS;
}

int cublasGetMathMode(Handle *handle, int *mode) {
    ENTER;
    *mode = handle->math_mode;
    return SUCCESS;
}

int cublasSetPointerMode_v2(Handle *handle, int mode) {
    ENTER;
    handle->pointer_mode = mode;
    return SUCCESS;
}

int cublasGetPointerMode_v2(Handle *handle, int *mode) {
    ENTER;
    *mode = handle->pointer_mode;
    return SUCCESS;
}

int cublasSgemm_v2(Handle *handle, int transa, int transb, int m, int n, int k, const float *alpha,
                   const float *a, int lda, const float *b, int ldb, const float *beta, float *c,
                   int ldc) {
    ENTER;
    return gemm(handle, transa, transb, m, n, k, *alpha, *beta, a, Type::F32, lda, 0, b, Type::F32,
                ldb, 0, c, Type::F32, ldc, 0, 1, handle->math_mode == TF32_MATH);
}

int cublasDgemm_v2(Handle *handle, int transa, int transb, int m, int n, int k, const double *alpha,
                   const double *a, int lda, const double *b, int ldb, const double *beta,
                   double *c, int ldc) {
    ENTER;
    return gemm(handle, transa, transb, m, n, k, *alpha, *beta, a, Type::F64, lda, 0, b, Type::F64,
                ldb, 0, c, Type::F64, ldc, 0, 1, false);
}

int cublasSgemmStridedBatched(Handle *handle, int transa, int transb, int m, int n, int k,
                              const float *alpha, const float *a, int lda, long long stride_a,
                              const float *b, int ldb, long long stride_b, const float *beta,
                              float *c, int ldc, long long stride_c, int batch) {
    ENTER;
    return gemm(handle, transa, transb, m, n, k, *alpha, *beta, a, Type::F32, lda, stride_a, b,
                Type::F32, ldb, stride_b, c, Type::F32, ldc, stride_c, batch,
                handle->math_mode == TF32_MATH);
}

int cublasDgemmStridedBatched(Handle *handle, int transa, int transb, int m, int n, int k,
                              const double *alpha, const double *a, int lda, long long stride_a,
                              const double *b, int ldb, long long stride_b, const double *beta,
                              double *c, int ldc, long long stride_c, int batch) {
    ENTER;
    return gemm(handle, transa, transb, m, n, k, *alpha, *beta, a, Type::F64, lda, stride_a, b,
                Type::F64, ldb, stride_b, c, Type::F64, ldc, stride_c, batch, false);
}

int cublasGemmEx(Handle *handle, int transa, int transb, int m, int n, int k, const void *alpha,
                 const void *a, int ta, int lda, const void *b, int tb, int ldb, const void *beta,
                 void *c, int tc, int ldc, int compute, int) {
    ENTER;
    return gemm_ex(handle, transa, transb, m, n, k, alpha, a, ta, lda, 0, b, tb, ldb, 0, beta, c,
                   tc, ldc, 0, 1, compute);
}

int cublasGemmStridedBatchedEx(Handle *handle, int transa, int transb, int m, int n, int k,
                               const void *alpha, const void *a, int ta, int lda,
                               long long stride_a, const void *b, int tb, int ldb,
                               long long stride_b, const void *beta, void *c, int tc, int ldc,
                               long long stride_c, int batch, int compute, int) {
    ENTER;
    return gemm_ex(handle, transa, transb, m, n, k, alpha, a, ta, lda, stride_a, b, tb, ldb,
                   stride_b, beta, c, tc, ldc, stride_c, batch, compute);
}

} // extern "C"
