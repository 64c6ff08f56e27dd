// GELU (erf form) before and after the products of a block, with bias, residual and the bias's
// gradient in the same pass.
//
// Rows are pixels, columns channels. `wide` says that sizes, strides and addresses allow packs.

// The normal distribution function and exp(-x²/2): Abramowitz and Stegun 7.1.26, as on the CPU
// (gelu.rs), absolute error below 4e-7. One exponential gives both, and nothing branches: with
// erff and expf these kernels would be bound by arithmetic rather than by memory.
struct Normal {
    float cdf, e;
};
__device__ __forceinline__ Normal normal(float x) {
    const float e = __expf(-0.5f * x * x);
    const float t = __fdividef(1.0f, fmaf(fabsf(x), 0.3275911f * 0.70710678f, 1.0f));
    float q = 1.0614054f;
    q = fmaf(q, t, -1.453152f);
    q = fmaf(q, t, 1.4214137f);
    q = fmaf(q, t, -0.28449674f);
    q = fmaf(q, t, 0.2548296f);
    const float tail = 0.5f * q * t * e;
    return Normal{x < 0.0f ? tail : 1.0f - tail, e};
}
__device__ __forceinline__ float gelu_slope(float x, Normal n) {
    return fmaf(x * 0.39894228f, n.e, n.cdf);
}

// y = gelu(x + bias); without a bias, gelu(x). Rows of y may be further apart.
template <class T, int V>
__device__ void gelu_rows(const T *__restrict__ x, const float *__restrict__ bias,
                          T *__restrict__ y, u64 pixels, int channels, int y_stride) {
    const unsigned packs = channels / V;
    const u64 total = pixels * packs;
    for (u64 i = first_index(); i < total; i += index_stride()) {
        // Fewer than 2^32 packs, as the host checks: a 32-bit division is four times faster.
        const unsigned pixel = (unsigned)i / packs, c = ((unsigned)i - pixel * packs) * V;
        Pack<T, V> in = *(const Pack<T, V> *)(x + (u64)pixel * channels + c), out;
        for (int k = 0; k < V; k++) {
            float v = load(in.v[k]) + (bias ? bias[c + k] : 0.0f);
            out.v[k] = store<T>(v * normal(v).cdf);
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
__device__ void gelu_backward_rows(const T *__restrict__ h, const float *__restrict__ bias,
                                   T *__restrict__ d, T *__restrict__ activated,
                                   float *__restrict__ partial, u64 pixels, int channels,
                                   int lanes) {
    const int lane = threadIdx.x % lanes, row = threadIdx.x / lanes, rows = blockDim.x / lanes;
    const int c = (blockIdx.y * lanes + lane) * V;
    const bool active = row < rows && c < channels;
    float sums[V], b[V];
    for (int k = 0; k < V; k++) {
        sums[k] = 0;
        b[k] = active ? bias[c + k] : 0.0f;
    }
    for (u64 pixel = (u64)blockIdx.x * rows + row; active && pixel < pixels;
         pixel += (u64)gridDim.x * rows) {
        const u64 at = pixel * channels + c;
        Pack<T, V> x = *(const Pack<T, V> *)(h + at), g = *(const Pack<T, V> *)(d + at), a;
        for (int k = 0; k < V; k++) {
            const float v = load(x.v[k]) + b[k];
            const Normal n = normal(v);
            const float gradient = load(g.v[k]) * gelu_slope(v, n);
            sums[k] += gradient;
            g.v[k] = store<T>(gradient);
            a.v[k] = store<T>(v * n.cdf);
        }
        *(Pack<T, V> *)(d + at) = g;
        *(Pack<T, V> *)(activated + at) = a;
    }
    write_column_sums<V>(sums, partial, channels, lanes, row < rows);
}

// Column sums alone: the gradient of a bias from that of what it was added to.
template <class T, int V>
__device__ void column_sums_rows(const T *__restrict__ x, float *__restrict__ partial, u64 pixels,
                                 int channels, int lanes) {
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
// weights' gradient. dx = gelu'(x) d, plus the gradient that came along the residual and the one
// that x has from other uses (each unless null).
template <class T, int V>
__device__ void input_backward_rows(const T *__restrict__ x, T *__restrict__ d, int d_stride,
                                    const T *__restrict__ residual, int residual_stride,
                                    const T *__restrict__ held, T *__restrict__ dx, u64 pixels,
                                    int channels) {
    const unsigned packs = channels / V;
    const u64 total = pixels * packs;
    for (u64 i = first_index(); i < total; i += index_stride()) {
        const unsigned pixel = (unsigned)i / packs, c = ((unsigned)i - pixel * packs) * V;
        const u64 at = (u64)pixel * channels + c, d_at = (u64)pixel * d_stride + c;
        Pack<T, V> in = *(const Pack<T, V> *)(x + at), g = *(const Pack<T, V> *)(d + d_at), r, h, out;
        if (residual) r = *(const Pack<T, V> *)(residual + (u64)pixel * residual_stride + c);
        if (held) h = *(const Pack<T, V> *)(held + at);
        for (int k = 0; k < V; k++) {
            const float v = load(in.v[k]);
            const Normal n = normal(v);
            float gradient = load(g.v[k]) * gelu_slope(v, n);
            if (residual) gradient += load(r.v[k]);
            if (held) gradient += load(h.v[k]);
            out.v[k] = store<T>(gradient);
            g.v[k] = store<T>(v * n.cdf);
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
    extern "C" __global__ void __launch_bounds__(512, 2) gelu_backward_##S(const T *h, const float *bias, T *d, T *a,        \
                                                 float *partial, u64 pixels, int channels,         \
                                                 int lanes, int wide) {                            \
        if (wide)                                                                                  \
            gelu_backward_rows<T, Wide<T>::size>(h, bias, d, a, partial, pixels, channels, lanes); \
        else gelu_backward_rows<T, 1>(h, bias, d, a, partial, pixels, channels, lanes);            \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(512, 2) column_sums_##S(const T *x, float *partial, u64 pixels,             \
                                               int channels, int lanes, int wide) {                \
        if (wide) column_sums_rows<T, Wide<T>::size>(x, partial, pixels, channels, lanes);         \
        else column_sums_rows<T, 1>(x, partial, pixels, channels, lanes);                          \
    }                                                                                              \
    extern "C" __global__ void input_backward_##S(const T *x, T *d, int d_stride,                  \
                                                  const T *residual, int residual_stride,          \
                                                  const T *held, T *dx, u64 pixels, int channels,  \
                                                  int wide) {                                      \
        if (wide)                                                                                  \
            input_backward_rows<T, Wide<T>::size>(x, d, d_stride, residual, residual_stride, held, \
                                                  dx, pixels, channels);                           \
        else                                                                                       \
            input_backward_rows<T, 1>(x, d, d_stride, residual, residual_stride, held, dx, pixels, \
                                      channels);                                                   \
    }
GELU_KERNELS(float, f32)
GELU_KERNELS(bf16, bf16)

// out[channel] = sum of partial[block][channel] over blocks, in their order. Threads (32, 32).
extern "C" __global__ void __launch_bounds__(1024) sum_partials(const float *partial, float *out, int blocks,
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
