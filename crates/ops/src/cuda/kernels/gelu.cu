// GELU (erf form) before and after the products of a block, with bias, residual and the bias's
// gradient in the same pass.
//
// Rows are pixels, columns channels. `wide` says that sizes, strides and addresses allow packs.

__device__ __forceinline__ float normal_cdf(float x) {
    return 0.5f * (1.0f + erff(x * 0.70710678118654752f));
}
// gelu'(x), given the distribution function at x.
__device__ __forceinline__ float gelu_slope(float x, float cdf) {
    return cdf + x * 0.39894228040143268f * expf(-0.5f * x * x);
}

// y = gelu(x + bias); without a bias, gelu(x). Rows of y may be further apart.
template <class T, int V>
__device__ void gelu_rows(const T *x, const float *bias, T *y, u64 pixels, int channels,
                          int y_stride) {
    const unsigned packs = channels / V;
    const u64 total = pixels * packs;
    for (u64 i = first_index(); i < total; i += index_stride()) {
        // Fewer than 2^32 packs, as the host checks: a 32-bit division is four times faster.
        const unsigned pixel = (unsigned)i / packs, c = ((unsigned)i - pixel * packs) * V;
        Pack<T, V> in = *(const Pack<T, V> *)(x + (u64)pixel * channels + c), out;
        for (int k = 0; k < V; k++) {
            float v = load(in.v[k]) + (bias ? bias[c + k] : 0.0f);
            out.v[k] = store<T>(v * normal_cdf(v));
        }
        *(Pack<T, V> *)(y + (u64)pixel * y_stride + c) = out;
    }
}

// Threads of a block lie over `lanes` packs of a pixel and as many pixels as fit. Writes the
// block's column sums, `sums` of this thread's channels, to partial[block][channel].
template <int V>
__device__ void write_column_sums(const float (&sums)[V], float *partial, int channels, int lanes,
                                  bool active) {
    __shared__ float tile[512 * V];
    const int rows = blockDim.x / lanes;
    for (int k = 0; k < V; k++) {
        if (active) tile[threadIdx.x * V + k] = sums[k];
    }
    __syncthreads();
    const int width = lanes * V, first = blockIdx.y * width;
    for (int i = threadIdx.x; i < width && first + i < channels; i += blockDim.x) {
        float sum = 0;
        for (int row = 0; row < rows; row++) sum += tile[row * width + i];
        partial[(u64)blockIdx.x * channels + first + i] = sum;
    }
}

// d: in the gradient of gelu(h + bias), out that of h. Writes gelu(h + bias) to `activated` too,
// which the weights' gradient needs next, and the column sums of d: the bias's gradient.
template <class T, int V>
__device__ void gelu_backward_rows(const T *h, const float *bias, T *d, T *activated,
                                   float *partial, u64 pixels, int channels, int lanes) {
    const int lane = threadIdx.x % lanes, row = threadIdx.x / lanes, rows = blockDim.x / lanes;
    const int c = (blockIdx.y * lanes + lane) * V;
    const bool active = row < rows && c < channels;
    float sums[V];
    for (int k = 0; k < V; k++) sums[k] = 0;
    for (u64 pixel = (u64)blockIdx.x * rows + row; active && pixel < pixels;
         pixel += (u64)gridDim.x * rows) {
        const u64 at = pixel * channels + c;
        Pack<T, V> x = *(const Pack<T, V> *)(h + at), g = *(const Pack<T, V> *)(d + at), a;
        for (int k = 0; k < V; k++) {
            float v = load(x.v[k]) + bias[c + k], cdf = normal_cdf(v);
            float gradient = load(g.v[k]) * gelu_slope(v, cdf);
            sums[k] += gradient;
            g.v[k] = store<T>(gradient);
            a.v[k] = store<T>(v * cdf);
        }
        *(Pack<T, V> *)(d + at) = g;
        *(Pack<T, V> *)(activated + at) = a;
    }
    write_column_sums<V>(sums, partial, channels, lanes, row < rows);
}

// Column sums alone: the gradient of a bias from that of what it was added to.
template <class T, int V>
__device__ void column_sums_rows(const T *x, float *partial, u64 pixels, int channels, int lanes) {
    const int lane = threadIdx.x % lanes, row = threadIdx.x / lanes, rows = blockDim.x / lanes;
    const int c = (blockIdx.y * lanes + lane) * V;
    const bool active = row < rows && c < channels;
    float sums[V];
    for (int k = 0; k < V; k++) sums[k] = 0;
    for (u64 pixel = (u64)blockIdx.x * rows + row; active && pixel < pixels;
         pixel += (u64)gridDim.x * rows) {
        Pack<T, V> in = *(const Pack<T, V> *)(x + pixel * channels + c);
        for (int k = 0; k < V; k++) sums[k] += load(in.v[k]);
    }
    write_column_sums<V>(sums, partial, channels, lanes, row < rows);
}

// The end of a block's gradient. d: in the gradient of gelu(x), out gelu(x) itself, for the
// weights' gradient. dx = gelu'(x) d, plus the gradient that came along the residual.
template <class T, int V>
__device__ void input_backward_rows(const T *x, T *d, int d_stride, const T *residual,
                                    int residual_stride, T *dx, u64 pixels, int channels) {
    const unsigned packs = channels / V;
    const u64 total = pixels * packs;
    for (u64 i = first_index(); i < total; i += index_stride()) {
        const unsigned pixel = (unsigned)i / packs, c = ((unsigned)i - pixel * packs) * V;
        const u64 at = (u64)pixel * channels + c, d_at = (u64)pixel * d_stride + c;
        Pack<T, V> in = *(const Pack<T, V> *)(x + at), g = *(const Pack<T, V> *)(d + d_at), r, out;
        if (residual) r = *(const Pack<T, V> *)(residual + (u64)pixel * residual_stride + c);
        for (int k = 0; k < V; k++) {
            float v = load(in.v[k]), cdf = normal_cdf(v);
            float gradient = load(g.v[k]) * gelu_slope(v, cdf);
            out.v[k] = store<T>(gradient + (residual ? load(r.v[k]) : 0.0f));
            g.v[k] = store<T>(v * cdf);
        }
        *(Pack<T, V> *)(dx + at) = out;
        *(Pack<T, V> *)(d + d_at) = g;
    }
}

#define GELU_KERNELS(T, S)                                                                         \
    extern "C" __global__ void gelu_##S(const T *x, const float *bias, T *y, u64 pixels,           \
                                        int channels, int y_stride, int wide) {                    \
        if (wide) gelu_rows<T, Wide<T>::size>(x, bias, y, pixels, channels, y_stride);             \
        else gelu_rows<T, 1>(x, bias, y, pixels, channels, y_stride);                              \
    }                                                                                              \
    extern "C" __global__ void gelu_backward_##S(const T *h, const float *bias, T *d, T *a,        \
                                                 float *partial, u64 pixels, int channels,         \
                                                 int lanes, int wide) {                            \
        if (wide)                                                                                  \
            gelu_backward_rows<T, Wide<T>::size>(h, bias, d, a, partial, pixels, channels, lanes); \
        else gelu_backward_rows<T, 1>(h, bias, d, a, partial, pixels, channels, lanes);            \
    }                                                                                              \
    extern "C" __global__ void column_sums_##S(const T *x, float *partial, u64 pixels,             \
                                               int channels, int lanes, int wide) {                \
        if (wide) column_sums_rows<T, Wide<T>::size>(x, partial, pixels, channels, lanes);         \
        else column_sums_rows<T, 1>(x, partial, pixels, channels, lanes);                          \
    }                                                                                              \
    extern "C" __global__ void input_backward_##S(const T *x, T *d, int d_stride,                  \
                                                  const T *residual, int residual_stride, T *dx,   \
                                                  u64 pixels, int channels, int wide) {            \
        if (wide)                                                                                  \
            input_backward_rows<T, Wide<T>::size>(x, d, d_stride, residual, residual_stride, dx,   \
                                                  pixels, channels);                               \
        else                                                                                       \
            input_backward_rows<T, 1>(x, d, d_stride, residual, residual_stride, dx, pixels,       \
                                      channels);                                                   \
    }
GELU_KERNELS(float, f32)
GELU_KERNELS(bf16, bf16)

// out[channel] = sum of partial[block][channel] over blocks, in their order. Threads (32, 32).
extern "C" __global__ void sum_partials(const float *partial, float *out, int blocks,
                                        int channels) {
    __shared__ float tile[32][33];
    const int c = blockIdx.x * 32 + threadIdx.x;
    float sum = 0;
    if (c < channels) {
        for (int b = threadIdx.y; b < blocks; b += 32) sum += partial[(u64)b * channels + c];
    }
    tile[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && c < channels) {
        sum = 0;
        for (int row = 0; row < 32; row++) sum += tile[row][threadIdx.x];
        out[c] = sum;
    }
}
