// What a CUDA kernel finds when it is compiled as host C++: qualifiers, built-in variables,
// barriers, shuffles, atomics and fast mathematics. kernels.py includes this file first, turns
// __shared__ variables into references to the running block's shared memory, and makes a table of
// the kernels; engine.cpp runs them, one fiber a thread, and checks every access.
#pragma once

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

// The number types must come in their host form, so before __CUDA_ARCH__ is defined.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <vector_functions.h>
#include <vector_types.h>

#define __CUDA_ARCH__ 900
#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0

// __global__ and __shared__ stay as they are: kernels.py looks for them.
#undef __global__
#undef __shared__
#undef __device__
#undef __host__
#undef __constant__
#undef __managed__
#undef __forceinline__
#undef __launch_bounds__
#undef __grid_constant__
#undef __align__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#ifndef __restrict__
#define __restrict__ __restrict
#endif

// ---- The engine --------------------------------------------------------------------------------

// Of the thread that runs now.
extern "C" {
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
}
static const int warpSize = 32;

namespace emu {

enum class Warp {
    Sync,
    Shuffle,
    ShuffleUp,
    ShuffleDown,
    ShuffleXor,
    Ballot,
    Add,
    Min,
    Max,
    And,
    Or,
    Xor
};

// All of these suspend the fiber until every thread concerned has arrived.
extern "C" int emu_barrier(int value, int how); // how: 0 nothing, 1 count, 2 and, 3 or
extern "C" uint64_t emu_warp(int kind, unsigned mask, uint64_t value, int argument, int width,
                             int bytes);

// Checks an atomic access and records it as one.
extern "C" void emu_atomic(const void *address, size_t bytes);
extern "C" void emu_fence(void);

// A static shared variable of the running block (the same for all its threads), or all of the
// dynamic shared memory for `bytes` = 0.
extern "C" void *emu_shared(const void *site, size_t bytes, size_t alignment);

[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// One argument of a kernel, for checks at the launch.
struct Argument {
    size_t bytes, alignment;
    size_t pointee; // alignment of what it points to; 0 if no pointer
    bool integer64;
};

struct Kernel {
    const char *name;
    std::vector<Argument> arguments;
    void (*call)(void **arguments); // one thread
};

template <typename A> Argument describe() {
    using T = std::remove_cv_t<std::remove_reference_t<A>>;
    Argument a{sizeof(T), alignof(T), 0, std::is_integral_v<T> && sizeof(T) == 8};
    if constexpr (std::is_pointer_v<T>) {
        using P = std::remove_pointer_t<T>;
        if constexpr (std::is_void_v<P>)
            a.pointee = 1;
        else
            a.pointee = alignof(P);
    }
    return a;
}

// The kernel is a template argument, so that each has a function that calls it.
template <auto function> struct Entry;
template <typename... A, void (*function)(A...)> struct Entry<function> {
    template <size_t... i> static void call(void **arguments, std::index_sequence<i...>) {
        function(*static_cast<std::remove_cv_t<std::remove_reference_t<A>> *>(arguments[i])...);
    }
    static Kernel kernel(const char *name) {
        return {name, {describe<A>()...}, [](void **arguments) {
                    call(arguments, std::index_sequence_for<A...>{});
                }};
    }
};

template <typename T> uint64_t to_bits(T value) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    return bits;
}
template <typename T> T from_bits(uint64_t bits) {
    T value;
    memcpy(&value, &bits, sizeof(T));
    return value;
}
template <typename T> T shuffle(Warp kind, unsigned mask, T value, int argument, int width) {
    return from_bits<T>(emu_warp(int(kind), mask, to_bits(value), argument, width, sizeof(T)));
}

// Instrumented code may not inline a function that is not; so these stay out of line.
#define EMU_UNCHECKED __attribute__((noinline, no_sanitize("kernel-address")))
template <typename T, typename F> EMU_UNCHECKED T atomic(T *address, F change) {
    emu_atomic(address, sizeof(T));
    T old = *address;
    *address = change(old);
    return old;
}

} // namespace emu

// ---- Barriers, warps, atomics ------------------------------------------------------------------

inline void __syncthreads() { emu::emu_barrier(0, 0); }
inline int __syncthreads_count(int p) { return emu::emu_barrier(p != 0, 1); }
inline int __syncthreads_and(int p) { return emu::emu_barrier(p != 0, 2); }
inline int __syncthreads_or(int p) { return emu::emu_barrier(p != 0, 3); }
inline void __syncwarp(unsigned mask = 0xffffffffu) {
    emu::emu_warp(int(emu::Warp::Sync), mask, 0, 0, 32, 4);
}
inline void __threadfence() { emu::emu_fence(); }
inline void __threadfence_block() {}
inline void __threadfence_system() { emu::emu_fence(); }

template <typename T> T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
    return emu::shuffle(emu::Warp::Shuffle, mask, value, lane, width);
}
template <typename T> T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    return emu::shuffle(emu::Warp::ShuffleUp, mask, value, int(delta), width);
}
template <typename T> T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    return emu::shuffle(emu::Warp::ShuffleDown, mask, value, int(delta), width);
}
template <typename T> T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
    return emu::shuffle(emu::Warp::ShuffleXor, mask, value, lanes, width);
}
inline unsigned __ballot_sync(unsigned mask, int p) {
    return unsigned(emu::emu_warp(int(emu::Warp::Ballot), mask, p != 0, 0, 32, 4));
}
inline int __any_sync(unsigned mask, int p) { return __ballot_sync(mask, p) != 0; }
inline int __all_sync(unsigned mask, int p) { return __ballot_sync(mask, !p) == 0; }
#define EMU_REDUCE(name, kind, T)                                                                  \
    inline T name(unsigned mask, T value) {                                                        \
        return static_cast<T>(                                                                     \
            emu::emu_warp(int(emu::Warp::kind), mask, uint64_t(int64_t(value)), 0, 32, 4));        \
    }
EMU_REDUCE(__reduce_add_sync, Add, unsigned)
EMU_REDUCE(__reduce_add_sync, Add, int)
EMU_REDUCE(__reduce_min_sync, Min, unsigned)
EMU_REDUCE(__reduce_min_sync, Min, int)
EMU_REDUCE(__reduce_max_sync, Max, unsigned)
EMU_REDUCE(__reduce_max_sync, Max, int)
EMU_REDUCE(__reduce_and_sync, And, unsigned)
EMU_REDUCE(__reduce_or_sync, Or, unsigned)
EMU_REDUCE(__reduce_xor_sync, Xor, unsigned)
#undef EMU_REDUCE

template <typename T> T __ldg(const T *p) { return *p; }
template <typename T> T __ldcs(const T *p) { return *p; }
template <typename T> T __ldcg(const T *p) { return *p; }
template <typename T> T __ldca(const T *p) { return *p; }
template <typename T> void __stcs(T *p, T value) { *p = value; }
template <typename T> void __stcg(T *p, T value) { *p = value; }

// Only the types that the hardware has.
#define EMU_ATOMIC(name, T, expression)                                                            \
    inline T name(T *address, T value) {                                                           \
        return emu::atomic(address, [value](T old) { return static_cast<T>(expression); });        \
    }
EMU_ATOMIC(atomicAdd, float, old + value)
EMU_ATOMIC(atomicAdd, double, old + value)
EMU_ATOMIC(atomicAdd, int, unsigned(old) + unsigned(value))
EMU_ATOMIC(atomicAdd, unsigned, old + value)
EMU_ATOMIC(atomicAdd, unsigned long long, old + value)
EMU_ATOMIC(atomicAdd, __half, __float2half(__half2float(old) + __half2float(value)))
EMU_ATOMIC(atomicAdd, __nv_bfloat16,
           __float2bfloat16(__bfloat162float(old) + __bfloat162float(value)))
EMU_ATOMIC(atomicSub, int, unsigned(old) - unsigned(value))
EMU_ATOMIC(atomicSub, unsigned, old - value)
EMU_ATOMIC(atomicExch, int, ((void)old, value))
EMU_ATOMIC(atomicExch, unsigned, ((void)old, value))
EMU_ATOMIC(atomicExch, unsigned long long, ((void)old, value))
EMU_ATOMIC(atomicExch, float, ((void)old, value))
EMU_ATOMIC(atomicMin, int, old < value ? old : value)
EMU_ATOMIC(atomicMin, unsigned, old < value ? old : value)
EMU_ATOMIC(atomicMin, long long, old < value ? old : value)
EMU_ATOMIC(atomicMin, unsigned long long, old < value ? old : value)
EMU_ATOMIC(atomicMax, int, old > value ? old : value)
EMU_ATOMIC(atomicMax, unsigned, old > value ? old : value)
EMU_ATOMIC(atomicMax, long long, old > value ? old : value)
EMU_ATOMIC(atomicMax, unsigned long long, old > value ? old : value)
EMU_ATOMIC(atomicAnd, int, old &value)
EMU_ATOMIC(atomicAnd, unsigned, old &value)
EMU_ATOMIC(atomicAnd, unsigned long long, old &value)
EMU_ATOMIC(atomicOr, int, old | value)
EMU_ATOMIC(atomicOr, unsigned, old | value)
EMU_ATOMIC(atomicOr, unsigned long long, old | value)
EMU_ATOMIC(atomicXor, unsigned, old ^ value)
EMU_ATOMIC(atomicInc, unsigned, old >= value ? 0 : old + 1)
EMU_ATOMIC(atomicDec, unsigned, old == 0 || old > value ? value : old - 1)
#undef EMU_ATOMIC
#define EMU_CAS(T)                                                                                 \
    inline T atomicCAS(T *address, T compare, T value) {                                           \
        return emu::atomic(address, [=](T old) { return old == compare ? value : old; });          \
    }
EMU_CAS(int)
EMU_CAS(unsigned)
EMU_CAS(unsigned short)
EMU_CAS(unsigned long long)
#undef EMU_CAS

// ---- Bits and mathematics ----------------------------------------------------------------------

inline float __uint_as_float(unsigned x) { return emu::from_bits<float>(emu::to_bits(x)); }
inline float __int_as_float(int x) { return emu::from_bits<float>(emu::to_bits(x)); }
inline unsigned __float_as_uint(float x) { return emu::from_bits<unsigned>(emu::to_bits(x)); }
inline int __float_as_int(float x) { return emu::from_bits<int>(emu::to_bits(x)); }
inline double __longlong_as_double(long long x) { return emu::from_bits<double>(emu::to_bits(x)); }
inline long long __double_as_longlong(double x) {
    return emu::from_bits<long long>(emu::to_bits(x));
}

inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(unsigned(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline int __mulhi(int a, int b) { return int((int64_t(a) * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
inline unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int i = 0; i < 32; i++) y |= ((x >> i) & 1u) << (31 - i);
    return y;
}
inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned s) {
    return unsigned((((uint64_t(hi) << 32) | lo) << (s & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned s) {
    return unsigned(((uint64_t(hi) << 32) | lo) >> (s & 31));
}

// The short forms are exact here; on the GPU they are approximations of two or so units.
inline float __expf(float x) { return expf(x); }
inline float __exp10f(float x) { return powf(10.f, x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __log10f(float x) { return log10f(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __tanf(float x) { return tanf(x); }
inline float __tanhf(float x) { return tanhf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return 1.f / sqrtf(x); }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __saturatef(float x) { return x > 0.f ? (x < 1.f ? x : 1.f) : 0.f; }
inline int __float2int_rn(float x) { return int(lrintf(x)); }
inline int __float2int_rz(float x) { return int(x); }
inline int __float2int_rd(float x) { return int(floorf(x)); }
inline int __float2int_ru(float x) { return int(ceilf(x)); }
inline unsigned __float2uint_rn(float x) { return unsigned(lrintf(x)); }
inline float __int2float_rn(int x) { return float(x); }
inline float __uint2float_rn(unsigned x) { return float(x); }
inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
inline double rsqrt(double x) { return 1. / sqrt(x); }
inline double normcdf(double x) { return 0.5 * erfc(-x * 0.70710678118654752440); }
inline float normcdff(float x) { return float(normcdf(double(x))); }
inline double sinpi(double x) { return sin(M_PI * (x - 2 * floor(x / 2))); }
inline double cospi(double x) { return cos(M_PI * (x - 2 * floor(x / 2))); }
inline float sinpif(float x) { return float(sinpi(double(x))); }
inline float cospif(float x) { return float(cospi(double(x))); }
inline void sincospif(float x, float *s, float *c) {
    *s = sinpif(x);
    *c = cospif(x);
}
inline void __sincosf(float x, float *s, float *c) {
    *s = sinf(x);
    *c = cosf(x);
}
using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;

#define EMU_MINMAX(T)                                                                              \
    inline T min(T a, T b) { return b < a ? b : a; }                                               \
    inline T max(T a, T b) { return a < b ? b : a; }
EMU_MINMAX(int)
EMU_MINMAX(unsigned)
EMU_MINMAX(long)
EMU_MINMAX(unsigned long)
EMU_MINMAX(long long)
EMU_MINMAX(unsigned long long)
#undef EMU_MINMAX
// The header's mixed forms.
inline unsigned min(int a, unsigned b) { return min(unsigned(a), b); }
inline unsigned min(unsigned a, int b) { return min(a, unsigned(b)); }
inline unsigned max(int a, unsigned b) { return max(unsigned(a), b); }
inline unsigned max(unsigned a, int b) { return max(a, unsigned(b)); }
inline unsigned long min(unsigned long a, unsigned b) { return min(a, (unsigned long)b); }
inline unsigned long min(unsigned a, unsigned long b) { return min((unsigned long)a, b); }
inline unsigned long max(unsigned long a, unsigned b) { return max(a, (unsigned long)b); }
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

// The 16-bit forms that the headers declare for device code only.
#define EMU_HALF(name, f)                                                                          \
    inline __half name(__half x) { return __float2half(f(__half2float(x))); }                      \
    inline __nv_bfloat16 name(__nv_bfloat16 x) { return __float2bfloat16(f(__bfloat162float(x))); }
EMU_HALF(hsqrt, sqrtf)
EMU_HALF(hcos, cosf)
EMU_HALF(hsin, sinf)
EMU_HALF(hexp, expf)
EMU_HALF(hlog, logf)
EMU_HALF(hceil, ceilf)
EMU_HALF(hfloor, floorf)
EMU_HALF(htrunc, truncf)
EMU_HALF(hrint, rintf)
EMU_HALF(hrsqrt, rsqrtf)
#undef EMU_HALF
