// The page connects the settings on one side with one or two sheets of ECG paper on the other.

import * as api from "./api.js";
import { canBeDark } from "./appearance.js";
import { inShell } from "./command.js";
import { ROW_S, isStrip } from "./layout.js";
import { fromFragment, toFragment } from "./link.js";
import { clearFailure, copyText, failed, notice } from "./messages.js";
import { Modes } from "./modes.js";
import { More } from "./more.js";
import { SERVICE, onPlace } from "./origin.js";
import { Pair } from "./pair.js";
import { allOf } from "./parts.js";
import { learnt } from "./plain.js";
import { canPresent } from "./present.js";
import { DEFAULTS, Settings, newSeed, windowsIn } from "./settings.js";
import { Starts } from "./starts.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const copy = (id, into) => {
  into.append($(id).content.cloneNode(true));
  return into.lastElementChild;
};

const calm = matchMedia("(prefers-reduced-motion: reduce)");
let labels = [];
let model = null;
let running = null; // the AbortController of the requests that are running
let shown = null; // what the sheets show: {first, other, model}, where model is the hash of the first record's model

const describe = (name) => labels.find((label) => label.name === name)?.description ?? "";
const records = (name) => labels.find((label) => label.name === name)?.training_records;

// --- settings and sheets ------------------------------------------------------------------------------------

const first = new Settings(copy("settings", $("first")), { onChange: forget });
const second = new Settings(copy("settings", $("second")), { second: true, onChange: forget });

const pair = new Pair({
  describe,
  records,
  onError: failed,
  onPick: (at) => {
    view.set({ ...view.drawing, layout: "3x4", at });
    draw();
  },
});
const { sheets, a: sheetA, b: sheetB } = pair;

const starts = new Starts(sheetA.root.querySelector(".starts"), ({ statement, seed }) => {
  first.set({ ...first.raw(), statements: [statement], ...(seed === undefined ? {} : { seed }) });
  generate();
});
const view = new View(document.querySelector(".tools"), $("stretch"), draw);

// Draw as the controls say, and say so in the address.
function draw() {
  pair.setDrawing(view.drawing);
  if (shown) history.replaceState(null, "", fragment());
}

// Make room for records of the length of these settings.
function lengthen({ duration }) {
  view.setSeconds(duration ?? ROW_S);
  pair.setDrawing(view.drawing);
}

// --- generating ---------------------------------------------------------------------------------------------

async function generate({ record = true } = {}) {
  const one = first.read();
  const two = pair.comparing ? second.read() : null;
  if (!one || (pair.comparing && !two)) return;
  if (two) Object.assign(two, { seed: one.seed, duration: one.duration });
  lengthen(one);
  running?.abort();
  const mine = (running = new AbortController());
  clearFailure();
  notice("");
  const now = (shown = { first: one, other: two, model: "" });
  likeness(one);
  if (record) remember();
  command();
  $("generate").textContent = "Stop";
  if (sheetA.root.getBoundingClientRect().top > innerHeight / 2) $("stage").scrollIntoView({ behavior: calm.matches ? "auto" : "smooth" });
  const work = [[sheetA, one], ...(two ? [[sheetB, two]] : [])];
  const measured = pair.measuring; // what was measured is of the record before
  pair.hideCalipers();
  const began = performance.now();
  try {
    const [made] = await Promise.all(work.map(([sheet, settings]) => form(sheet, settings, mine.signal)));
    for (const [sheet, settings] of work) measure(sheet, settings);
    now.model = made.provenance.model;
    $("vary-this").disabled = (one.duration ?? ROW_S) !== ROW_S;
    if (measured) pair.placeCalipers();
    if (record) history.replaceState(null, "", fragment());
    if (work.length === 1 && sheetA.steps) first.setPace((performance.now() - began) / 1000 / sheetA.steps / windowsIn(one.duration));
    notice(two ? "Both ECGs are ready." : "The ECG is ready.", { quiet: true });
  } catch (error) {
    if (running !== mine) return;
    const stopped = mine.signal.aborted;
    mine.abort(); // both records of a comparison end together
    if (stopped) notice("Stopped.");
    else {
      if ([404, 406, 422].includes(error.status)) $("link").hidden = true; // there is no such record
      failed(error, { then: generate });
    }
  } finally {
    for (const [sheet] of work) if (running === mine) sheet.stop();
    if (running === mine) {
      running = null;
      $("generate").textContent = "Generate";
    }
  }
}

async function form(sheet, settings, signal) {
  sheet.begin(settings);
  const ask = () => api.stream(settings, { signal, onStep: (step) => signal.aborted || sheet.step(step) });
  const onWait = (seconds) => notice(seconds ? `The server is busy. The page tries again in ${seconds} s.` : "");
  const record = await api.patiently(ask, { signal, onWait });
  sheet.finish(record);
  return record;
}

// Without a service, a record is shown before it is measured; then it is measured now.
async function measure(sheet, settings) {
  const { record } = sheet;
  if (SERVICE) return;
  try {
    sheet.measure(record, await api.record(settings));
  } catch (error) {
    notice(`Nothing could be measured: ${error.message}`);
  }
}

// Clear the messages about wrong settings as soon as a setting changes.
function forget() {
  for (const problem of document.querySelectorAll("[data-problem]")) problem.textContent = "";
  for (const input of document.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

// --- more like this ------------------------------------------------------------------------------------------

const more = new More($("more"), {
  onTake: (settings) => {
    first.set(settings);
    generate();
  },
  onError: failed,
});
// The strips stay while the record is one of them.
function likeness(settings) {
  $("like-this").hidden = !model;
  $("vary-this").hidden = !model || !SERVICE;
  $("vary-this").disabled = true; // until the record is there
  $("like-this").disabled = isStrip(settings.duration ?? 0); // six strips would take minutes
  if (!more.mark(settings)) more.hide();
}
$("like-this").addEventListener("click", () => more.show(shown.first, model, view.drawing.rhythm));

// --- the link and the command for the same record ------------------------------------------------------------

const fragment = () => `#${toFragment(shown.first, { ...shown, drawing: view.drawing })}`;

// The model is added to the address when the record has arrived, because only then is it known.
function remember() {
  if (location.hash.replace(/&model=\w*$/, "") !== fragment()) history.pushState(null, "", fragment());
}

// The command for the record, what the model hardly learnt of it, and the buttons that copy.
function command() {
  const statements = allOf(shown.first);
  $("command").textContent = inShell(shown.first, model);
  const rare = statements.filter((name) => learnt(records(name))).map((name) => `${name}: ${learnt(records(name))}`);
  $("rare").textContent = rare.join(", ");
  $("rare").hidden = !rare.length;
  $("link").hidden = false;
}

// Show the record that the address names, if it names one.
function open() {
  if (modes.open()) return;
  const link = fromFragment(location.hash, { ...DEFAULTS, statements: [], seed: first.raw().seed ?? 1 });
  if (!link.settings) {
    if (shown) close();
    else starts.show(model);
    return;
  }
  first.set(link.settings);
  if (link.other) second.set(link.other);
  pair.comparing = !!link.other;
  lengthen(link.settings);
  view.set(link.drawing);
  pair.setDrawing(view.drawing);
  pair.arrange();
  generate({ record: false }).then(() => {
    const other = link.model && shown?.model && !shown.model.startsWith(link.model);
    const said = [...link.problems];
    if (other) said.push(`The link was made with model ${link.model}, but this is model ${shown.model.slice(0, 12)}, so the record differs`);
    if (said.length) notice(`${said.join(". ")}.`);
  });
}

// Go back to the empty page.
function close() {
  running?.abort();
  running = shown = null;
  $("generate").textContent = "Generate";
  $("link").hidden = $("like-this").hidden = $("vary-this").hidden = true;
  more.hide();
  pair.comparing = false;
  clearFailure();
  notice("");
  pair.hideCalipers();
  first.set({ ...DEFAULTS, seed: newSeed() });
  lengthen(DEFAULTS);
  for (const sheet of sheets) sheet.clear();
  starts.show(model);
  sheetB.root.querySelector(".empty").hidden = true;
  pair.arrange();
}

// Show a record by itself, and return it; null if it was stopped.
async function show(settings) {
  running?.abort();
  shown = null;
  pair.hideCalipers(); // what was measured is of the record before
  lengthen(settings);
  const mine = (running = new AbortController());
  clearFailure();
  notice("");
  try {
    const record = await form(sheetA, settings, mine.signal);
    await measure(sheetA, settings);
    return mine.signal.aborted ? null : record;
  } catch (error) {
    if (!mine.signal.aborted) failed(error);
    return null;
  } finally {
    if (running === mine) running = null;
  }
}

const modes = new Modes(pair, { close, reopen: () => open(), show });

// --- wiring -------------------------------------------------------------------------------------------------

$("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running && event.submitter === $("generate")) running.abort();
  else if (first.allChosen() && (!pair.comparing || second.allChosen())) generate();
});
$("another").addEventListener("click", () => {
  first.set({ ...first.raw(), seed: newSeed() });
  generate();
});
$("vary-this").addEventListener("click", () => modes.vary(sheetA.record, sheetA.about));
$("comparing").addEventListener("change", () => {
  if (pair.comparing && !second.statements.chosen.length) second.set(first.raw());
  pair.arrange();
});
$("copy-link").addEventListener("click", () => copyText(new URL(fragment(), location.href).href, "The link"));
$("copy-command").addEventListener("click", () => copyText($("command").textContent, "The command"));
addEventListener("popstate", open);
addEventListener("beforeprint", () => {
  pair.print({ named: !document.body.classList.contains("hiding") }); // the diagnosis is not printed either
});
onPlace((text) => ($("place").textContent = text));
canPresent(sheets, $("present"));
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running && !event.defaultPrevented) running.abort();
});

canBeDark($("theme"), () => {
  for (const drawn of [...sheets.map((sheet) => sheet.paper), starts, more]) drawn.repaint();
});

async function start() {
  try {
    const [all, [builtIn]] = await Promise.all([api.labels(), api.models()]);
    labels = all;
    model = builtIn;
  } catch (error) {
    failed(error, { then: start });
    return;
  }
  for (const settings of [first, second]) {
    settings.setModel(model);
    settings.setLabels(labels);
  }
  for (const sheet of sheets) sheet.setRates(model.rates_hz);
  modes.setModel(model, labels);
  $("model").textContent = `Model ${model.name}, ${model.hash.slice(0, 12)}`;
  open();
}

first.set({ ...DEFAULTS, seed: newSeed() });
pair.arrange();
start();
