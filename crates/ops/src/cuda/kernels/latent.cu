// A layer's latent, its KL and their gradients; the KL's sum; standard normal noise.

// z | kl, for `n` latents: pixel i / z of posterior (2z) and prior (prior_width).
template <class T>
__device__ void latent_rows(const T *posterior, const T *prior, const T *noise, T *out, u64 n,
                            int z, int prior_width) {
    for (u64 i = first_index(); i < n; i += index_stride()) {
        const Place place(i, z);
        const u64 pixel = place.row;
        const int c = place.column;
        const float m = load(posterior[pixel * 2 * z + c]), s = load(posterior[pixel * 2 * z + z + c]);
        const float p = load(prior[pixel * prior_width + c]),
                    t = load(prior[pixel * prior_width + z + c]);
        const float distance = m - p;
        const float kl = t - s - 0.5f +
                         0.5f * (expf(2.0f * (s - t)) + distance * distance * expf(-2.0f * t));
        out[pixel * 2 * z + c] = store<T>(noise ? m + expf(s) * load(noise[i]) : m);
        out[pixel * 2 * z + z + c] = store<T>(kl);
    }
}

// Gradients for `n` latents: that of the posterior, and that of the prior added to d_prior (each
// unless null).
template <class T>
__device__ void latent_backward_rows(const T *posterior, const T *prior, const T *noise,
                                     const T *upstream, T *d_posterior, T *d_prior, u64 n, int z,
                                     int prior_width) {
    for (u64 i = first_index(); i < n; i += index_stride()) {
        const Place place(i, z);
        const u64 at = place.row * 2 * z + place.column;
        const u64 prior_at = place.row * prior_width + place.column;
        const float m = load(posterior[at]), s = load(posterior[at + z]);
        const float p = load(prior[prior_at]), t = load(prior[prior_at + z]);
        const float dz = load(upstream[at]), dkl = load(upstream[at + z]);
        const float distance = m - p, precision = expf(-2.0f * t), ratio = expf(2.0f * (s - t));
        if (d_posterior) {
            float d_log_std = dkl * (ratio - 1.0f);
            if (noise) d_log_std += dz * expf(s) * load(noise[i]);
            d_posterior[at] = store<T>(dz + dkl * distance * precision);
            d_posterior[at + z] = store<T>(d_log_std);
        }
        if (d_prior) {
            const float d_mean = load(d_prior[prior_at]) - dkl * distance * precision;
            const float d_log_std = load(d_prior[prior_at + z]) +
                                    dkl * (1.0f - (ratio + distance * distance * precision));
            d_prior[prior_at] = store<T>(d_mean);
            d_prior[prior_at + z] = store<T>(d_log_std);
        }
    }
}

// partial[image][block] = sum of the KL half of one image's pixels; blocks (blocks, images).
template <class T>
__device__ void kl_partial(const T *latent, double *partial, u64 pixels, int z) {
    const T *image = latent + (u64)blockIdx.y * pixels * 2 * z;
    double sum = 0;
    for (u64 i = first_index(); i < pixels * z; i += index_stride()) {
        const Place place(i, z);
        sum += load(image[place.row * 2 * z + z + place.column]);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

// out[row] = scale × sum of partial[row][0..count]. A block a row.
extern "C" __global__ void finish_sums(const double *partial, float *out, int count,
                                       double scale) {
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        sum += partial[(u64)blockIdx.x * count + i];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[blockIdx.x] = (float)(scale * sum);
}

// Zero to the latent half, the image's gradient to its KL half. n counts all numbers.
template <class T>
__device__ void spread_kl_rows(const float *upstream, T *d, u64 n, u64 image, int z) {
    for (u64 i = first_index(); i < n; i += index_stride()) {
        const bool kl = Place(i, 2 * z).column >= z;
        d[i] = store<T>(kl ? upstream[i / image] : 0.0f);
    }
}

// Philox 4×32 with ten rounds: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
__device__ __forceinline__ uint4 philox(uint4 counter, uint2 key) {
    for (int round = 0; round < 10; round++) {
        const u64 a = (u64)0xD2511F53u * counter.x, b = (u64)0xCD9E8D57u * counter.z;
        counter = make_uint4((unsigned)(b >> 32) ^ counter.y ^ key.x, (unsigned)b,
                             (unsigned)(a >> 32) ^ counter.w ^ key.y, (unsigned)a);
        key.x += 0x9E3779B9u;
        key.y += 0xBB67AE85u;
    }
    return counter;
}

// Standard normal numbers, `each` an image: functions of seed, layer, image and position alone.
template <class T>
__device__ void normal_rows(T *out, u64 each, int images, u64 seed, u64 first, unsigned layer) {
    const u64 groups = (each + 3) / 4;
    const uint2 key = make_uint2((unsigned)seed, (unsigned)(seed >> 32));
    for (u64 i = first_index(); i < groups * images; i += index_stride()) {
        const u64 image = first + i / groups, group = i % groups;
        const uint4 bits = philox(
            make_uint4((unsigned)group, layer, (unsigned)image, (unsigned)(image >> 32)), key);
        float values[4];
        const unsigned pairs[4] = {bits.x, bits.y, bits.z, bits.w};
        for (int k = 0; k < 4; k += 2) {
            // Box and Muller; the first number in (0, 1], of 24 bits.
            const float u = ((pairs[k] >> 8) + 1) * (1.0f / 16777216.0f);
            const float angle = (pairs[k + 1] >> 8) * (2.0f / 16777216.0f);
            const float radius = sqrtf(-2.0f * logf(u));
            values[k] = radius * cospif(angle);
            values[k + 1] = radius * sinpif(angle);
        }
        for (int k = 0; k < 4 && group * 4 + k < each; k++) {
            out[i / groups * each + group * 4 + k] = store<T>(values[k]);
        }
    }
}

#define LATENT_KERNELS(T, S)                                                                       \
    extern "C" __global__ void latent_##S(const T *posterior, const T *prior, const T *noise,      \
                                          T *out, u64 n, int z, int prior_width) {                 \
        latent_rows(posterior, prior, noise, out, n, z, prior_width);                              \
    }                                                                                              \
    extern "C" __global__ void latent_backward_##S(const T *posterior, const T *prior,             \
                                                   const T *noise, const T *upstream,              \
                                                   T *d_posterior, T *d_prior, u64 pixels, int z,  \
                                                   int prior_width) {                              \
        latent_backward_rows(posterior, prior, noise, upstream, d_posterior, d_prior, pixels, z,   \
                             prior_width);                                                         \
    }                                                                                              \
    extern "C" __global__ void kl_partial_##S(const T *latent, double *partial, u64 pixels,        \
                                              int z) {                                             \
        kl_partial(latent, partial, pixels, z);                                                    \
    }                                                                                              \
    extern "C" __global__ void spread_kl_##S(const float *upstream, T *d, u64 n, u64 image,        \
                                             int z) {                                              \
        spread_kl_rows(upstream, d, n, image, z);                                                  \
    }                                                                                              \
    extern "C" __global__ void normal_##S(T *out, u64 each, int images, u64 seed, u64 first,       \
                                          unsigned layer) {                                        \
        normal_rows(out, each, images, seed, first, layer);                                        \
    }
LATENT_KERNELS(float, f32)
LATENT_KERNELS(bf16, bf16)
