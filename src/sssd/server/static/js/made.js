// How a record was made: everything that is needed to make it again.

const NAMES = {
  requested: "Asked for", drawn: "Drawn beside it", quality: "Quality", sampler: "Sampler", steps: "Steps", eta: "Eta", seed: "Seed",
  index: "Number under the seed", age: "Age", sex: "Sex", heart_rate: "Heart rate", model: "SHA-256 of the weights", generator: "Software",
  precision: "Precision", spacing: "Spacing of the steps", gain: "Gains of the eight leads", cauchy: "Convention of S4",
};
const LONG = 24; // letters; longer facts have a line of their own
const named = (name) => NAMES[name] ?? name.replaceAll("_", " ");
const text = (value) => (Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value));

// list: a <dl>. record: as the server answers, with its provenance. quality: what was chosen, or null.
export function fill(list, record, quality, seed) {
  const { synthetic, requested, seed: rounded, sampler, steps, eta, model, ...others } = record.provenance; // seed: a number in JSON
  const facts = { requested, drawn: record.drawn.join(" "), quality, sampler, steps, eta, seed, index: record.index, ...others, model };
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
