/* A network of linear layers with what follows each, forward or backward, on a CPU; see network_kernels.py, which puts
   this text into the body of a function and writes these before it:

   real                     type of numbers
   BACKWARD, DOUBLE         0 or 1
   NONE, RELU, ... MISH     numbers of activations; SOFTMAX comes after them
   p                        what there is, and where: the fields of Network below

   In the place of FUNCTIONS come the functions of epilogue.cpp, `bend` and `power`. Members follow each other, each by
   itself, so that its numbers do not depend on how many there are. */

typedef void (*Multiply)(
    const char*, const char*, const int*, const int*, const int*, const real*, const real*, const int*, const real*,
    const int*, const real*, real*, const int*);
struct Layer {
    wp::int64 inputs, outputs, activation, norm, group, eps_bits, first; /* of weight, bias, scale and shift */
};
struct Network {
    Multiply multiply;
    const Layer* layer;
    const real* const* params;
    real* const* grads; /* 0: not wanted */
    wp::int64 members, rows, layers, repeat, keep;
    const real* input;
    real *work, *output;
    const real* grad;
    real *input_grad, *scratch;
    real *spare_c, *spare_a, *spare_b; /* see `product` */
};
const Network& net = *(const Network*)&p;
const wp::int64 n = net.rows, depth = net.layers;
const int LINEAR = -1, PRE = 1, POST = 2;

/* Over the numbers of a row, which lie apart from those of any other array that a loop changes. */
#define EACH _Pragma("clang loop vectorize(assume_safety)") for (int i = 0; i < F; i++)

/* Products of row-major matrices by BLAS, which takes them for the transposes of column-major ones. On some processors
   the order of its sums, and so their rounding, depends on where in a cache line a matrix begins (measured: MKL on AMD's).
   All are moved to the beginning of one, so that a member's numbers do not depend on its place among the others. */
const real one = 1, zero = 0;
auto begins_line = [](const real* x) { return (unsigned long long)x % 64 == 0; };
auto copy = [](const real* __restrict from, real* __restrict to, wp::int64 count) {
    for (wp::int64 i = 0; i < count; i++) to[i] = from[i];
};
auto moved = [&](const real* x, real* spare, wp::int64 count) {
    if (begins_line(x)) return x;
    copy(x, spare, count);
    return (const real*)spare;
};
auto product = [&](const char* first, const char* second, int m, int columns, int k, const real* a, int lda,
                   const real* b, int ldb, const real* beta, real* c) {
    const wp::int64 size = (wp::int64)m * columns;
    real* const to = begins_line(c) ? c : net.spare_c;
    if (*beta != 0) moved(c, to, size);
    a = moved(a, net.spare_a, (wp::int64)m * k), b = moved(b, net.spare_b, (wp::int64)k * columns);
    net.multiply(first, second, &m, &columns, &k, &one, a, &lda, b, &ldb, beta, to, &m);
    if (to != c) copy(to, c, size);
};
/* Where a vector is involved BLAS has other kernels, whose sums may go by the place in memory; what is here does not. */
auto multiply = [&](const real* __restrict x, const real* __restrict w, real* __restrict y, int i, int o) { /* x W */
#pragma clang fp reassociate(on) contract(fast)
    const int rows = n;
    if (rows > 1 && i > 1 && o > 1) {
        product("N", "N", o, rows, i, w, o, x, i, &zero, y);
        return;
    }
    for (int row = 0; row < rows; row++, x += i, y += o) {
        if (o == 1) {
            real sum = 0;
            for (int a = 0; a < i; a++) sum += x[a] * w[a];
            y[0] = sum;
            continue;
        }
        for (int c = 0; c < o; c++) y[c] = 0;
        for (int a = 0; a < i; a++)
            for (int c = 0; c < o; c++) y[c] += x[a] * w[a * o + c];
    }
};

/* Calls `use` with the functions of an activation. */
auto functions = [&](auto kind, auto use) {
    const int activation = decltype(kind)::number, lanes = 1;
    const wp::int64 eps_bits = 0;
    {
FUNCTIONS
        use(bend, power);
    }
};
#define CASE(NAME)                                                                                                     \
    if (kind == NAME) {                                                                                                \
        struct Kind {                                                                                                  \
            enum { number = NAME };                                                                                    \
        };                                                                                                             \
        functions(Kind{}, use);                                                                                        \
    }
auto with = [&](int kind, auto use) { CASE(NONE) CASE(RELU) CASE(ELU) CASE(SILU) CASE(TANH) CASE(MISH) };
#undef CASE

/* In place: the softmax of each group, but for the division by the sums. */
auto exponentiate = [&](real* __restrict v, int F, int size) {
    for (int head = 0; head < F; head += size) {
        real largest = v[head];
        for (int i = head + 1; i < head + size; i++) largest = v[i] > largest ? v[i] : largest;
        for (int i = head; i < head + size; i++) v[i] -= largest;
    }
    with(NONE, [&](auto bend, auto power) {
        EACH v[i] = power(v[i]);
    });
};

#if !BACKWARD
auto normalise = [&](real* __restrict v, const real* __restrict s, const real* __restrict t, int F, real eps,
                     real* mean_to, real* inverse_to) {
#pragma clang fp reassociate(on) contract(fast)
    real sum = 0, square = 0;
    EACH sum += v[i];
    const real mean = sum / F;
    EACH square += (v[i] - mean) * (v[i] - mean);
    const real spread = square / F + eps; /* too large to be squared: no number, as in torch */
    const real inverse = 1 / sqrt(spread <= (real)(DOUBLE ? 1.7e308 : 3.4e38) ? spread : -1);
    EACH v[i] = (v[i] - mean) * inverse * s[i] + t[i];
    *mean_to = mean, *inverse_to = inverse;
};
auto activate = [&](real* __restrict v, int F, int kind, int size) {
    with(kind, [&](auto bend, auto power) {
#pragma clang fp reassociate(on) contract(fast)
        EACH v[i] = bend(v[i]).value;
    });
    if (kind != SOFTMAX) return;
    exponentiate(v, F, size);
    for (int head = 0; head < F; head += size) {
        real sum = 0;
        for (int i = head; i < head + size; i++) sum += v[i];
        for (int i = head; i < head + size; i++) v[i] /= sum;
    }
};

real* space = net.work;
for (wp::int64 k = 0; k < net.members; k++) {
    const real* x = net.input + k / net.repeat * n * net.layer[0].inputs;
    if (!net.keep) space = net.work;
    for (wp::int64 l = 0; l < depth; l++) {
        const Layer& layer = net.layer[l];
        const int F = layer.outputs;
        const real* const* const params = net.params + layer.first;
        const real *const b = params[1] + k * F, *const s = layer.norm ? params[2] + k * F : 0,
                   *const t = layer.norm ? params[3] + k * F : 0;
        const bool last = l == depth - 1, linear = layer.activation == LINEAR;
        real *y = space, *a = last ? net.output + k * n * F : space + n * F, *statistics = 0;
        if (linear)
            y = a;
        else {
            statistics = space + n * F * (last ? 1 : 2);
            space = statistics + 2 * n;
        }
        union {
            wp::int64 bits;
            double number;
        } eps;
        eps.bits = layer.eps_bits;
        multiply(x, params[0] + k * layer.inputs * F, y, layer.inputs, F);
        for (wp::int64 row = 0; row < n; row++) {
            real* const to = a + row * F;
            if (linear) {
                EACH to[i] += b[i];
                continue;
            }
            EACH to[i] = y[row * F + i] + b[i];
            if (layer.norm == PRE) normalise(to, s, t, F, eps.number, statistics + row, statistics + n + row);
            activate(to, F, layer.activation, layer.group);
            if (layer.norm == POST) normalise(to, s, t, F, eps.number, statistics + row, statistics + n + row);
        }
        x = a;
    }
}
#else
/* Of a row before the activation: f(x) and f'(x); or, for a softmax, the gradient there instead of that behind it. */
auto differentiate = [&](real* __restrict x, real* __restrict value, real* __restrict slope, real* __restrict push,
                         int F, int kind, int size) {
    with(kind, [&](auto bend, auto power) {
#pragma clang fp reassociate(on) contract(fast)
        EACH {
            const auto bent = bend(x[i]);
            value[i] = bent.value, slope[i] = bent.slope;
        }
    });
    if (kind != SOFTMAX) return;
    exponentiate(x, F, size);
    for (int head = 0; head < F; head += size) {
        real sum = 0, even = 0;
        for (int i = head; i < head + size; i++) sum += x[i], even += x[i] * push[i];
        for (int i = head; i < head + size; i++) push[i] = x[i] / sum * (push[i] - even / sum), slope[i] = 1;
    }
};

wp::int64 widest = 0, kept = 0; /* kept: numbers of a member that `work` has */
for (wp::int64 l = 0; l < depth; l++) {
    const Layer& layer = net.layer[l];
    widest = layer.inputs > widest ? layer.inputs : widest;
    widest = layer.outputs > widest ? layer.outputs : widest;
    if (layer.activation != LINEAR) kept += n * layer.outputs * (l == depth - 1 ? 1 : 2) + 2 * n;
}
real* const spaces[2] = {net.scratch, net.scratch + n * widest};
real* const lines = net.scratch + 2 * n * widest;
real *const __restrict z = lines, *const __restrict value = lines + widest, *const __restrict hat = lines + 2 * widest,
                       *const __restrict push = lines + 3 * widest, *const __restrict tilt = lines + 4 * widest;
for (wp::int64 k = 0; k < net.members; k++) {
    const real *end = net.work + (k + 1) * kept, *grad = net.grad + k * n * net.layer[depth - 1].outputs;
    for (wp::int64 l = depth - 1; l >= 0; l--) {
        const Layer& layer = net.layer[l];
        const int I = layer.inputs, F = layer.outputs, rows = n;
        const real* const* const params = net.params + layer.first;
        const real *const b = params[1] + k * F, *const s = layer.norm ? params[2] + k * F : 0,
                   *const t = layer.norm ? params[3] + k * F : 0;
        const bool last = l == depth - 1, linear = layer.activation == LINEAR, learns = net.grads;
        const real *y = 0, *statistics = 0, *x = net.input + k / net.repeat * n * I;
        if (!linear) {
            statistics = end - 2 * n;
            y = end = statistics - n * F * (last ? 1 : 2);
        }
        if (l) x = end - 2 * n - n * I; /* the result of the layer before lies between its product and its statistics */
        real* const out = spaces[l % 2];
        real* const* const grads = net.grads + layer.first;
        real *const db = learns ? grads[1] + k * F : 0, *const ds = learns && layer.norm ? grads[2] + k * F : 0,
                   *const dt = learns && layer.norm ? grads[3] + k * F : 0;
        if (learns)
            EACH {
                db[i] = 0;
                if (layer.norm) ds[i] = dt[i] = 0;
            }
        for (wp::int64 row = 0; row < n; row++) {
#pragma clang fp reassociate(on) contract(fast)
            const real *const from = y + row * F, *const given = grad + row * F;
            real* const to = out + row * F; /* which may be where `given` is */
            if (linear) {
                if (learns)
                    EACH db[i] += given[i];
                continue;
            }
            const real mean = layer.norm ? statistics[row] : 0, inverse = layer.norm ? statistics[n + row] : 1;
            if (layer.norm == PRE)
                EACH {
                    hat[i] = (from[i] + b[i] - mean) * inverse;
                    z[i] = hat[i] * s[i] + t[i];
                }
            else
                EACH z[i] = from[i] + b[i];
            EACH push[i] = given[i];
            differentiate(z, value, tilt, push, F, layer.activation, layer.group);
            if (layer.norm == POST)
                EACH hat[i] = (value[i] - mean) * inverse;
            else
                EACH push[i] *= tilt[i];
            if (layer.norm) {
                real along = 0, across = 0;
                EACH along += push[i] * s[i], across += push[i] * s[i] * hat[i];
                along /= F, across /= F;
                if (learns)
                    EACH ds[i] += push[i] * hat[i], dt[i] += push[i];
                EACH push[i] = (push[i] * s[i] - along - hat[i] * across) * inverse;
                if (layer.norm == POST)
                    EACH push[i] *= tilt[i];
            }
            if (learns)
                EACH db[i] += push[i];
            EACH to[i] = push[i];
        }
        if (!linear) grad = out;
        const real* const weight = params[0] + k * I * F;
        if (learns) { /* dL/dW = x^T grad */
            real* const dw = grads[0] + k * I * F;
            if (rows > 1 && I > 1 && F > 1)
                product("N", "T", F, I, rows, grad, F, x, I, &zero, dw);
            else {
                for (int i = 0; i < I * F; i++) dw[i] = 0;
                for (wp::int64 row = 0; row < n; row++)
                    if (F == 1)
                        for (int i = 0; i < I; i++) dw[i] += x[row * I + i] * grad[row];
                    else
                        for (int i = 0; i < I; i++)
                            for (int c = 0; c < F; c++) dw[i * F + c] += x[row * I + i] * grad[row * F + c];
            }
        }
        if (!l && !net.input_grad) continue;
        real* const to = l ? spaces[(l + 1) % 2] : net.input_grad + k / net.repeat * n * I; /* grad W^T */
        const bool adds = !l && k % net.repeat;
        if (rows > 1 && I > 1 && F > 1)
            product("T", "N", I, rows, F, weight, F, grad, F, adds ? &one : &zero, to);
        else
            for (wp::int64 row = 0; row < n; row++)
                for (int i = 0; i < I; i++) {
#pragma clang fp reassociate(on) contract(fast)
                    real sum = 0;
                    for (int c = 0; c < F; c++) sum += grad[row * F + c] * weight[i * F + c];
                    to[row * I + i] = adds ? to[row * I + i] + sum : sum;
                }
        grad = to;
    }
}
#endif
#undef EACH
