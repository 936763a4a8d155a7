// Calipers on ECG paper: two points in mm that mouse, finger or keys move, and the ms, bpm and mV between them.

import { LEADS, ROW_S, isFree, nearest, under } from "./layout.js";

const STEP_S = 0.01; // An arrow key moves a point by 10 ms
const STEP_MV = 0.05; // or by 0.05 mV; with Shift it moves ten times as far.
const LEAST_MARCH = 2; // mm; lines that are closer would hide the record
const [NEAR, FAR] = [14, 160]; // how far from the points their label may be, in pixels
const ASIDE = [0, -0.6, 0.6]; // and how far aside, in its own width

// {ms, bpm, mv} between two points in mm of paper; bpm is null if they are less than 10 ms apart.
export function reading(a, b, { speed, gain }) {
  const ms = Math.round((Math.abs(b.x - a.x) / speed) * 1000);
  return { ms, bpm: ms >= 10 ? Math.round(60000 / ms) : null, mv: Math.round((100 * (a.y - b.y)) / gain) / 100 };
}

export function words({ ms, bpm, mv }) {
  return `${ms} ms · ${bpm ?? "–"} bpm · ${mv < 0 ? "−" : ""}${Math.abs(mv).toFixed(2)} mV`;
}

// A point of a strip as if its rows were one line.
function inLine(geometry, { x, y }) {
  const row = nearest(geometry, y);
  return { x: x + row * ROW_S * geometry.speed, y: y - geometry.rows[row].zero };
}

// Two points in lead II: on a beat in the middle of the record and on the next beat. Without a record they are 1 s apart.
// A beat is where all leads together change fastest. In a strip, they are in the row that is chosen.
export function place(geometry, signal) {
  const row = geometry.rows[geometry.chosen] ?? geometry.rows.find((r) => r.segments.length === 1 && r.segments[0].lead === "II") ?? geometry.rows.at(-1);
  const [{ lead: name, first: begin, x: left }, end] = [row.segments[0], row.segments.at(-1).last];
  const point = (sample, mv) => ({ x: left + (sample * geometry.speed) / geometry.fs, y: row.zero - mv * geometry.gain });
  const length = end - begin;
  if (!signal || length < 200) return [point(0.4 * length, 0), point(0.5 * length, 0.5)];
  signal = signal.map((samples) => samples.slice(begin, end).map((mv) => (mv === mv ? mv : 0))); // some may be missing
  const change = (i) => signal.reduce((sum, lead) => sum + Math.abs(lead[i + 1] - lead[i - 1]), 0);
  const fastest = (from, to) => {
    let best = from;
    for (let i = from; i < Math.min(to, signal[0].length - 1); i++) if (change(i) > change(best)) best = i;
    return best;
  };
  const lead = signal[LEADS.indexOf(name)];
  const summit = (at) => {
    let best = at;
    for (let i = at - 6; i <= at + 6; i++) if (Math.abs(lead[i]) > Math.abs(lead[best])) best = i;
    return best;
  };
  const first = fastest(0.3 * length, 0.45 * length);
  const far = fastest(first + 35, first + 150);
  const near = fastest(first + 35, Math.max(first + 36, far - 35)); // a beat that may lie between the two
  const next = far > first + 70 && change(near) > 0.6 * change(far) ? near : far;
  return [first, next].map(summit).map((i) => point(i, lead[i]));
}

// Where vertical lines cross the paper, in mm: through both points, and when marching on at the same distance to its ends.
export function lines([a, b], { leadIn, width }, marching) {
  const [first, second] = [a.x, b.x].sort((x, y) => x - y);
  const by = second - first;
  if (!marching || by < LEAST_MARCH) return [first, second];
  const from = Math.ceil((leadIn - first) / by - 1e-9);
  const to = Math.floor((width - first) / by + 1e-9);
  return Array.from({ length: to - from + 1 }, (_, k) => first + (from + k) * by);
}

// The calipers of one paper: `points` is null or two points in mm. name() stands before the reading; it may be empty.
export class Calipers {
  constructor(onChange, { name = () => "" } = {}) {
    this.name = name;
    this.points = null;
    this.marching = false;
    this.onChange = onChange;
  }

  // What is between the points, in words.
  get reading() {
    const { geometry } = this.paper;
    return words(reading(...(geometry.layout === "strip" ? this.points.map((one) => inLine(geometry, one)) : this.points), geometry));
  }

  set(points) {
    this.points = points;
    this.render();
  }

  march(on) {
    this.marching = on;
    this.render();
  }

  render() {
    this.view?.();
    this.onChange();
  }

  // Show the calipers on one paper; `box` is the <div class="calipers"> over it.
  attach(paper, box) {
    this.paper = paper;
    const [frame, label, path] = [".box", ".label", "path"].map((part) => box.querySelector(part));
    const handles = [...box.querySelectorAll("button")];
    const move = (i, point) => {
      const { width, height } = paper.geometry;
      const inside = { x: Math.min(Math.max(point.x, 0), width), y: Math.min(Math.max(point.y, 0), height) };
      this.set(this.points.map((old, j) => (j === i ? inside : old)));
    };
    handles.forEach((handle, i) => {
      handle.addEventListener("pointerdown", (event) => {
        event.stopPropagation();
        const from = paper.at(event);
        const start = this.points[i];
        const drag = (e) => {
          const now = paper.at(e);
          move(i, { x: start.x + now.x - from.x, y: start.y + now.y - from.y });
        };
        const stop = () => handle.removeEventListener("pointermove", drag);
        handle.setPointerCapture(event.pointerId);
        handle.addEventListener("pointermove", drag);
        handle.addEventListener("lostpointercapture", stop, { once: true });
      });
      handle.addEventListener("keydown", (event) => {
        const far = event.shiftKey ? 10 : 1;
        const [dx, dy] = [STEP_S * paper.geometry.speed, STEP_MV * paper.geometry.gain];
        const by = { ArrowLeft: [-dx, 0], ArrowRight: [dx, 0], ArrowUp: [0, -dy], ArrowDown: [0, dy] }[event.key];
        if (!by) return;
        event.preventDefault();
        event.stopPropagation();
        move(i, { x: this.points[i].x + far * by[0], y: this.points[i].y + far * by[1] });
      });
    });
    // Dragging the mouse over the paper sets both points anew.
    paper.scroller.addEventListener("pointerdown", (event) => {
      if (!this.points || event.pointerType !== "mouse" || event.button !== 0) return;
      if (event.offsetX >= paper.scroller.clientWidth && event.target === paper.scroller) return; // the scroll bar
      event.preventDefault();
      const start = paper.at(event);
      this.set([start, start]);
      handles[1].focus({ preventScroll: true });
      const drag = (e) => move(1, paper.at(e));
      paper.scroller.setPointerCapture(event.pointerId);
      paper.scroller.addEventListener("pointermove", drag);
      paper.scroller.addEventListener(
        "lostpointercapture",
        () => paper.scroller.removeEventListener("pointermove", drag),
        { once: true },
      );
    });
    const render = () => {
      box.hidden = !this.points;
      paper.scroller.classList.toggle("measuring", !!this.points);
      if (!this.points) return;
      const s = paper.scale;
      const [a, b] = this.points;
      const [x, y] = [Math.min(a.x, b.x) * s, Math.min(a.y, b.y) * s];
      const [w, h] = [Math.abs(a.x - b.x) * s, Math.abs(a.y - b.y) * s];
      Object.assign(frame.style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` });
      const { width, height } = paper.geometry;
      const { zero } = paper.geometry.layout === "strip" ? paper.geometry.rows[nearest(paper.geometry, a.y)] : {}; // lines go through this row alone
      const [from, to] = zero === undefined ? [0, height] : [zero - 11, zero + 8];
      path.setAttribute("d", lines(this.points, paper.geometry, this.marching).map((mm) => `M${mm * s} ${from * s}V${to * s}`).join(""));
      label.textContent = `${this.name()} ${this.reading}`.trim();
      const [wide, high] = [label.offsetWidth, label.offsetHeight];
      const lefts = ASIDE.map((by) => Math.max(0, Math.min(x + w / 2 - wide / 2 + by * wide, width * s - wide)));
      const far = Array.from({ length: (FAR - NEAR) / 4 }, (_, k) => NEAR + 4 * k);
      const tops = far.flatMap((away) => [y - away - high, y + h + away]).filter((top) => top >= 0 && top + high <= height * s);
      const signals = paper.traces.map(({ signal }) => signal);
      const places = lefts.flatMap((left) => tops.map((top) => ({ left, top })));
      const clear = ({ left, top }) => isFree(paper.geometry, signals, { left: left / s, right: (left + wide) / s, top: top / s - 0.5, bottom: (top + high) / s + 0.5 });
      const place = places.find(clear) ?? places[0];
      label.style.left = `${place.left}px`;
      label.style.top = `${place.top}px`;
      handles.forEach((handle, i) => {
        const p = this.points[i];
        Object.assign(handle.style, { left: `${p.x * s}px`, top: `${p.y * s}px` });
        const where = under(paper.geometry, p.x, p.y);
        const name = i ? "second" : "first";
        const at = where
          ? `${where.seconds.toFixed(2)} s, ${((where.zero - p.y) / paper.geometry.gain).toFixed(2)} mV in ${where.lead}`
          : "beside the traces";
        handle.setAttribute("aria-label", `Caliper, ${name} point: ${at}. Arrow keys move it`);
      });
    };
    this.view = render;
    return render;
  }
}
