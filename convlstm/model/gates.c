/* The arithmetic of the gates of one layer at one step, in one pass over memory each way.

   It is that of gates.py, whose equations and layout it follows: `kept` is the type in which the
   convolutions read and write and in which gates, C and H are kept; the state, which is C as it
   goes from step to step, and all arithmetic are float.
   A pixel is one place of one window, and its channels lie beside each other. They are computed 16
   at a time, in vectors which GCC and Clang turn into the instructions of any machine; n says how
   many of the 16 there are. A gap is the distance from a pixel to the next, where it is not the
   number of channels. */

#include <omp.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16 };
typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t bits __attribute__((vector_size(4 * LANES)));

INLINE lanes load_floats(const float *from, long n) {
    lanes x = {0};
    memcpy(&x, from, 4 * n);
    return x;
}

INLINE void store_floats(float *to, lanes x, long n) { memcpy(to, &x, 4 * n); }

#if BFLOAT16
typedef uint16_t kept;
typedef uint16_t halves __attribute__((vector_size(2 * LANES)));

#ifdef __AVX512BF16__
#include <immintrin.h>
/* To the nearest, ties to even; numbers below 2^-126 become zero. */
INLINE halves narrow(lanes x) { return (halves)_mm512_cvtneps_pbh((__m512)x); }
#else
/* To the nearest, ties to even; what is no number stays so. */
INLINE halves narrow(lanes x) {
    bits b = (bits)x, number = x == x;
    b = (b + 0x7fff + ((b >> 16) & 1)) >> 16;
    return __builtin_convertvector((b & number) | (0x7fc0 & ~number), halves);
}
#endif

INLINE lanes load(const kept *from, long n) {
    halves x = {0};
    memcpy(&x, from, 2 * n);
    return (lanes)(__builtin_convertvector(x, bits) << 16);
}

INLINE void store(kept *to, lanes x, long n) {
    halves y = narrow(x);
    memcpy(to, &y, 2 * n);
}
#else
typedef float kept;

INLINE lanes load(const kept *from, long n) { return load_floats(from, n); }
INLINE void store(kept *to, lanes x, long n) { store_floats(to, x, n); }
#endif

/* exp(x) = 2^m exp(r) with |r| <= log(2) / 2, where the series to r^6 errs by less than two
   roundings. Beyond 43 a sigmoid is 0 or 1 to 2e-19, and the product of two exponentials is still
   a float. Every comparison with NaN is false, so NaN passes. */
INLINE lanes exponential(lanes x) {
    const lanes most = 43 + (lanes){0};
    bits over = x > most, under = x < -most;
    x = (lanes)((over & (bits)most) | (under & (bits)-most) | (~(over | under) & (bits)x));
    lanes m = x * 1.44269504f + 12582912 - 12582912; /* 1.5 * 2^23 leaves no place for fractions */
    lanes r = (x - m * 0.693359375f) + m * 2.12194440e-4f; /* log(2) in two parts */
    lanes sum = 1 + r * (1 + r * (1 / 2.f + r * (1 / 6.f + r * (1 / 24.f + r * (1 / 120.f
                + r * (1 / 720.f))))));
    return (lanes)((bits)sum + (__builtin_convertvector(m, bits) << 23));
}

INLINE lanes tangent(lanes x) { return 1 - 2 / (1 + exponential(2 * x)); }

/* What a peephole adds to a pre-activation; there may be none. */
INLINE lanes seen(const float *peephole, lanes cell, long n) {
    return peephole ? load_floats(peephole, n) * cell : (lanes){0};
}

/* The peepholes of I, F and O at a pixel, or none. */
struct peepholes { const float *i, *f, *o; };

INLINE struct peepholes moved(struct peepholes from, long by) {
    return (struct peepholes){from.i + by, from.f + by, from.o + by};
}

INLINE void forward_lanes(long n, long own, const kept *z, float *state, struct peepholes peep,
                          kept *gates, kept *cell, kept *hidden, kept *above) {
    lanes was = load_floats(state, n);
    lanes exp_i = 1 + exponential(-load(z, n) - seen(peep.i, was, n));
    lanes exp_f = 1 + exponential(-load(z + own, n) - seen(peep.f, was, n));
    lanes exp_g = 1 + exponential(-load(z + 3 * own, n)); /* of -2 times the candidate */
    lanes inverse = 1 / (exp_i * exp_f); /* one division for two sigmoids */
    lanes i = exp_f * inverse, f = exp_i * inverse, g, c, exp_o, o;
    if (peep.i) { /* O sees C, which needs G */
        g = 1 - 2 / exp_g;
        c = f * was + i * g;
        o = 1 / (1 + exponential(-load(z + 2 * own, n) - seen(peep.o, c, n)));
    } else {
        exp_o = 1 + exponential(-load(z + 2 * own, n));
        inverse = 1 / (exp_o * exp_g);
        g = 1 - 2 * exp_o * inverse;
        c = f * was + i * g;
        o = exp_g * inverse;
    }
    lanes h = o * tangent(c);
    store(gates, i, n);
    store(gates + own, f, n);
    store(gates + 2 * own, o, n);
    store(gates + 3 * own, g, n);
    store_floats(state, c, n);
    store(cell, c, n);
    store(hidden, h, n);
    store(above, h, n);
}

INLINE void add(float *to, lanes x, long n) { store_floats(to, load_floats(to, n) + x, n); }

INLINE void backward_lanes(long n, long own, const kept *above, const kept *later,
                           const kept *cell, const kept *before, struct peepholes peep,
                           kept *gates, float *dc, float *bias) {
    lanes i = load(gates, n), f = load(gates + own, n);
    lanes o = load(gates + 2 * own, n), g = load(gates + 3 * own, n);
    lanes dh = load(above, n) + load(later, n), t = tangent(load(cell, n));
    lanes grad_o = dh * t * o * (1 - o);
    lanes d = load_floats(dc, n) + dh * o * (1 - t * t) + seen(peep.o, grad_o, n);
    lanes grad_i = d * g * i * (1 - i);
    lanes grad_f = d * load(before, n) * f * (1 - f);
    lanes grad_g = d * i * (1 - g * g);
    store(gates, grad_i, n);
    store(gates + own, grad_f, n);
    store(gates + 2 * own, grad_o, n);
    store(gates + 3 * own, grad_g, n);
    store_floats(dc, d * f + seen(peep.i, grad_i, n) + seen(peep.f, grad_f, n), n);
    add(bias, grad_i, n);
    add(bias + own, grad_f, n);
    add(bias + 2 * own, grad_o, n);
    add(bias + 3 * own, grad_g, n);
}

/* Do STATEMENT for all channels; k is the first of the n at hand. Whole vectors have a constant n,
   with which memcpy is one instruction; a statement that knows of no peepholes is twice as fast. */
#define FOR_CHANNELS(STATEMENT)                          \
    {                                                    \
        for (long k = 0; k + LANES <= own; k += LANES) { \
            const long n = LANES;                        \
            STATEMENT;                                   \
        }                                                \
        if (own % LANES) {                               \
            const long n = own % LANES, k = own - n;     \
            STATEMENT;                                   \
        }                                                \
    }

/* Write I, F, O, G and C of a step, and H at two places, which may be one; overwrite the state of
   the step before. `grid` is the number of pixels of one window, after which the peepholes begin
   anew. */
void forward(long pixels, long own, long grid, int threads, const kept *z, float *state,
             const float *peep_i, const float *peep_f, const float *peep_o, kept *gates,
             kept *cell, kept *hidden, long hidden_gap, kept *above, long above_gap) {
    const struct peepholes peep = {peep_i, peep_f, peep_o}, none = {0};
#pragma omp parallel for num_threads(threads)
    for (long p = 0; p < pixels; p++) {
        const kept *zp = z + 4 * p * own;
        float *sp = state + p * own;
        kept *gp = gates + 4 * p * own, *cp = cell + p * own;
        kept *hp = hidden + p * hidden_gap, *ap = above + p * above_gap;
        if (peep.i)
            FOR_CHANNELS(forward_lanes(n, own, zp + k, sp + k, moved(peep, p % grid * own + k),
                                       gp + k, cp + k, hp + k, ap + k))
        else
            FOR_CHANNELS(forward_lanes(n, own, zp + k, sp + k, none, gp + k, cp + k, hp + k,
                                       ap + k))
    }
}

/* Overwrite the gates with the gradients of their pre-activations, and dc, the gradient of C that
   comes from the next step, with that of C of the step before. The gradient of H is the sum of what
   comes from above and from the next step. To `bias`, which has a row for each thread, add the sums
   of the gradients of the pre-activations over all pixels. */
void backward(long pixels, long own, long grid, int threads, const kept *above, long above_gap,
              const kept *later, long later_gap, const kept *cell, const kept *before,
              long before_gap, const float *peep_i, const float *peep_f, const float *peep_o,
              kept *gates, float *dc, float *bias) {
    const struct peepholes peep = {peep_i, peep_f, peep_o}, none = {0};
#pragma omp parallel for num_threads(threads)
    for (long p = 0; p < pixels; p++) {
        const kept *ap = above + p * above_gap, *lp = later + p * later_gap;
        const kept *cp = cell + p * own, *bp = before + p * before_gap;
        kept *gp = gates + 4 * p * own;
        float *dp = dc + p * own, *sums = bias + 4 * own * omp_get_thread_num();
        if (peep.i)
            FOR_CHANNELS(backward_lanes(n, own, ap + k, lp + k, cp + k, bp + k,
                                        moved(peep, p % grid * own + k), gp + k, dp + k, sums + k))
        else
            FOR_CHANNELS(backward_lanes(n, own, ap + k, lp + k, cp + k, bp + k, none, gp + k,
                                        dp + k, sums + k))
    }
}
