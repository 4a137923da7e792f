/* Adam of a population on a CPU; see adam_native.py, which puts this text into the body of a function and writes these
   before it:

   real      type of numbers
   task      SQUARES: sums of squares of the members' gradients; NORMS: their norms, from these, and the factors that
             bound them; UPDATE: parameters and moments move
   p         what there is, and where: the fields of Adam below

   Of each tensor's numbers, those of a member lie together; a share of them is taken here: the numbers from
   size * share / shares on to the next share's. */

struct Sizes {
    wp::int64 size, before; /* numbers of a member, and of all tensors of a member that come first */
};
struct Settings {
    double beta1, beta2, eps, decay;
    wp::int64 tensors, row; /* row: numbers of a member */
    Sizes tensor[1];
};
struct Adam {
    const Settings* settings;
    real* const* values;
    const real* const* grads; /* of the first member; 0 for a zero gradient */
    wp::int64 first, last, share, shares;
    double* squares;      /* (members, shares) */
    real *norm, *factor;  /* (members) */
    double largest;       /* norm */
    real *mean, *square;  /* moments (P, row) */
    const float* rate;    /* (P) */
    const bool* alive;    /* (members), 0: all are */
    const real* clip;     /* (members), by which gradients are multiplied, 0: not at all */
    const double* step;   /* (P), how many a member has taken before */
};
const Adam& adam = *(const Adam*)&p;
const Settings& set = *adam.settings;
for (wp::int64 member = adam.first; member < adam.last; member++) {
#pragma clang fp reassociate(on) contract(fast)
    const wp::int64 place = member - adam.first;
    double total = 0;
    if (task == NORMS) {
        for (wp::int64 share = 0; share < adam.shares; share++) total += adam.squares[place * adam.shares + share];
        const real norm = sqrt((real)total), factor = adam.largest / (norm + (real)1e-6); /* infinite, not too large */
        adam.norm[place] = norm, adam.factor[place] = factor > 1 ? 1 : factor; /* not if it is NaN */
        continue;
    }
    if (task == UPDATE && adam.alive && !adam.alive[place]) continue;
    const double count = task == UPDATE ? adam.step[member] + 1 : 0;
    const real rate = task == UPDATE ? adam.rate[member] : 0, clip = task == UPDATE && adam.clip ? adam.clip[place] : 1;
    const real size = rate / (real)(1 - pow(set.beta1, count)), root = sqrt(1 - pow(set.beta2, count));
    const real gain1 = 1 - set.beta1, beta2 = set.beta2, gain2 = 1 - set.beta2, eps = set.eps;
    const real kept = 1 - rate * (real)set.decay;
    for (wp::int64 index = 0; index < set.tensors; index++) {
        const Sizes& tensor = set.tensor[index];
        const wp::int64 begin = tensor.size * adam.share / adam.shares;
        const wp::int64 n = tensor.size * (adam.share + 1) / adam.shares - begin;
        const real* const __restrict g = adam.grads[index] ? adam.grads[index] + place * tensor.size + begin : 0;
        if (task == SQUARES) {
            if (g)
                for (wp::int64 i = 0; i < n; i++) total += (double)g[i] * g[i];
            continue;
        }
        real* const __restrict p = adam.values[index] + member * tensor.size + begin;
        real* const __restrict m = adam.mean + member * set.row + tensor.before + begin;
        real* const __restrict v = adam.square + member * set.row + tensor.before + begin;
        for (wp::int64 i = 0; i < n; i++) {
            const real slope = g ? clip * g[i] : 0;
            m[i] += gain1 * (slope - m[i]);
            v[i] = beta2 * v[i] + gain2 * slope * slope;
            p[i] = kept * p[i] - size * m[i] / (sqrt(v[i]) / root + eps);
        }
    }
    if (task == SQUARES) adam.squares[place * adam.shares + adam.share] = total;
}
