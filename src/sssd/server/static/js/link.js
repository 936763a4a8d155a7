// Turns settings into the fragment of a link that reproduces the record, and back. Such a fragment is
// #ecg=AFIB,LVH&sampler=ddim&steps=20&eta=0&seed=7 or #ecg=AFIB&quality=draft&seed=7. A second setting for comparison
// follows as the values that differ: &vs.sampler=ddpm. Statements that change on the way have times: #ecg=NORM,SR@0-30,AFIB@30-60. How it is drawn follows where it is unusual: &layout=6x2&gain=20

import { CHOICES, ROW_S, USUAL, isStrip, rowsIn, usual } from "./layout.js";
import { LEAST_S, fromTimed, isTimed, timed } from "./parts.js";
import { seedOf } from "./settings.js";

const NUMBERS = ["steps", "eta", "seed", "duration", "age", "heart_rate"];
const WORDS = ["quality", "sampler"];
const PATIENT = ["age", "sex", "heart_rate"];
const SEXES = ["female", "male"];
const HOW = ["sampler", "steps", "eta"]; // what a quality stands for
const LARGEST = { steps: 100000, eta: 1, duration: 600, age: 120, heart_rate: 250 };
const LEAST = { steps: 1, duration: LEAST_S, heart_rate: 25 }; // of the others 0
const WHOLE = ["steps"];

export function toFragment(settings, { other = null, model = "", drawing = USUAL } = {}) {
  const pairs = fields(settings).filter(([name, value]) => name !== "exact" || value === "1");
  if (other) {
    const first = new Map(fields(settings));
    const second = new Map(fields(other));
    const changed = [...second].filter(([name, value]) => name !== "duration" && first.get(name) !== value);
    changed.push(...PATIENT.filter((name) => first.has(name) && !second.has(name)).map((name) => [name, ""])); // "" means unknown
    pairs.push(...(changed.length ? changed : [["seed", String(other.seed)]]).map(([n, v]) => [`vs.${n}`, v]));
  }
  const own = usual(settings.duration ?? ROW_S);
  pairs.push(...Object.keys(own).filter((name) => drawing[name] !== own[name]).map((name) => [name, String(drawing[name])]));
  if (model) pairs.push(["model", model.slice(0, 12)]);
  // Commas, slashes and @ are allowed in a fragment and are easier to read.
  return pairs.map(([n, v]) => `${n}=${encodeURIComponent(v).replace(/%2C/g, ",").replace(/%2F/g, "/").replace(/%40/g, "@")}`).join("&");
}

function fields(settings) {
  const changes = settings.then.length > 0; // the times say how long the strip is
  const list = [["ecg", (changes ? timed(settings, ",") : settings.statements).join(",")], ["exact", settings.exact ? "1" : "0"]];
  for (const name of [...(settings.quality ? ["quality"] : HOW), "seed", "duration", ...PATIENT])
    if (settings[name] !== null && settings[name] !== undefined && settings[name] !== "" && !(changes && name === "duration"))
      list.push([name, String(settings[name])]);
  return list;
}

// {settings, other, drawing, model, problems}; settings is null if the fragment names no record.
export function fromFragment(fragment, defaults) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  const problems = [];
  if (!given.has("ecg")) return { settings: null, other: null, drawing: USUAL, model: "", problems };
  const settings = read(given, "", defaults, problems);
  const versus = [...given.keys()].some((name) => name.startsWith("vs."));
  const seconds = settings.duration ?? ROW_S;
  const drawing = { ...usual(seconds) };
  const starts = Array.from({ length: rowsIn(seconds) }, (_, k) => k * ROW_S);
  const layouts = CHOICES.layout.filter((name) => name !== "strip" || isStrip(seconds));
  for (const [name, choices] of Object.entries({ ...CHOICES, layout: layouts, at: starts })) {
    const chosen = choices.find((choice) => String(choice) === given.get(name));
    if (chosen !== undefined) drawing[name] = chosen;
    else if (given.has(name)) problems.push(`${name} is "${given.get(name)}" in the link: expected one of ${choices.join(", ")}`);
  }
  return {
    settings,
    other: versus ? read(given, "vs.", settings, problems) : null,
    drawing,
    model: given.get("model") ?? "",
    problems,
  };
}

function read(given, prefix, defaults, problems) {
  const settings = { ...defaults, statements: [...defaults.statements] };
  const text = (name) => given.get(prefix + name);
  if (text("ecg") !== null) Object.assign(settings, statementsIn(text("ecg"), prefix, problems));
  if (text("exact") !== null) settings.exact = text("exact") !== "0";
  if (HOW.some((name) => text(name) !== null)) settings.quality = null;
  for (const name of WORDS) if (text(name)) settings[name] = text(name);
  for (const name of PATIENT) if (text(name) === "") settings[name] = null;
  if (SEXES.includes(text("sex"))) settings.sex = text("sex");
  else if (text("sex")) problems.push(`sex is "${text("sex")}" in the link: expected female or male`);
  for (const name of NUMBERS) {
    if (name === "duration" && settings.then.length) continue; // it is that of the parts
    if (text(name) === null || (PATIENT.includes(name) && text(name) === "")) continue;
    if (name === "seed" && seedOf(text(name)) !== null) {
      settings.seed = seedOf(text(name));
      continue;
    }
    const value = name === "seed" || text(name).trim() === "" ? NaN : Number(text(name));
    const right = !WHOLE.includes(name) || Number.isInteger(value);
    if (right && value >= (LEAST[name] ?? 0) && value <= LARGEST[name]) settings[name] = value;
    else problems.push(`${name} is "${text(name)}" in the link; ${defaults[name] ?? "none"} is used instead`);
  }
  return settings;
}

// The statements in a link, and their times if they change on the way: {statements, then, duration}.
function statementsIn(text, prefix, problems) {
  const names = text.split(",").map((s) => s.trim()).filter(Boolean);
  if (!names.some(isTimed)) return { statements: names, then: [] };
  const found = fromTimed(names);
  if (found && !prefix && isStrip(found.duration) && found.duration <= LARGEST.duration) return found;
  const one = names.slice(0, names.findIndex(isTimed) + 1).map((name) => name.replace(/@[\d.]+-[\d.]+$/, ""));
  const expected = prefix ? "only the first of two records changes on the way" : `expected parts of at least ${LEAST_S} s that follow each other and take 10 to ${LARGEST.duration} s, such as NORM@0-30,AFIB@30-60`;
  problems.push(`${prefix}ecg is "${text}" in the link: ${expected}; ${one.join(",")} is used instead`);
  return { statements: one, then: [] };
}
