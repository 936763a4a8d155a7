// The page connects the settings on one side with one or two sheets of ECG paper on the other.

import * as api from "./api.js";
import { Calipers, place } from "./calipers.js";
import { inShell } from "./command.js";
import { fromFragment, toFragment } from "./link.js";
import { clearFailure, copyText, failed, notice } from "./messages.js";
import { More } from "./more.js";
import { SERVICE, onPlace } from "./origin.js";
import { learnt } from "./plain.js";
import { canPresent } from "./present.js";
import { fill } from "./print.js";
import { Quiz, fromQuiz, toQuiz } from "./quiz.js";
import { ROOM, Room, droppable } from "./room.js";
import { DEFAULTS, Settings, newSeed } from "./settings.js";
import { Sheet } from "./sheet.js";
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

const sheets = ["A", "B"].map((name) => {
  const root = copy("sheet", $("sheets"));
  const sheet = new Sheet(root, name, { onFrame: draw, onView: follow, onError: failed, describe, records });
  sheet.calipers = new Calipers(tellReading, { name: () => (comparing() ? name : "") });
  sheet.place = sheet.calipers.attach(sheet.paper, root.querySelector(".calipers"));
  for (const tag of root.querySelectorAll(".tag")) tag.textContent = name;
  sheet.paper.scroller.addEventListener("keydown", paperKey);
  return sheet;
});
const [sheetA, sheetB] = sheets;
sheetB.root.hidden = true;

const starts = new Starts(sheetA.root.querySelector(".starts"), ({ statement, seed }) => {
  first.set({ ...first.raw(), statements: [statement], ...(seed === undefined ? {} : { seed }) });
  generate();
});
sheetB.root.querySelector(".empty").hidden = true;

const comparing = () => $("comparing").checked;
const overlaid = () => comparing() && $("arrange").querySelector(":checked").value === "over";

// --- drawing ------------------------------------------------------------------------------------------------

// A trace is faint while its record forms.
const trace = (sheet, colour) => ({ signal: sheet.signal, colour, band: sheet.band, alpha: sheet.final ? 1 : 0.45 + 0.5 * sheet.progress });

function draw() {
  const visible = (comparing() ? sheets : [sheetA]).filter((sheet) => sheet.signal);
  const roomFor = visible.every((sheet) => sheet.final) ? visible.flatMap((sheet) => [sheet.signal, ...(sheet.band ?? [])]) : null;
  const a = visible.includes(sheetA) ? [trace(sheetA, "ink")] : [];
  const b = visible.includes(sheetB) ? [trace(sheetB, "second")] : [];
  sheetA.paper.show(overlaid() ? [...a, ...b] : a, { roomFor });
  if (comparing() && !overlaid()) sheetB.paper.show(b, { roomFor });
}

// Both papers show the same part at the same size. A paper that was scrolled from here must not scroll the other back.
function follow(paper) {
  const { scrollLeft: x, scrollTop: y } = paper.scroller;
  const led = paper.led?.x === x && paper.led?.y === y;
  paper.led = null;
  for (const sheet of sheets) {
    if (sheet.paper === paper) sheet.place?.();
    else if (comparing() && !overlaid() && !led) {
      const other = sheet.paper;
      if (other.zoom !== paper.zoom) {
        other.zoom = paper.zoom;
        other.resize();
      }
      if (Math.abs(other.scroller.scrollLeft - x) <= 1 && Math.abs(other.scroller.scrollTop - y) <= 1) continue;
      other.scroller.scrollTo(x, y);
      other.led = { x: other.scroller.scrollLeft, y: other.scroller.scrollTop };
    }
  }
}

function arrange() {
  const two = comparing();
  $("second").hidden = !two;
  $("arrange").hidden = !two;
  sheetB.root.hidden = !two;
  $("sheets").className = two ? (overlaid() ? "two over" : "two beside") : "";
  for (const tag of document.querySelectorAll(".tag")) tag.hidden = !two;
  const paper = (overlaid() ? sheetA : sheetB).root.querySelector(".printout .scale");
  sheetB.measures.classList.toggle("second", overlaid());
  paper.before(sheetB.measures);
  for (const sheet of sheets) sheet.paper.resize();
  draw();
  if (measuring()) placeCalipers();
}

const view = new View(document.querySelector(".tools"), () => {
  redraw();
  if (shown) history.replaceState(null, "", fragment());
});

// Draw the records in the way that the view says.
function redraw() {
  for (const sheet of sheets) sheet.setDrawing(view.drawing);
  if (measuring()) placeCalipers();
}

const zoom = (by) => sheetA.paper.zoomTo(by === null ? null : sheetA.paper.scale * by);

// --- calipers: each paper has its own, which begin on two beats of its record --------------------------------

const measuring = () => sheets.some((sheet) => sheet.calipers.points);

// The sheets whose paper is visible: of two that are overlaid, the first.
const papers = () => (comparing() && !overlaid() ? sheets : [sheetA]);

function tellReading() {
  const read = papers().flatMap(({ name, calipers }) =>
    calipers.points ? [`${comparing() ? `${name} ` : ""}${calipers.reading}`] : [],
  );
  $("reading").textContent = read.join("\u2003");
  $("calipers").setAttribute("aria-pressed", String(measuring()));
  $("march").hidden = !measuring();
}

function placeCalipers() {
  for (const sheet of sheets)
    sheet.calipers.set(papers().includes(sheet) ? place(sheet.paper.geometry, sheet.signal) : null);
}

function hideCalipers() {
  for (const sheet of sheets) sheet.calipers.set(null);
}

function march() {
  const on = $("march").getAttribute("aria-pressed") !== "true";
  $("march").setAttribute("aria-pressed", String(on));
  for (const sheet of sheets) sheet.calipers.march(on);
}

function toggleCalipers() {
  if (measuring()) return hideCalipers();
  placeCalipers();
  const handle = sheetA.root.querySelector(".handle");
  handle.scrollIntoView({ block: "nearest", inline: "center" });
  handle.focus({ preventScroll: true });
}

function paperKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const act = { "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: () => zoom(null), c: toggleCalipers, m: () => measuring() && march() }[event.key];
  if (event.key === "Escape" && measuring()) {
    hideCalipers();
    event.currentTarget.focus({ preventScroll: true });
    event.stopPropagation();
  } else if (act) {
    event.preventDefault();
    act();
  }
}

// --- generating ---------------------------------------------------------------------------------------------

async function generate({ record = true } = {}) {
  const one = first.read();
  const two = comparing() ? second.read() : null;
  if (!one || (comparing() && !two)) return;
  if (two) two.seed = one.seed;
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
  const measured = measuring(); // what was measured is of the record before
  hideCalipers();
  const began = performance.now();
  try {
    const [made] = await Promise.all(work.map(([sheet, settings]) => form(sheet, settings, mine.signal)));
    now.model = made.provenance.model;
    if (measured) placeCalipers();
    if (record) history.replaceState(null, "", fragment());
    if (work.length === 1 && sheetA.steps) first.setPace((performance.now() - began) / 1000 / sheetA.steps);
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
  const { statements } = shown.first;
  $("command").textContent = inShell(shown.first, model);
  const rare = statements.filter((name) => learnt(records(name))).map((name) => `${name}: ${learnt(records(name))}`);
  $("rare").textContent = rare.join(", ");
  $("rare").hidden = !rare.length;
  $("link").hidden = false;
}

// Show the record that the address names, if it names one.
function open() {
  const which = fromQuiz(location.hash);
  if (which) return startQuiz(which);
  if (quizzing()) endQuiz();
  if (location.hash === ROOM && SERVICE) return startRoom();
  if (inRoom()) endRoom();
  const link = fromFragment(location.hash, { ...DEFAULTS, statements: [], seed: first.raw().seed ?? 1 });
  if (!link.settings) {
    if (shown) close();
    else starts.show(model);
    return;
  }
  first.set(link.settings);
  if (link.other) second.set(link.other);
  $("comparing").checked = !!link.other;
  view.set(link.drawing);
  redraw();
  arrange();
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
  $("link").hidden = $("like-this").hidden = true;
  more.hide();
  $("comparing").checked = false;
  clearFailure();
  notice("");
  hideCalipers();
  first.set({ ...DEFAULTS, seed: newSeed() });
  for (const sheet of sheets) sheet.clear();
  starts.show(model);
  sheetB.root.querySelector(".empty").hidden = true;
  arrange();
}

// --- the quiz ----------------------------------------------------------------------------------------------

let quiz = null;
const quizzing = () => document.body.classList.contains("quizzing");

function hideDiagnosis(hidden) {
  document.body.classList.toggle("hiding", hidden);
  const names = sheetA.record?.statements.join(", ");
  sheetA.canvas.setAttribute("aria-label", hidden || !names ? "12-lead ECG" : `12-lead ECG: ${names}`);
}

// Show a record of the quiz, and return it; null if it was stopped.
async function showQuestion(statement, seed) {
  running?.abort();
  const mine = (running = new AbortController());
  clearFailure();
  notice("");
  const name = model.qualities.some(({ name }) => name === "standard") ? "standard" : model.qualities[0].name;
  const { sampler, steps, eta } = model.qualities.find((quality) => quality.name === name);
  try {
    const record = await form(sheetA, { ...DEFAULTS, statements: [statement], quality: name, sampler, steps, eta, seed }, mine.signal);
    hideDiagnosis(true); // the sheet has named it
    return record;
  } catch (error) {
    if (!mine.signal.aborted) failed(error);
    document.body.classList.remove("hiding");
    return null;
  } finally {
    if (running === mine) running = null;
  }
}

function startQuiz(which = { level: $("level").value, seed: newSeed() }) {
  if (!model) return;
  if (inRoom()) endRoom();
  $("comparing").checked = false;
  arrange();
  hideCalipers();
  shown = null;
  document.body.classList.add("quizzing");
  $("quiz").hidden = false;
  $("start-quiz").setAttribute("aria-pressed", "true");
  $("level").value = which.level;
  quiz ??= new Quiz($("quiz"), {
    labels,
    show: showQuestion,
    hide: hideDiagnosis,
    onLink: (fragment) => copyText(new URL(fragment, location.href).href, "The link to the quiz"),
  });
  if (location.hash !== toQuiz(which)) history.pushState(null, "", toQuiz(which));
  quiz.begin(which);
}

function endQuiz() {
  document.body.classList.remove("quizzing", "hiding");
  $("quiz").hidden = true;
  $("start-quiz").setAttribute("aria-pressed", "false");
  close();
}

// --- a recording of one's own ------------------------------------------------------------------------------

const inRoom = () => document.body.classList.contains("in-room");

const room = new Room($("room"), {
  sheets,
  statements: $("settings").content,
  onStart: clearFailure,
  onError: failed,
  onShow: (two) => {
    hideCalipers();
    $("comparing").checked = two;
    arrange();
  },
});

function startRoom() {
  if (!model || !SERVICE) return; // without a service, nobody reads files
  if (quizzing()) endQuiz();
  close();
  document.body.classList.add("in-room");
  $("start-room").setAttribute("aria-pressed", "true");
  if (location.hash !== ROOM) history.pushState(null, "", ROOM);
  room.begin();
}

function endRoom() {
  document.body.classList.remove("in-room");
  $("start-room").setAttribute("aria-pressed", "false");
  room.end();
  close();
}

// --- printing -----------------------------------------------------------------------------------------------

function print() {
  if (document.body.classList.contains("hiding")) return fill($("print"), []); // the diagnosis is not printed either
  const pages = (comparing() ? sheets : [sheetA])
    .filter((sheet) => sheet.signal)
    .map((sheet) => sheet.printed(sheet === sheetB && overlaid() ? "second" : "ink"));
  if (overlaid() && pages.length === 2) {
    const [a, b] = pages;
    pages.splice(0, 2, { ...a, asked: `A ${a.asked}    B ${b.asked}`, drawn: "", facts: "A black, B blue", how: `A ${a.how}    B ${b.how}`, traces: [...a.traces, ...b.traces] });
  }
  fill($("print"), pages);
}

// --- wiring -------------------------------------------------------------------------------------------------

$("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running && event.submitter === $("generate")) running.abort();
  else generate();
});
$("another").addEventListener("click", () => {
  first.set({ ...first.raw(), seed: newSeed() });
  generate();
});
$("comparing").addEventListener("change", () => {
  if (comparing() && !second.statements.chosen.length) second.set(first.raw());
  arrange();
});
$("arrange").addEventListener("change", arrange);
$("smaller").addEventListener("click", () => zoom(0.8));
$("larger").addEventListener("click", () => zoom(1.25));
$("fit").addEventListener("click", () => sheetA.paper.zoomTo(sheetA.paper.zoom === null ? sheetA.paper.fit : null));
$("calipers").addEventListener("click", toggleCalipers);
$("march").addEventListener("click", march);
$("copy-link").addEventListener("click", () => copyText(new URL(fragment(), location.href).href, "The link"));
$("copy-command").addEventListener("click", () => copyText($("command").textContent, "The command"));
addEventListener("popstate", open);
addEventListener("beforeprint", print);
$("start-quiz").addEventListener("click", () => (quizzing() ? leaveQuiz() : startQuiz()));
$("end-quiz").addEventListener("click", () => leaveQuiz());
$("level").addEventListener("change", () => startQuiz());
function leaveQuiz() {
  history.pushState(null, "", location.pathname + location.search);
  endQuiz();
}
$("start-room").hidden = !SERVICE;
$("start-room").addEventListener("click", () => (inRoom() ? leaveRoom() : startRoom()));
$("end-room").addEventListener("click", () => leaveRoom());
function leaveRoom() {
  history.pushState(null, "", location.pathname + location.search);
  endRoom();
  $("start-room").focus();
}
if (SERVICE)
  droppable((files) => {
    if (!inRoom()) startRoom();
    if (inRoom()) room.open(files);
  });
onPlace((text) => ($("place").textContent = text));
canPresent(sheets, $("present"));
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  if (event.key === "q" && !quizzing()) startQuiz();
  else if (event.key === "r" && !inRoom()) startRoom();
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running && !event.defaultPrevented) running.abort();
});

const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
function paint() {
  $("theme").setAttribute("aria-pressed", String(isDark()));
  for (const drawn of [...sheets.map((sheet) => sheet.paper), starts, more]) drawn.repaint();
}
$("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  localStorage.setItem("theme", document.documentElement.dataset.theme);
  paint();
});
dark.addEventListener("change", paint);
document.fonts.load("600 16px Hyperlegible").then(paint); // the names of the leads on the canvases

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
    settings.statements.setLabels(labels);
  }
  for (const sheet of sheets) sheet.setRates(model.rates_hz);
  room.setModel(model, labels);
  $("model").textContent = `Model ${model.name}, ${model.hash.slice(0, 12)}`;
  open();
}

first.set({ ...DEFAULTS, seed: newSeed() });
paint();
arrange();
start();
