// A small drawing of one lead, around its largest deflection, where an extra beat is. It is true to scale: a tall one is
// smaller and shows more.

import { drawGrid, drawTraces } from "./ink.js";
import { layOutStrip } from "./layout.js";

const SECONDS = 3; // what a strip shows at least

export class Strip {
  constructor(canvas) {
    this.canvas = canvas;
    new ResizeObserver(() => this.repaint()).observe(canvas);
  }

  // signal: 12 x L mV at fs Hz
  show(signal, lead, fs = 100) {
    Object.assign(this, { signal, lead, fs });
    this.repaint();
  }

  repaint() {
    const { canvas, signal, lead, fs } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    const dots = Math.min(window.devicePixelRatio || 1, 3);
    [canvas.width, canvas.height] = [Math.round(width * dots), Math.round(height * dots)];
    const part = signal && layOutStrip(lead, signal, { seconds: SECONDS, fs });
    const scale = part ? Math.min(width / part.width, height / part.height) : width / 75;
    const geometry = part && layOutStrip(lead, signal, { seconds: width / scale / part.speed, fs, least: height / scale });
    const view = { scale, left: 0, top: 0, width, height, dots, ink: 1 };
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`);
    const context = canvas.getContext("2d");
    drawGrid(context, geometry ?? { width: width / scale, height: height / scale, rows: [] }, view, colour);
    if (geometry) drawTraces(context, geometry, view, colour, [{ signal, colour: "ink", alpha: 1 }]);
  }
}
