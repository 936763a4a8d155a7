// The tiles of the empty page. Each is a strip of a record that the service makes now; a click shows this record.

import { kept } from "./api.js";
import { inOrder } from "./layout.js";
import { QUALITY } from "./origin.js";
import { Strip } from "./strip.js";

const STARTS = [
  { statement: "NORM", title: "A normal ECG", lead: "II" },
  { statement: "AFIB", title: "Atrial fibrillation", lead: "II" },
  { statement: "CLBBB", title: "Left bundle branch block", lead: "V1" },
  { statement: "STACH", title: "Sinus tachycardia", lead: "II" },
  { statement: "PACE", title: "A pacemaker", lead: "II" },
  { statement: "LVH", title: "Thick left ventricle", lead: "V5" },
];
const SEEDS = [1, 2, 3]; // the first whose record shows what was asked for, where a rule can tell; else the last

export class Starts {
  // root: .starts. onStart({statement, seed}): a tile was clicked; without a picture, the seed is undefined.
  constructor(root, onStart) {
    this.tiles = STARTS.map((start) => {
      const tile = Object.assign(document.createElement("button"), { type: "button", className: "tile" });
      const canvas = document.createElement("canvas");
      canvas.setAttribute("aria-hidden", "true");
      const title = document.createElement("span");
      title.textContent = start.title;
      tile.append(canvas, title);
      tile.addEventListener("click", () => onStart({ statement: start.statement, seed: tile.seed }));
      root.append(tile);
      return { ...start, tile, strip: new Strip(canvas) };
    });
  }

  // Draw the strips of the model's records of the quality that is chosen at first, once. A tile whose record does not come keeps its title alone.
  show(model) {
    if (!model || this.shown) return;
    const { name: quality } = model.qualities.find(({ name }) => name === QUALITY) ?? {};
    if (!quality) return;
    this.shown = true;
    for (const { statement, lead, tile, strip } of this.tiles) this.#draw(statement, lead, tile, strip, quality).catch(() => {});
  }

  async #draw(statement, lead, tile, strip, quality) {
    for (const seed of SEEDS) {
      const record = await kept(statement, { seed, quality });
      const failed = record.checks.some((check) => check.statement === statement && check.shown === false);
      if (failed && seed !== SEEDS.at(-1)) continue;
      tile.seed = seed;
      strip.show(inOrder(record), lead, record.fs_hz);
      return;
    }
  }

  repaint() {
    for (const { strip } of this.tiles) strip.repaint();
  }
}
