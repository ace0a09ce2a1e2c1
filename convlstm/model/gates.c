/* The arithmetic of the gates of one layer at one step, in one pass over memory each way.

   It is that of gates.py, whose equations and layout it follows: KEPT is the type in which the
   convolutions read and write and in which gates and H are kept; C and all arithmetic are float.
   A pixel is one place of one window, and its channels lie beside each other. */

#include <stdint.h>
#include <string.h>

#if BFLOAT16
typedef uint16_t kept;

static inline float wide(kept x) {
    uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, 4);
    return y;
}

static inline kept narrow(float x) { /* to the nearest, ties to even; what is no number stays so */
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return x == x ? (bits + 0x7fff + ((bits >> 16) & 1)) >> 16 : 0x7fc0;
}
#else
typedef float kept;

static inline float wide(kept x) { return x; }
static inline kept narrow(float x) { return x; }
#endif

/* exp(x) = 2^n exp(r) with |r| <= log(2) / 2, where the series to r^7 errs by less than a rounding.
   Every comparison with NaN is false, so NaN passes. */
static inline float exponential(float x) {
    x = x > 87 ? 87 : x;
    x = x < -87 ? -87 : x;
    float n = __builtin_rintf(x * 1.44269504f);
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* log(2) in two parts */
    float sum = 1 + r * (1 + r * (1 / 2.f + r * (1 / 6.f + r * (1 / 24.f + r * (1 / 120.f
                + r * (1 / 720.f + r * (1 / 5040.f)))))));
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return sum * power;
}

static inline float sigmoid(float x) { return 1 / (1 + exponential(-x)); }
static inline float tangent(float x) { return 1 - 2 * sigmoid(-2 * x); }

/* What a peephole adds to a pre-activation; there may be none. */
static inline float seen(const float *peephole, long at, float cell) {
    return peephole ? peephole[at] * cell : 0;
}

static inline __attribute__((always_inline)) void forward_pixel(
    long own, long at, const kept *z, const float *before, const float *peep_i,
    const float *peep_f, const float *peep_o, kept *gates, float *cell, kept *hidden) {
#pragma omp simd
    for (long k = 0; k < own; k++) {
        float i = sigmoid(wide(z[k]) + seen(peep_i, at + k, before[k]));
        float f = sigmoid(wide(z[own + k]) + seen(peep_f, at + k, before[k]));
        float g = 1 - 2 * sigmoid(wide(z[3 * own + k])); /* of -2 times the candidate */
        float c = f * before[k] + i * g;
        float o = sigmoid(wide(z[2 * own + k]) + seen(peep_o, at + k, c));
        gates[k] = narrow(i);
        gates[own + k] = narrow(f);
        gates[2 * own + k] = narrow(o);
        gates[3 * own + k] = narrow(g);
        cell[k] = c;
        hidden[k] = narrow(o * tangent(c));
    }
}

/* Write I, F, O, G, C and H of a step. `before` is C of the step before; `grid` is the number of
   pixels of one window, after which the peepholes begin anew, if there are any. */
void forward(long pixels, long own, long grid, int threads, const kept *z, const float *before,
             const float *peep_i, const float *peep_f, const float *peep_o,
             kept *gates, float *cell, kept *hidden) {
#pragma omp parallel for num_threads(threads)
    for (long p = 0; p < pixels; p++) {
        const kept *zp = z + 4 * p * own;
        const float *bp = before + p * own;
        kept *gp = gates + 4 * p * own, *hp = hidden + p * own;
        float *cp = cell + p * own;
        if (peep_i)
            forward_pixel(own, p % grid * own, zp, bp, peep_i, peep_f, peep_o, gp, cp, hp);
        else
            forward_pixel(own, 0, zp, bp, 0, 0, 0, gp, cp, hp);
    }
}

static inline __attribute__((always_inline)) void backward_pixel(
    long own, long at, const float *dh, const float *cell, const float *before,
    const float *peep_i, const float *peep_f, const float *peep_o, kept *gates, float *dc) {
#pragma omp simd
    for (long k = 0; k < own; k++) {
        float i = wide(gates[k]), f = wide(gates[own + k]);
        float o = wide(gates[2 * own + k]), g = wide(gates[3 * own + k]);
        float t = tangent(cell[k]);
        float grad_o = dh[k] * t * o * (1 - o);
        float d = dc[k] + dh[k] * o * (1 - t * t) + seen(peep_o, at + k, grad_o);
        float grad_i = d * g * i * (1 - i);
        float grad_f = d * before[k] * f * (1 - f);
        gates[k] = narrow(grad_i);
        gates[own + k] = narrow(grad_f);
        gates[2 * own + k] = narrow(grad_o);
        gates[3 * own + k] = narrow(d * i * (1 - g * g));
        dc[k] = d * f + seen(peep_i, at + k, grad_i) + seen(peep_f, at + k, grad_f);
    }
}

/* Overwrite the gates with the gradients of their pre-activations, and dc, the gradient of C that
   comes from the next step, with that of C of the step before. */
void backward(long pixels, long own, long grid, int threads, const float *dh, const float *cell,
              const float *before, const float *peep_i, const float *peep_f, const float *peep_o,
              kept *gates, float *dc) {
#pragma omp parallel for num_threads(threads)
    for (long p = 0; p < pixels; p++) {
        const float *hp = dh + p * own, *cp = cell + p * own, *bp = before + p * own;
        kept *gp = gates + 4 * p * own;
        float *dp = dc + p * own;
        if (peep_i)
            backward_pixel(own, p % grid * own, hp, cp, bp, peep_i, peep_f, peep_o, gp, dp);
        else
            backward_pixel(own, 0, hp, cp, bp, 0, 0, 0, gp, dp);
    }
}
