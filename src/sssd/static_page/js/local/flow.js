// From conditions to records, as docs/onnx.md describes it: noise -> steps -> scale -> converter. facts: the metadata of the model's
// file; table: the step table of the sampler. A record is 8 leads after each other, (8 L) numbers.

import { integer, normal } from "./noise.js";

// The row (K,) of conditions. statements: their numbers; seed: a BigInt.
export function conditions(facts, { statements, age, sex, heart_rate, seed, index }) {
  const { columns, given, ...told } = facts.conditions;
  const row = Float32Array.from(given);
  const set = (name, value) => (row[columns.lastIndexOf(name)] = value);
  for (const k of statements) row[k] = 1;
  if (facts.heart_rates) heart_rate ??= heartRate(facts.heart_rates, statements, seed, index);
  for (const [name, value] of Object.entries({ age, heart_rate })) {
    if (value === null || value === undefined) continue;
    const words = name.replace("_", " ");
    set(`${words} is known`, 1);
    set(words, (value - told[name].middle) / told[name].spread);
  }
  if (sex) set(sex, 1);
  const drawn = facts.circumstances && circumstances(facts.circumstances, seed, index);
  if (drawn) row.set(drawn, row.length - drawn.length);
  return row;
}

// A row of the table of circumstances, and normal noise on it.
function circumstances({ rows, shape: [count, width], bandwidth, row_step, jitter_step }, seed, index) {
  const values = halves(rows);
  const row = integer(seed, index, row_step, count);
  return normal(seed, index, jitter_step, width).map((z, k) => values(row * width + k) + bandwidth * z);
}

// The heart rate of a recording with statements like these (sssd.circumstances.draw_heart_rates); null if that has none.
function heartRate({ rates, statements: bits, weight, like, step }, statements, seed, index) {
  const [known, rate] = [bytesOf(bits), halves(rates)];
  const width = Math.ceil(weight.length / 8);
  const wanted = weight.map((_, k) => statements.includes(k));
  const away = Array.from({ length: known.length / width }, (_, row) =>
    weight.reduce((sum, w, k) => {
      const has = Boolean((known[row * width + (k >> 3)] >> (7 - (k & 7))) & 1);
      return has === wanted[k] ? sum : sum + w;
    }, 0),
  );
  const most = away.reduce((least, one) => Math.min(least, one), Infinity) + like;
  const near = [...away.keys()].filter((row) => away[row] <= most);
  return rate(near[integer(seed, index, step, near.length)]) || null;
}

const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

// From numbers as float16 in base64: the function that returns one of them.
function halves(base64) {
  const view = new DataView(bytesOf(base64).buffer);
  return (k) => half(view.getUint16(2 * k, true));
}

// The number that 16 bits are as float16 (IEEE 754).
function half(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

// Run a table. evaluate(x, step): promise of {eps, x0}. onStep(i, mV): what is predicted at row i; it may return a promise.
export async function run(facts, table, { seed, index }, evaluate, onStep) {
  const size = facts.leads.length * facts.samples;
  let x = normal(seed, index, facts.T, size);
  let history = [];
  for (const [i, step] of table.steps.entries()) {
    let { eps, x0 } = await evaluate(x, step);
    const shown = i <= table.gain_row ? calibrated(facts, table, x0) : x0;
    if (i === table.gain_row) {
      x = x.map((value, k) => value + table.alpha[i] * (shown[k] - x0[k]));
      if (table.history === "x0") history = history.map((h) => calibrated(facts, table, h));
      x0 = shown;
    }
    history = [table.history === "eps" ? eps : x0, ...history].slice(0, table.b[i].length);
    const noise = table.c[i] ? normal(seed, index, step, size) : null;
    x = x.map((value, k) => {
      let next = table.a[i] * value + (noise ? table.c[i] * noise[k] : 0);
      for (const [j, h] of history.entries()) next += table.b[i][j] * h[k];
      return next;
    });
    await onStep(i, toMv(facts, shown));
  }
  return facts.converter ? converted(facts, toMv(facts, x)) : toMv(facts, x);
}

function calibrated({ samples }, { gain }, x) {
  return x.map((value, k) => value * (gain[Math.floor(k / samples)] ?? gain[0]));
}

// From the scale of the network to mV. The factors are of the orthonormal cosine transform (DCT-II) of a lead.
function toMv({ scale, samples: n, leads }, x) {
  const out = Float32Array.from(x);
  for (let lead = 0; lead < leads.length; lead++) {
    let row = x.subarray(lead * n, (lead + 1) * n);
    if (scale.emphasis) row = filtered(row, scale.emphasis);
    for (let i = 0; i < n; i++) out[lead * n + i] = row[i] * scale.lead_mv[lead];
  }
  return out;
}

let turns = new Float64Array(0); // cos(pi k / 2n) for k = 0 .. 4n - 1

function filtered(row, raised) {
  const n = row.length;
  if (turns.length !== 4 * n) turns = Float64Array.from({ length: 4 * n }, (_, k) => Math.cos((Math.PI * k) / (2 * n)));
  const coefficients = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    let total = 0;
    for (let i = 0, at = k; i < n; i++) {
      total += row[i] * turns[at];
      at += 2 * k;
      if (at >= 4 * n) at -= 4 * n;
    }
    coefficients[k] = ((k ? 2 : 1) / n) * (total / raised[k]);
  }
  return Float64Array.from(row, (_, i) => {
    let total = 0;
    const by = 2 * i + 1;
    for (let k = 0, at = 0; k < n; k++) {
      total += coefficients[k] * turns[at];
      at += by;
      if (at >= 4 * n) at -= 4 * n;
    }
    return total;
  });
}

// A record (8 L) in mV on the steps of the converter that recorded PTB-XL (sssd.converter).
function converted({ samples: n, leads, converter }, mv) {
  const { step_mv, hold, interpolation, filter } = converter;
  const faster = interpolation.length;
  const last = (leads.length - 1) * n; // aVF, where II is recorded
  const changes = leads.map((_, lead) => {
    const x = Float64Array.from({ length: n }, (_, i) =>
      lead < leads.length - 1 ? mv[lead * n + i] / step_mv : (mv[last + i] + mv[i] / 2) / step_mv,
    );
    const fine = new Float64Array(faster * n);
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < faster; k++) fine[faster * i + k] = weighted(x, interpolation[k], i);
    }
    let held = Math.round(fine[0]);
    const error = fine.map((value) => {
      const nearest = Math.round(value);
      if (Math.abs(value - nearest) < 1 - hold) held = nearest;
      return (Math.abs(value - held) <= hold ? held : nearest) - value;
    });
    return Float64Array.from({ length: n }, (_, i) => step_mv * weighted(error, filter, faster * i));
  });
  changes[leads.length - 1] = changes[leads.length - 1].map((value, i) => value - changes[0][i] / 2);
  return mv.map((value, k) => value + changes[Math.floor(k / n)][k % n]);
}

// The sum of x about sample i by the weights of a kernel. The ends of x go on as they are.
function weighted(x, kernel, i) {
  const first = i - (kernel.length - 1) / 2;
  let total = 0;
  for (let j = 0; j < kernel.length; j++) total += kernel[j] * x[Math.min(x.length - 1, Math.max(0, first + j))];
  return total;
}
