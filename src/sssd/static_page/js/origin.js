// Where records come from on the page without a service: networks that run in the browser. `ask` answers as the service
// would (docs/server.md), for what needs no Python.

import { csv, header, zip } from "./local/files.js";
import { complete, finder, hints } from "./local/statements.js";

export const QUALITY = "draft"; // the fewest evaluations, since browsers are slower than services; all qualities have the same network
export const SERVICE = false;

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
  tellPlace = ({ place, threads }) => tell(`It runs in this browser, by ${place === "webgpu" ? "WebGPU" : `WebAssembly ${threaded(threads)}`}.`);
}

class Refused extends Error {}

const json = (value, status = 200) => new Response(inJson(value), { status, headers: { "Content-Type": "application/json" } });
// A seed may have more bits than a number; it is a number in JSON.
const inJson = (value) => JSON.stringify(value, (_, v) => (typeof v === "bigint" ? `#${v}#` : v)).replace(/"#(\d+)#"/g, "$1");

export async function ask(path, { body, headers = {}, signal } = {}) {
  signal?.throwIfAborted();
  const { pathname, searchParams } = new URL(path, "http://page/");
  const route = pathname.slice(1);
  const asked = body ? JSON.parse(body.replace(/"seed":\s*(\d+)/, '"seed":"$1"')) : Object.fromEntries(searchParams);
  const { labels, models, mix } = await data;
  try {
    if (route === "healthz") return json({});
    if (route === "v1/labels") return json(labels);
    if (route === "v1/models") return json(models);
    if (route === "v1/labels/hints") return json({ hints: hints(asked.statements.split(",").filter(Boolean).map(codeOf(labels)), asked.heart_rate ? Number(asked.heart_rate) : null, mix) });
    if (route === "v1/ecgs/stream") return await streamed(await request(asked), signal);
    if (route === "v1/ecgs") return await file(await request(asked), headers.Accept, signal);
    if (/^v1\/ecgs\/[^/]+$/.test(route)) return await file(await request({ ...asked, statements: [decodeURIComponent(route.slice(8))] }), headers.Accept, signal);
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

const KNOWN = ["statements", "seed", "index", "quality", "exact", "age", "sex", "heart_rate", "measure", "layout", "speed", "gain", "rhythm"];
const RANGES = { age: [0, 120], heart_rate: [25, 250] };

// What is asked for, checked: the statements by name and by number, drawn ones included.
async function request(asked) {
  const { labels, models: [model], together, provenance } = await data;
  const other = Object.keys(asked).filter((name) => !KNOWN.includes(name) && asked[name] !== null);
  if (other.length) throw new Refused(`${other.join(", ")}: ${LACKING}`);
  const plan = model.qualities.find(({ name }) => name === (asked.quality ?? QUALITY));
  if (!plan || !asked.statements?.length) throw new Refused(`Expected statements, and one of the qualities ${model.qualities.map(({ name }) => name).join(", ")}.`);
  const patient = {};
  for (const name of ["age", "sex", "heart_rate"]) {
    if (asked[name] === null || asked[name] === undefined) continue;
    if (!model[name]) throw new Refused(`${name} is given, but this model does not take it: leave ${name} out`);
    const value = name === "sex" ? asked[name] : Number(asked[name]);
    const [least, most] = RANGES[name] ?? [];
    if (name === "sex" ? !["female", "male"].includes(value) : !(value >= least && value <= most)) throw new Refused(`${name} is ${asked[name]}: this cannot be`);
    patient[name] = value;
  }
  const seed = asked.seed === undefined ? BigInt(crypto.getRandomValues(new Uint32Array(1))[0]) : BigInt(asked.seed);
  const index = Number(asked.index ?? 0);
  if (seed >= 2n ** 64n || !Number.isSafeInteger(index) || index < 0) throw new Refused("Expected a seed below 2^64 and an index below 2^53.");
  const names = [...new Set(asked.statements.map(codeOf(labels)))];
  const numbers = names.map((name) => labels.findIndex((label) => label.name === name)).sort((a, b) => a - b);
  const exact = asked.exact === true || asked.exact === "true";
  const all = together && !exact ? complete(numbers, together, seed, index) : numbers;
  const requested = numbers.map((k) => labels[k].name);
  const statements = all.sort((a, b) => a - b).map((k) => labels[k].name);
  return { statements, requested, numbers: all, patient, seed, index, plan, model, provenance: provenance[plan.name] };
}

// The record of a request as 8 leads in mV after each other. onStep(i, signal): what is predicted at row i.
function made({ plan, numbers: statements, patient, seed, index }, signal, onStep = () => {}) {
  const id = ++numbers;
  return new Promise((resolve, reject) => {
    const stop = () => {
      worker.postMessage({ id, stop: true });
      reject(signal.reason);
    };
    signal?.addEventListener("abort", stop, { once: true });
    waiting.set(id, (told) => {
      if (told.problem) reject(new Error(told.problem));
      else if (told.step === undefined) resolve(told.signal);
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

// The record as the service's JSON has it. Nothing is measured here.
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

async function file(asked, accept, signal) {
  const record = inRecord(asked, await made(asked, signal));
  const { provenance, ...one } = record;
  if (accept === "text/csv") return new Response(csv(record), { headers: { "Content-Type": "text/csv" } });
  if (accept === "application/zip") {
    const name = `ecg_${record.seed}_${record.index}`;
    return new Response(zip({ ...header(name, record, await data), RECORDS: `${name}\n` }), { headers: { "Content-Type": "application/zip" } });
  }
  return json({ records: [one], provenance });
}
