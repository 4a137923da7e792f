"use strict";
// Numbers as people read them, as pwm_bench/text.py writes them.
const MISSING = "–";

function number(value) {
  if (value === null || !Number.isFinite(value)) return MISSING;
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const text = grouped(value.toFixed(digits));
  return /[1-9]/.test(text) ? text : text.replace("-", ""); // no minus before zero
}

function grouped(text) {
  const [whole, part] = text.split(".");
  const set = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return part ? `${set}.${part}` : set;
}

function count(value) {
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= size * 0.9995) return `${Number((value / size).toPrecision(3))}${unit}`;
  }
  return `${Number(value.toPrecision(4))}`;
}

function duration(seconds) {
  if (seconds < 59.5) return `${Number(seconds.toPrecision(3))} s`;
  return seconds < 3570 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** Unit of a time axis that reaches so many seconds: divisor and name. */
function timeUnit(seconds) {
  if (seconds < 120) return [1, "s"];
  return seconds < 3 * 3600 ? [60, "min"] : [3600, "h"];
}
