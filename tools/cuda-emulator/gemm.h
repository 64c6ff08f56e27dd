// D = alpha op(A) op(B) + beta C, with the epilogues, for cuBLAS and cuBLASLt. Column-major.
#pragma once

#include "number.h"

#include <cstdarg>
#include <cstdint>

namespace emu {

// cublasStatus_t
constexpr int SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, NOT_SUPPORTED = 15;

// cudaDataType
inline Type type_of(int data_type) {
    switch (data_type) {
    case 0: return Type::F32;
    case 1: return Type::F64;
    case 2: return Type::F16;
    case 14: return Type::BF16;
    default: return Type::None;
    }
}

struct Matrix {
    const void *data;
    Type type;
    int64_t rows, cols, ld, batch_stride;
    bool transposed = false;
};

// cublasLtEpilogue_t
enum Epilogue { DEFAULT = 1, RELU = 2, BIAS = 4, GELU = 32, BGRADA = 256, BGRADB = 512 };

struct Product {
    int64_t m, n, k, batch;
    Matrix a, b, c, d;
    double alpha, beta;
    bool tf32;
    int epilogue;
    void *bias; // added to every column of D; or written, for BGRADA and BGRADB
};

// Checks the device memory, then computes.
void multiply(const Product &);

// Says why a call is refused, and passes the status on.
int refuse(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

} // namespace emu
