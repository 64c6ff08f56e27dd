// What every kernel uses: number types, packs of 16 bytes, sums over a block.
#pragma once

// bfloat16 by its bits, so that no header is needed. Arithmetic is in float32 throughout.
struct bf16 {
    unsigned short bits;
};

__device__ __forceinline__ float load(float value) { return value; }
__device__ __forceinline__ float load(bf16 value) {
    return __uint_as_float((unsigned)value.bits << 16);
}

template <class T> __device__ __forceinline__ T store(float value);
template <> __device__ __forceinline__ float store<float>(float value) { return value; }
// To the nearest, ties to even; NaN stays NaN.
template <> __device__ __forceinline__ bf16 store<bf16>(float value) {
    unsigned bits = __float_as_uint(value);
    bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    bits = nan ? bits | 0x00400000u : bits + 0x7fffu + ((bits >> 16) & 1u);
    return bf16{(unsigned short)(bits >> 16)};
}

// V numbers that are read and written at once.
template <class T, int V> struct alignas(sizeof(T) * V) Pack {
    T v[V];
};
template <class T> struct Wide {
    static const int size = 16 / sizeof(T);
};

typedef unsigned long long u64;

// First element and stride of a loop over all elements by all threads.
__device__ __forceinline__ u64 first_index() {
    return (u64)blockIdx.x * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ u64 index_stride() { return (u64)gridDim.x * blockDim.x; }

// Row and column of element `i` of rows of `width`. Division of 64 bits takes several times the
// instructions of one of 32.
struct Place {
    u64 row;
    int column;
    __device__ __forceinline__ Place(u64 i, int width) {
        if (i >> 32) {
            row = i / width;
            column = i % width;
        } else {
            row = (unsigned)i / (unsigned)width;
            column = (unsigned)i % (unsigned)width;
        }
    }
};

// Sum over a block of whole warps; every thread gets it. Always in the same order.
template <class T> __device__ T block_sum(T value) {
    __shared__ T warps[32];
    __shared__ T total;
    for (int lane = 16; lane > 0; lane /= 2) value += __shfl_down_sync(0xffffffffu, value, lane);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
    __syncthreads();
    if (threadIdx.x == 0) {
        T sum = 0;
        for (unsigned w = 0; w < blockDim.x / 32; w++) sum += warps[w];
        total = sum;
    }
    __syncthreads();
    // A further call passes a barrier before it writes `total` again.
    return total;
}
