// cuRAND (libcurand.so.10): numbers that look random and are the same every time. They are not
// those of the real library.

#include "runtime.h"

#include <cmath>

using namespace emu;

namespace {

constexpr int SUCCESS = 0, LENGTH_NOT_MULTIPLE = 105;

struct Generator {
    uint64_t seed, offset;
};

uint64_t bits(Generator *g) { // splitmix64
    uint64_t z = g->seed + ++g->offset * 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}
double uniform(Generator *g) { return (double(bits(g) >> 11) + 1) * 0x1p-53; } // (0, 1]

template <typename T> int fill_uniform(Generator *g, T *out, size_t n) {
    std::lock_guard guard(lock);
    Call call("curandGenerateUniform");
    writes(out, n * sizeof(T), "the output");
    for (size_t i = 0; i < n; i++) out[i] = T(uniform(g));
    return SUCCESS;
}
template <typename T> int fill_normal(Generator *g, T *out, size_t n, T mean, T deviation) {
    std::lock_guard guard(lock);
    Call call("curandGenerateNormal");
    if (n % 2) return LENGTH_NOT_MULTIPLE; // it makes them in pairs
    writes(out, n * sizeof(T), "the output");
    for (size_t i = 0; i < n; i += 2) {
        double r = sqrt(-2 * log(uniform(g))), phi = 2 * M_PI * uniform(g);
        out[i] = T(double(mean) + double(deviation) * r * cos(phi));
        out[i + 1] = T(double(mean) + double(deviation) * r * sin(phi));
    }
    return SUCCESS;
}

} // namespace

extern "C" {

int curandCreateGenerator(Generator **g, int) {
    *g = new Generator{0, 0};
    return SUCCESS;
}
int curandDestroyGenerator(Generator *g) {
    delete g;
    return SUCCESS;
}
int curandSetStream(Generator *, void *) { return SUCCESS; }
int curandSetPseudoRandomGeneratorSeed(Generator *g, unsigned long long seed) {
    *g = {seed, 0};
    return SUCCESS;
}
int curandSetGeneratorOffset(Generator *g, unsigned long long offset) {
    g->offset = offset;
    return SUCCESS;
}
int curandGenerateUniform(Generator *g, float *out, size_t n) { return fill_uniform(g, out, n); }
int curandGenerateUniformDouble(Generator *g, double *out, size_t n) {
    return fill_uniform(g, out, n);
}
int curandGenerateNormal(Generator *g, float *out, size_t n, float mean, float deviation) {
    return fill_normal(g, out, n, mean, deviation);
}
int curandGenerateNormalDouble(Generator *g, double *out, size_t n, double mean, double deviation) {
    return fill_normal(g, out, n, mean, deviation);
}

} // extern "C"
