// A matrix product for sizes that cuBLASLt has no algorithm for (a single row or column, odd strides).
// A thread a result; element (i, k) of a lies at i * a_row + k * a_column, and so on.
template <class T, class R>
__device__ void plain_product_rows(const T *a, const T *b, const R *add, const R *bias, R *out,
                                   int rows, int columns, int inner, u64 a_row, u64 a_column,
                                   u64 b_row, u64 b_column, u64 add_stride, u64 out_stride) {
    for (u64 i = first_index(); i < (u64)rows * columns; i += index_stride()) {
        const u64 row = i / columns, column = i % columns;
        float sum = 0;
        for (int k = 0; k < inner; k++) {
            sum += load(a[row * a_row + k * a_column]) * load(b[k * b_row + column * b_column]);
        }
        if (bias) sum += load(bias[column]);
        if (add) sum += load(add[row * add_stride + column]);
        out[row * out_stride + column] = store<R>(sum);
    }
}

#define PRODUCT_KERNEL(T, R, S)                                                                    \
    extern "C" __global__ void plain_product_##S(                                                  \
        const T *a, const T *b, const R *add, const R *bias, R *out, int rows, int columns,        \
        int inner, u64 a_row, u64 a_column, u64 b_row, u64 b_column, u64 add_stride,               \
        u64 out_stride) {                                                                          \
        plain_product_rows(a, b, add, bias, out, rows, columns, inner, a_row, a_column, b_row,     \
                           b_column, add_stride, out_stride);                                      \
    }
PRODUCT_KERNEL(float, float, f32_f32)
PRODUCT_KERNEL(bf16, bf16, bf16_bf16)
PRODUCT_KERNEL(bf16, float, bf16_f32)
