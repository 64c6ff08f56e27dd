#include "gemm.h"

#include "runtime.h"

#include <cmath>
#include <cstdio>
#include <vector>

namespace emu {

int refuse(int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "CUDA emulator: status %d: ", status);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return status;
}

namespace {

// Column by column, for the rows between two columns are not the matrix's.
void check(const Matrix &m, int64_t batch, const char *name, bool write) {
    if (!m.data) fail("%s is null", name);
    size_t size = bytes_of(m.type);
    if (reinterpret_cast<uintptr_t>(m.data) % size)
        fail("%s, %p, is not aligned to its elements", name, m.data);
    for (int64_t i = 0; i < batch; i++)
        for (int64_t j = 0; j < m.cols; j++) {
            auto *column = static_cast<char *>(const_cast<void *>(m.data)) +
                           (i * m.batch_stride + j * m.ld) * int64_t(size);
            if (write)
                writes(column, size_t(m.rows) * size, name);
            else
                reads(column, size_t(m.rows) * size, name);
        }
}

size_t extent(const Matrix &m, int64_t batch) {
    return size_t((batch - 1) * m.batch_stride + (m.cols - 1) * m.ld + m.rows) * bytes_of(m.type);
}

void check_apart(const Matrix &in, const Matrix &d, int64_t batch, const char *name) {
    auto p = static_cast<const char *>(in.data), q = static_cast<const char *>(d.data);
    if (p < q + extent(d, batch) && q < p + extent(in, batch))
        fail("%s and the result overlap", name);
}

// op(M) as real numbers, transposed to columns (m.cols of the operand each `rows` long).
template <typename T>
std::vector<T> unpack(const Matrix &m, int64_t index, int64_t rows, int64_t cols, bool tf32) {
    std::vector<T> out(size_t(rows * cols));
    int64_t start = index * m.batch_stride;
    for (int64_t j = 0; j < cols; j++)
        for (int64_t i = 0; i < rows; i++) {
            T v = T(load(m.type, m.data, start + (m.transposed ? i * m.ld + j : j * m.ld + i)));
            out[size_t(j * rows + i)] = tf32 ? T(to_tf32(float(v))) : v;
        }
    return out;
}

template <typename T> void compute(const Product &p) {
    auto &d = p.d;
    std::vector<T> sum(static_cast<size_t>(p.m));
    for (int64_t z = 0; z < p.batch; z++) {
        auto a = unpack<T>(p.a, z, p.m, p.k, p.tf32), b = unpack<T>(p.b, z, p.k, p.n, p.tf32);
        for (int64_t j = 0; j < p.n; j++) {
            std::fill(sum.begin(), sum.end(), T(0));
            for (int64_t l = 0; l < p.k; l++) {
                T s = b[size_t(j * p.k + l)], *column = &a[size_t(l * p.m)];
                for (int64_t i = 0; i < p.m; i++) sum[size_t(i)] += s * column[i];
            }
            for (int64_t i = 0; i < p.m; i++) {
                T v = T(p.alpha) * sum[size_t(i)];
                // With beta = 0, C is not read.
                if (p.beta != 0)
                    v += T(p.beta) *
                         T(load(p.c.type, p.c.data, z * p.c.batch_stride + j * p.c.ld + i));
                if (p.epilogue & BIAS) v += T(load(d.type, p.bias, i));
                if (p.epilogue & RELU) v = v > 0 ? v : T(0);
                if (p.epilogue & GELU)
                    v = T(0.5) * v *
                        (1 + std::tanh(T(0.7978845608028654) * (v + T(0.044715) * v * v * v)));
                store(d.type, const_cast<void *>(d.data), z * d.batch_stride + j * d.ld + i,
                      double(v));
            }
        }
        // The gradient of a bias: sums of op(A)'s rows, or of op(B)'s columns.
        if (p.epilogue == BGRADA)
            for (int64_t i = 0; i < p.m; i++) {
                T v = 0;
                for (int64_t l = 0; l < p.k; l++) v += a[size_t(l * p.m + i)];
                store(d.type, p.bias, i, double(v));
            }
        if (p.epilogue == BGRADB)
            for (int64_t j = 0; j < p.n; j++) {
                T v = 0;
                for (int64_t l = 0; l < p.k; l++) v += b[size_t(j * p.k + l)];
                store(d.type, p.bias, j, double(v));
            }
    }
}

} // namespace

void multiply(const Product &p) {
    if (p.m == 0 || p.n == 0 || p.batch == 0) return;
    if (p.k > 0) {
        check(p.a, p.batch, "A", false);
        check(p.b, p.batch, "B", false);
        check_apart(p.a, p.d, p.batch, "A");
        check_apart(p.b, p.d, p.batch, "B");
    }
    if (p.beta != 0) {
        check(p.c, p.batch, "C", false);
        if (p.c.data != p.d.data) check_apart(p.c, p.d, p.batch, "C");
    }
    size_t element = bytes_of(p.d.type);
    if (p.epilogue & BIAS) reads(p.bias, size_t(p.m) * element, "the bias");
    if (p.epilogue == BGRADA) writes(p.bias, size_t(p.m) * element, "the bias gradient");
    if (p.epilogue == BGRADB) writes(p.bias, size_t(p.n) * element, "the bias gradient");
    check(p.d, p.batch, "D", true);
    if (p.d.type == Type::F64)
        compute<double>(p);
    else
        compute<float>(p);
}

} // namespace emu
