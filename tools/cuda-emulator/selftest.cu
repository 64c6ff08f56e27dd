// Kernels that do one thing right or wrong, for selftest.cpp.

extern "C" __global__ void right(const float *x, float *sums, size_t n) {
    __shared__ float warps[32];
    float sum = 0;
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
         i += (size_t)gridDim.x * blockDim.x)
        sum += x[i];
    for (int lane = 16; lane > 0; lane /= 2) sum += __shfl_down_sync(0xffffffffu, sum, lane);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = threadIdx.x < blockDim.x / 32 ? warps[threadIdx.x] : 0.f;
        for (int lane = 16; lane > 0; lane /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lane);
        if (threadIdx.x == 0) atomicAdd(sums, sum);
    }
}

extern "C" __global__ void transpose(const float *x, float *y, int rows, int cols) {
    extern __shared__ float tile[];
    int c = blockIdx.x * 16 + threadIdx.x, r = blockIdx.y * 16 + threadIdx.y;
    if (r < rows && c < cols) tile[threadIdx.y * 17 + threadIdx.x] = x[r * cols + c];
    __syncthreads();
    c = blockIdx.x * 16 + threadIdx.y;
    r = blockIdx.y * 16 + threadIdx.x;
    if (r < rows && c < cols) y[c * rows + r] = tile[threadIdx.x * 17 + threadIdx.y];
}

extern "C" __global__ void past_the_end(float *x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i <= n) x[i] = 1;
}

extern "C" __global__ void never_written(const float *x, float *y) {
    y[threadIdx.x] = x[threadIdx.x];
}

extern "C" __global__ void no_barrier(float *x) {
    __shared__ float s[64];
    s[threadIdx.x] = 0;
    __syncthreads();
    s[threadIdx.x] = x[threadIdx.x];
    x[threadIdx.x] = s[63 - threadIdx.x];
}

extern "C" __global__ void early_return(float *x, int n) {
    if (threadIdx.x >= n) return;
    __syncthreads();
    x[threadIdx.x] = 0;
}

extern "C" __global__ void half_a_warp(float *x) {
    if (threadIdx.x < 16) x[threadIdx.x] = __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 1);
    __syncthreads();
}

extern "C" __global__ void absent_lane(float *x) {
    if (threadIdx.x < 16) x[threadIdx.x] = __shfl_down_sync(0x0000ffffu, x[threadIdx.x], 8);
}

extern "C" __global__ void all_write_one(float *x) { x[0] = threadIdx.x; }

extern "C" __global__ void blocks_meet(float *x) {
    x[blockIdx.x * blockDim.x + threadIdx.x] = 1;
    __syncthreads();
    if (threadIdx.x == 0 && blockIdx.x == 1) x[2] = x[0];
}

extern "C" __global__ void misaligned(float *x) {
    reinterpret_cast<float4 *>(x + 1)->x = reinterpret_cast<float4 *>(x + 5)->y;
}

extern "C" __global__ void shared_overrun(float *x) {
    __shared__ float a[8];
    __shared__ float b[8];
    float *p = a;
    if (threadIdx.x == 0) b[0] = 1;
    p[threadIdx.x] = x[threadIdx.x];
}
