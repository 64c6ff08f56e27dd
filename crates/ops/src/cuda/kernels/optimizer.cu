// The second half of a training step: norm, decision, AdamW and the moving average.

// partial[block] = sum of squares, in float64. Blocks of 512.
extern "C" __global__ void __launch_bounds__(512, 2) square_partial(const float *x, double *partial, u64 n) {
    double sum = 0;
    for (u64 i = first_index(); i < n; i += index_stride()) sum += (double)x[i] * (double)x[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// What the update needs of the decision.
struct Update {
    float skip;          // 1 to leave everything as it is
    float scale;         // factor of the gradient
    float step_size;     // learning rate over the first moment's correction
    float root;          // root of the second moment's correction
    float ema_rate;      // decay of the moving average
};

struct Rule {
    int kind;       // 0 no limit, 1 fixed, 2 factor times the median
    double value;   // the norm, or the factor
    int window;     // norms remembered
    int fewest;     // norms before the median counts
    double clip, beta1, beta2, ema_rate;
    int ema_warmup; // whether the decay is at most (1 + n) / (10 + n)
};

// One block of 256. counters: updates made, norms seen. log: distortion, rate, norm, threshold,
// skipped.
extern "C" __global__ void decide(const double *partial, int blocks, const float *distortion,
                                  const float *rate, int images, double *norms, u64 *counters,
                                  Update *update, double *log, double learning_rate, Rule rule) {
    __shared__ double middle[2];
    double squares = 0, mean_distortion = 0, mean_rate = 0;
    for (int i = threadIdx.x; i < blocks; i += blockDim.x) squares += partial[i];
    for (int i = threadIdx.x; i < images; i += blockDim.x) {
        mean_distortion += distortion[i];
        mean_rate += rate[i];
    }
    const double norm = sqrt(block_sum(squares));
    mean_distortion = block_sum(mean_distortion) / images;
    mean_rate = block_sum(mean_rate) / images;

    double threshold = rule.kind == 1 ? rule.value : (double)INFINITY;
    const int known = (int)min(counters[1], (u64)rule.window);
    if (rule.kind == 2 && known >= rule.fewest) {
        // A norm's rank is the number of norms before it; the two in the middle have known ranks.
        for (int i = threadIdx.x; i < known; i += blockDim.x) {
            int rank = 0;
            for (int k = 0; k < known; k++) {
                rank += norms[k] < norms[i] || (norms[k] == norms[i] && k < i);
            }
            if (rank == (known - 1) / 2) middle[0] = norms[i];
            if (rank == known / 2) middle[1] = norms[i];
        }
        __syncthreads();
        threshold = rule.value * ((middle[0] + middle[1]) / 2.0);
    }
    __syncthreads();
    if (threadIdx.x != 0) return;

    const bool finite = isfinite(mean_distortion + mean_rate) && isfinite(norm);
    const bool skip = !(finite && norm < threshold);
    if (!skip) counters[0]++;
    if (isfinite(norm)) norms[counters[1]++ % rule.window] = norm;
    const double updates = (double)counters[0], clip = rule.clip / (norm + 1e-6);
    update->skip = skip ? 1.0f : 0.0f;
    update->scale = (float)(clip < 1.0 ? clip : 1.0);
    update->step_size = (float)(learning_rate / (1.0 - pow(rule.beta1, updates)));
    update->root = (float)sqrt(1.0 - pow(rule.beta2, updates));
    const double most = rule.ema_warmup ? (1.0 + updates) / (10.0 + updates) : 1.0;
    update->ema_rate = (float)min(rule.ema_rate, most);
    log[0] = mean_distortion;
    log[1] = mean_rate;
    log[2] = norm;
    log[3] = threshold;
    log[4] = skip ? 1.0 : 0.0;
}

// A piece of one parameter tensor, which begins at `offset` of the flat buffers.
struct Piece {
    float *parameters;
    u64 offset;
    u64 length;
};

// A block a piece.
extern "C" __global__ void adamw(const Piece *pieces, const float *gradient, float *ema,
                                 float *first, float *second, const Update *update, float beta1,
                                 float beta2, float epsilon, float shrink) {
    if (update->skip != 0.0f) return;
    const Piece piece = pieces[blockIdx.x];
    const float scale = update->scale, step_size = update->step_size, root = update->root;
    const float ema_rate = update->ema_rate;
    for (u64 i = threadIdx.x; i < piece.length; i += blockDim.x) {
        const u64 at = piece.offset + i;
        const float g = gradient[at] * scale;
        const float m = beta1 * first[at] + (1.0f - beta1) * g;
        const float v = beta2 * second[at] + (1.0f - beta2) * g * g;
        const float p = piece.parameters[i] * shrink - step_size * m / (sqrtf(v) / root + epsilon);
        first[at] = m;
        second[at] = v;
        piece.parameters[i] = p;
        ema[at] = ema[at] * ema_rate + p * (1.0f - ema_rate);
    }
}
