// One set of settings: statements, a switch of three qualities, and behind it sampler, steps, eta, seed, age and sex.

import { Statements } from "./statements.js";

export const QUALITIES = [
  { name: "Draft", sampler: "ddim", steps: 10, eta: 0 },
  { name: "Standard", sampler: "ddim", steps: 20, eta: 0 },
  { name: "Best", sampler: "ddim", steps: 50, eta: 0 },
];
export const DEFAULTS = { statements: [], exact: false, sampler: "ddim", steps: 20, eta: 0, seed: 1, age: null, sex: null };

const SAMPLERS = {
  ddim: "DDIM",
  ddpm: "DDPM",
  "dpmpp-2m": "DPM-Solver++ 2M",
  "dpmpp-3m": "DPM-Solver++ 3M",
  "dpmpp-3m-exact": "DPM-Solver++ 3M, exact",
  deis: "DEIS",
  unipc: "UniPC",
};
const samplerName = (sampler) => SAMPLERS[sampler] ?? sampler;

export const newSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % 1000000;

export function inWords({ sampler, steps, eta, seed }) {
  const parts = sampler === "ddpm" ? ["DDPM", "all steps"] : [samplerName(sampler), `${steps} steps`];
  if (sampler === "ddim" && eta) parts.push(`eta ${eta}`);
  return [...parts, `seed ${seed}`].join(" · ");
}

export class Settings {
  // root: a copy of the template #settings; second: the setting to compare with, which shares the first one's seed
  constructor(root, { second = false, onChange }) {
    this.root = root;
    this.second = second;
    this.input = Object.fromEntries([...root.querySelectorAll("[data-field]")].map((e) => [e.dataset.field, e]));
    const suffix = second ? "-b" : "-a";
    for (const e of root.querySelectorAll("[id]")) e.id += suffix;
    for (const name of ["for", "aria-controls", "aria-labelledby", "aria-describedby"])
      for (const e of root.querySelectorAll(`[${name}]`))
        e.setAttribute(name, e.getAttribute(name).split(" ").map((id) => id + suffix).join(" "));
    this.statements = new Statements(root.querySelector(".statements"), onChange);
    this.qualities = QUALITIES.map((quality) => {
      const label = document.createElement("label");
      const radio = Object.assign(document.createElement("input"), { type: "radio", name: `quality${suffix}` });
      radio.addEventListener("change", () => {
        const { sampler, steps, eta } = quality;
        this.set({ ...this.raw(), sampler, steps, eta });
        onChange();
      });
      const [name, what] = ["b", "small"].map((tag) => document.createElement(tag));
      name.textContent = quality.name;
      what.textContent = `${quality.steps} steps`;
      label.append(radio, name, what);
      return { quality, radio };
    });
    root.querySelector(".quality").append(...this.qualities.map(({ radio }) => radio.parentElement));
    for (const input of Object.values(this.input))
      input.addEventListener("input", () => {
        this.#refresh();
        onChange();
      });
    root.querySelector(".tag").textContent = second ? "B" : "A";
    if (second) this.input.seed.closest(".row").hidden = true;
    this.most = null; // steps of the model's schedule: all of them for DDPM, which has no choice
    this.set(DEFAULTS);
  }

  setModel(model) {
    this.most = model.steps_max ?? null;
    this.input.steps.max = this.most ?? "";
    this.input.sampler.replaceChildren(
      ...model.samplers.map((name) => new Option(samplerName(name), name)),
    );
    this.root.querySelector("[data-only=age]").hidden = !model.age;
    this.root.querySelector("[data-only=sex]").hidden = !model.sex;
    this.set(this.raw());
  }

  set(settings) {
    this.statements.set(settings.statements);
    const { sampler } = this.input;
    if (![...sampler.options].some((option) => option.value === settings.sampler))
      sampler.append(new Option(samplerName(settings.sampler), settings.sampler)); // the server says what is wrong with it
    this.input.exact.checked = settings.exact;
    for (const name of ["sampler", "steps", "eta", "seed", "age", "sex"]) this.input[name].value = settings[name] ?? "";
    this.#refresh();
  }

  // As typed: for display only.
  raw() {
    const number = (name) => (this.input[name].value.trim() === "" ? null : Number(this.input[name].value));
    return {
      statements: this.statements.chosen,
      exact: this.input.exact.checked,
      sampler: this.input.sampler.value,
      steps: number("steps"),
      eta: number("eta"),
      seed: number("seed"),
      age: number("age"),
      sex: this.input.sex.value || null,
    };
  }

  // The settings, or null: then the first field that is wrong says why and has the focus.
  read() {
    const settings = this.raw();
    const problems = {};
    if (!settings.statements.length) problems.statements = "Choose at least one statement, such as NORM or AFIB.";
    const whole = (name, least) => Number.isSafeInteger(settings[name]) && settings[name] >= least;
    if (settings.sampler !== "ddpm" && !(whole("steps", 1) && settings.steps <= (this.most ?? Infinity)))
      problems.steps = `Steps: a whole number ${this.most ? `from 1 to ${this.most}` : "of at least 1"}.`;
    if (settings.sampler === "ddim" && !(settings.eta !== null && settings.eta >= 0 && settings.eta <= 1))
      problems.eta = "Eta: a number from 0 to 1.";
    if (!whole("seed", 0)) problems.seed = "Seed: a whole number, 0 or more.";
    if (settings.age !== null && !(settings.age >= 0 && settings.age <= 120)) problems.age = "Age: years, 0 to 120.";
    for (const field of this.root.querySelectorAll("[data-problem]")) {
      const problem = problems[field.dataset.problem] ?? "";
      field.textContent = problem;
      const input = this.input[field.dataset.problem] ?? this.statements.input;
      input.toggleAttribute("aria-invalid", !!problem);
      if (problem) input.setAttribute("aria-invalid", "true");
    }
    const [wrong] = Object.keys(problems);
    if (!wrong) return settings;
    if (wrong !== "statements") this.root.querySelector("details").open = true;
    (this.input[wrong] ?? this.statements.input).focus();
    return null;
  }

  #refresh() {
    const now = this.raw();
    for (const { quality, radio } of this.qualities)
      radio.checked = ["sampler", "steps", "eta"].every((name) => now[name] === quality[name]);
    this.input.steps.disabled = now.sampler === "ddpm";
    this.input.eta.disabled = now.sampler !== "ddim";
    const steps = now.sampler === "ddpm" ? this.most : now.steps;
    const seconds = this.pace && steps ? this.pace * steps : 0;
    this.root.querySelector(".runs").textContent = [
      `Runs ${samplerName(now.sampler)}`,
      ...(steps ? [`${steps} steps`] : now.sampler === "ddpm" ? ["all steps"] : []),
      ...(now.sampler === "ddim" && now.eta ? [`eta ${now.eta}`] : []),
      ...(this.second ? ["the same seed"] : []),
      ...(seconds ? [`about ${seconds < 9.5 ? seconds.toFixed(1) : Math.round(seconds)} s`] : []),
    ].join(", ");
  }

  // Seconds a step took in the last run.
  setPace(secondsPerStep) {
    this.pace = secondsPerStep;
    this.#refresh();
  }
}
