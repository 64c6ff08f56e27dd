// Casts, patches, pooling, upsampling, gain and bias: numbers moved from place to place.

extern "C" __global__ void cast_f32_bf16(const float *x, bf16 *y, u64 n) {
    for (u64 i = first_index(); i < n; i += index_stride()) y[i] = store<bf16>(x[i]);
}
extern "C" __global__ void cast_bf16_f32(const bf16 *x, float *y, u64 n) {
    for (u64 i = first_index(); i < n; i += index_stride()) y[i] = load(x[i]);
}

// x[row][c] += bias[c]
template <class T> __device__ void add_bias_rows(T *x, const float *bias, u64 n, int channels) {
    for (u64 i = first_index(); i < n; i += index_stride()) {
        x[i] = store<T>(load(x[i]) + bias[Place(i, channels).column]);
    }
}

// The 3×3 neighbourhood (zero outside the picture) of `count` pixels from `first` on, as rows of
// (3, 3, channels).
template <class T>
__device__ void patches_rows(const T *x, T *rows, u64 first, u64 count, int height, int width,
                             int channels) {
    const int row = 9 * channels;
    for (u64 i = first_index(); i < count * row; i += index_stride()) {
        const Place place(i, row);
        const u64 pixel = first + place.row;
        const int at = place.column, c = at % channels, dx = at / channels % 3 - 1,
                  dy = at / channels / 3 - 1;
        const Place line(pixel, width);
        const int px = line.column + dx, py = Place(line.row, height).column + dy;
        const bool inside = px >= 0 && px < width && py >= 0 && py < height;
        rows[i] = inside ? x[((long long)pixel + (long long)dy * width + dx) * channels + c]
                         : store<T>(0.0f);
    }
}

// (output, 3, 3, input) to (input, 3, 3, output), both kernel axes reversed: the weights of the
// gradient's convolution.
template <class T>
__device__ void flip_weights(const T *weights, T *flipped, int output, int input) {
    const u64 n = (u64)output * input * 9;
    for (u64 i = first_index(); i < n; i += index_stride()) {
        const int o = i % output, cell = i / output % 9, c = i / output / 9;
        flipped[i] = weights[((u64)o * 9 + 8 - cell) * input + c];
    }
}

// Zeros in the first `width - tail` channels, then x.
template <class T, int V>
__device__ void pad_front_rows(const T *x, T *y, u64 pixels, int tail, int width) {
    const int packs = width / V, zeros = (width - tail) / V;
    for (u64 i = first_index(); i < pixels * packs; i += index_stride()) {
        const Place place(i, packs);
        Pack<T, V> out;
        if (place.column < zeros) {
            for (int k = 0; k < V; k++) out.v[k] = store<T>(0.0f);
        } else {
            out = *(const Pack<T, V> *)(x + place.row * tail + (place.column - zeros) * V);
        }
        *(Pack<T, V> *)(y + i * V) = out;
    }
}

// Means of rate × rate cells, then zeros up to `channels_out`. height and width are the result's.
template <class T>
__device__ void pool_rows(const T *x, T *y, u64 n, int height, int width, int channels,
                          int channels_out, int rate) {
    for (u64 i = first_index(); i < n; i += index_stride()) {
        const Place place(i, channels_out), line(place.row, width), image(line.row, height);
        const int c = place.column, px = line.column, py = image.column;
        float sum = 0;
        for (int dy = 0; c < channels && dy < rate; dy++) {
            for (int dx = 0; dx < rate; dx++) {
                const u64 from = (image.row * height + py) * rate + dy;
                sum += load(x[(from * width * rate + px * rate + dx) * channels + c]);
            }
        }
        y[i] = store<T>(sum / (rate * rate));
    }
}

// Its gradient; n counts the input's numbers, height and width are the result's.
template <class T>
__device__ void pool_backward_rows(const T *dy, T *dx, u64 n, int height, int width, int channels,
                                   int channels_out, int rate) {
    const float weight = 1.0f / (rate * rate);
    for (u64 i = first_index(); i < n; i += index_stride()) {
        const Place place(i, channels), line(place.row, width * rate);
        const int px = line.column / rate;
        const u64 from = Place(line.row, rate).row * width + px;
        dx[i] = store<T>(weight * load(dy[from * channels_out + place.column]));
    }
}

// Pixels of `low` repeated rate × rate times, cut or filled up with zeros to `channels`, plus a
// bias (height, width, channels) that all images share. height and width are the result's.
template <class T>
__device__ void upsample_rows(const T *low, const float *bias, T *y, u64 n, int height, int width,
                              int low_channels, int channels, int rate) {
    for (u64 i = first_index(); i < n; i += index_stride()) {
        const Place place(i, channels), line(place.row, width), image(line.row, height);
        const int c = place.column, px = line.column;
        float value = 0.0f;
        if (bias) value = bias[((u64)image.column * width + px) * channels + c];
        if (c < low_channels) {
            const u64 from = Place(line.row, rate).row * (width / rate) + px / rate;
            value += load(low[from * low_channels + c]);
        }
        y[i] = store<T>(value);
    }
}

// Sums of the gradient over the copies of a pixel; n counts the numbers of `low`.
template <class T>
__device__ void upsample_backward_rows(const T *dy, T *d, u64 n, int width, int low_channels,
                                       int channels, int rate) {
    const int low_width = width / rate;
    for (u64 i = first_index(); i < n; i += index_stride()) {
        const Place place(i, low_channels), line(place.row, low_width);
        const int c = place.column, px = line.column;
        float sum = 0;
        for (int y = 0; c < channels && y < rate; y++) {
            for (int x = 0; x < rate; x++) {
                sum += load(dy[((line.row * rate + y) * width + px * rate + x) * channels + c]);
            }
        }
        d[i] = store<T>(sum);
    }
}

// Sum over images of numbers of one image: the gradient of a bias that all of them share.
template <class T> __device__ void sum_images_rows(const T *x, float *y, u64 image, int images) {
    for (u64 i = first_index(); i < image; i += index_stride()) {
        float sum = 0;
        for (int n = 0; n < images; n++) sum += load(x[n * image + i]);
        y[i] = sum;
    }
}

// y = x gain + bias; `gains` holds gains, then biases.
template <class T>
__device__ void gain_bias_rows(const T *x, const float *gains, T *y, u64 n, int channels) {
    for (u64 i = first_index(); i < n; i += index_stride()) {
        const int c = Place(i, channels).column;
        y[i] = store<T>(load(x[i]) * gains[c] + gains[channels + c]);
    }
}

// dx, and column sums of dy x and of dy: partial[block][gains, biases]. A thread a channel.
template <class T>
__device__ void gain_bias_backward_rows(const T *x, const float *gains, const T *dy, T *dx,
                                        float *partial, u64 pixels, int channels) {
    for (int c = threadIdx.x; c < channels; c += blockDim.x) {
        float gain = 0, bias = 0;
        for (u64 pixel = blockIdx.x; pixel < pixels; pixel += gridDim.x) {
            const u64 at = pixel * channels + c;
            const float g = load(dy[at]);
            gain += g * load(x[at]);
            bias += g;
            dx[at] = store<T>(g * gains[c]);
        }
        partial[(u64)blockIdx.x * 2 * channels + c] = gain;
        partial[(u64)blockIdx.x * 2 * channels + channels + c] = bias;
    }
}

#define SHAPE_KERNELS(T, S)                                                                        \
    extern "C" __global__ void add_bias_##S(T *x, const float *bias, u64 n, int channels) {        \
        add_bias_rows(x, bias, n, channels);                                                       \
    }                                                                                              \
    extern "C" __global__ void patches_##S(const T *x, T *rows, u64 first, u64 count, int height,  \
                                           int width, int channels) {                              \
        patches_rows(x, rows, first, count, height, width, channels);                              \
    }                                                                                              \
    extern "C" __global__ void flip_weights_##S(const T *weights, T *flipped, int output,          \
                                                int input) {                                       \
        flip_weights(weights, flipped, output, input);                                             \
    }                                                                                              \
    extern "C" __global__ void pad_front_##S(const T *x, T *y, u64 pixels, int tail, int width,    \
                                             int wide) {                                           \
        if (wide) pad_front_rows<T, Wide<T>::size>(x, y, pixels, tail, width);                     \
        else pad_front_rows<T, 1>(x, y, pixels, tail, width);                                      \
    }                                                                                              \
    extern "C" __global__ void pool_##S(const T *x, T *y, u64 n, int height, int width,            \
                                        int channels, int channels_out, int rate) {                \
        pool_rows(x, y, n, height, width, channels, channels_out, rate);                           \
    }                                                                                              \
    extern "C" __global__ void pool_backward_##S(const T *dy, T *dx, u64 n, int height, int width, \
                                                 int channels, int channels_out, int rate) {       \
        pool_backward_rows(dy, dx, n, height, width, channels, channels_out, rate);                \
    }                                                                                              \
    extern "C" __global__ void upsample_##S(const T *low, const float *bias, T *y, u64 n,          \
                                            int height, int width, int low_channels,               \
                                            int channels, int rate) {                              \
        upsample_rows(low, bias, y, n, height, width, low_channels, channels, rate);               \
    }                                                                                              \
    extern "C" __global__ void upsample_backward_##S(const T *dy, T *d, u64 n, int width,          \
                                                     int low_channels, int channels, int rate) {   \
        upsample_backward_rows(dy, d, n, width, low_channels, channels, rate);                     \
    }                                                                                              \
    extern "C" __global__ void sum_images_##S(const T *x, float *y, u64 image, int images) {       \
        sum_images_rows(x, y, image, images);                                                      \
    }                                                                                              \
    extern "C" __global__ void gain_bias_##S(const T *x, const float *gains, T *y, u64 n,          \
                                             int channels) {                                       \
        gain_bias_rows(x, gains, y, n, channels);                                                  \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(1024) gain_bias_backward_##S(const T *x, const float *gains, const T *dy, \
                                                      T *dx, float *partial, u64 pixels,           \
                                                      int channels) {                              \
        gain_bias_backward_rows(x, gains, dy, dx, partial, pixels, channels);                      \
    }
SHAPE_KERNELS(float, f32)
SHAPE_KERNELS(bf16, bf16)
