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
        x[i] = store<T>(load(x[i]) + bias[i % channels]);
    }
}

// The 3×3 neighbourhood (zero outside the picture) of `count` pixels from `first` on, as rows of
// (3, 3, channels).
template <class T>
__device__ void patches_rows(const T *x, T *rows, u64 first, u64 count, int height, int width,
                             int channels) {
    const int row = 9 * channels;
    for (u64 i = first_index(); i < count * row; i += index_stride()) {
        const u64 pixel = first + i / row;
        const int at = i % row, c = at % channels, dx = at / channels % 3 - 1,
                  dy = at / channels / 3 - 1;
        const int px = pixel % width + dx, py = (int)(pixel / width % height) + dy;
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
template <class T>
__device__ void pad_front_rows(const T *x, T *y, u64 pixels, int tail, int width) {
    for (u64 i = first_index(); i < pixels * width; i += index_stride()) {
        const int c = (int)(i % width) - (width - tail);
        y[i] = c < 0 ? store<T>(0.0f) : x[i / width * tail + c];
    }
}

// x, then zeros in the last `width - head` channels.
template <class T>
__device__ void pad_back_rows(const T *x, T *y, u64 pixels, int head, int width) {
    for (u64 i = first_index(); i < pixels * width; i += index_stride()) {
        const int c = i % width;
        y[i] = c < head ? x[i / width * head + c] : store<T>(0.0f);
    }
}

// Means of rate × rate cells, then zeros up to `channels_out`. height and width are the result's.
template <class T>
__device__ void pool_rows(const T *x, T *y, u64 n, int height, int width, int channels,
                          int channels_out, int rate) {
    for (u64 i = first_index(); i < n; i += index_stride()) {
        const int c = i % channels_out;
        const u64 pixel = i / channels_out, image = pixel / ((u64)height * width);
        const int px = pixel % width, py = pixel / width % height;
        float sum = 0;
        for (int dy = 0; c < channels && dy < rate; dy++) {
            for (int dx = 0; dx < rate; dx++) {
                const u64 line = (image * height + py) * rate + dy;
                sum += load(x[(line * width * rate + px * rate + dx) * channels + c]);
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
        const int c = i % channels;
        const u64 pixel = i / channels, line = pixel / ((u64)width * rate);
        const int px = pixel % ((u64)width * rate) / rate;
        dx[i] = store<T>(weight * load(dy[(line / rate * width + px) * channels_out + c]));
    }
}

// Pixels of `low` repeated rate × rate times, cut or filled up with zeros to `channels`, plus a
// bias (height, width, channels) that all images share. height and width are the result's.
template <class T>
__device__ void upsample_rows(const T *low, const float *bias, T *y, u64 n, int height, int width,
                              int low_channels, int channels, int rate) {
    for (u64 i = first_index(); i < n; i += index_stride()) {
        const int c = i % channels;
        const u64 pixel = i / channels, line = pixel / width;
        const int px = pixel % width;
        float value = bias ? bias[i % ((u64)height * width * channels)] : 0.0f;
        if (c < low_channels) {
            value += load(low[(line / rate * (width / rate) + px / rate) * low_channels + c]);
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
        const int c = i % low_channels;
        const u64 pixel = i / low_channels, line = pixel / low_width;
        const int px = pixel % low_width;
        float sum = 0;
        for (int y = 0; c < channels && y < rate; y++) {
            for (int x = 0; x < rate; x++) {
                sum += load(dy[((line * rate + y) * width + px * rate + x) * channels + c]);
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
        const int c = i % channels;
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
    extern "C" __global__ void pad_front_##S(const T *x, T *y, u64 pixels, int tail, int width) {  \
        pad_front_rows(x, y, pixels, tail, width);                                                 \
    }                                                                                              \
    extern "C" __global__ void pad_back_##S(const T *x, T *y, u64 pixels, int head, int width) {   \
        pad_back_rows(x, y, pixels, head, width);                                                  \
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
