// Elements of the three types that products and convolutions take, on the host.
#pragma once

#include <cstdint>
#include <cstring>

namespace emu {

enum class Type { F32, F64, F16, BF16, None };

inline size_t bytes_of(Type type) { return type == Type::F64 ? 8 : type == Type::F32 ? 4 : 2; }
inline const char *name_of(Type type) {
    return type == Type::F32    ? "float32"
           : type == Type::F64  ? "float64"
           : type == Type::F16  ? "float16"
           : type == Type::BF16 ? "bfloat16"
                                : "?";
}

inline float bf16_to_float(uint16_t x) {
    uint32_t u = uint32_t(x) << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
inline uint16_t float_to_bf16(float f) { // to nearest, ties to even
    uint32_t u;
    memcpy(&u, &f, 4);
    if ((u & 0x7fffffff) > 0x7f800000) return 0x7fff;
    return uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
// TensorFloat-32: ten bits of mantissa.
inline float to_tf32(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    if ((u & 0x7f800000) != 0x7f800000) u = (u + 0xfff + ((u >> 13) & 1)) & ~0x1fffu;
    memcpy(&f, &u, 4);
    return f;
}

inline double load(Type type, const void *p, int64_t i) {
    switch (type) {
    case Type::F32: return static_cast<const float *>(p)[i];
    case Type::F64: return static_cast<const double *>(p)[i];
    case Type::F16: return double(static_cast<const _Float16 *>(p)[i]);
    default: return bf16_to_float(static_cast<const uint16_t *>(p)[i]);
    }
}
inline void store(Type type, void *p, int64_t i, double v) {
    switch (type) {
    case Type::F32: static_cast<float *>(p)[i] = float(v); break;
    case Type::F64: static_cast<double *>(p)[i] = v; break;
    case Type::F16: static_cast<_Float16 *>(p)[i] = _Float16(float(v)); break;
    default: static_cast<uint16_t *>(p)[i] = float_to_bf16(float(v)); break;
    }
}

} // namespace emu
