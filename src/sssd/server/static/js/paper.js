// One sheet of ECG paper: a scroller whose window holds two canvases, the grid and, above it, the traces. Only the visible
// part is drawn: both canvases when the window moves, and the traces alone when the signal changes.

import { clear, drawGrid, drawTraces } from "./ink.js";
import { NONE, ROW_S, USUAL, layOut, nameSize } from "./layout.js";

const READABLE = 1.7; // Where the paper fits at fewer pixels per mm than this,
const COMFORTABLE = 2.4; // it has this size instead, or that of its width, and is scrolled.
const LARGEST = 24;
const LEAST = 0.5; // pixels per mm for which words have room; a sheet that is hidden has none
export const WHOLE_WIDTH = "whole width"; // in place of a zoom

export class Paper {
  // scroller: <div class="paper"> with .extent > .window > canvas.grid, canvas.traces
  constructor(scroller, { onView = () => {} } = {}) {
    this.scroller = scroller;
    this.extent = scroller.querySelector(".extent");
    this.window = scroller.querySelector(".window");
    this.layers = ["grid", "traces"].map((name) => scroller.querySelector(`canvas.${name}`).getContext("2d"));
    this.onView = onView;
    this.facts = scroller.querySelector(".facts"); // what is measured
    this.zoom = null; // pixels per mm, or WHOLE_WIDTH; null means the usual size
    this.led = null; // {x, y} to which the other paper has scrolled this one
    this.traces = []; // see drawTraces; signals are 12 x L mV
    this.signals = [];
    this.seconds = ROW_S;
    this.changes = NONE;
    this.drawing = USUAL;
    this.geometry = layOut(USUAL);
    this.stale = { grid: true, traces: true };
    scroller.addEventListener("scroll", () => this.#moved(), { passive: true });
    const sizes = new ResizeObserver(() => this.resize());
    for (const part of [scroller, this.facts]) sizes.observe(part);
    addEventListener("resize", () => this.resize()); // a higher window leaves more room
    this.#pinch();
  }

  get fit() {
    return this.scroller.clientWidth / this.geometry.width;
  }

  get usual() {
    const strip = this.drawing.layout === "strip";
    if (this.whole && !strip) return Math.min(this.fit, innerHeight / this.geometry.height); // the whole paper on the screen
    const fit = (this.fit * this.geometry.speed) / USUAL.speed; // a faster paper is wider, not smaller
    const wide = fit >= READABLE ? fit : COMFORTABLE;
    const high = parseFloat(getComputedStyle(this.scroller).maxHeight) / this.geometry.height; // NaN on a phone
    const least = Math.max(strip ? COMFORTABLE : READABLE, wide / 2);
    return high >= least ? Math.min(wide, high) : wide; // the whole paper, unless it were too small
  }

  get scale() {
    return this.zoom === WHOLE_WIDTH ? this.fit : this.zoom ?? this.usual;
  }

  // drawing: {layout, speed, gain, rhythm}
  setDrawing(drawing) {
    this.drawing = drawing;
    this.scroller.classList.toggle("strip", drawing.layout === "strip");
    this.resize();
    this.#reveal();
  }

  // Scroll to the row of a strip that is chosen.
  #reveal() {
    const chosen = this.geometry.rows[this.geometry.chosen];
    if (chosen) this.scroller.scrollTop = chosen.zero * this.scale - this.scroller.clientHeight / 2;
  }

  // roomFor: signals for which the rows move apart; without it they stay where they are. seconds: of the signals. changes: see
  // layOut
  show(traces, { roomFor = null, seconds = ROW_S, changes = NONE } = {}) {
    if (!traces.length !== !this.traces.length) this.#draw({ grid: true });
    this.traces = traces;
    if (seconds !== this.seconds) {
      Object.assign(this, { seconds, signals: [] });
      this.resize();
      this.#reveal();
    }
    if (changes !== this.changes) {
      this.changes = changes;
      this.resize();
    }
    if (!roomFor) return this.#draw({ traces: true });
    this.signals = roomFor;
    this.resize();
  }

  // Zoom to a number of pixels per mm, or to WHOLE_WIDTH (null: the usual size). The point (x, y) of the window keeps its
  // place.
  zoomTo(zoom, x = this.scroller.clientWidth / 2, y = this.scroller.clientHeight / 2) {
    const old = this.scale;
    const left = (this.scroller.scrollLeft + x) / old;
    const top = (this.scroller.scrollTop + y) / old;
    this.zoom = typeof zoom !== "number" ? zoom : Math.min(LARGEST, Math.max(Math.min(this.fit, this.usual), zoom));
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
    this.#layOut();
    const { width, height } = this.geometry;
    this.extent.style.setProperty("--mm", `${this.scale}px`);
    const tall = Math.round(height * Math.min(this.usual, this.scale));
    this.extent.style.width = `${Math.floor(width * this.scale)}px`;
    this.extent.style.height = `${Math.round(height * this.scale)}px`;
    this.scroller.style.height = `${tall}px`;
    const [w, h] = [Math.min(this.scroller.clientWidth, Math.floor(width * this.scale)), this.scroller.clientHeight];
    this.window.style.width = `${w}px`;
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

  // Lay the paper out. The smaller it is, the more of it names and measurements take, and the higher it must be; so it is laid
  // out again until they have their room.
  #layOut() {
    const { signals, seconds, changes } = this;
    let [size, head] = [0, 0];
    for (let k = 0; k < 5; k++) {
      this.geometry = layOut(this.drawing, { signals, seconds, changes, ...(size ? { size, head } : {}) });
      this.extent.style.setProperty("--mm", `${this.scale}px`);
      this.extent.style.width = `${Math.floor(this.geometry.width * this.scale)}px`;
      const scale = Math.max(this.scale, LEAST);
      const needed = [nameSize(scale), this.facts.offsetHeight / scale + 2.6];
      if (needed[0] <= size && needed[1] <= head) return;
      [size, head] = [Math.max(size, needed[0]), Math.max(head, needed[1])];
    }
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
    ["grid", "traces"].forEach((name, i) => this.stale[name] && clear(this.layers[i], view));
    const geometry = this.traces.length ? this.geometry : { ...this.geometry, rows: [] }; // empty paper has no marks
    if (this.stale.grid) drawGrid(this.layers[0], geometry, view, colour);
    if (this.stale.traces) drawTraces(this.layers[1], geometry, view, colour, this.traces);
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
