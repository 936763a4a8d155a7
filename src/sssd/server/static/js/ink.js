// Drawing ECG paper on canvases: its grid with calibration pulses, the traces and the names of the leads. A view says which
// part of the paper a canvas shows: {scale: pixels per mm, left, top, width, height: in pixels, dots: device pixels for each
// pixel, ink: how many times as thick lines are}.

import { FINE, finerLead } from "./finer.js";
import { nameSize, pulse } from "./layout.js";

export const BAND = 0.25; // opacity of what lies between several records
const INSET = 6; // pixels beside the names in the margin

const fontOf = (scale) => `600 ${Math.min(nameSize(scale) * scale, 44)}px Hyperlegible, system-ui, sans-serif`;

export function clear(context, { dots, width, height }) {
  context.setTransform(dots, 0, 0, dots, 0, 0);
  context.clearRect(0, 0, width, height);
}

function begin(context, { dots, left, top }) {
  context.setTransform(dots, 0, 0, dots, -left * dots, -top * dots); // from here on, coordinates are pixels of the whole sheet
}

// Draw the grid: thin lines every 1 mm and bold lines every 5 mm, on whole device pixels.
export function drawGrid(context, geometry, view, colour) {
  begin(context, view);
  const { scale, left, top, width, height, dots } = view;
  const [right, bottom] = [Math.min(left + width, geometry.width * scale), Math.min(top + height, geometry.height * scale)];
  context.fillStyle = colour("paper");
  context.fillRect(left, top, right - left, bottom - top);
  const lines = (step, name, alpha, thickness) => {
    context.fillStyle = colour(name);
    context.globalAlpha = alpha;
    const t = Math.max(1, Math.round(thickness * dots)) / dots;
    const snap = (mm) => Math.round(mm * scale * dots) / dots - t / 2 + ((t * dots) % 2 ? 0.5 / dots : 0);
    for (let mm = Math.floor(left / scale / step) * step; mm * scale <= right; mm += step)
      context.fillRect(snap(mm), top, t, bottom - top);
    for (let mm = Math.floor(top / scale / step) * step; mm * scale <= bottom; mm += step)
      context.fillRect(left, snap(mm), right - left, t);
    context.globalAlpha = 1;
  };
  const fine = Math.min(1, (scale - 1.8) / 1.6); // thin lines fade out before they merge into one tint
  if (fine > 0) lines(1, "fine", fine, scale * 0.08);
  lines(5, "bold", 1, scale * 0.16);
  drawMarks(context, geometry, view, colour);
  const end = marginOf(context, geometry, view);
  if (!end) return;
  context.fillStyle = colour("paper");
  context.fillRect(left, top, end - left, height);
  context.fillStyle = colour("bold");
  context.fillRect(end - 1, top, 1, height);
}

// Draw calibration pulses, the marks between leads, and brackets where statements change.
function drawMarks(context, geometry, { scale }, colour) {
  context.lineWidth = Math.max(1, Math.min(0.3 * scale, 4));
  context.strokeStyle = colour("pulse");
  const chosen = geometry.rows[geometry.chosen];
  if (chosen) {
    context.fillStyle = colour("second");
    context.globalAlpha = 0.13;
    context.fillRect(scale, (chosen.zero - 9) * scale, (geometry.width - 2) * scale, 16 * scale);
    context.globalAlpha = 1;
  }
  for (const row of geometry.rows) {
    const y0 = row.zero * scale;
    if (row.pulse) {
      context.beginPath();
      for (const [dx, dy] of pulse(geometry)) context.lineTo((geometry.leadIn + dx) * scale, y0 - dy * scale);
      context.stroke();
    }
    for (const { x, line } of row.marks) {
      const path = new Path2D();
      for (const [dx, dy] of line) path.lineTo((x + dx) * scale, y0 - dy * scale);
      context.save();
      context.strokeStyle = colour("accent");
      context.lineWidth = Math.max(1.5, 0.4 * scale);
      context.stroke(path);
      context.restore();
    }
    context.fillStyle = colour("pulse");
    for (const { x } of row.segments.slice(1)) for (const from of [-5, 3]) context.fillRect(x * scale - 0.5, y0 + from * scale, 1, 2 * scale);
  }
}

// traces: [{signal, colour, alpha, band}]; band: null, or [least, largest] values of several records, 12 leads each
export function drawTraces(context, geometry, view, colour, traces) {
  begin(context, view);
  const { scale, left, top, width, height, ink } = view;
  const step = (geometry.speed / geometry.fs) * scale;
  context.lineWidth = ink * Math.max(1.25, Math.min(0.34 * scale, 5));
  context.lineJoin = "round";
  for (const { signal, colour: name, alpha, band = null } of traces) {
    context.strokeStyle = context.fillStyle = colour(name);
    context.globalAlpha = alpha;
    for (const { zero, segments } of geometry.rows) {
      const y0 = zero * scale;
      if (y0 < top - 160 * scale || y0 > top + height + 160 * scale) continue; // out of sight by 8 mV or more
      for (const { row, first, last, x } of segments) {
        const x0 = x * scale;
        const from = Math.max(first, first + Math.floor((left - x0) / step) - 1);
        const to = Math.min(last, first + Math.ceil((left + width - x0) / step) + 2);
        if (band) {
          const area = new Path2D();
          for (let i = from; i < to; i++) area.lineTo(x0 + (i - first) * step, y0 - band[1][row][i] * geometry.gain * scale);
          for (let i = to - 1; i >= from; i--) area.lineTo(x0 + (i - first) * step, y0 - band[0][row][i] * geometry.gain * scale);
          context.globalAlpha = BAND * alpha;
          context.fill(area);
          context.globalAlpha = alpha;
        }
        const path = new Path2D();
        // A record that is done is drawn in fine steps; one that forms, sample by sample, so that it keeps pace.
        const fine = alpha < 1 ? 1 : FINE;
        const points = alpha < 1 ? signal[row] : finerLead(signal[row]);
        let down = true; // the pen; it is lifted where samples are missing
        for (let i = from * fine; i <= (to - 1) * fine; i++) {
          const y = y0 - points[i] * geometry.gain * scale;
          if (y !== y) down = false;
          else if (down) path.lineTo(x0 + (i / fine - first) * step, y);
          else path.moveTo(x0 + (i / fine - first) * step, y), (down = true);
        }
        stroke(context, path, view.dots);
      }
    }
  }
  context.globalAlpha = 1;
  drawNames(context, geometry, view, colour);
}

// Where the paper is scrolled so far that the name of a lead would leave the window, the names have a margin of their own at its
// edge, under which the traces go. Returns the right end of the margin in pixels of the sheet, and 0 where there is none.
function marginOf(context, { leadIn, rows }, { scale, left }) {
  const inSight = ({ segments: [{ x, label }] }) => (x + label.dx) * scale >= left + INSET;
  if (!leadIn || rows.every(inSight)) return 0; // a strip has no names
  context.font = fontOf(scale);
  const widths = rows.flatMap(({ segments }) => segments.map(({ name }) => context.measureText(name).width));
  return left + Math.max(...widths) + 2 * INSET;
}

// Draw the statements that begin on the way and the names of the leads, with a rim in the colour of the paper where a trace comes
// near. In the margin is the name of the lead that begins or goes on beside it.
function drawNames(context, geometry, view, colour) {
  if (!geometry.leadIn) return; // a strip has no names
  const { scale, left, top, height } = view;
  context.font = fontOf(scale);
  context.lineWidth = 4;
  context.lineJoin = "round";
  context.strokeStyle = colour("paper");
  const write = (words, at, y) => ["strokeText", "fillText"].forEach((draw) => context[draw](words, at, y));
  context.fillStyle = colour("accent");
  for (const { zero, marks } of geometry.rows) for (const { words, left: at, dy } of marks) write(words, at * scale, (zero - dy) * scale);
  context.fillStyle = colour("ink");
  const end = marginOf(context, geometry, view);
  if (end) context.clearRect(left, top, end - left, height);
  for (const { zero, segments } of geometry.rows) {
    const beside = end && (segments.findLast(({ x }) => x * scale <= end) ?? segments[0]);
    for (const one of segments) {
      const at = (one.x + one.label.dx) * scale;
      if (one === beside) write(one.name, left + INSET, (zero + 0.35 * nameSize(scale)) * scale);
      else if (at >= end) write(one.name, at, (zero - one.label.dy) * scale);
    }
  }
}

// Lines of one device pixel are rasterised about five times as fast as lines of any other width. So a line thinner than two
// device pixels is drawn as two lines of one pixel, a little apart, and as a single line while the record forms.
function stroke(context, path, dots) {
  const thickness = context.lineWidth * dots;
  if (thickness >= 2) return context.stroke(path);
  const forming = context.globalAlpha < 1;
  const apart = forming ? 0 : (thickness - 1) / dots;
  context.save();
  context.lineWidth = 1 / dots;
  context.lineJoin = "bevel";
  context.translate(-apart / 2, -apart / 2);
  context.stroke(path);
  context.translate(apart, apart);
  if (!forming) context.stroke(path);
  context.restore();
}
