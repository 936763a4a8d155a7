// Where everything lies on ECG paper, in millimetres, at 25 mm/s and 10 mm/mV. Nothing is drawn here.

export const MM_PER_S = 25;
export const MM_PER_MV = 10;
export const LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
export const LEAD_IN = 15; // room for the calibration pulse on the left
const TAIL = 5;
const PRINTOUT = 10; // room above the traces for what is measured
const LABEL_MM = 8; // the width of a lead's name
const CLEAR = 2; // smallest distance between the traces of neighbouring rows

const ROWS = {
  "3x4": [["I", "aVR", "V1", "V4"], ["II", "aVL", "V2", "V5"], ["III", "aVF", "V3", "V6"], ["II"]],
  "12x1": LEADS.map((lead) => [lead]),
};
const GAPS = {
  "3x4": [25, 40, 40, 40, 25], // from the top to the first zero line, between zero lines, to the bottom
  "12x1": [20, ...Array(11).fill(20), 20],
};

// {width, height, rows: [{zero, segments: [{lead, row, first, last, x, label}]}]}. A segment shows samples first to
// last - 1 of a lead and begins at x. label is the place of the lead's name, in mm from the beginning of the segment and
// over the zero line, which keeps it clear of the trace. Rows move apart, by multiples of 5 mm, where their traces would
// overlap.
export function layOut(layout, { seconds = 10, fs = 100, signals = [], head = PRINTOUT } = {}) {
  const length = Math.round(seconds * fs);
  const width = Math.ceil((LEAD_IN + MM_PER_S * seconds + TAIL) / 5) * 5;
  const rows = ROWS[layout].map((leads) => ({
    zero: 0,
    segments: leads.map((lead, i) => {
      const first = Math.round((i * length) / leads.length);
      const last = Math.round(((i + 1) * length) / leads.length);
      const row = LEADS.indexOf(lead);
      return { lead, row, first, last, x: LEAD_IN + (MM_PER_S * first) / fs, label: placeLabel(signals, row, first, fs) };
    }),
  }));
  const gaps = GAPS[layout].slice();
  if (signals.length) needed(rows, signals, fs, width).forEach((gap, i) => (gaps[i] = Math.max(gaps[i], gap)));
  let y = head;
  rows.forEach((row, i) => (row.zero = y += gaps[i]));
  return { layout, width, height: y + gaps.at(-1), rows, fs };
}

// The lowest place above the trace that is not far to the right: {dx, dy}.
function placeLabel(signals, row, first, fs) {
  const sample = (mm) => first + Math.round((mm * fs) / MM_PER_S);
  let best = { dx: 1.6, dy: 6.5 };
  if (!signals.length) return best;
  best = { dx: 0, dy: Infinity };
  for (let dx = 1.6; dx < 14; dx += 1) {
    const under = signals.flatMap((signal) => [...signal[row].slice(Math.max(first, sample(dx - 0.8)), sample(dx + LABEL_MM + 0.8))]);
    const dy = Math.max(6.5, MM_PER_MV * Math.max(...under, 0) + 1.2);
    if (dy < best.dy - 1) best = { dx, dy }; // less than 1 mm is not worth a move
  }
  return best;
}

// The smallest gaps between rows in mm. Rows are compared in strips of 3 mm, so that a tall R wave may use free space.
function needed(rows, signals, fs, width) {
  const strips = Math.ceil(width / 3) + 1;
  const up = rows.map(() => new Float64Array(strips));
  const down = rows.map(() => new Float64Array(strips));
  rows.forEach((row, r) => {
    for (const { row: lead, first, last, x, label } of row.segments) {
      const under = Math.floor((x + label.dx) / 3);
      for (let s = under; s < under + 4 && s < strips; s++) up[r][s] = Math.max(up[r][s], label.dy + 3);
      for (const signal of signals)
        for (let i = first; i < last; i++) {
          const y = MM_PER_MV * signal[lead][i];
          const at = Math.floor((x + (MM_PER_S * (i - first)) / fs) / 3);
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
  const seconds = (x - LEAD_IN) / MM_PER_S;
  const sample = Math.round(seconds * geometry.fs);
  const segment = row.segments.find((s) => sample >= s.first && sample < s.last);
  return segment ? { lead: segment.lead, row: segment.row, seconds, sample, zero: row.zero } : null;
}
