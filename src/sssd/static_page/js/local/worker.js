// Evaluates the networks, so that the page stays alive. It takes {id, quality, conditions, seed, index} and {id, stop}, and
// sends {id, step, signal} for each step, then {id, signal} or {id, problem}. Signals are 8 leads in mV after each other.

import * as ort from "../../ort/ort.wasm.min.mjs";
import { conditions, run } from "./flow.js";

ort.env.wasm.wasmPaths = new URL("../../ort/", import.meta.url).href;
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 4) : 1;

const at = (name) => new URL(`../../${name}`, import.meta.url);
const stopped = new Set();
const sessions = new Map(); // by the file of the weights
const plans = new Map(); // by quality: {file, facts, table}
let last = Promise.resolve();

async function load(name) {
  const answer = await fetch(at(name));
  if (!answer.ok) throw new Error(`${name} cannot be loaded: ${answer.status} ${answer.statusText}`);
  return answer;
}

// What `make` promised for a key. After a failure, the next request tries again.
function kept(map, key, make) {
  if (!map.has(key)) {
    map.set(key, make());
    map.get(key).catch(() => map.delete(key));
  }
  return map.get(key);
}

const plan = (quality) => kept(plans, quality, async () => (await load(`networks/${quality}.json`)).json());
const session = (file) =>
  kept(sessions, file, async () => {
    const bytes = new Uint8Array(await (await load(file)).arrayBuffer());
    return ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  });

async function make({ id, quality, seed, index, ...asked }) {
  const { file, facts, table } = await plan(quality);
  const network = await session(file);
  const cond = conditions(facts, { ...asked, seed, index });
  const tensors = { cond: new ort.Tensor("float32", cond, [1, cond.length]) };
  const shape = [1, facts.leads.length, facts.samples];
  const evaluate = async (x, step) => {
    await new Promise((resolve) => setTimeout(resolve)); // so that a message to stop can arrive
    if (stopped.has(id)) throw new Error("stopped");
    const one = { ...tensors, x: new ort.Tensor("float32", x, shape), step: new ort.Tensor("int64", BigInt64Array.of(BigInt(step)), [1]) };
    const { eps, x0 } = await network.run(one);
    return { eps: eps.data, x0: x0.data };
  };
  const signal = await run(facts, table, { seed, index }, evaluate, (step, predicted) => postMessage({ id, step, signal: predicted }));
  postMessage({ id, signal });
}

onmessage = ({ data }) => {
  if (data.begin) plan(data.begin).then(({ file }) => session(file)).catch(() => {}); // a failure is told when it is asked for
  else if (data.stop) stopped.add(data.id);
  else
    last = last
      .then(() => make(data))
      .catch((error) => postMessage({ id: data.id, problem: error.message }))
      .finally(() => stopped.delete(data.id));
};
