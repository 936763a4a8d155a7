// Runs the package's own Python (sssd/static_page/in_browser.py) by Pyodide, so that the page stays alive. It takes {id, name,
// given} and sends {id, value}, or {id, problem, refused}: whether the request is wrong. Everything comes from the page's folder.

import { loadPyodide } from "../../python/pyodide.mjs";

const at = (name) => new URL(`../../python/${name}`, import.meta.url).href;
const HOME = "/page"; // where the archives of Python are in its file system
const FILES = "file";
// What types of files need beside NumPy: packages of Pyodide, and archives.
const PICTURE = { packages: ["matplotlib"], archives: [] };
const NEEDED = {
  "application/x-edf": { packages: [], archives: ["edfio"] },
  "application/dicom": { packages: [], archives: ["pydicom"] },
  "image/png": PICTURE,
  "image/svg+xml": PICTURE,
  "application/pdf": PICTURE,
};

// What `make` promised for a key. After a failure, the next request tries again.
const promised = new Map();
function once(key, make) {
  if (!promised.has(key)) {
    promised.set(key, make());
    promised.get(key).catch(() => promised.delete(key));
  }
  return promised.get(key);
}

const unpacked = (python, name) =>
  once(name, async () => {
    const answer = await fetch(at(`${name}.zip`));
    if (!answer.ok) throw new Error(`python/${name}.zip cannot be loaded: ${answer.status} ${answer.statusText}`);
    python.unpackArchive(await answer.arrayBuffer(), "zip", { extractDir: HOME });
  });

const loaded = (python, name) =>
  once(`package ${name}`, async () => {
    await python.loadPackage(name, { messageCallback: () => {}, errorCallback: () => {} });
    if (!(name in python.loadedPackages)) throw new Error(`the package ${name} cannot be loaded`);
  });

const ready = () =>
  once("ready", async () => {
    const python = await loadPyodide({ indexURL: at(""), env: { HOME, PYTHONPATH: HOME } });
    await Promise.all([loaded(python, "numpy"), unpacked(python, "sssd")]);
    return { python, functions: python.pyimport("sssd.static_page.in_browser") };
  });

async function call(name, given) {
  const { python, functions } = await ready();
  const { packages, archives } = (name === FILES && NEEDED[given[2]]) || { packages: [], archives: [] };
  await Promise.all([...packages.map((one) => loaded(python, one)), ...archives.map((one) => unpacked(python, one))]);
  const made = functions[name](...given.map((one) => python.toPy(one)));
  if (typeof made === "string") return made;
  const bytes = made.toJs();
  made.destroy();
  return bytes;
}

let last = Promise.resolve();
onmessage = ({ data: { id, name, given } }) => {
  last = last
    .then(() => call(name, given))
    .then((value) => postMessage({ id, value }))
    .catch(({ type, message }) => postMessage({ id, problem: message.trim().split("\n").at(-1).replace(/^ValueError: /, ""), refused: type === "ValueError" }));
};
