// Where everything lies on ECG paper, in millimetres. Nothing is drawn here.

export const LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
// The leads of a record {signal, leads} in this order.
export const inOrder = ({ signal, leads }) => LEADS.map((lead) => signal[leads.indexOf(lead)]);

const TAIL = 5;
const PRINTOUT = 10; // room above the traces for what is measured
const LABEL_MM = 8; // the width of a lead's name
const CLEAR = 2; // smallest distance between the traces of neighbouring rows

// How a record is drawn: speed in mm/s, gain in mm/mV; rhythm is the lead in full length below those that are cut.
export const CHOICES = { layout: ["3x4", "6x2", "12x1"], speed: [25, 50], gain: [5, 10, 20], rhythm: LEADS };
export const USUAL = { layout: "3x4", speed: 25, gain: 10, rhythm: "II" };
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

// The calibration pulse of 1 mV for 0.2 s: points in mm from the beginning of the traces and over the zero line.
export function pulse({ speed, gain }) {
  const wide = 0.2 * speed;
  return [[0, 0], [1.5, 0], [1.5, gain], [1.5 + wide, gain], [1.5 + wide, 0], [3 + wide, 0]].map(([x, y]) => [x - wide - 6.5, y]);
}

// {width, height, leadIn, speed, gain, fs, rows: [{zero, segments: [{lead, row, first, last, x, label}]}]}. A segment shows
// samples first to last - 1 of a lead and begins at x. label is the place of the lead's name, in mm from the beginning of
// the segment and over the zero line, which keeps it clear of the trace. Rows move apart, by multiples of 5 mm, where their
// traces would overlap. on: screen or page
export function layOut(drawing, { seconds = 10, fs = 100, signals = [], on = "screen" } = {}) {
  const { layout, speed, gain, rhythm } = { ...USUAL, ...drawing };
  const scale = { speed, gain, fs };
  const length = Math.round(seconds * fs);
  const leadIn = 10 + 0.2 * speed; // room for the calibration pulse on the left
  const width = Math.ceil((leadIn + speed * seconds + TAIL) / 5) * 5;
  const rows = ROWS[layout].map((leads) => ({
    zero: 0,
    segments: (leads ?? [rhythm]).map((lead, i, all) => {
      const first = Math.round((i * length) / all.length);
      const last = Math.round(((i + 1) * length) / all.length);
      const row = LEADS.indexOf(lead);
      return { lead, row, first, last, x: leadIn + (speed * first) / fs, label: placeLabel(signals, row, first, scale) };
    }),
  }));
  const gaps = GAPS[on][layout].slice();
  if (signals.length) needed(rows, signals, scale, width).forEach((gap, i) => (gaps[i] = Math.max(gaps[i], gap)));
  let y = on === "screen" ? PRINTOUT : 0;
  rows.forEach((row, i) => (row.zero = y += gaps[i]));
  return { layout, width, height: y + gaps.at(-1), leadIn, rows, ...scale };
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
  return { width: speed * seconds, height: up + down + 2 * spare, leadIn: 0, rows: [{ zero: up + spare, segments: [segment] }], speed, gain, fs };
}

// The lowest place above the trace that is not far to the right: {dx, dy}.
function placeLabel(signals, row, first, { speed, gain, fs }) {
  const sample = (mm) => first + Math.round((mm * fs) / speed);
  let best = { dx: 1.6, dy: 6.5 };
  if (!signals.length) return best;
  best = { dx: 0, dy: Infinity };
  for (let dx = 1.6; dx < 14; dx += 1) {
    const under = signals.flatMap((signal) => [...signal[row].slice(Math.max(first, sample(dx - 0.8)), sample(dx + LABEL_MM + 0.8))].filter((mv) => mv === mv)); // without those that are missing
    const dy = Math.max(6.5, gain * Math.max(...under, 0) + 1.2);
    if (dy < best.dy - 1) best = { dx, dy }; // less than 1 mm is not worth a move
  }
  return best;
}

// The smallest gaps between rows in mm. Rows are compared in strips of 3 mm, so that a tall R wave may use free space.
function needed(rows, signals, { speed, gain, fs }, width) {
  const strips = Math.ceil(width / 3) + 1;
  const up = rows.map(() => new Float64Array(strips));
  const down = rows.map(() => new Float64Array(strips));
  rows.forEach((row, r) => {
    for (const { row: lead, first, last, x, label } of row.segments) {
      const under = Math.floor((x + label.dx) / 3);
      for (let s = under; s < under + 4 && s < strips; s++) up[r][s] = Math.max(up[r][s], label.dy + 3);
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
  const five = (gap) => Math.ceil((gap + CLEAR) / 5 - 1e-9) * 5;
  const between = rows.slice(1).map((_, r) => five(Math.max(...up[r + 1].map((u, s) => u + down[r][s]))));
  return [five(Math.max(...up[0])), ...between, five(Math.max(...down.at(-1)))];
}

// What the nearest row shows at (x, y) mm: {lead, row, seconds, sample, zero}, or null beside the traces.
export function under(geometry, x, y) {
  const row = geometry.rows.reduce((a, b) => (Math.abs(b.zero - y) < Math.abs(a.zero - y) ? b : a));
  const seconds = (x - geometry.leadIn) / geometry.speed;
  const sample = Math.round(seconds * geometry.fs);
  const segment = row.segments.find((s) => sample >= s.first && sample < s.last);
  return segment ? { lead: segment.lead, row: segment.row, seconds, sample, zero: row.zero } : null;
}

// Whether no trace and no name of a lead goes through a part of the paper: {left, right, top, bottom} in mm.
export function isFree({ rows, speed, gain, fs }, signals, { left, right, top, bottom }) {
  return rows.every(({ zero, segments }) =>
    segments.every(({ row, first, last, x, label }) => {
      const [nameX, nameY] = [x + label.dx, zero - label.dy];
      if (nameX < right && nameX + LABEL_MM > left && nameY - 4 < bottom && nameY > top) return false;
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
