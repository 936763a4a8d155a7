// Where everything lies on ECG paper, in millimetres. Nothing is drawn here.

import { FINE, finerLead } from "./finer.js";

export const LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
// The leads of a record {signal, leads} in this order.
export const inOrder = ({ signal, leads }) => LEADS.map((lead) => signal[leads.indexOf(lead)]);

const TAIL = 5;
const PRINTOUT = 10; // room above the traces for what is measured
const NAME_MM = 3.6; // the size of names
const LEAST_PX = 11; // and on the screen, where they may take more of a small paper
const [LETTER, DIGIT] = [0.73, 0.55]; // the largest widths of letters and the width of digits, for a size of 1
const CLEAR = 2; // smallest distance between the traces of neighbouring rows

// How a record is drawn: speed in mm/s, gain in mm/mV; rhythm is the lead in full length below those that are cut. A strip
// is longer than ROW_S. Its layout "strip" shows the rhythm lead in rows of ROW_S; the others show the stretch that begins
// in the row `at` s.
export const CHOICES = { layout: ["3x4", "6x2", "12x1", "strip"], speed: [25, 50], gain: [5, 10, 20], rhythm: LEADS };
export const USUAL = { layout: "3x4", speed: 25, gain: 10, rhythm: "II", at: 0 };
export const ROW_S = 10;
export const isStrip = (seconds) => seconds > ROW_S;
export const usual = (seconds) => (isStrip(seconds) ? { ...USUAL, layout: "strip" } : USUAL);
export const rowsIn = (seconds) => Math.max(1, Math.ceil(seconds / ROW_S - 1e-9));
export const NONE = []; // no changes on the way
// Where the stretch begins and ends, in s. The last one is as long as the others.
export function stretchOf(at, seconds) {
  const from = Math.max(0, Math.min(at, seconds - ROW_S));
  return [from, Math.min(from + ROW_S, seconds)];
}
// 75 s as 1:15
export const clock = (s) => `${Math.floor(s / 60)}:${String(Math.round((s % 60) * 10) / 10).replace(/^\d(?!\d)/, "0$&")}`;
export const inScale = ({ speed, gain }) => `${speed} mm/s · ${gain} mm/mV`;

const ROWS = {
  "3x4": [["I", "aVR", "V1", "V4"], ["II", "aVL", "V2", "V5"], ["III", "aVF", "V3", "V6"], null],
  "6x2": [["I", "V1"], ["II", "V2"], ["III", "V3"], ["aVR", "V4"], ["aVL", "V5"], ["aVF", "V6"], null],
  "12x1": LEADS.map((lead) => [lead]),
};
// From the top to the first zero line, between zero lines, to the bottom: on the screen, where all leads are to be seen at
// once, and on a page in print, which they fill.
const GAPS = {
  screen: { "3x4": [20, 30, 30, 30, 20], "6x2": [20, ...Array(6).fill(20), 20], "12x1": [15, ...Array(11).fill(20), 15] },
  page: { "3x4": [25, 40, 40, 40, 25], "6x2": [25, ...Array(6).fill(20), 25], "12x1": [20, ...Array(11).fill(20), 20] },
};

// The size of names in mm where a mm has so many pixels, in steps.
export const nameSize = (scale) => Math.max(NAME_MM, Math.ceil((5 * LEAST_PX) / scale) / 5);
const widthOf = (words, size) => LETTER * size * words.length;

// The calibration pulse of 1 mV for 0.2 s: points in mm from the beginning of the traces and over the zero line.
export function pulse({ speed, gain }) {
  const wide = 0.2 * speed;
  return [[0, 0], [1.5, 0], [1.5, gain], [1.5 + wide, gain], [1.5 + wide, 0], [3 + wide, 0]].map(([x, y]) => [x - wide - 6.5, y]);
}

// {width, height, leadIn, speed, gain, fs, size, chosen, rows: [{zero, pulse, segments: [{lead, name, row, first, last, x, label}], marks}]}.
// A segment shows samples first to last - 1 of a lead and begins at x. label is the place of its name, in mm from the
// beginning of the segment and over the zero line, which keeps it clear of the trace. Rows move apart, by multiples of 5 mm,
// where their traces would overlap. chosen: the row of a strip that shows the stretch, or null. on: screen or page. size: of
// names. head: the room in mm that what is measured takes over the traces. part: the first row of a strip, and the one after
// the last. changes: [{at, words}], what the record shows from `at` s on. Rows have
// marks for them: [{x, words, left, right, dy, line}], where the words are left to right mm and dy over the zero line; the points
// of the line are in mm from x and over the zero line
export function layOut(drawing, { seconds = ROW_S, fs = 100, signals = [], on = "screen", size = NAME_MM, head = 0, part = [], changes = NONE } = {}) {
  const { layout, speed, gain, rhythm, at } = { ...USUAL, ...drawing };
  const scale = { speed, gain, fs, size };
  const strip = layout === "strip";
  const times = strip ? 6 + DIGIT * size * clock(ROW_S * (rowsIn(seconds) - 1)).length : 0; // of its rows
  const leadIn = Math.max(10 + 0.2 * speed, times); // room for the calibration pulse on the left
  const width = Math.ceil((leadIn + speed * ROW_S + TAIL) / 5) * 5;
  const rows = strip ? stripRows(rhythm, leadIn, seconds, scale).slice(...part) : leadRows(layout, rhythm, leadIn, stretchOf(at, seconds), signals, scale);
  rows.forEach((row, i) => (row.marks = changes.flatMap((change) => mark(row, change, signals, scale, width, strip || !i))));
  const gaps = strip ? [15, ...Array(rows.length - 1).fill(20), 15] : GAPS[on][layout].slice();
  if (signals.length) needed(rows, signals, scale, width).forEach((gap, i) => (gaps[i] = Math.max(gaps[i], gap)));
  let y = on === "screen" ? Math.max(PRINTOUT, five(head - 1)) : 0;
  rows.forEach((row, i) => (row.zero = y += gaps[i]));
  return { layout, width, height: y + gaps.at(-1), leadIn, rows, chosen: strip ? Math.round(at / ROW_S) : null, ...scale };
}

function leadRows(layout, rhythm, leadIn, [from, to], signals, scale) {
  const [begin, length] = [from, to - from].map((s) => Math.round(s * scale.fs));
  return ROWS[layout].map((leads) => ({
    zero: 0,
    pulse: true,
    segments: (leads ?? [rhythm]).map((lead, i, all) => {
      const [first, last] = [i, i + 1].map((k) => begin + Math.round((k * length) / all.length));
      const row = LEADS.indexOf(lead);
      return { lead, name: lead, row, first, last, x: leadIn + (scale.speed * (first - begin)) / scale.fs, label: placeLabel(lead, signals, row, first, scale) };
    }),
  }));
}

// Rows of a strip have their times in place of a name, left of the trace.
function stripRows(lead, leadIn, seconds, { fs, size }) {
  const row = LEADS.indexOf(lead);
  return Array.from({ length: rowsIn(seconds) }, (_, k) => {
    const [first, last] = [k, k + 1].map((n) => Math.round(Math.min(n * ROW_S, seconds) * fs));
    return { zero: 0, pulse: !k, segments: [{ lead, name: clock(k * ROW_S), row, first, last, x: leadIn, label: { dx: 3 - leadIn, dy: k ? -0.33 * size : -2.5 - 0.7 * size } }] };
  });
}

// The mark of a change in a row; none if it is not there. named: whether it has words. They keep clear of the trace and of names.
function mark({ segments }, { at, words }, signals, { speed, gain, fs, size }, width, named) {
  const sample = Math.round(at * fs);
  const segment = segments.find(({ first, last }) => sample >= first && sample < last);
  if (!segment) return [];
  const x = segment.x + (speed * (sample - segment.first)) / fs;
  if (!named) return [{ x, words: "", left: x, right: x, dy: 5, line: [[0, 5], [0, -5]] }];
  const long = widthOf(words, size);
  const left = Math.max(0, Math.min(x + 1.6, width - 1 - long));
  const right = left + long;
  let dy = 6.5;
  for (const { name, row, first, last, x: from, label } of segments) {
    const [begin, end] = [left - 1, right + 1].map((mm) => Math.min(Math.max(first + Math.round(((mm - from) * fs) / speed), first), last));
    dy = Math.max(dy, over(signals, row, begin, end, gain, size));
    if (from + label.dx < right && from + label.dx + widthOf(name, size) > left) dy = Math.max(dy, label.dy + 1.25 * size);
  }
  // A bracket around the words; a line under them where they have no room to its right.
  const line = left > x ? [[3, dy + size], [0, dy + size], [0, -5]] : [[0, dy - 1], [0, -5]];
  return [{ x, words, left, right, dy, line }];
}

// How far over the zero line words keep clear of some samples of a lead as they are drawn, in mm.
function over(signals, row, first, last, gain, size) {
  const under = signals.flatMap((signal) => [...finerLead(signal[row]).slice(first * FINE, last * FINE)].filter((mv) => mv === mv)); // without those that are missing
  return Math.max(6.5, gain * Math.max(...under, 0) + size / 3);
}

// A part of one lead, around its largest deflection, without a pulse or a name, on paper that leaves 3 mm over and under it.
// least: the least height in mm
export function layOutStrip(lead, signal, { seconds, fs = 100, least = 0 }) {
  const { speed, gain } = USUAL;
  const row = LEADS.indexOf(lead);
  const length = Math.min(signal[row].length, Math.round(seconds * fs));
  const peak = signal[row].reduce((best, mv, i, all) => (Math.abs(mv) > Math.abs(all[best]) ? i : best), 0);
  const first = Math.max(0, Math.min(peak - Math.round(length / 2), signal[row].length - length));
  const shown = signal[row].slice(first, first + length);
  const [up, down] = [Math.max(...shown, 0), Math.max(...shown.map((mv) => -mv), 0)].map((mv) => gain * mv + 3);
  const spare = Math.max(0, least - up - down) / 2;
  const segment = { lead, row, first, last: first + length, x: 0, label: null };
  return { width: speed * seconds, height: up + down + 2 * spare, leadIn: 0, rows: [{ zero: up + spare, segments: [segment], marks: [] }], chosen: null, speed, gain, fs };
}

// The lowest place above the trace that is not far to the right: {dx, dy}.
function placeLabel(name, signals, row, first, { speed, gain, fs, size }) {
  const sample = (mm) => first + Math.round((mm * fs) / speed);
  let best = { dx: 1.6, dy: 6.5 };
  if (!signals.length) return best;
  best = { dx: 0, dy: Infinity };
  for (let dx = 1.6; dx < 14; dx += 1) {
    const clear = 0.22 * size;
    const dy = over(signals, row, Math.max(first, sample(dx - clear)), sample(dx + widthOf(name, size) + clear), gain, size);
    if (dy < best.dy - 1) best = { dx, dy }; // less than 1 mm is not worth a move
  }
  return best;
}

const five = (mm) => Math.ceil(mm / 5 - 1e-9) * 5;

// The smallest gaps between rows in mm. Rows are compared in strips of 3 mm, so that a tall R wave may use free space.
function needed(rows, signals, { speed, gain, fs, size }, width) {
  const strips = Math.ceil(width / 3) + 1;
  const up = rows.map(() => new Float64Array(strips));
  const down = rows.map(() => new Float64Array(strips));
  const reserve = (r, left, right, top) => {
    for (let s = Math.floor(left / 3); s <= right / 3 && s < strips; s++) up[r][s] = Math.max(up[r][s], top);
  };
  rows.forEach((row, r) => {
    for (const { left, right, dy } of row.marks) reserve(r, left, right, dy + 0.85 * size);
    for (const { name, row: lead, first, last, x, label } of row.segments) {
      reserve(r, x + label.dx, x + label.dx + widthOf(name, size) + 1, label.dy + 0.85 * size);
      for (const signal of signals)
        for (let i = first; i < last; i++) {
          const y = gain * signal[lead][i];
          const at = Math.floor((x + (speed * (i - first)) / fs) / 3);
          for (let s = Math.max(0, at - 1); s <= at + 1 && s < strips; s++) {
            if (y > up[r][s]) up[r][s] = y;
            if (-y > down[r][s]) down[r][s] = -y;
          }
        }
    }
  });
  const between = rows.slice(1).map((_, r) => five(Math.max(...up[r + 1].map((u, s) => u + down[r][s])) + CLEAR));
  const foot = size > NAME_MM ? 2 + 1.35 * size : 0; // the line below the traces
  return [five(Math.max(...up[0]) + CLEAR), ...between, five(Math.max(...down.at(-1)) + foot + CLEAR)];
}

export const nearest = ({ rows }, y) => rows.reduce((best, { zero }, i) => (Math.abs(zero - y) < Math.abs(rows[best].zero - y) ? i : best), 0);

// What the nearest row shows at (x, y) mm: {lead, row, seconds, sample, zero}, or null beside the traces.
export function under(geometry, x, y) {
  const { speed, fs, rows } = geometry;
  const { zero, segments } = rows[nearest(geometry, y)];
  for (const { lead, row, first, last, x: from } of segments) {
    const seconds = first / fs + (x - from) / speed;
    const sample = Math.round(seconds * fs);
    if (sample >= first && sample < last) return { lead, row, seconds, sample, zero };
  }
  return null;
}

// Whether no trace and no name of a lead goes through a part of the paper: {left, right, top, bottom} in mm.
export function isFree({ rows, speed, gain, fs, size }, signals, { left, right, top, bottom }) {
  return rows.every(({ zero, segments }) =>
    segments.every(({ name, row, first, last, x, label }) => {
      const [nameX, nameY] = [x + label.dx, zero - label.dy];
      if (nameX < right && nameX + widthOf(name, size) > left && nameY - 1.1 * size < bottom && nameY > top) return false;
      const sample = (mm) => first + ((mm - x) * fs) / speed;
      const [from, to] = [Math.max(first, Math.floor(sample(left))), Math.min(last, Math.ceil(sample(right)) + 1)];
      return signals.every((signal) => {
        const there = signal[row].slice(from, Math.max(from, to)).filter((mv) => mv === mv); // without those that are missing
        const shown = there.map((mv) => zero - gain * mv);
        return !shown.length || Math.min(...shown) > bottom || Math.max(...shown) < top;
      });
    }),
  );
}
