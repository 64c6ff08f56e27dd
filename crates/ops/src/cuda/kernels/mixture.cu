// The discretized mixture of logistics: log-likelihood and gradient of a block of pixels.
//
// The formulas are those of the CPU (mixture/kernel.rs): with E = exp(-|x|) and e = exp(-w), the
// probability of a bin is E (1 - e²) / ((E + e) (1 + E e)), and nothing cancels or overflows.

struct Term {
    float value, by_mean, by_log_scale;
};

__device__ Term log_probability(float target, float mean, float log_scale, float half_bin,
                                float log_density) {
    const bool clamped = log_scale < -7.0f;
    if (clamped) log_scale = -7.0f;
    const float inverse_scale = expf(-log_scale);
    const float x = inverse_scale * (target - mean), w = inverse_scale * half_bin;
    const bool right = x >= 0.0f;
    const float distance = fabsf(x);
    const float big_e = expf(-distance), e = expf(-w);
    const float gap = -expm1f(-2.0f * w);
    const float near = 1.0f + big_e * e, far = big_e + e;

    const bool first = target < -0.999f, last = target > 0.999f, edge = first || last;
    const bool inside = (first && right) || (last && !right);
    const bool narrow = !edge && big_e * gap <= 1e-5f * near * far;
    const bool body = !edge && !narrow;

    const float density = (1.0f + big_e) * (1.0f + big_e);
    const float quotient =
        1.0f / (edge ? (inside ? near : far) : (narrow ? density : near * far));
    const float ratio = body ? gap * quotient : quotient;
    Term term;
    term.value = (inside ? 0.0f : -distance) - (narrow ? log_scale + log_density : 0.0f) + logf(ratio);

    const float tail = (inside ? big_e * e : e) * quotient;
    const float slope = (1.0f - big_e * big_e) * (narrow ? quotient : e * quotient);
    const float by_x = edge ? (first ? tail : -tail) : (right ? -slope : slope);
    const float by_w = body ? w * ((1.0f + e * e) / gap - big_e * ratio) : w * tail;
    const float by_log_scale = -(x * by_x + (narrow ? 1.0f : by_w));
    term.by_mean = -inverse_scale * by_x;
    term.by_log_scale = clamped ? 0.0f : by_log_scale;
    return term;
}

// A thread a pixel, blocks (blocks, images). Shared memory holds the logits of the block's pixels,
// a row each with one number more so that rows start in different banks, then their joint log
// probabilities. Writes partial[image][block], and the gradient of the image's nats per dimension
// unless `gradient` is null.
extern "C" __global__ void mixture_nll(const float *logits, const unsigned char *pixels,
                                       float *gradient, double *partial, int image_pixels,
                                       int components, int low_bit, float half_bin,
                                       float log_density, float factor) {
    extern __shared__ float shared[];
    const int m = components, channels = 10 * m, row = channels + 1, joint_row = m + (m + 1) % 2;
    float *joints = shared + (u64)blockDim.x * row;
    const int first = blockIdx.x * blockDim.x;
    const int count = min((int)blockDim.x, image_pixels - first);
    const u64 base = ((u64)blockIdx.y * image_pixels + first) * channels;
    for (int i = threadIdx.x; i < count * channels; i += blockDim.x) {
        shared[i / channels * row + i % channels] = logits[base + i];
    }
    __syncthreads();

    double log_likelihood = 0;
    if ((int)threadIdx.x < count) {
        float *l = shared + threadIdx.x * row, *joint = joints + threadIdx.x * joint_row;
        const unsigned char *bytes =
            pixels + ((u64)blockIdx.y * image_pixels + first + threadIdx.x) * 3;
        float target[3];
        for (int colour = 0; colour < 3; colour++) {
            const int byte = low_bit ? bytes[colour] / 8 * 8 : bytes[colour];
            target[colour] = ((float)byte - 127.5f) / 127.5f;
        }
        float largest_prior = -INFINITY, largest = -INFINITY;
        for (int k = 0; k < m; k++) {
            // Groups of m: prior, then mean, log scale and coefficient of each colour.
            for (int colour = 0; colour < 3; colour++) {
                l[(3 + 3 * colour) * m + k] = tanhf(l[(3 + 3 * colour) * m + k]);
            }
            const float c0 = l[3 * m + k], c1 = l[6 * m + k], c2 = l[9 * m + k];
            const float means[3] = {l[m + k], l[4 * m + k] + c0 * target[0],
                                    l[7 * m + k] + c1 * target[0] + c2 * target[1]};
            float sum = l[k];
            for (int colour = 0; colour < 3; colour++) {
                const Term term = log_probability(target[colour], means[colour],
                                                  l[(2 + 3 * colour) * m + k], half_bin, log_density);
                sum += term.value;
                l[(1 + 3 * colour) * m + k] = term.by_mean;
                l[(2 + 3 * colour) * m + k] = term.by_log_scale;
            }
            joint[k] = sum;
            largest = fmaxf(largest, sum);
            largest_prior = fmaxf(largest_prior, l[k]);
        }
        float sum = 0, sum_prior = 0;
        // fmaxf drops NaN, exp does not: a NaN among the logits reaches both sums.
        for (int k = 0; k < m; k++) {
            sum += joint[k] = expf(joint[k] - largest);
            sum_prior += l[k] = expf(l[k] - largest_prior);
        }
        log_likelihood = (double)largest + log((double)sum) - (double)largest_prior -
                         log((double)sum_prior);
        if (gradient) {
            for (int k = 0; k < m; k++) {
                const float posterior = joint[k] / sum;
                l[k] = factor * (posterior - l[k] / sum_prior);
                for (int group = 1; group < 10; group++) {
                    if (group % 3 != 0) l[group * m + k] *= factor * posterior;
                }
                const float c0 = l[3 * m + k], c1 = l[6 * m + k], c2 = l[9 * m + k];
                l[3 * m + k] = l[4 * m + k] * target[0] * (1.0f - c0 * c0);
                l[6 * m + k] = l[7 * m + k] * target[0] * (1.0f - c1 * c1);
                l[9 * m + k] = l[7 * m + k] * target[1] * (1.0f - c2 * c2);
            }
        }
    }
    log_likelihood = block_sum(log_likelihood);
    if (threadIdx.x == 0) partial[(u64)blockIdx.y * gridDim.x + blockIdx.x] = log_likelihood;
    if (!gradient) return;
    for (int i = threadIdx.x; i < count * channels; i += blockDim.x) {
        gradient[base + i] = shared[i / channels * row + i % channels];
    }
}

// gradient[image][i] *= upstream[image]
extern "C" __global__ void scale_images(float *gradient, const float *upstream, u64 n, u64 image) {
    for (u64 i = first_index(); i < n; i += index_stride()) gradient[i] *= upstream[i / image];
}
