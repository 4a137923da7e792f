// One panel: the learning curves of a task in a simulator, with a cursor that reads values.

const SVG = "http://www.w3.org/2000/svg";
const LINE = 1.8; // [px]; dash patterns count in it
const MOST_MARKERS = 25;
const UNEVEN = 5; // times as long as the shortest: "auto" makes time logarithmic

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function colourOf(algorithm) {
  return algorithm.colour === "ink" ? "var(--ink)" : algorithm.colour;
}

function lineLook(algorithm, width = LINE) {
  const dash = algorithm.dash.map((length) => (length * width).toFixed(1)).join(" ");
  return { fill: "none", stroke: colourOf(algorithm), "stroke-width": width, "stroke-linejoin": "round", ...(dash && { "stroke-dasharray": dash }) };
}

/** A bit of an algorithm's line with its marker. */
function swatch(algorithm) {
  const svg = shape("svg", { viewBox: "0 0 32 12", width: 32, height: 12, "aria-hidden": "true", class: "swatch" });
  svg.append(
    shape("path", { d: "M1,6H31", ...lineLook(algorithm) }),
    shape("path", { d: markerPath(algorithm.marker, 16, 6, 3.6), fill: colourOf(algorithm) }),
  );
  return svg;
}

/** Lines through points, broken where there is no number. */
function pathOf(points) {
  let pen = "M";
  return points.map(([x, y]) => {
    if (y === null) { pen = "M"; return ""; }
    const part = `${pen}${x.toFixed(1)},${y.toFixed(1)}`;
    pen = "L";
    return part;
  }).join("");
}

class Chart {
  /** @param panel of the data; @param algorithms all of the study; @param state what the controls say */
  constructor(panel, algorithms, state) {
    Object.assign(this, { panel, algorithms, state, at: null, drawn: [] });
    this.plot = element("div", { class: "plot", tabindex: "0", role: "group" });
    this.readout = element("div", { class: "readout" });
    this.root = element("figure", { class: "panel" }, element("figcaption", {}, panel.title), this.plot, this.readout);
    this.plot.addEventListener("pointermove", (event) => this.point(event));
    this.plot.addEventListener("pointerdown", (event) => this.point(event));
    this.plot.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") this.move(null); });
    this.plot.addEventListener("keydown", (event) => this.key(event));
    this.plot.addEventListener("blur", () => this.move(null));
  }

  /** Curves to show: visible algorithms that this panel has, with positions that the scale can show. */
  visible() {
    const { metric, axis, hidden } = this.state;
    const held = this.panel.curves[metric]?.[axis] ?? {};
    const shown = this.algorithms.filter((a) => held[a.name] && !hidden.has(a.name));
    const ends = shown.map((a) => held[a.name].x.at(-1)).filter((end) => end > 0);
    const uneven = this.state.isTime && Math.max(...ends) > UNEVEN * Math.min(...ends);
    this.log = ends.length > 0 && (this.state.scale === "log" || (this.state.scale === "auto" && uneven));
    return shown.map((algorithm) => {
      const curve = held[algorithm.name];
      const keep = curve.x.map((x, n) => n).filter((n) => !this.log || curve.x[n] > 0.005 * curve.x.at(-1));
      const cut = Object.fromEntries(["x", "y", "low", "high"].map((key) => [key, keep.map((n) => curve[key][n])]));
      const every = this.panel.seeds[metric]?.[algorithm.name] ?? [];
      return { algorithm, n: curve.n, ...cut, seeds: this.state.seeds ? every : [], every };
    }).filter((curve) => curve.x.length);
  }

  draw() {
    const width = Math.max(240, this.plot.clientWidth || 400);
    const height = Math.round(Math.min(300, Math.max(200, width * 0.58)));
    const curves = this.visible();
    const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    this.drawn = curves;
    this.plot.replaceChildren(svg);
    this.plot.setAttribute("aria-label", `${this.panel.title}, ${this.state.metricLabel} against ${this.state.axisLabel}. Arrow keys read values.`);
    if (!curves.some((c) => c.y.some((y) => y !== null))) {
      this.drawn = [];
      svg.append(shape("text", { x: width / 2, y: height / 2, "text-anchor": "middle", class: "tick" }, "nothing to show"));
      this.readout.replaceChildren();
      return;
    }
    const [start, stop] = extent(curves.flatMap((c) => [c.x[0], c.x.at(-1)]));
    const [, seedStop] = extent(curves.flatMap((c) => c.seeds.map((s) => s[this.state.axis].at(-1) ?? null)));
    const [left, right] = [this.log ? start : Math.min(0, start), Math.max(stop, seedStop)];
    const [low, high] = this.heights(curves);
    const pad = (high - low || Math.abs(high) || 1) * 0.05;
    const yTicks = linearTicks(low - pad, high + pad, 5);
    const margin = { left: 12 + 6.6 * Math.max(...yTicks.map((t) => this.yText(t).length)), right: 14, top: 8, bottom: 40 };
    const x = scaleOf(left, right, margin.left, width - margin.right, this.log);
    const y = scaleOf(low - pad, high + pad, height - margin.bottom, margin.top, false);
    Object.assign(this, { x, y, frame: { left: margin.left, right: width - margin.right, top: margin.top, bottom: height - margin.bottom } });
    this.axes(svg, left, right, yTicks);
    for (const curve of curves) svg.append(this.curve(curve));
    this.cursor = shape("g", { class: "cursor" });
    svg.append(this.cursor);
    this.move(this.at === null ? null : Math.min(Math.max(this.at, left), right));
  }

  /** Least and greatest value to show. Intervals, which are very wide for two seeds, add at most the curves' height on
   *  either side, as in the figures for print. */
  heights(curves) {
    const [low, high] = extent(curves.flatMap((c) => [...c.y, ...c.seeds.flatMap((s) => s.y)]));
    if (!this.state.band) return [low, high];
    const [least, most] = extent(curves.flatMap((c) => [...c.low, ...c.high]));
    const [bottom, top] = extent(curves.flatMap((c) => [...c.y, ...c.every.flatMap((s) => s.y)]));
    const room = top - bottom || Infinity;
    return [Math.min(low, Math.max(least, bottom - room)), Math.max(high, Math.min(most, top + room))];
  }

  yText(value) { return grouped(String(Number(value.toPrecision(10)))).replace("-", "−"); }

  axes(svg, left, right, yTicks) {
    const { frame, x, y } = this;
    const time = this.state.isTime;
    const [divisor, unit] = time ? timeUnit(right) : [1, ""];
    const room = Math.min(8, Math.max(3, Math.floor((frame.right - frame.left) / 56)));
    const xTicks = (this.log ? logTicks : linearTicks)(left / divisor, right / divisor, room);
    for (const tick of yTicks) {
      svg.append(
        shape("path", { d: `M${frame.left},${y(tick).toFixed(1)}H${frame.right}`, class: "grid" }),
        shape("text", { x: frame.left - 6, y: y(tick) + 4, "text-anchor": "end", class: "tick" }, this.yText(tick)),
      );
    }
    for (const tick of xTicks) {
      const at = x(tick * divisor);
      const text = time ? `${Number(tick.toPrecision(4))}` : count(tick);
      svg.append(
        shape("path", { d: `M${at.toFixed(1)},${frame.bottom}v4`, class: "axis" }),
        shape("text", { x: at, y: frame.bottom + 16, "text-anchor": "middle", class: "tick" }, text),
      );
    }
    const label = this.state.axisLabel + (unit ? ` [${unit}]` : "") + (this.log ? ", logarithmic" : "");
    svg.append(
      shape("path", { d: `M${frame.left},${frame.top}V${frame.bottom}H${frame.right}`, class: "axis" }),
      shape("text", { x: (frame.left + frame.right) / 2, y: frame.bottom + 34, "text-anchor": "middle", class: "tick" }, label),
    );
  }

  curve({ algorithm, x, y, low, high, seeds }) {
    const group = shape("g", { class: "curve", "data-algorithm": algorithm.name });
    const place = (xs, ys) => xs.map((value, n) => [this.x(value), ys[n] === null ? null : this.y(ys[n])]);
    const known = x.map((_, n) => n).filter((n) => low[n] !== null && high[n] !== null);
    if (this.state.band && known.length > 1) {
      const upper = known.map((n) => `${this.x(x[n]).toFixed(1)},${this.y(high[n]).toFixed(1)}`);
      const lower = known.map((n) => `${this.x(x[n]).toFixed(1)},${this.y(low[n]).toFixed(1)}`).reverse();
      const band = shape("path", { d: `M${[...upper, ...lower].join("L")}Z`, fill: colourOf(algorithm), class: "band" });
      const { frame } = this;
      const [wide, tall] = [frame.right - frame.left, frame.bottom - frame.top];
      const inside = { x: frame.left, y: frame.top, width: wide, height: tall, viewBox: `${frame.left} ${frame.top} ${wide} ${tall}` };
      group.append(shape("svg", inside)); // which cuts off what is outside
      group.lastChild.append(band);
    }
    for (const seed of seeds) {
      const points = place(seed[this.state.axis], seed.y).filter((_, n) => !this.log || seed[this.state.axis][n] >= x[0]);
      group.append(shape("path", { d: pathOf(points), fill: "none", stroke: colourOf(algorithm), "stroke-width": 0.8, opacity: 0.6 }));
    }
    const points = place(x, y);
    group.append(shape("path", { d: pathOf(points), ...lineLook(algorithm) }));
    const shown = points.filter(([, at]) => at !== null);
    if (shown.length <= MOST_MARKERS) {
      for (const [px, py] of shown) group.append(shape("path", { d: markerPath(algorithm.marker, px, py, 3.4), fill: colourOf(algorithm), class: "marker" }));
    }
    return group;
  }

  point(event) {
    if (!this.drawn.length) return;
    const box = this.plot.firstChild.getBoundingClientRect();
    const pixel = ((event.clientX - box.left) / box.width) * this.plot.firstChild.viewBox.baseVal.width;
    this.move(this.x.invert(Math.min(Math.max(pixel, this.frame.left), this.frame.right)));
  }

  key(event) {
    if (!this.drawn.length) return;
    const stops = [...new Set(this.drawn.flatMap((c) => c.x))].sort((a, b) => a - b);
    const stride = Math.max(1, Math.round(stops.length / 40));
    const now = this.at === null ? stops.length - 1 : stops.findLastIndex((stop) => stop <= this.at * (1 + 1e-9));
    const wanted = { ArrowLeft: this.at === null ? now : now - stride, ArrowRight: now + stride, Home: 0, End: stops.length - 1 }[event.key];
    if (event.key === "Escape") this.move(null);
    else if (wanted === undefined) return;
    else {
      this.readout.setAttribute("aria-live", "polite");
      this.move(stops[Math.min(Math.max(wanted, 0), stops.length - 1)]);
    }
    event.preventDefault();
  }

  /** Puts the cursor at a position of the axis, or away, when the readout gives the ends of the curves. */
  move(at) {
    this.at = at;
    if (!this.drawn.length) return;
    this.cursor.replaceChildren();
    if (at !== null) this.cursor.append(shape("path", { d: `M${this.x(at).toFixed(1)},${this.frame.top}V${this.frame.bottom}` }));
    const text = at === null ? "" : this.state.isTime ? duration(at) : count(at);
    const title = at === null ? "At the end of each curve" : `Around ${text} ${this.state.isTime ? "of " : ""}${this.state.axisLabel}`;
    const rows = this.drawn.map((curve) => ({ curve, n: this.nearest(curve, at) }));
    rows.sort((a, b) => (b.curve.y[b.n] ?? -Infinity) - (a.curve.y[a.n] ?? -Infinity));
    const list = rows.map(({ curve, n }) => {
      const value = n === undefined ? null : curve.y[n];
      if (at !== null && value !== null) {
        this.cursor.append(shape("path", { d: markerPath(curve.algorithm.marker, this.x(curve.x[n]), this.y(value), 5), fill: colourOf(curve.algorithm), class: "marker" }));
      }
      const interval = value === null || curve.low[n] === null ? "" : `[${number(curve.low[n])}, ${number(curve.high[n])}]`;
      const where = value === null ? "" : this.state.isTime ? duration(curve.x[n]) : count(curve.x[n]);
      return element("tr", {}, element("th", { scope: "row" }, swatch(curve.algorithm), element("span", { title: curve.algorithm.name }, curve.algorithm.name)), ...[number(value), interval, where ? `at ${where}` : "", `n=${curve.n}`].map((cell) => element("td", {}, cell)));
    });
    this.readout.replaceChildren(element("table", {}, element("caption", {}, title), element("tbody", {}, ...list)));
  }

  /** Index of a curve's nearest point; undefined beyond its ends. */
  nearest(curve, at) {
    if (at === null) return curve.x.length - 1;
    const slack = (curve.x.at(-1) - curve.x[0]) * 0.02;
    if (at > curve.x.at(-1) + slack || at < curve.x[0] - slack) return undefined;
    let best = 0;
    for (let n = 1; n < curve.x.length; n += 1) if (Math.abs(curve.x[n] - at) < Math.abs(curve.x[best] - at)) best = n;
    return best;
  }

  /** Dims all curves but one; none with null. */
  emphasise(name) {
    for (const group of this.plot.querySelectorAll(".curve")) group.classList.toggle("dim", name !== null && group.dataset.algorithm !== name);
  }
}
