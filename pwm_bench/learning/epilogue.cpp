/* What follows the product of a layer, one pass over each row each way, for CPUs and GPUs; see epilogue_kernels.py,
   which puts this text into the body of a function and writes these before it:

   real, stored                  types of numbers in arithmetic and of rows in memory
   activation                    NONE, RELU, ELU, SILU, TANH or MISH
   post                          is the normalisation after the activation?
   group                         numbers of a softmax, which then is the activation; else 1
   BACKWARD, DOUBLE, BFLOAT16    0 or 1
   thread, F, n, rows, blocks, parts, own, count, start, eps_bits and the arrays

   A thread of a CPU, or a warp of a GPU, takes the rows of a block one after the other. The lanes of a warp share a row:
   each takes every 32nd group, and keeps its numbers, ``at``, side by side. */

#if !defined(__CUDA_ARCH__)
#pragma clang fp reassociate(on) contract(fast)
#endif

#if defined(__CUDA_ARCH__)
const int lanes = 32;
auto total = [](real x) {
    for (int other = 16; other; other >>= 1) x += __shfl_xor_sync(0xffffffff, x, other);
    return x;
};
#else
const int lanes = 1;
auto total = [](real x) { return x; };
#endif
union { wp::int64 bits; double number; } eps;
eps.bits = eps_bits;

/* e^x and, without cancelling, e^x - 1. What is not a number (NaN) stays so, here and below. */
#if DOUBLE
auto power = [](real x) -> real { return exp(x); };
auto rise = [](real x) -> real {
    const real u = tanh(x / 2);
    return x * x < 0.25 ? 2 * u / (1 - u) : exp(x) - 1;
};
#elif defined(__CUDA_ARCH__)
auto power = [](real x) -> real { return expf(x); };
auto rise = [](real x) -> real { return expm1f(x); };
#else
/* e^x = t (1 + e), in arithmetic that a compiler makes vectors of; relative error below 2e-7 from -80 to 80, where x is
   cut off. */
struct Power { real t, e; };
auto split = [](real x) -> Power {
    const real low = x > 80 ? 80 : x, c = low > -80 ? low : -80;
    const int k = (int)(c * 1.44269504f + (c < 0 ? -0.5f : 0.5f));
    const real r = c - k * 0.693145752f - k * 1.42860677e-6f;
    const real q = 4.16666667e-2f + r * (8.33333333e-3f + r * (1.38888889e-3f + r * 1.98412698e-4f));
    union { int bits; float number; } two;
    two.bits = (k + 127) << 23;
    return {x != x ? x : two.number, r + r * r * (0.5f + r * (1.66666667e-1f + r * q))};
};
auto power = [&](real x) -> real {
    const Power p = split(x);
    return p.t * p.e + p.t;
};
auto rise = [&](real x) -> real {
    const Power p = split(x);
    return p.t * p.e + (p.t - 1);
};
#endif
struct Bent { real value, slope; };
auto bend = [&](real x) -> Bent { /* f(x) and f'(x) */
    if (activation == RELU) return {x <= 0 ? 0 : x, (real)(x <= 0 ? 0 : 1)};
    if (activation == ELU) {
        const real e = rise(x);
        return {x <= 0 ? e : x, x > 0 ? 1 : e + 1};
    }
    if (activation == SILU) {
        const real s = 1 / (1 + power(-x));
        return {x * s, s * (1 + x * (1 - s))};
    }
    if (activation == TANH) {
        const real d = rise(x < 0 ? 2 * x : -2 * x), h = (x < 0 ? d : -d) / (d + 2);
        return {h, 1 - h * h};
    }
    if (activation == MISH) { /* tanh(log(1 + e^x)) = m / (m + 2) with m = e (e + 2), which is 1 from 20 on */
        const real e = power(x > 20 ? 20 : x), m = e * (e + 2), d = 1 / (m + 2);
        return {x > 20 ? x : x * (m * d), x > 20 ? 1 : m * d + 4 * x * (e * (1 + e) * d) * d};
    }
    return {x, 1};
};
#if BFLOAT16
auto get = [](stored x) -> real {
    union { unsigned bits; float number; } u;
    u.bits = (unsigned)x << 16;
    return u.number;
};
auto put = [](real x) -> stored { /* to nearest, ties to even */
    union { float number; unsigned bits; } u;
    u.number = x;
    return x != x ? 0x7fc0 : (u.bits + 0x7fff + ((u.bits >> 16) & 1)) >> 16;
};
#else
auto get = [](stored x) -> real { return x; };
auto put = [](real x) -> stored { return x; };
#endif

const int lane = thread % lanes, part = start + thread / lanes, k = part / blocks;
const wp::int64 first = (wp::int64)k * n + part % blocks * rows, end = (wp::int64)(k + 1) * n;
const wp::int64 last = first + rows < end ? first + rows : end;

/* i is a number of the row, at where the lane keeps it. */
#define GROUPS for (int i = lane * group, at = 0; i < F; i += lanes * group, at += group)
#define EACH                                                                                                           \
    for (int head = lane * group, low = 0; head < F; head += lanes * group, low += group)                              \
        for (int i = head, at = low; i < head + group; i++, at++)
auto softmax = [&](real* v) { /* over a group, in place */
    real largest = v[0], sum = 0;
    for (int j = 1; j < group; j++) largest = v[j] > largest ? v[j] : largest;
    for (int j = 0; j < group; j++) v[j] = power(v[j] - largest), sum += v[j];
    for (int j = 0; j < group; j++) v[j] /= sum;
};

/* What belongs to the columns is copied: a compiler sees then that no row lies there. */
const int size = (F + lanes * group - 1) / lanes;
real b[size], s[size], t[size];
EACH {
    b[at] = bias[(wp::int64)k * F + i];
    s[at] = scale[own * k * F + i];
    t[at] = shift[own * k * F + i];
}

#if !BACKWARD
real v[size];
for (wp::int64 row = first; row < last; row++) {
    const stored* from = y + row * F;
    stored* to = a + row * F;
    real sum = 0, square = 0;
    EACH {
        const real x = get(from[i]) + b[at];
        v[at] = post ? bend(x).value : x;
        sum += v[at];
    }
    const real mean = total(sum) / F;
    EACH { square += (v[at] - mean) * (v[at] - mean); }
    const real spread = total(square) / F + (real)eps.number; /* too large to be squared: no number, as in torch */
    const real inverse = 1 / sqrt(spread <= (real)(DOUBLE ? 1.7e308 : 3.4e38) ? spread : -1);
    EACH { v[at] = (v[at] - mean) * inverse * s[at] + t[at]; }
    statistics[row] = mean, statistics[count + row] = inverse;
    if (group > 1) GROUPS softmax(v + at);
    EACH { to[i] = put(post ? v[at] : bend(v[at]).value); }
}
#else
real db[size], ds[size], dt[size], hat[size], push[size], tilt[size];
EACH { db[at] = ds[at] = dt[at] = 0; }
for (wp::int64 row = first; row < last; row++) {
    const stored* from = y + row * F;
    const stored* given = g + row * F;
    stored* to = out + row * F;
    const real mean = statistics[row], inverse = statistics[count + row];
    real along = 0, across = 0;
    EACH {
        const real x = get(from[i]) + b[at];
        const Bent bent = bend(post ? x : (x - mean) * inverse * s[at] + t[at]);
        hat[at] = ((post ? bent.value : x) - mean) * inverse;
        tilt[at] = bent.slope;
        push[at] = post ? get(given[i]) : get(given[i]) * bent.slope;
    }
    if (group > 1)
        GROUPS {
            real p[group], even = 0;
            for (int j = 0; j < group; j++) p[j] = hat[at + j] * s[at + j] + t[at + j];
            softmax(p);
            for (int j = 0; j < group; j++) even += p[j] * push[at + j];
            for (int j = 0; j < group; j++) push[at + j] = p[j] * (push[at + j] - even);
        }
    EACH { along += push[at] * s[at], across += push[at] * s[at] * hat[at]; }
    along = total(along) / F, across = total(across) / F;
    EACH {
        const real d = (push[at] * s[at] - along - hat[at] * across) * inverse * (post ? tilt[at] : 1);
        to[i] = put(d);
        db[at] += d, ds[at] += push[at] * hat[at], dt[at] += push[at];
    }
}
if (sums)
    EACH {
        real* const column = sums + (wp::int64)part * F + i;
        column[0] = db[at], column[parts * F] = ds[at], column[2 * parts * F] = dt[at];
    }
#endif
#undef GROUPS
#undef EACH
