// One sheet of ECG paper: a scroller whose window holds two canvases, the grid and, above it, the traces. Only the visible
// part is drawn: both canvases when the window moves, and the traces alone when the signal changes.

import { FINE, finerRecord } from "./finer.js";
import { LEAD_IN, MM_PER_MV, MM_PER_S, layOut } from "./layout.js";

const READABLE = 1.7; // Where the width fits at fewer pixels per mm than this,
const COMFORTABLE = 2.4; // the paper has this size instead and is scrolled.
const LARGEST = 24;
const PULSE = [[0, 0], [1.5, 0], [1.5, 10], [6.5, 10], [6.5, 0], [8, 0]]; // mm: 1 mV for 0.2 s

export class Paper {
  // scroller: <div class="paper"> with .extent > .window > canvas.grid, canvas.traces
  constructor(scroller, { onView = () => {} } = {}) {
    this.scroller = scroller;
    this.extent = scroller.querySelector(".extent");
    this.window = scroller.querySelector(".window");
    this.layers = ["grid", "traces"].map((name) => scroller.querySelector(`canvas.${name}`).getContext("2d"));
    this.onView = onView;
    this.zoom = null; // pixels per mm; null means the usual size
    this.led = null; // {x, y} to which the other paper has scrolled this one
    this.traces = []; // [{signal: 12 x L mV, colour: name of a CSS colour, alpha}]
    this.signals = [];
    this.layout = "3x4";
    this.geometry = layOut("3x4");
    this.stale = { grid: true, traces: true };
    scroller.addEventListener("scroll", () => this.#moved(), { passive: true });
    new ResizeObserver(() => this.resize()).observe(scroller);
    this.#pinch();
  }

  get fit() {
    return this.scroller.clientWidth / this.geometry.width;
  }

  get usual() {
    if (this.whole) return Math.min(this.fit, innerHeight / this.geometry.height); // the whole paper on the screen
    return this.fit >= READABLE ? this.fit : COMFORTABLE;
  }

  get scale() {
    return this.zoom ?? this.usual;
  }

  setLayout(layout) {
    this.layout = layout;
    this.#layOut();
  }

  // roomFor: signals for which the rows move apart; without it they stay where they are
  show(traces, { roomFor = null } = {}) {
    this.traces = traces;
    if (!roomFor) return this.#draw({ traces: true });
    this.signals = roomFor;
    this.#layOut();
  }

  // Zoom to a number of pixels per mm (null: the usual size). The point (x, y) of the window keeps its place.
  zoomTo(zoom, x = this.scroller.clientWidth / 2, y = this.scroller.clientHeight / 2) {
    const old = this.scale;
    const left = (this.scroller.scrollLeft + x) / old;
    const top = (this.scroller.scrollTop + y) / old;
    this.zoom = zoom === null ? null : Math.min(LARGEST, Math.max(Math.min(this.fit, this.usual), zoom));
    this.resize();
    this.scroller.scrollLeft = left * this.scale - x;
    this.scroller.scrollTop = top * this.scale - y;
  }

  // The position of a mouse or finger in mm of paper.
  at(event) {
    const box = this.extent.getBoundingClientRect();
    return { x: (event.clientX - box.left) / this.scale, y: (event.clientY - box.top) / this.scale };
  }

  resize() {
    const { width, height } = this.geometry;
    this.extent.style.setProperty("--mm", `${this.scale}px`);
    const tall = Math.round(height * Math.min(this.usual, this.scale));
    this.extent.style.width = `${Math.floor(width * this.scale)}px`;
    this.extent.style.height = `${Math.round(height * this.scale)}px`;
    this.scroller.style.height = `${tall}px`;
    const [w, h] = [this.scroller.clientWidth, this.scroller.clientHeight];
    this.window.style.width = `${Math.min(w, Math.floor(width * this.scale))}px`;
    this.window.style.height = `${h}px`;
    const dots = Math.min(window.devicePixelRatio || 1, 3);
    for (const { canvas } of this.layers) {
      if (canvas.width === Math.round(w * dots) && canvas.height === Math.round(h * dots)) continue;
      canvas.width = Math.round(w * dots);
      canvas.height = Math.round(h * dots);
      canvas.style.width = `${w}px`;
      canvas.style.height = `${h}px`;
    }
    this.dots = dots;
    this.#draw({ grid: true, traces: true });
    this.#more();
    this.onView(this);
  }

  // Let the frame show whether there is more to the right.
  #more() {
    const { scrollLeft, clientWidth, scrollWidth } = this.scroller;
    this.scroller.parentElement.classList.toggle("more", scrollLeft + clientWidth < scrollWidth - 2);
  }

  // Show the whole paper on the screen, or go back to the usual size.
  present(whole) {
    this.whole = whole;
    this.zoom = null;
    this.resize();
  }

  // Draw again because the colours have changed.
  repaint() {
    this.#draw({ grid: true, traces: true });
  }

  #layOut() {
    this.geometry = layOut(this.layout, { signals: this.signals });
    this.resize();
  }

  #moved() {
    this.#draw({ grid: true, traces: true });
    this.#more();
    this.onView(this);
  }

  #draw(layers) {
    Object.assign(this.stale, layers);
    this.frame ??= requestAnimationFrame(() => this.#frame());
  }

  #frame() {
    this.frame = null;
    const view = {
      scale: this.scale,
      left: this.scroller.scrollLeft,
      top: this.scroller.scrollTop,
      width: this.scroller.clientWidth,
      height: this.scroller.clientHeight,
      dots: this.dots ?? 1,
      ink: this.whole ? 1.7 : 1, // a lecture hall is far away
    };
    const style = getComputedStyle(this.scroller);
    const colour = (name) => style.getPropertyValue(`--${name}`);
    if (this.stale.grid) drawGrid(this.layers[0], this.geometry, view, colour);
    if (this.stale.traces) drawTraces(this.layers[1], this.geometry, view, colour, this.traces);
    this.stale = { grid: false, traces: false };
  }

  // Two fingers zoom. One finger scrolls, which the browser does by itself.
  #pinch() {
    let last = null;
    const spread = ({ touches: [a, b] }) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    this.scroller.addEventListener("touchstart", (event) => (last = event.touches.length === 2 ? spread(event) : null), {
      passive: true,
    });
    this.scroller.addEventListener(
      "touchmove",
      (event) => {
        if (event.touches.length !== 2 || !last) return;
        event.preventDefault();
        const box = this.scroller.getBoundingClientRect();
        const [a, b] = event.touches;
        const now = spread(event);
        this.zoomTo((this.scale * now) / last, (a.clientX + b.clientX) / 2 - box.left, (a.clientY + b.clientY) / 2 - box.top);
        last = now;
      },
      { passive: false },
    );
    this.scroller.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return; // pinching a trackpad arrives as a wheel event with ctrlKey
        event.preventDefault();
        const box = this.scroller.getBoundingClientRect();
        this.zoomTo(this.scale * Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
      },
      { passive: false },
    );
  }
}

function begin(context, { dots, left, top, width, height }) {
  context.setTransform(dots, 0, 0, dots, 0, 0);
  context.clearRect(0, 0, width, height);
  context.setTransform(dots, 0, 0, dots, -left * dots, -top * dots); // from here on, coordinates are pixels of the whole sheet
}

// Draw the grid: thin lines every 1 mm and bold lines every 5 mm, on whole device pixels.
function drawGrid(context, geometry, view, colour) {
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
}

// Draw calibration pulses and the marks between leads.
function drawMarks(context, geometry, { scale }, colour) {
  context.lineWidth = Math.max(1, Math.min(0.3 * scale, 4));
  context.strokeStyle = colour("pulse");
  for (const row of geometry.rows) {
    const y0 = row.zero * scale;
    const x = (LEAD_IN - 11.5) * scale;
    context.beginPath();
    for (const [dx, dy] of PULSE) context.lineTo(x + dx * scale, y0 - dy * scale);
    context.stroke();
    for (const { first, x: mm } of row.segments) {
      const x0 = mm * scale;
      context.fillStyle = colour("pulse");
      if (first > 0) for (const from of [-5, 3]) context.fillRect(x0 - 0.5, y0 + from * scale, 1, 2 * scale);
    }
  }
}

function drawTraces(context, geometry, view, colour, traces) {
  begin(context, view);
  const { scale, left, top, width, height, ink } = view;
  const step = (MM_PER_S / geometry.fs) * scale;
  context.lineWidth = ink * Math.max(1.25, Math.min(0.34 * scale, 5));
  context.lineJoin = "round";
  for (const { signal, colour: name, alpha } of traces) {
    context.strokeStyle = colour(name);
    context.globalAlpha = alpha;
    for (const { zero, segments } of geometry.rows) {
      const y0 = zero * scale;
      if (y0 < top - 80 * scale || y0 > top + height + 80 * scale) continue; // out of sight by 8 mV or more
      for (const { row, first, last, x } of segments) {
        const x0 = x * scale;
        const from = Math.max(first, first + Math.floor((left - x0) / step) - 1);
        const to = Math.min(last, first + Math.ceil((left + width - x0) / step) + 2);
        const path = new Path2D();
        // A record that is done is drawn in fine steps; one that forms, sample by sample, so that it keeps pace.
        const fine = alpha < 1 ? 1 : FINE;
        const points = alpha < 1 ? signal[row] : finerRecord(signal)[row];
        for (let i = from * fine; i <= (to - 1) * fine; i++)
          path.lineTo(x0 + (i / fine - first) * step, y0 - points[i] * MM_PER_MV * scale);
        stroke(context, path, view.dots);
      }
    }
  }
  context.globalAlpha = 1;
  drawNames(context, geometry, view, colour);
}

// Draw the names of the leads, with a rim in the colour of the paper where a trace comes near. A name stays in the window as
// long as its trace does.
function drawNames(context, geometry, { scale, left, ink }, colour) {
  context.font = `600 ${Math.max(11, Math.min(3.6 * scale, 22 * ink))}px system-ui, sans-serif`;
  context.lineWidth = 4;
  context.lineJoin = "round";
  context.strokeStyle = colour("paper");
  context.fillStyle = colour("ink");
  for (const { zero, segments } of geometry.rows)
    for (const { lead, first, last, x, label } of segments) {
      const end = (x + ((last - first) * MM_PER_S) / geometry.fs) * scale - context.measureText(lead).width - 4;
      const at = Math.min(Math.max((x + label.dx) * scale, left + 6), end);
      for (const draw of ["strokeText", "fillText"]) context[draw](lead, at, (zero - label.dy) * scale);
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
