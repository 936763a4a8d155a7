// Evaluates the networks, so that the page stays alive: by WebGPU where the machine has it, else by WebAssembly. It takes
// {begin}, {id, quality, conditions, seed, index} and {id, stop}, and sends {place, threads} when a network is ready,
// {id, step, signal} for each step, then {id, signal} or {id, problem}. Signals are 8 leads in mV after each other.

import { conditions, half, run } from "./flow.js";
import { hasGpu } from "./gpu.js";

// The builds of onnxruntime-web. A page loads one of them; the one for WebGPU is the larger.
const BUILDS = { webgpu: "ort.jspi.min.mjs", wasm: "ort.wasm.min.mjs" };
const QUIET = 3; // errors only: which nodes run on the CPU is no news

const at = (name) => new URL(`../../${name}`, import.meta.url);
const stopped = new Set();
const runtimes = new Map(); // by place
const sessions = new Map(); // by place and the file of the graph
const plans = new Map(); // by quality: {graph, weights, facts, table}
let place = hasGpu().then((gpu) => (gpu ? "webgpu" : "wasm"));
let last = Promise.resolve();

// What another place cannot help against.
class Final extends Error {}

async function load(name) {
  const answer = await fetch(at(name)).catch(({ message }) => ({ status: message, statusText: "" }));
  if (!answer.ok) throw new Final(`${name} cannot be loaded: ${answer.status} ${answer.statusText}`);
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

async function inflated(file) {
  const body = (await load(file)).body.pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(body).arrayBuffer());
}

// The weights as the bytes of float32. The file has them as float16, their low bytes before the high ones.
async function widened(file) {
  const bytes = await inflated(file);
  const numbers = Float32Array.from({ length: 65536 }, (_, bits) => half(bits));
  const weights = new Float32Array(bytes.length / 2);
  for (let i = 0; i < weights.length; i++) weights[i] = numbers[bytes[i] | (bytes[weights.length + i] << 8)];
  return new Uint8Array(weights.buffer);
}

const runtime = (name) =>
  kept(runtimes, name, async () => {
    const ort = await import(at(`ort/${BUILDS[name]}`));
    ort.env.wasm.wasmPaths = at("ort/").href;
    ort.env.wasm.numThreads = self.crossOriginIsolated && name === "wasm" ? Math.min(navigator.hardwareConcurrency || 1, 4) : 1;
    return ort;
  });

// Basic optimisation folds constants. What it leaves would take longer to find than it saves in a record.
async function session({ graph, weights }) {
  const name = await place;
  return kept(sessions, `${name} ${graph}`, async () => {
    const [ort, model, data] = await Promise.all([runtime(name), inflated(graph), widened(weights)]);
    const network = await ort.InferenceSession.create(model, {
      executionProviders: [name],
      externalData: [{ path: "weights", data }],
      graphOptimizationLevel: "basic",
      logSeverityLevel: QUIET,
    });
    postMessage({ place: name, threads: ort.env.wasm.numThreads });
    return { Tensor: ort.Tensor, network };
  });
}

// What `work` gives. Where WebGPU fails at it, WebAssembly takes over, for everything that comes after it as well.
async function somewhere(work) {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Final || (await place) === "wasm") throw error;
    place = Promise.resolve("wasm");
    return work();
  }
}

async function make({ id, quality, seed, index, ...asked }) {
  const { facts, table, ...files } = await plan(quality);
  const { Tensor, network } = await session(files);
  const cond = conditions(facts, { ...asked, seed, index });
  const tensors = { cond: new Tensor("float32", cond, [1, cond.length]) };
  const shape = [1, facts.leads.length, facts.samples];
  const evaluate = async (x, step) => {
    await new Promise((resolve) => setTimeout(resolve)); // so that a message to stop can arrive
    if (stopped.has(id)) throw new Final("stopped");
    const one = { ...tensors, x: new Tensor("float32", x, shape), step: new Tensor("int64", BigInt64Array.of(BigInt(step)), [1]) };
    const { eps, x0 } = await network.run(one);
    return { eps: eps.data, x0: x0.data };
  };
  const signal = await run(facts, table, { seed, index, cond }, evaluate, (step, predicted) => postMessage({ id, step, signal: predicted }));
  postMessage({ id, signal });
}

const begin = async (quality) => session(await plan(quality));

onmessage = ({ data }) => {
  if (data.begin) somewhere(() => begin(data.begin)).catch(() => {}); // a failure is told when it is asked for
  else if (data.stop) stopped.add(data.id);
  else
    last = last
      .then(() => somewhere(() => make(data)))
      .catch((error) => postMessage({ id: data.id, problem: error.message }))
      .finally(() => stopped.delete(data.id));
};
