// Positions on axes, ticks, and shapes of markers.

/** About `most` round numbers within [low, high]. */
function linearTicks(low, high, most) {
  const span = high - low || 1;
  const size = 10 ** Math.floor(Math.log10(span / most));
  const step = size * [1, 2, 2.5, 5, 10].find((factor) => span / (size * factor) <= most + 0.5);
  const ticks = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) {
    ticks.push(Number((n * step).toPrecision(12)));
  }
  return ticks;
}

/** 1, 2 and 5 times powers of ten within [low, high]; fewer where there would be more than `most`. */
function logTicks(low, high, most) {
  const among = (factors) => {
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      for (const factor of factors) {
        const tick = Number((factor * 10 ** power).toPrecision(6));
        if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
      }
    }
    return ticks;
  };
  for (const factors of [[1, 2, 5], [1, 3], [1]]) {
    const ticks = among(factors);
    if (ticks.length <= most && ticks.length > 1) return ticks;
  }
  const ticks = among([1]);
  return ticks.length > 1 ? ticks.filter((_, n) => n % Math.ceil(ticks.length / most) === 0) : [low, high];
}

/** Smallest and largest of the numbers. */
function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value === null) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** Maps [low, high] to [from, to] [px]. */
function scaleOf(low, high, from, to, log) {
  const f = log ? Math.log10 : (x) => x;
  const [a, b] = [f(low), f(high)];
  const scale = (value) => from + ((f(value) - a) / (b - a || 1)) * (to - from);
  scale.invert = (pixel) => {
    const value = a + ((pixel - from) / (to - from || 1)) * (b - a);
    return log ? 10 ** value : value;
  };
  return scale;
}

/** Outline of a marker of matplotlib's name around (x, y). */
function markerPath(kind, x, y, r) {
  const polygon = (points) => `M${points.map(([dx, dy]) => `${(x + dx * r).toFixed(1)},${(y + dy * r).toFixed(1)}`).join("L")}Z`;
  const t = 0.38;
  switch (kind) {
    case "s": return polygon([[-0.85, -0.85], [0.85, -0.85], [0.85, 0.85], [-0.85, 0.85]]);
    case "^": return polygon([[0, -1.1], [1.05, 0.8], [-1.05, 0.8]]);
    case "v": return polygon([[0, 1.1], [1.05, -0.8], [-1.05, -0.8]]);
    case "D": return polygon([[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]]);
    case "P": return polygon([[-t, -1.1], [t, -1.1], [t, -t], [1.1, -t], [1.1, t], [t, t], [t, 1.1], [-t, 1.1], [-t, t], [-1.1, t], [-1.1, -t], [-t, -t]]);
    case "X": return polygon([[-0.6, -1.1], [0, -0.5], [0.6, -1.1], [1.1, -0.6], [0.5, 0], [1.1, 0.6], [0.6, 1.1], [0, 0.5], [-0.6, 1.1], [-1.1, 0.6], [-0.5, 0], [-1.1, -0.6]]);
    default: return `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`;
  }
}
