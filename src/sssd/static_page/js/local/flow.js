// From conditions to records, as docs/onnx.md describes it: noise -> steps -> scale -> circumstances -> converter. facts: the metadata of the model's
// file; table: the step table of the sampler. A record is 8 leads after each other, (8 L) numbers.

import { integer, normal } from "./noise.js";

// The row (K,) of conditions. statements: their numbers; seed: a BigInt.
export function conditions(facts, { statements, age, sex, heart_rate, seed, index }) {
  const { columns, given, ...told } = facts.conditions;
  const row = Float32Array.from(given);
  const set = (name, value) => (row[columns.lastIndexOf(name)] = value);
  for (const k of statements) row[k] = 1;
  const chosen = facts.circumstances && rowLike(facts, statements, heart_rate, seed, index);
  const { rates, variabilities } = facts.heart_rates ?? {};
  if (rates && (heart_rate ?? null) === null && halves(rates)(chosen)) {
    heart_rate = halves(rates)(chosen);
    if (variabilities) {
      set("variability is known", 1);
      set("variability", halves(variabilities)(chosen));
    }
  }
  for (const [name, value] of Object.entries({ age, heart_rate })) {
    if (value === null || value === undefined) continue;
    const words = name.replace("_", " ");
    set(`${words} is known`, 1);
    set(words, (value - told[name].middle) / told[name].spread);
  }
  if (sex) set(sex, 1);
  const drawn = facts.circumstances && circumstances(facts.circumstances, chosen, seed, index);
  if (drawn) row.set(drawn, row.length - drawn.length);
  return row;
}

// A row of the table of circumstances, and normal noise on it.
function circumstances({ rows, shape: [, width], bandwidth, jitter_step }, row, seed, index) {
  const values = halves(rows);
  return normal(seed, index, jitter_step, width).map((z, k) => values(row * width + k) + bandwidth * z);
}

// The row of the tables of recordings that a record gets: of one whose statements, and heart rate if one is asked for, are like its
// own (sssd.circumstances.rows_like).
function rowLike({ circumstances: { shape, row_step }, heart_rates, conditions: told }, statements, asked, seed, index) {
  if (!heart_rates) return integer(seed, index, row_step, shape[0]);
  const { weight, like, nearest, unknown } = heart_rates;
  const [known, rate] = [bytesOf(heart_rates.statements), halves(heart_rates.rates)];
  const width = Math.ceil(weight.length / 8);
  const wanted = weight.map((_, k) => statements.includes(k));
  const { middle, spread } = told.heart_rate;
  const bpm = (asked ?? null) === null ? null : middle + spread * Math.fround((asked - middle) / spread);
  const away = Array.from({ length: shape[0] }, (_, row) => {
    const apart = bpm === null ? 0 : rate(row) ? Math.abs(bpm - rate(row)) : unknown;
    return weight.reduce((sum, w, k) => {
      const has = Boolean((known[row * width + (k >> 3)] >> (7 - (k & 7))) & 1);
      return has === wanted[k] ? sum : sum + w;
    }, 0) + apart;
  });
  const sorted = Float64Array.from(away).sort();
  const most = Math.max(sorted[0] + like, sorted[Math.min(nearest, sorted.length) - 1]);
  const near = [...away.keys()].filter((row) => away[row] <= most);
  return near[integer(seed, index, row_step, near.length)];
}

const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

// From numbers as float16 in base64: the function that returns one of them.
function halves(base64) {
  const view = new DataView(bytesOf(base64).buffer);
  return (k) => half(view.getUint16(2 * k, true));
}

// The number that 16 bits are as float16 (IEEE 754).
export function half(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

// Run a table. evaluate(x, step): promise of {eps, x0}. onStep(i, mV): what is predicted at row i; it may return a promise.
export async function run(facts, table, { seed, index, cond }, evaluate, onStep) {
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
  const mv = facts.circumstances?.as_told ? asTold(facts, toMv(facts, x), cond) : toMv(facts, x);
  return facts.converter ? converted(facts, mv) : mv;
}

function calibrated({ samples }, { gain }, x) {
  return x.map((value, k) => value * (gain[Math.floor(k / samples)] ?? gain[0]));
}

// From the scale of the network to mV. The factors are of the orthonormal cosine transform (DCT-II) of a lead. That of a lead
// is the Fourier transform of the lead and its mirror image; two leads are transformed at once, as one complex signal.
function toMv({ scale, samples: n, leads }, x) {
  const out = Float32Array.from(x);
  const row = (lead) => out.subarray(lead * n, (lead + 1) * n);
  if (scale.emphasis) for (let lead = 0; lead < leads.length; lead += 2) filter(row(lead), row(lead + 1), scale.emphasis);
  for (let lead = 0; lead < leads.length; lead++) for (let i = lead * n; i < (lead + 1) * n; i++) out[i] *= scale.lead_mv[lead];
  return out;
}

// Divide the frequencies of two leads by `raised`, in place. The second may be empty.
function filter(first, second, raised) {
  const n = first.length;
  const mirrored = (lead) => Float64Array.from({ length: 2 * n }, (_, i) => lead[i < n ? i : 2 * n - 1 - i] ?? 0);
  const [re, im] = fourier(mirrored(first), mirrored(second));
  for (let k = 0; k < 2 * n; k++) {
    const by = k === n ? 0 : 1 / (2 * n * raised[Math.min(k, 2 * n - k)]); // a mirrored signal has nothing at n
    re[k] *= by;
    im[k] *= -by; // the transform of the conjugate is the inverse, conjugated
  }
  const [a, b] = fourier(re, im);
  for (let i = 0; i < n; i++) first[i] = a[i];
  for (let i = 0; i < second.length; i++) second[i] = -b[i];
}

let turns = { n: 0 }; // cos and sin of -2 pi k / n for k = 0 .. n - 1

// The Fourier transform of a complex signal of any length, by its prime factors (Cooley and Tukey 1965): [re, im].
function fourier(re, im) {
  const n = re.length;
  if (turns.n !== n) turns = { n, cos: Float64Array.from(re, (_, k) => Math.cos((2 * Math.PI * k) / n)), sin: Float64Array.from(re, (_, k) => -Math.sin((2 * Math.PI * k) / n)) };
  const { cos, sin } = turns;
  const [outRe, outIm] = [new Float64Array(n), new Float64Array(n)];
  // The transform of the `size` numbers from `from` on, each `stride` after the last, is written from `to` on.
  const part = (from, stride, to, size) => {
    if (size === 1) return (outRe[to] = re[from]), (outIm[to] = im[from]);
    let factor = 2;
    while (size % factor) factor++;
    const m = size / factor;
    for (let r = 0; r < factor; r++) part(from + r * stride, stride * factor, to + r * m, m);
    const [a, b] = [new Float64Array(factor), new Float64Array(factor)];
    for (let k = 0; k < m; k++) {
      for (let r = 0; r < factor; r++) (a[r] = outRe[to + r * m + k]), (b[r] = outIm[to + r * m + k]);
      for (let q = 0; q < factor; q++) {
        let [sumRe, sumIm] = [0, 0];
        for (let r = 0, at = 0; r < factor; r++, at = (at + stride * (k + q * m)) % n) {
          sumRe += a[r] * cos[at] - b[r] * sin[at];
          sumIm += a[r] * sin[at] + b[r] * cos[at];
        }
        outRe[to + q * m + k] = sumRe;
        outIm[to + q * m + k] = sumIm;
      }
    }
  };
  part(0, 1, 0, n);
  return [outRe, outIm];
}

// A record (8 L) in mV with the noise, the edge and the slow part that its conditions (K,) say (sssd.circumstances.as_told).
function asTold({ samples: n, leads, fs_hz, circumstances: { as_told } }, mv, cond) {
  const { mean, spread, rounds, most, samples, kinds } = as_told;
  const told = mean.map((value, k) => value + spread[k] * cond[cond.length - mean.length + k]);
  const out = Float64Array.from(mv);
  for (let lead = 0; lead < leads.length; lead++) {
    const x = out.subarray(lead * n, (lead + 1) * n);
    for (let round = 0; round < rounds; round++) {
      const response = new Float64Array(n + 1).fill(1);
      for (const kind of Object.values(kinds)) {
        const lacking = told[kind.first + lead] - Math.log10(levelOf(kind, x.subarray(0, samples), fs_hz) + kind.smallest);
        const factor = 10 ** Math.min(most, Math.max(-most, kind.quantile ? lacking : lacking / 2));
        const [first, whole, last, end] = kind.band_hz;
        response.forEach((_, k) => {
          const f = (k * fs_hz) / (2 * n);
          response[k] += (factor - 1) * Math.min(1, Math.max(0, Math.min((f - first) / (whole - first), (end - f) / (end - last))));
        });
      }
      filter(x, new Float64Array(0), response.map((value) => 1 / value));
    }
  }
  return Float32Array.from(out);
}

// What a lead has in a band: the power of its Fourier coefficients under Hann's window, or a quantile of its amplitude.
function levelOf({ measured_hz: [low, high], quantile }, x, fs_hz) {
  const n = x.length;
  const average = x.reduce((sum, value) => sum + value, 0) / n;
  const hann = (i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / n);
  const [re, im] = fourier(quantile ? x : x.map((value, i) => (value - average) * hann(i)), new Float64Array(n));
  const inside = (k) => {
    const f = (Math.min(k, n - k) * fs_hz) / n;
    return quantile ? f > low && f < high : k <= n / 2 && f >= low && f < (high ?? Infinity);
  };
  if (!quantile) return re.reduce((sum, _, k) => sum + (inside(k) ? re[k] ** 2 + im[k] ** 2 : 0), 0);
  const [fine] = fourier(re.map((value, k) => (inside(k) ? value / n : 0)), im.map((value, k) => (inside(k) ? -value / n : 0)));
  const sorted = fine.map(Math.abs).sort();
  const at = quantile * (n - 1);
  const [below, above] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return below + (at - Math.floor(at)) * (above - below);
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
