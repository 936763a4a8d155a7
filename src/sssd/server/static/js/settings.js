// One set of settings: statements, a switch for the qualities, and sampler, steps, eta, seed, length, age, sex and heart rate.
// Of a strip whose statements change on the way, `then` holds the later ones (parts.js).
// A quality stands for a sampler, steps and eta. It is null if sampler, steps and eta are chosen one by one.

import { Changes } from "./changes.js";
import { ROW_S, isStrip } from "./layout.js";
import { QUALITY, SERVICE } from "./origin.js";
import { Statements } from "./statements.js";

export const DEFAULTS = {
  statements: [], then: [], exact: false, quality: QUALITY, sampler: "ddim", steps: 20, eta: 0, seed: 1, duration: null, age: null, sex: null, heart_rate: null,
};

const SAMPLERS = {
  ddim: "DDIM",
  ddpm: "DDPM",
  "dpmpp-2m": "DPM-Solver++ 2M",
  "dpmpp-3m": "DPM-Solver++ 3M",
  "dpmpp-3m-exact": "DPM-Solver++ 3M, exact",
  deis: "DEIS",
  unipc: "UniPC",
  "sde-dpmpp-2m": "SDE-DPM-Solver++ 2M",
  "sde-ode-dpmpp-2m": "SDE- then DPM-Solver++ 2M",
  consistency: "Consistency",
  fitted: "Fitted solver",
};
export const samplerName = (sampler) => SAMPLERS[sampler] ?? sampler;
export const inSteps = (n) => (n === 1 ? "1 step" : `${n} steps`);
const capital = (name) => name[0].toUpperCase() + name.slice(1);

// A seed of up to 64 bits: a number, or a string of digits where a number cannot hold it; null if the text is none.
export function seedOf(text) {
  if (!/^\d{1,20}$/.test(text.trim()) || BigInt(text) >= 2n ** 64n) return null;
  return Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text).toString();
}

// The windows of a record, to each of which the network is applied (sssd.strips).
export const windowsIn = (seconds) => Math.max(1, Math.ceil(((seconds ?? 0) - 1.8) / 8));

export const newSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % 1000000;

export function inWords({ quality, sampler, steps, eta, seed, duration, age, sex, heart_rate }) {
  const parts = quality ? [capital(quality)] : [];
  parts.push(...(sampler === "ddpm" ? ["DDPM", "all steps"] : [samplerName(sampler), inSteps(steps)]));
  if (sampler === "ddim" && eta) parts.push(`eta ${eta}`);
  if (duration) parts.push(`${duration}\u00a0s`);
  if (age !== null && age !== undefined) parts.push(`${age} years`);
  if (sex) parts.push(sex);
  if (heart_rate !== null && heart_rate !== undefined) parts.push(`${heart_rate} /min`);
  return [...parts, `seed ${seed}`].join(" · ");
}

export class Settings {
  // root: a copy of the template #settings. second: whether these are the settings to compare with, which share the seed.
  constructor(root, { second = false, onChange }) {
    this.root = root;
    this.second = second;
    this.input = Object.fromEntries([...root.querySelectorAll("[data-field]")].map((e) => [e.dataset.field, e]));
    const suffix = second ? "-b" : "-a";
    for (const e of root.querySelectorAll("[id]")) e.id += suffix;
    this.lengths = [...root.querySelectorAll("[name=length]")];
    for (const radio of this.lengths) {
      radio.name += suffix;
      radio.addEventListener("change", () => {
        this.input.duration.value = radio.value;
        this.#refresh();
        onChange();
      });
    }
    for (const name of ["for", "aria-controls", "aria-labelledby", "aria-describedby"])
      for (const e of root.querySelectorAll(`[${name}]`))
        e.setAttribute(name, e.getAttribute(name).split(" ").map((id) => id + suffix).join(" "));
    const heartRate = () => (this.input.heart_rate.value.trim() === "" ? null : Number(this.input.heart_rate.value));
    this.changes = new Changes(root.querySelector(".changes"), { heartRate, suffix, onChange });
    this.statements = new Statements(root.querySelector(".statements"), onChange, {
      heartRate,
      onSentence: ({ statements, ...said }) => {
        const facts = Object.entries({ age: said.age, sex: said.sex, heart_rate: said.heart_rate });
        const told = facts.filter(([, value]) => statements.length || value !== null); // a sentence without statements adds to what is there
        this.set({ ...this.raw(), ...Object.fromEntries(told) });
      },
    });
    this.onChange = onChange;
    this.statements.input.addEventListener("input", onChange);
    for (const [name, input] of Object.entries(this.input))
      input.addEventListener("input", () => {
        if (["sampler", "steps", "eta"].includes(name)) this.quality = null;
        if (name === "heart_rate") this.#hint();
        this.#refresh();
        onChange();
      });
    root.querySelector(".tag").textContent = second ? "B" : "A";
    if (second) this.input.seed.closest(".row").hidden = true;
    root.querySelector(".lacking").hidden = second || SERVICE;
    this.model = null;
    this.qualities = []; // the qualities of the model, each with its radio button
    this.set(DEFAULTS);
  }

  setLabels(labels) {
    this.statements.setLabels(labels);
    this.changes.setLabels(labels);
  }

  setModel(model) {
    const settings = this.raw();
    this.model = model;
    this.input.steps.max = model.steps_max;
    this.input.sampler.replaceChildren(
      ...model.samplers.map((name) => new Option(samplerName(name), name)),
    );
    for (const { radio } of this.qualities) radio.parentElement.remove();
    this.qualities = model.qualities.map((quality) => ({ ...quality, radio: this.#radio(quality) }));
    this.root.querySelector(".quality").append(...this.qualities.map(({ radio }) => radio.parentElement));
    this.set(settings);
  }

  #radio({ name, steps }) {
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: `quality${this.second ? "-b" : "-a"}` });
    radio.addEventListener("change", () => {
      this.set({ ...this.raw(), quality: name });
      this.onChange();
    });
    const label = document.createElement("label");
    const [title, what] = ["b", "small"].map((tag) => document.createElement(tag));
    title.textContent = capital(name);
    what.textContent = inSteps(steps);
    label.append(radio, title, what);
    return radio;
  }

  set(settings) {
    this.statements.set(settings.statements);
    this.changes.then = this.second ? [] : settings.then; // of two records, the first may change
    this.quality = settings.quality;
    const { sampler, steps, eta } = this.qualities.find(({ name }) => name === this.quality) ?? settings;
    const options = this.input.sampler.options;
    if (![...options].some((option) => option.value === sampler)) {
      // The sampler belongs to a quality, or comes from a link; then the server says what is wrong with it.
      this.input.sampler.append(Object.assign(new Option(samplerName(sampler), sampler), { disabled: true }));
    }
    this.input.exact.checked = settings.exact;
    const { seed, age, sex, heart_rate } = settings;
    this.input.duration.value = settings.duration ?? this.#own;
    this.root.querySelector(".length").hidden = this.second || (!SERVICE && !settings.duration); // a link may have set it
    for (const [name, value] of Object.entries({ sampler, steps, eta, seed, age, sex, heart_rate })) this.input[name].value = value ?? "";
    this.#hint();
    // A field that the model does not have is shown if a link has set it, so that it can be emptied.
    for (const name of ["age", "sex", "heart_rate"])
      this.root.querySelector(`[data-only=${name}]`).hidden = !this.model?.[name] && !this.input[name].value;
    this.#refresh();
  }

  #hint() {
    this.statements.hint();
    this.changes.hint();
  }

  // The length that the network makes, in s.
  get #own() {
    return this.model ? this.model.samples / this.model.fs_hz : ROW_S;
  }

  // The settings as typed, which may be wrong.
  raw() {
    const number = (name) => (this.input[name].value.trim() === "" ? null : Number(this.input[name].value));
    return {
      statements: this.statements.chosen,
      then: this.changes.then,
      exact: this.input.exact.checked,
      quality: this.quality,
      sampler: this.input.sampler.value,
      steps: number("steps"),
      eta: number("eta"),
      seed: seedOf(this.input.seed.value),
      duration: number("duration") === this.#own ? null : number("duration"),
      age: number("age"),
      sex: this.input.sex.value || null,
      heart_rate: number("heart_rate"),
    };
  }

  // Return whether all that is typed among the statements is chosen. Otherwise the field says so and gets the focus.
  allChosen() {
    const { root, input } = this.statements;
    const text = input.value.trim();
    if (!text) return true;
    root.querySelector("[data-problem]").textContent = `“${text}” is not chosen: choose it in the list, or empty the field.`;
    input.setAttribute("aria-invalid", "true");
    input.focus();
    return false;
  }

  // The settings, or null if one is wrong. Then the first wrong field says why and gets the focus.
  read() {
    const settings = this.raw();
    if (!this.#changeable) settings.then = []; // no place on the page holds them
    const problems = {};
    if (!settings.statements.length) problems.statements = "Choose at least one statement, such as NORM or AFIB.";
    const whole = (name, least) => Number.isSafeInteger(settings[name]) && settings[name] >= least;
    const [most, own] = [this.model?.steps_max, !settings.quality];
    if (own && settings.sampler !== "ddpm" && !(whole("steps", 1) && settings.steps <= (most ?? Infinity)))
      problems.steps = `Steps must be a whole number ${most ? `from 1 to ${most}` : "of at least 1"}.`;
    if (own && settings.sampler === "ddim" && !(settings.eta !== null && settings.eta >= 0 && settings.eta <= 1))
      problems.eta = "Eta must be a number from 0 to 1.";
    if (settings.seed === null) problems.seed = "The seed must be a whole number, 0 or more and below 2^64.";
    if (settings.duration !== null && !(settings.duration >= 2.5 && settings.duration <= 600))
      problems.duration = "The length must be a number of seconds from 2.5 to 600.";
    const change = settings.then.length ? this.changes.wrong() : null;
    if (change && !problems.duration) problems[change.name] = change.problem;
    const inputOf = (name) => (name === change?.name ? change.input : this.input[name] ?? this.statements.input);
    if (settings.age !== null && !(settings.age >= 0 && settings.age <= 120)) problems.age = "The age must be a number of years from 0 to 120.";
    if (settings.heart_rate !== null && !(settings.heart_rate >= 25 && settings.heart_rate <= 250))
      problems.heart_rate = "The heart rate must be a number of beats per minute from 25 to 250.";
    for (const field of this.root.querySelectorAll("[data-problem]")) field.textContent = problems[field.dataset.problem] ?? "";
    for (const input of this.root.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
    for (const name of Object.keys(problems)) inputOf(name).setAttribute("aria-invalid", "true");
    const [wrong] = Object.keys(problems);
    if (!wrong) return settings;
    if (["steps", "eta", "seed"].includes(wrong)) this.root.querySelector("details").open = true;
    inputOf(wrong).focus();
    return null;
  }

  // Whether these are the settings of a strip that may change on the way.
  get #changeable() {
    return !this.second && isStrip(this.raw().duration ?? 0);
  }

  #refresh() {
    const now = this.raw();
    this.changes.show(this.#changeable ? now.duration : null);
    for (const { name, radio } of this.qualities) radio.checked = name === this.quality;
    const ofQuality = this.model && !this.model.samplers.includes(now.sampler); // its steps cannot be changed
    this.input.steps.disabled = now.sampler === "ddpm" || ofQuality;
    this.input.eta.disabled = now.sampler !== "ddim";
    const steps = now.sampler === "ddpm" ? this.model?.steps_max : now.steps;
    for (const radio of this.lengths) radio.checked = Number(radio.value) === Number(this.input.duration.value);
    const seconds = this.pace && steps ? this.pace * steps * windowsIn(now.duration) : 0;
    this.root.querySelector(".runs").textContent = [
      samplerName(now.sampler),
      ...(steps ? [inSteps(steps).replace(" ", "\u00a0")] : now.sampler === "ddpm" ? ["all steps"] : []),
      ...(now.sampler === "ddim" && now.eta ? [`eta ${now.eta}`] : []),
      ...(this.second ? ["the same seed"] : []),
      ...(seconds ? [`about\u00a0${seconds < 9.5 ? seconds.toFixed(1) : Math.round(seconds)}\u00a0s`] : []),
    ].join(", ");
  }

  // Show the expected time, from the seconds that a step of one window took in the last run.
  setPace(secondsPerWindow) {
    this.pace = secondsPerWindow;
    this.#refresh();
  }
}
