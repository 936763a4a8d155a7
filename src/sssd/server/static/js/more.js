// More like this: drafts of the same request under the seeds that follow, as small strips. A click takes one, as it is.

import { patiently, record } from "./api.js";
import { inOrder } from "./layout.js";
import { seedOf } from "./settings.js";
import { Strip } from "./strip.js";

const COUNT = 6;

// The seed that is k after another one, after the largest from 0 again.
const seedAfter = (seed, k) => seedOf(String((BigInt(seed) + BigInt(k)) % 2n ** 64n));

// The settings with the quality that takes the fewest steps, if the model has qualities.
function draftOf(settings, { qualities }) {
  const [fewest] = [...qualities].sort((a, b) => a.steps - b.steps);
  if (!fewest) return settings;
  const { name: quality, sampler, steps, eta } = fewest;
  return { ...settings, quality, sampler, steps, eta };
}

export class More {
  // root: #more. onTake(settings): a strip was clicked. onError(error): the records did not come.
  constructor(root, { onTake, onError }) {
    this.root = root;
    this.onError = onError;
    this.tiles = Array.from({ length: COUNT }, () => {
      const tile = Object.assign(document.createElement("button"), { type: "button", className: "tile" });
      const [canvas, title, more] = ["canvas", "span", "small"].map((name) => document.createElement(name));
      canvas.setAttribute("aria-hidden", "true");
      tile.append(canvas, title, more);
      tile.addEventListener("click", () => onTake(tile.settings));
      root.querySelector(".strips").append(tile);
      return { tile, title, more, strip: new Strip(canvas) };
    });
    root.querySelector("[data-more=next]").addEventListener("click", () => this.show({ ...this.settings, seed: seedAfter(this.settings.seed, COUNT) }, this.model, this.lead));
    root.querySelector("[data-more=close]").addEventListener("click", () => this.hide());
  }

  hide() {
    this.running?.abort();
    this.root.hidden = true;
  }

  // settings: those of the record to which the strips are alike; lead: what the strips show
  async show(settings, model, lead) {
    this.hide();
    const { signal } = (this.running = new AbortController());
    Object.assign(this, { settings, model, lead });
    this.root.hidden = false;
    const work = this.tiles.map(({ tile, title, more, strip }, i) => {
      tile.settings = { ...draftOf(settings, model), seed: seedAfter(settings.seed, i + 1) };
      tile.disabled = true;
      tile.removeAttribute("aria-current");
      title.textContent = `seed ${tile.settings.seed}`;
      more.textContent = "";
      strip.show(null);
      return patiently(() => record(tile.settings, { signal }), { signal }).then((made) => {
        const rate = made.measured?.heart_rate_bpm;
        const missing = made.checks.filter(({ shown, statement }) => shown === false && settings.statements.includes(statement));
        if (made.measured) title.textContent = rate ? `${Math.round(rate)} bpm` : "no rate";
        more.textContent = [...(made.drawn.length ? [`with ${made.drawn.join(" ")}`] : []), ...new Set(missing.map(({ statement }) => `${statement} not shown`))].join(" · ");
        tile.title = `Seed ${tile.settings.seed}`;
        strip.show(inOrder(made), lead, made.fs_hz);
        tile.disabled = false;
      });
    });
    try {
      await Promise.all(work);
    } catch (error) {
      if (signal.aborted) return;
      this.hide();
      this.onError(error);
    }
  }

  // Mark the strip with these settings, and return whether there is one.
  mark(settings) {
    const same = JSON.stringify(settings);
    const found = this.tiles.filter(({ tile }) => tile.toggleAttribute("aria-current", JSON.stringify(tile.settings) === same));
    for (const { tile } of found) tile.setAttribute("aria-current", "true");
    return found.length > 0;
  }

  repaint() {
    for (const { strip } of this.tiles) strip.repaint();
  }
}
