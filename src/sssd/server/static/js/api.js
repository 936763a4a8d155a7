// Functions that call the service. They throw ApiError with a message for people; `unreachable` is set if nobody answered.

import { LEADS, isStrip } from "./layout.js";
import { ask as send } from "./origin.js";
import { timed } from "./parts.js";

export class ApiError extends Error {
  constructor(message, { status = 0, retryAfter = null } = {}) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }

  get unreachable() {
    return this.status === 0;
  }
}

const GONE = "The server does not answer.";
let key = sessionStorage.getItem("api-key") ?? "";

export const hasKey = () => key !== "";

export function setKey(value) {
  key = value;
  sessionStorage.setItem("api-key", value);
}

async function ask(path, { body, accept = "application/json", signal } = {}) {
  const headers = { Accept: accept };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await send(path, { method: body ? "POST" : "GET", headers, body: body && inJson(body), signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(GONE);
  }
  if (answer.ok) return answer;
  const retryAfter = answer.headers.get("Retry-After");
  throw new ApiError(await message(answer), { status: answer.status, retryAfter: retryAfter && Number(retryAfter) });
}

// A seed may have 64 bits, which numbers in JavaScript have not; then it is a string of digits, and a number in JSON.
const inJson = (body) => JSON.stringify(body).replace(/"seed":"(\d+)"/, '"seed":$1');

// What ask() gives. While the server is busy it is asked again, after the time that it names; onWait(seconds) tells how long,
// and 0 that the time is over.
export async function patiently(ask, { signal, onWait = () => {} }) {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (error.status !== 429 && error.status !== 503) throw error;
      const seconds = Math.min(error.retryAfter || 1, 30);
      onWait(seconds);
      await pause(seconds, signal);
      onWait(0);
    }
  }
}

const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });

async function message(answer) {
  const text = await answer.text().catch(() => "");
  try {
    const { detail } = JSON.parse(text);
    if (typeof detail === "string") return detail;
    if (Array.isArray(detail)) return detail.map((d) => `${(d.loc ?? []).slice(1).join(".")}: ${d.msg}`).join("; ");
  } catch {
    // The answer is not JSON, so only its status can be told.
  }
  return `The server answered with the error ${answer.status} ${answer.statusText}`.trim();
}

export const labels = async () => (await ask("v1/labels")).json();
export const models = async () => (await ask("v1/models")).json();
export const health = async () => void (await ask("healthz"));

// The request for a record with these settings. Settings that do not apply are left out.
export function request(settings) {
  const { statements, then = [], exact, quality, sampler, steps, eta, seed, duration, age, sex, heart_rate } = settings;
  const body = { statements: then.length ? timed(settings) : statements, seed, ...(quality ? { quality } : { sampler }) };
  if (exact) body.exact = true;
  if (!quality && sampler !== "ddpm") body.steps = steps;
  if (!quality && sampler === "ddim") body.eta = eta;
  if (duration && !then.length) body.duration = duration;
  if (age !== null && age !== undefined) body.age = age;
  if (sex) body.sex = sex;
  if (heart_rate !== null && heart_rate !== undefined) body.heart_rate = heart_rate;
  return body;
}

// Whether a record with these settings is measured at once. Strips are not, as that would take longer than to make them.
const measured = ({ duration }) => !isStrip(duration ?? 0);

// What a file needs beside its record. Only JSON has a place for measurements, and only pictures are drawn, strips with all
// leads in full length. fs: its rate in Hz, or null for that of the network. measure: whether JSON has measurements
export function inFile(body, accept, { at, ...drawing }, fs, measure = true) {
  if (drawing.layout === "strip") drawing.layout = "12x1";
  const how = accept === "application/json" ? { measure } : /^image|pdf$/.test(accept) ? drawing : {};
  return { ...body, ...how, ...(fs ? { fs } : {}) };
}

// What is measured in 10 s of a record: 12 leads in mV.
export async function measure(signal, statements, fs_hz, { signal: abort }) {
  const rows = signal.map((lead) => Array.from(lead, (mv) => Math.round(1000 * mv) / 1000));
  const recording = { fs_hz, leads: LEADS, signal: rows, statements };
  return (await (await ask("v1/recordings", { body: { recording }, signal: abort })).json()).measured;
}

// A file with the record of these settings.
export async function file(settings, accept, drawing, fs) {
  const body = inFile(request(settings), accept, drawing, fs, measured(settings));
  return (await ask("v1/ecgs", { body, accept })).blob();
}

// The record with these settings, measured, as it is in the answer.
export async function record(settings, { signal } = {}) {
  const answer = await ask("v1/ecgs", { body: { ...request(settings), measure: true }, signal });
  const { records, provenance } = await answer.json();
  return { ...records[0], provenance };
}

// A recording as the model takes it: {recording, whole, measured, notes}. files: what they hold in base64, by name.
export const read = async (files, { signal } = {}) => (await ask("v1/recordings", { body: { files }, signal })).json();

// What is made of a recording. task: vary, edit or complete.
export const change = (task, body, { accept, signal } = {}) => ask(`v1/${task}`, { body, accept, signal });

// The record of a statement under an address of its own, which browsers keep.
export async function kept(statement, { seed, quality }) {
  const how = new URLSearchParams({ seed, ...(quality ? { quality } : {}) });
  return (await (await ask(`v1/ecgs/${encodeURIComponent(statement)}.json?${how}`)).json()).records[0];
}

// What recordings hardly ever carry together of these statements, and what contradicts the heart rate, in words.
export async function hints(statements, heartRate) {
  const rate = heartRate === null ? "" : `&heart_rate=${heartRate}`;
  return (await (await ask(`v1/labels/hints?statements=${encodeURIComponent(statements.join(","))}${rate}`)).json()).hints;
}

// What a sentence asks for: {statements, age, sex, heart_rate, said: lines that say what was understood and what was not}.
export const understand = async (text) => (await ask(`v1/understand?text=${encodeURIComponent(text)}`)).json();

// The record with these settings. onStep({step, steps, rows}) gets the clean ECG that is predicted at each step, as 12
// leads in mV. A slow line gets the newest steps only.
export async function stream(settings, { onStep, signal }) {
  const body = request(settings);
  const answer = await ask("v1/ecgs/stream?signal=delta", { body: { ...body, measure: measured(settings) }, accept: "text/event-stream", signal });
  try {
    for await (const { event, data } of events(answer.body)) {
      if (event === "step") onStep({ step: data.step, steps: data.steps, rows: twelve(data) });
      else if (event === "record") return data;
      else if (event === "error") throw new ApiError(data.detail ?? "The server could not generate the ECG.", { status: data.status ?? 500 });
    }
  } catch (error) {
    if (signal?.aborted || error instanceof ApiError) throw error;
    throw new ApiError(GONE);
  }
  throw new ApiError(GONE);
}

// The 12 leads in mV of a step: 8 leads as differences of whole numbers, from which the other limb leads follow.
function twelve({ unit_uv, leads, delta }) {
  const eight = new Map(leads.map((name, i) => {
    let units = 0;
    return [name, Float32Array.from(delta[i], (d) => ((units += d) * unit_uv) / 1000)];
  }));
  const [one, foot] = [eight.get("I"), eight.get("aVF")];
  const from = (a, b) => one.map((mv, i) => a * mv + b * foot[i]);
  const limb = { II: from(0.5, 1), III: from(-0.5, 1), aVR: from(-0.75, -0.5), aVL: from(0.75, -0.5) };
  return LEADS.map((name) => eight.get(name) ?? limb[name]);
}

// The server-sent events in a body, as {event, data}; see https://html.spec.whatwg.org/multipage/server-sent-events.html
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (text + value).split(/\r\n\r\n|\n\n|\r\r/);
      text = blocks.pop();
      for (const block of blocks) {
        let event = "message";
        const data = [];
        for (const line of block.split(/\r\n|\n|\r/)) {
          const [, field, content] = line.match(/^(\w+): ?(.*)$/) ?? [];
          if (field === "event") event = content;
          if (field === "data") data.push(content);
        }
        if (data.length) yield { event, data: JSON.parse(data.join("\n")) };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
