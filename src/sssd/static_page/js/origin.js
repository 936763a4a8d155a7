// Where records come from on the page without a service: networks that run in the browser, and the package's own Python, which
// measures them, writes files and understands sentences. `ask` answers as the service would (docs/server.md).

import { complete, finder, hints } from "./local/statements.js";

export const QUALITY = "draft"; // the fewest evaluations, since browsers are slower than services; all qualities have the same network
export const SERVICE = false;
const WITHOUT = "Strips, recordings, other samplers and 500 Hz need the service of sssd-ecg.";

const LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
const UNIT_UV = 5; // of steps
const LACKING = "This page works without a service, which has no part in it: install sssd-ecg for that.";

const data = fetch(new URL("../data.json", import.meta.url)).then((answer) => answer.json());
const worker = new Worker(new URL("./local/worker.js", import.meta.url), { type: "module" });
const waiting = new Map(); // the requests that the worker has, by their numbers
let numbers = 0;
worker.postMessage({ begin: QUALITY });
worker.onmessage = ({ data: told }) => (told.place ? tellPlace(told) : waiting.get(told.id)?.(told));
let tellPlace = () => {};
let broken = "";
worker.onerror = ({ message }) => {
  broken = `The network cannot run in this browser: ${message ?? "a file is missing"}.`;
  for (const take of waiting.values()) take({ problem: broken });
};

// tell(text) is called when it is known where the network runs.
export function onPlace(tell) {
  const threaded = (threads) => (threads > 1 ? `on ${threads} threads` : "on one thread");
  tellPlace = ({ place, threads }) => tell(`It runs in this browser, by ${place === "webgpu" ? "WebGPU" : `WebAssembly ${threaded(threads)}`}. ${WITHOUT}`);
}

class Refused extends Error {}

let python = null; // the worker, which begins when it is needed first
const pending = new Map(); // the requests that it has, by their numbers

// What the function `name` of sssd/static_page/in_browser.py returns.
function byPython(name, ...given) {
  python ??= beginPython();
  const id = ++numbers;
  return new Promise((resolve, reject) => {
    pending.set(id, { resolve, reject });
    python.postMessage({ id, name, given });
  }).finally(() => pending.delete(id));
}

function beginPython() {
  const begun = new Worker(new URL("./local/python.js", import.meta.url), { type: "module" });
  begun.onmessage = ({ data: { id, value, problem, refused } }) => {
    if (problem === undefined) pending.get(id).resolve(value);
    else pending.get(id).reject(refused ? new Refused(problem) : new Error(problem));
  };
  begun.onerror = ({ message }) => {
    python = null; // the next request tries again
    for (const { reject } of pending.values()) reject(new Error(`Python cannot run in this browser: ${message ?? "a file is missing"}.`));
  };
  return begun;
}

const json = (value, status = 200) => inText(inJson(value), status);
const inText = (text, status = 200) => new Response(text, { status, headers: { "Content-Type": "application/json" } });
// A seed may have more bits than a number; it is a number in JSON.
const inJson = (value) => JSON.stringify(value, (_, v) => (typeof v === "bigint" ? `#${v}#` : v)).replace(/"#(\d+)#"/g, "$1");

export async function ask(path, { body, headers = {}, signal } = {}) {
  signal?.throwIfAborted();
  const { pathname, searchParams } = new URL(path, "http://page/");
  const route = pathname.slice(1);
  const given = body ? JSON.parse(body.replace(/"seed":\s*(\d+)/, '"seed":"$1"')) : Object.fromEntries(searchParams);
  const { labels, models, mix } = await data;
  try {
    if (route === "healthz") return json({});
    if (route === "v1/labels") return json(labels);
    if (route === "v1/models") return json(models);
    if (route === "v1/labels/hints") return json({ hints: hints(given.statements.split(",").filter(Boolean).map(codeOf(labels)), given.heart_rate ? Number(given.heart_rate) : null, mix) });
    if (route === "v1/understand") return inText(await byPython("understood", given.text, JSON.stringify(FACTS.filter((name) => models[0][name]))));
    if (route === "v1/ecgs/stream") return await streamed(await request(given), signal);
    if (route === "v1/ecgs") return await file(await request(given), given, headers.Accept, signal);
    if (/^v1\/ecgs\/[^/]+$/.test(route)) return await file(await request({ ...given, statements: [decodeURIComponent(route.slice(8))] }), {}, headers.Accept, signal);
    throw new Refused(LACKING);
  } catch (error) {
    if (signal?.aborted) throw error;
    return json({ detail: error.message }, error instanceof Refused ? 422 : 500);
  }
}

const codeOf = (labels) => {
  const find = finder(labels);
  return (name) => {
    const k = find(name);
    if (k < 0) throw new Refused(`unknown statement '${name}'`);
    return labels[k].name;
  };
};

const FACTS = ["age", "sex", "heart_rate"];
const DRAWING = ["layout", "speed", "gain", "rhythm"];
const KNOWN = ["statements", "seed", "index", "quality", "exact", "measure", ...FACTS, ...DRAWING];
const RANGES = { age: [0, 120], heart_rate: [25, 250] };

// What is asked for, checked: the statements by name and by number, drawn ones included.
async function request(given) {
  const { labels, models: [model], together, provenance } = await data;
  const other = Object.keys(given).filter((name) => !KNOWN.includes(name) && given[name] !== null);
  if (other.length) throw new Refused(`${other.join(", ")}: ${LACKING}`);
  if (given.statements?.some((name) => /@[\d.]+-[\d.]+$/.test(name))) throw new Refused(`statements that change on the way: ${LACKING}`);
  const plan = model.qualities.find(({ name }) => name === (given.quality ?? QUALITY));
  if (!plan || !given.statements?.length) throw new Refused(`Expected statements, and one of the qualities ${model.qualities.map(({ name }) => name).join(", ")}.`);
  const patient = {};
  for (const name of FACTS) {
    if (given[name] === null || given[name] === undefined) continue;
    if (!model[name]) throw new Refused(`${name} is given, but this model does not take it: leave ${name} out`);
    const value = name === "sex" ? given[name] : Number(given[name]);
    const [least, most] = RANGES[name] ?? [];
    if (name === "sex" ? !["female", "male"].includes(value) : !(value >= least && value <= most)) throw new Refused(`${name} is ${given[name]}: this cannot be`);
    patient[name] = value;
  }
  const seed = given.seed === undefined ? BigInt(crypto.getRandomValues(new Uint32Array(1))[0]) : BigInt(given.seed);
  const index = Number(given.index ?? 0);
  if (seed >= 2n ** 64n || !Number.isSafeInteger(index) || index < 0) throw new Refused("Expected a seed below 2^64 and an index below 2^53.");
  const names = [...new Set(given.statements.map(codeOf(labels)))];
  const numbers = names.map((name) => labels.findIndex((label) => label.name === name)).sort((a, b) => a - b);
  const exact = given.exact === true || given.exact === "true";
  const all = together && !exact ? complete(numbers, together, seed, index) : numbers;
  const requested = numbers.map((k) => labels[k].name);
  const statements = all.sort((a, b) => a - b).map((k) => labels[k].name);
  return { statements, requested, numbers: all, patient, seed, index, plan, model, provenance: provenance[plan.name] };
}

const HELD = 16;
const held = new Map(); // the last records, by what was asked for, so that what is shown is measured and written as it is

// The record of a request as `made` gives it, which is made unless it is held.
const kept = (asked, signal) => held.get(keyOf(asked)) ?? made(asked, signal);
const keyOf = ({ plan, numbers, patient, seed, index }) => inJson([plan.name, numbers, patient, seed, index]);

function hold(asked, eight) {
  held.set(keyOf(asked), eight);
  if (held.size > HELD) held.delete(held.keys().next().value);
  return eight;
}

// The record of a request as 8 leads in mV after each other, made anew. onStep(i, signal): what is predicted at row i.
function made(asked, signal, onStep = () => {}) {
  const { plan, numbers: statements, patient, seed, index } = asked;
  const id = ++numbers;
  return new Promise((resolve, reject) => {
    const stop = () => {
      worker.postMessage({ id, stop: true });
      reject(signal.reason);
    };
    signal?.addEventListener("abort", stop, { once: true });
    waiting.set(id, (told) => {
      if (told.problem) reject(new Error(told.problem));
      else if (told.step === undefined) resolve(hold(asked, told.signal));
      else onStep(told.step, told.signal);
    });
    if (broken) reject(new Error(broken));
    else worker.postMessage({ id, quality: plan.name, statements, ...patient, seed, index });
  }).finally(() => waiting.delete(id));
}

// The 12 leads in mV of 8: I, V1 to V6, aVF (sssd.leads).
function twelve(eight) {
  const n = eight.length / 8;
  const lead = (k) => eight.subarray(k * n, (k + 1) * n);
  const [one, foot] = [lead(0), lead(7)];
  const from = (a, b) => one.map((mv, i) => a * mv + b * foot[i]);
  return [one, from(0.5, 1), from(-0.5, 1), from(-0.75, -0.5), from(0.75, -0.5), foot, ...[1, 2, 3, 4, 5, 6].map(lead)];
}

const rounded = (mv) => Math.round(mv * 1000) / 1000 + 0;

// The record as the service's JSON has it, before it is measured.
function inRecord({ statements, requested, patient, seed, index, model, provenance }, eight) {
  return {
    statements,
    requested: requested.join("+"),
    drawn: statements.filter((name) => !requested.includes(name)),
    seed,
    index,
    age: null,
    sex: null,
    heart_rate: null,
    ...patient,
    fs_hz: model.fs_hz,
    unit: "mV",
    leads: LEADS,
    signal: twelve(eight).map((row) => Array.from(row, rounded)),
    measured: null,
    checks: [],
    provenance: { ...provenance, seed, requested: requested.join("+"), ...patient },
  };
}

// Server-sent events: a step for each evaluation, then the record.
async function streamed(asked, signal) {
  const text = new TextEncoder();
  const body = new ReadableStream({
    async start(stream) {
      const send = (event, value) => stream.enqueue(text.encode(`event: ${event}\ndata: ${inJson(value)}\n\n`));
      try {
        const eight = await made(asked, signal, (i, predicted) => send("step", { step: i + 1, steps: asked.plan.steps, ...compact(predicted) }));
        send("record", inRecord(asked, eight));
      } catch (error) {
        if (signal?.aborted) return stream.error(signal.reason);
        send("error", { detail: error.message, status: 500 });
      }
      stream.close();
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

function compact(eight) {
  const n = eight.length / 8;
  const rows = Array.from({ length: 8 }, (_, lead) => Array.from(eight.subarray(lead * n, (lead + 1) * n), (mv) => Math.round((mv * 1000) / UNIT_UV)));
  return { unit_uv: UNIT_UV, leads: ["I", "V1", "V2", "V3", "V4", "V5", "V6", "aVF"], delta: rows.map((row) => row.map((units, i) => units - (row[i - 1] ?? 0))) };
}

// What Python needs of a record.
const facts = ({ fs_hz, statements, index, provenance }) => inJson({ fs_hz, statements, provenance: { ...provenance, index } });

async function file(asked, { measure, ...how }, accept, signal) {
  const eight = await kept(asked, signal);
  const record = inRecord(asked, eight);
  if (accept !== "application/json") {
    const drawing = Object.fromEntries(DRAWING.filter((name) => how[name] !== undefined).map((name) => [name, how[name]]));
    return new Response(await byPython("file", facts(record), eight, accept, JSON.stringify(drawing), asked.plan.name), { headers: { "Content-Type": accept } });
  }
  const { provenance, ...one } = record;
  const found = measure ? JSON.parse(await byPython("measured", facts(record), eight)) : {};
  return json({ records: [{ ...one, ...found }], provenance });
}
