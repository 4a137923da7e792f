/* LayerNorm with Mish before or after it, forward and backward, one pass over each row; see rowwise.py.

   Rows are (K, n) of F numbers. x = y + bias; arithmetic is float32, storage float32 or bfloat16 (raw bits).
   Sums over rows go block by block in a fixed order, so that results do not depend on the number of threads. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define WIDEST 8192 /* rowwise.py checks F */
#define BLOCK 32    /* rows that are summed up together */
#define EPS 1e-5f

typedef uint16_t bf16;

static inline float bits_to_float(uint32_t b) { float f; memcpy(&f, &b, 4); return f; }
static inline uint32_t float_to_bits(float f) { uint32_t b; memcpy(&b, &f, 4); return b; }
static inline float get_f32(float x) { return x; }
static inline float put_f32(float x) { return x; }
static inline float get_bf16(bf16 x) { return bits_to_float((uint32_t)x << 16); }
static inline bf16 put_bf16(float x) { /* to nearest, ties to even; NaN stays one */
    uint32_t b = float_to_bits(x);
    return x != x ? 0x7fc0 : (bf16)((b + 0x7fff + ((b >> 16) & 1)) >> 16);
}

/* e^x for x clamped to [-80, 20], relative error below 2e-7. */
static inline float exponential(float x) {
    x = x > 20.0f ? 20.0f : x;
    x = x > -80.0f ? x : -80.0f; /* NaN too: callers multiply by x itself */
    float t = rintf(x * 1.44269504f);
    float r = x - t * 0.693145752f - t * 1.42860677e-6f;
    float p = 1.0f + r * (1.0f + r * (0.5f + r * (1.66666672e-1f + r * (4.16666679e-2f + r * (8.33333377e-3f
              + r * 1.38888892e-3f)))));
    return p * bits_to_float((uint32_t)((int32_t)t + 127) << 23);
}

/* tanh(log(1 + e^x)) = m / (m + 2) with m = e (e + 2), and the derivative of x times it. */
static inline float gate(float x) {
    float e = exponential(x), m = e * (e + 2.0f);
    return m / (m + 2.0f);
}
static inline float slope_and_gate(float x, float *th) {
    float e = exponential(x), m = e * (e + 2.0f), d = 1.0f / (m + 2.0f);
    *th = m * d;
    return *th + 4.0f * x * (e * (1.0f + e) * d) * d;
}

#define DEFINE(T, S)                                                                                                   \
    /* a = LayerNorm(mish(x)) scale + shift; parameters (K, F) */                                                      \
    void mish_norm_##S(const T *y, const float *bias, const float *scale, const float *shift, T *a, float *mean,       \
                       float *rstd, long K, long n, long F) {                                                          \
        _Pragma("omp parallel for schedule(static)") for (long row = 0; row < K * n; row++) {                          \
            const T *yr = y + row * F;                                                                                 \
            T *ar = a + row * F;                                                                                       \
            const float *b = bias + row / n * F, *s = scale + row / n * F, *t = shift + row / n * F;                   \
            float v[WIDEST], sum = 0.0f, square = 0.0f;                                                                \
            for (long i = 0; i < F; i++) {                                                                             \
                float x = get_##S(yr[i]) + b[i];                                                                       \
                v[i] = x * gate(x);                                                                                    \
                sum += v[i];                                                                                           \
            }                                                                                                          \
            float mu = sum / F;                                                                                        \
            for (long i = 0; i < F; i++) square += (v[i] - mu) * (v[i] - mu);                                          \
            float r = 1.0f / sqrtf(square / F + EPS);                                                                  \
            for (long i = 0; i < F; i++) ar[i] = put_##S((v[i] - mu) * r * s[i] + t[i]);                               \
            mean[row] = mu, rstd[row] = r;                                                                             \
        }                                                                                                              \
    }                                                                                                                  \
    /* sums: (K, blocks, 3, F), per block of rows the gradients of scale, shift and bias */                            \
    void mish_norm_backward_##S(const T *g, const T *y, const float *bias, const float *scale, const float *mean,      \
                                const float *rstd, T *gy, float *sums, long K, long n, long F) {                       \
        long blocks = (n + BLOCK - 1) / BLOCK;                                                                         \
        _Pragma("omp parallel for schedule(static)") for (long part = 0; part < K * blocks; part++) {                  \
            long k = part / blocks, first = part % blocks * BLOCK, last = first + BLOCK < n ? first + BLOCK : n;       \
            const float *b = bias + k * F, *s = scale + k * F;                                                         \
            float *ds = sums + part * 3 * F, *dt = ds + F, *db = dt + F, hat[WIDEST], slope[WIDEST];                   \
            memset(ds, 0, 3 * F * sizeof(float));                                                                      \
            for (long row = k * n + first; row < k * n + last; row++) {                                                \
                const T *gr = g + row * F, *yr = y + row * F;                                                          \
                T *or = gy + row * F;                                                                                  \
                float mu = mean[row], r = rstd[row], along = 0.0f, across = 0.0f;                                      \
                for (long i = 0; i < F; i++) {                                                                         \
                    float x = get_##S(yr[i]) + b[i], gi = get_##S(gr[i]), th;                                          \
                    slope[i] = slope_and_gate(x, &th);                                                                 \
                    hat[i] = (x * th - mu) * r;                                                                        \
                    along += gi * s[i];                                                                                \
                    across += gi * s[i] * hat[i];                                                                      \
                    ds[i] += gi * hat[i];                                                                              \
                    dt[i] += gi;                                                                                       \
                }                                                                                                      \
                along /= F, across /= F;                                                                               \
                for (long i = 0; i < F; i++) {                                                                         \
                    float out = (get_##S(gr[i]) * s[i] - along - hat[i] * across) * r * slope[i];                      \
                    or[i] = put_##S(out);                                                                              \
                    db[i] += out;                                                                                      \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    /* a = mish(LayerNorm(x) scale + shift); bias (K, F), scale and shift (K, F), or (F) where own = 0 */              \
    void norm_mish_##S(const T *y, const float *bias, const float *scale, const float *shift, T *a, float *mean,       \
                       float *rstd, long K, long n, long F, long own) {                                                \
        _Pragma("omp parallel for schedule(static)") for (long row = 0; row < K * n; row++) {                          \
            const T *yr = y + row * F;                                                                                 \
            T *ar = a + row * F;                                                                                       \
            long k = row / n;                                                                                          \
            const float *b = bias + k * F, *s = scale + own * k * F, *t = shift + own * k * F;                         \
            float v[WIDEST], sum = 0.0f, square = 0.0f;                                                                \
            for (long i = 0; i < F; i++) {                                                                             \
                v[i] = get_##S(yr[i]) + b[i];                                                                          \
                sum += v[i];                                                                                           \
            }                                                                                                          \
            float mu = sum / F;                                                                                        \
            for (long i = 0; i < F; i++) square += (v[i] - mu) * (v[i] - mu);                                          \
            float r = 1.0f / sqrtf(square / F + EPS);                                                                  \
            for (long i = 0; i < F; i++) {                                                                             \
                float u = (v[i] - mu) * r * s[i] + t[i];                                                               \
                ar[i] = put_##S(u * gate(u));                                                                          \
            }                                                                                                          \
            mean[row] = mu, rstd[row] = r;                                                                             \
        }                                                                                                              \
    }                                                                                                                  \
    /* sums as above; none are made where it is null */                                                                \
    void norm_mish_backward_##S(const T *g, const T *y, const float *bias, const float *scale, const float *shift,     \
                                const float *mean, const float *rstd, T *gy, float *sums, long K, long n, long F,      \
                                long own) {                                                                            \
        long block = sums ? BLOCK : 4, blocks = (n + block - 1) / block;                                               \
        _Pragma("omp parallel for schedule(static)") for (long part = 0; part < K * blocks; part++) {                  \
            long k = part / blocks, first = part % blocks * block, last = first + block < n ? first + block : n;       \
            const float *b = bias + k * F, *s = scale + own * k * F, *t = shift + own * k * F;                         \
            float *ds = sums ? sums + part * 3 * F : 0, hat[WIDEST], push[WIDEST];                                     \
            if (sums) memset(ds, 0, 3 * F * sizeof(float));                                                            \
            for (long row = k * n + first; row < k * n + last; row++) {                                                \
                const T *gr = g + row * F, *yr = y + row * F;                                                          \
                T *or = gy + row * F;                                                                                  \
                float mu = mean[row], r = rstd[row], along = 0.0f, across = 0.0f, th;                                  \
                for (long i = 0; i < F; i++) {                                                                         \
                    hat[i] = (get_##S(yr[i]) + b[i] - mu) * r;                                                         \
                    push[i] = get_##S(gr[i]) * slope_and_gate(hat[i] * s[i] + t[i], &th);                              \
                    along += push[i] * s[i];                                                                           \
                    across += push[i] * s[i] * hat[i];                                                                 \
                }                                                                                                      \
                along /= F, across /= F;                                                                               \
                if (sums)                                                                                              \
                    for (long i = 0; i < F; i++) {                                                                     \
                        float out = (push[i] * s[i] - along - hat[i] * across) * r;                                    \
                        or[i] = put_##S(out);                                                                          \
                        ds[i] += push[i] * hat[i];                                                                     \
                        ds[F + i] += push[i];                                                                          \
                        ds[2 * F + i] += out;                                                                          \
                    }                                                                                                  \
                else                                                                                                   \
                    for (long i = 0; i < F; i++) or[i] = put_##S((push[i] * s[i] - along - hat[i] * across) * r);      \
            }                                                                                                          \
        }                                                                                                              \
    }

DEFINE(float, f32)
DEFINE(bf16, bf16)
