// How a record was made: everything that is needed to make it again.

import { clock } from "./layout.js";
import { samplerName } from "./settings.js";

const NAMES = {
  requested: "Asked for", parts: "Changes on the way", drawn: "Drawn beside it", quality: "Quality", sampler: "Sampler", steps: "Steps", eta: "Eta", seed: "Seed", seconds: "Length, s",
  index: "Number under the seed", age: "Age", sex: "Sex", heart_rate: "Heart rate", model: "SHA-256 of the weights", generator: "Software",
  precision: "Precision", spacing: "Spacing of the steps", gain: "Factor of the amplitude", cauchy: "Convention of S4", fit: "Fitted solver",
  training_records: "Training records of rare statements",
};
const LONG = 24; // letters; longer facts have a line of their own
const named = (name) => NAMES[name] ?? name.replaceAll("_", " ");

// A fact in words: of equal numbers the one, of an object its parts.
function text(value) {
  if (Array.isArray(value)) return (new Set(value).size === 1 ? value.slice(0, 1) : value).map(text).join(", ");
  if (value === null || typeof value !== "object") return String(value);
  return Object.entries(value).map(([name, part]) => `${name} ${text(part)}`).join("; ");
}

// list: a <dl>. record: as the server answers, with its provenance. quality: what was chosen, or null.
export function fill(list, record, quality, seed) {
  const { synthetic, requested, seed: rounded, sampler, steps, eta, model, seconds = null, ...others } = record.provenance; // seed: a number in JSON
  const sum = (to) => seconds.slice(0, to).reduce((all, one) => all + one, 0);
  const parts = record.parts?.map((names, k) => `${names} from ${clock(sum(k))}`);
  const facts = { requested, parts, drawn: record.drawn.join(" "), quality, sampler: samplerName(sampler), steps, eta, seed, seconds: seconds && sum(), index: record.index, ...others, model };
  list.replaceChildren(
    ...Object.entries(facts)
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => {
        const pair = document.createElement("div");
        pair.className = text(value).length > LONG ? "long" : "";
        pair.append(...[["dt", named(name)], ["dd", text(value)]].map(([tag, words]) => Object.assign(document.createElement(tag), { textContent: words })));
        return pair;
      }),
  );
}
