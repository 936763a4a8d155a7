// One record on the page: its paper, title, measurements, the film of its denoising and its downloads.

import { file, measure } from "./api.js";
import { NONE, ROW_S, clock, inOrder, inScale, isStrip, rowsIn, stretchOf } from "./layout.js";
import { SERVICE } from "./origin.js";
import { Paper } from "./paper.js";
import { allOf, inLine, partsOf, timed, told } from "./parts.js";
import { PLAIN, learnt } from "./plain.js";
import { fill } from "./made.js";
import { inSteps, inWords } from "./settings.js";

const FS = 100; // of what is shown, in Hz
const WAIT_MS = 250; // before a stretch of a strip is measured, as the slider may move on
const LINES = 3; // of the caption over a paper
const ON_A_PAGE = 7; // rows of a strip in print
const LONGEST_S = { dcm: 81, png: 120, svg: 120, pdf: 120 }; // of records in these formats
// A measurement as the paper and a print of it show it.
const inWhole = (value) => String(Math.round(value)).replace("-", "−");
const FORMATS = [
  ["WFDB", "application/zip", "zip"],
  ["CSV", "text/csv", "csv"],
  ["NPZ", "application/x-npz", "npz"],
  ["JSON", "application/json", "json"],
  ["EDF", "application/x-edf", "edf"],
  ["DICOM", "application/dicom", "dcm"],
  ["PNG", "image/png", "png"],
  ["SVG", "image/svg+xml", "svg"],
  ["PDF", "application/pdf", "pdf"],
];

// The name of a file with the record of these settings: AFIB_LVH_standard_seed7, AFIB_60s_standard_seed7, AFIB_ddim20_seed7 or
// NORM_0-30_AFIB_30-60_standard_seed7.
export function fileName(settings) {
  const { statements, then, quality, sampler, steps, seed, duration } = settings;
  const how = quality ?? (sampler === "ddpm" ? sampler : `${sampler}${steps}`);
  return [...(then.length ? timed(settings) : [...statements, ...(duration ? [`${duration}s`] : [])]), how, `seed${seed}`].join("_").replace(/[^\w-]+/g, "_");
}

export class Sheet {
  constructor(root, name, { onFrame, onView, onError, describe, records }) {
    this.root = root;
    this.name = name;
    this.onFrame = onFrame;
    this.describe = describe;
    this.records = records;
    this.paper = new Paper(root.querySelector(".paper"), { onView });
    this.caption = root.querySelector("header");
    this.measures = root.querySelector(".measured"); // of two sheets that are overlaid, both are on the first paper
    this.scale = root.querySelector(".printout .scale");
    this.of = root.querySelector(".printout .of");
    this.seconds = ROW_S;
    this.changes = NONE; // see layOut
    this.made = root.querySelector(".made");
    this.canvas = root.querySelector("canvas.traces");
    this.film = root.querySelector(".film");
    this.range = this.film.querySelector("input");
    this.range.addEventListener("input", () => this.#show(Number(this.range.value)));
    root.setAttribute("aria-label", `ECG ${name}`);
    this.paper.scroller.setAttribute("aria-label", `ECG paper ${name}. Keys: plus and minus zoom, 0 shows the whole width, C shows calipers, M marches them out`);
    this.range.setAttribute("aria-label", `Denoising step of ECG ${name}`);
    const take = root.querySelector(".take");
    this.rate = take.querySelector("select");
    this.rate.setAttribute("aria-label", `Sampling rate of files of ECG ${name}`);
    take.setAttribute("aria-label", `Download ECG ${name}`);
    this.files = FORMATS.map(([title, accept, suffix]) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: title });
      button.addEventListener("click", () => this.#download(button, accept, suffix).catch(onError));
      take.append(button);
      return { button, longest: LONGEST_S[suffix] ?? Infinity };
    });
    this.frames = [];
    this.record = this.band = null;
    this.settings = null;
    this.final = false;
  }

  get signal() {
    return this.current ?? null;
  }

  // The rates of files in Hz, of which the first is that of the paper. Without a service, there is no other.
  setRates(rates) {
    this.rate.replaceChildren(...rates.map((hz) => new Option(`${hz} Hz`, hz)));
    this.rate.hidden = rates.length < 2 || !SERVICE;
  }

  // What is said of the record that was generated, see `hold`.
  get about() {
    const text = (part) => this.root.querySelector(part).textContent;
    return { name: fileName(this.settings), words: text(".plain"), how: text(".how"), seed: this.settings.seed };
  }

  // drawing: {layout, speed, gain, rhythm, at}
  setDrawing(drawing) {
    this.paper.setDrawing(drawing);
    this.#tellStretch();
  }

  get #stretch() {
    return stretchOf(this.paper.drawing.at, this.seconds);
  }

  // What of a strip is on the paper, and what of it was measured.
  #tellStretch() {
    const { drawing } = this.paper;
    const [strip, rows] = [isStrip(this.seconds), drawing.layout === "strip"];
    const times = this.#stretch.map(clock).join("–");
    this.scale.textContent = [inScale(drawing), ...(rows ? [`lead ${drawing.rhythm}, ${ROW_S} s in a row`] : strip ? [`${times} of ${clock(this.seconds)}`] : [])].join(" · ");
    this.of.textContent = strip ? times : "";
    clearTimeout(this.soon);
    this.measuring?.abort();
    if (!strip || !this.record) return;
    const known = this.stretches.get(times);
    this.#measured(known ?? null);
    if (!known) this.soon = setTimeout(() => this.#measureStretch(times), WAIT_MS);
  }

  async #measureStretch(times) {
    this.measuring = new AbortController();
    const [from, to] = this.#stretch.map((s) => Math.round(s * FS));
    const [stretches, { statements }] = [this.stretches, this.record];
    try {
      stretches.set(times, await measure(this.frames.at(-1).rows.map((lead) => lead.slice(from, to)), statements, FS, this.measuring));
    } catch {
      return; // it stays unmeasured
    }
    if (this.stretches === stretches) this.#measured(stretches.get(this.of.textContent) ?? null);
  }

  // The length of what is shown, in s. Some formats hold no long records.
  #setSeconds(seconds) {
    this.seconds = seconds;
    this.stretches = new Map(); // what was measured in stretches, by their times
    for (const { button, longest } of this.files) {
      button.disabled = seconds > longest;
      button.title = button.disabled ? `It holds at most ${longest} s` : "";
    }
    this.#tellStretch();
  }

  // Show a record that is there, a recording or what was made of one, without the film of its denoising.
  // about: {statements, words, how, recorded: whether it is a recording, seed of what was made, band: see drawTraces, name and
  // file(accept, drawing, fs) of downloads, beside: the statements that were drawn}
  hold(record, about) {
    this.settings = about;
    this.record = record;
    this.changes = NONE;
    this.#setSeconds(ROW_S);
    this.band = about.band ?? null;
    this.frames = [];
    this.final = true;
    this.current = inOrder(record).map((lead) => Float32Array.from(lead, (mv) => mv ?? NaN));
    this.root.classList.remove("forming");
    this.#setPast(false);
    this.root.classList.toggle("recorded", !!about.recorded);
    this.root.querySelector(".empty").hidden = this.film.hidden = true;
    this.root.querySelector(".take").hidden = !about.file;
    this.made.hidden = !!about.recorded;
    fill(this.made.querySelector("dl"), record, null, about.seed);
    this.#title(partsOf(about).map((part) => ({ ...part, beside: about.beside })));
    this.root.querySelector(".plain").textContent = about.words;
    this.root.querySelector(".how").textContent = about.how;
    this.#measured(record.measured);
    this.#checked(record.statements, record.checks ?? []);
    this.#label(about.statements.join(", "));
    this.onFrame(this);
  }

  begin(settings) {
    this.root.classList.remove("recorded");
    this.settings = settings;
    this.frames = [];
    this.record = this.band = null;
    this.final = false;
    this.progress = 0;
    if ((settings.duration ?? ROW_S) !== this.seconds) this.current = null; // its paper has another length
    this.#setSeconds(settings.duration ?? ROW_S);
    const parts = partsOf(settings);
    const later = parts.slice(1);
    this.changes = later.length ? later.map(({ from, statements }) => ({ at: from, words: statements.join(" ") })) : NONE;
    this.onFrame(this); // the record from before grows faint
    this.#title(parts);
    const words = ({ from, statements }) => [...(from ? [`From ${clock(from)} on`] : []), statements.map((name) => PLAIN[name] ?? name).join(". ")].join(": ");
    const asked = later.length ? parts.map(words) : settings.statements.map((name) => PLAIN[name] ?? "").filter(Boolean);
    const strip = isStrip(this.seconds) ? [`A strip of ${this.seconds} s in one piece. The ${ROW_S} s that are chosen are measured; the rules of statements are not applied. What drifts over minutes is not physiology${later.length ? ", and the model has not learnt how one ECG turns into another: it fades over within 1 s" : ""}`] : [];
    this.root.querySelector(".plain").textContent = [...(asked.length ? [`Asked for: ${asked.join(". ")}`] : []), ...strip].join(". ");
    this.#checked(allOf(settings), []);
    this.root.querySelector(".how").textContent = settings.statements.length ? inWords(settings) : "";
    this.root.classList.add("forming");
    this.#setPast(false);
    this.root.querySelector(".empty").hidden = true;
    this.film.hidden = false;
    this.root.querySelector(".take").hidden = this.made.hidden = true;
    this.film.querySelector("output").textContent = "begins";
    this.#measured(null);
  }

  step({ step, steps, rows }) {
    this.frames.push({ step, rows });
    this.steps = steps;
    this.range.max = steps;
    this.range.value = this.frames.length;
    this.#show(this.frames.length);
  }

  finish(record) {
    const rows = inOrder(record).map((lead) => Float32Array.from(lead));
    this.record = record;
    this.frames.push({ step: this.steps, rows });
    this.range.max = this.frames.length;
    this.range.value = this.frames.length;
    this.root.classList.remove("forming");
    this.root.querySelector(".how").textContent = inWords({ ...this.settings, ...record.provenance, seed: this.settings.seed });
    this.root.querySelector(".take").hidden = this.made.hidden = false;
    fill(this.made.querySelector("dl"), record, this.settings.quality, this.settings.seed);
    const made = partsOf(this.settings).map((part, k) => ({ ...part, all: record.parts?.[k].split("+") ?? record.statements }));
    this.#title(made.map(({ all, ...part }) => ({ ...part, beside: all.filter((name) => !part.statements.includes(name)) })));
    if (isStrip(this.seconds)) this.#tellStretch();
    else this.#measured(record.measured);
    this.#checked(record.statements, record.checks ?? []);
    this.#label(inLine(made.map(({ from, all }) => ({ from, statements: all })), ", "));
    this.#show(this.frames.length);
  }

  // Say what is drawn to those who do not see it. statements: in a line; "" where nothing is known of a recording
  #label(statements) {
    const { settings } = this;
    const strip = isStrip(this.seconds) ? `, a strip of ${this.seconds} s` : "";
    const known = statements ? `, ${told(settings).toLowerCase()}: ${statements}` : ": nothing is known of it";
    this.canvas.setAttribute("aria-label", `${settings.recorded ? "Recorded" : "12-lead"} ECG${strip}${known}`);
  }

  // Hide from those who do not see it what the record was asked for, or say it again.
  hide(hidden) {
    if (hidden || !this.record) this.canvas.setAttribute("aria-label", "12-lead ECG");
    else this.#label(this.record.statements.join(", "));
  }

  // Show what was measured in a record, unless another one is shown by now.
  measure(record, { measured, checks }) {
    if (record !== this.record) return;
    Object.assign(record, { measured, checks });
    this.#measured(measured);
    this.#checked(record.statements, checks);
  }

  // Nothing to show: the empty paper with its suggestions.
  clear() {
    this.begin({ statements: [] });
    this.current = null;
    this.root.classList.remove("forming");
    this.root.querySelector(".how").textContent = "";
    this.root.querySelector(".names").textContent = "12-lead ECG";
    this.root.querySelector(".empty").hidden = false;
    this.film.hidden = true;
    this.canvas.setAttribute("aria-label", "Empty ECG paper");
    this.onFrame(this);
  }

  // Stop before the end. The last step stays on the paper, marked as unfinished.
  stop() {
    this.root.classList.remove("forming");
    this.film.hidden = !this.frames.length;
    if (!this.record && this.frames.length) this.film.querySelector("output").textContent = `stopped at ${this.frames.length}`;
  }

  // The pages that print.js prints of this sheet: the step on the paper, with what is known of the record. A strip in rows
  // takes as many pages as it needs.
  printed(colour) {
    const statements = allOf(this.settings);
    const { drawing } = this.paper;
    const strip = isStrip(this.seconds);
    const rows = strip && drawing.layout === "strip";
    const measured = this.final && !rows && (strip ? this.stretches.get(this.of.textContent) : this.record?.measured);
    const value = (name, words, unit) => ((measured?.[name] ?? null) !== null ? [`${words} ${inWhole(measured[name])}${unit}`] : []);
    const facts = [...value("heart_rate_bpm", "rate", " /min"), ...value("pr_ms", "PR", " ms"), ...value("qrs_ms", "QRS", " ms"), ...value("qt_ms", "QT", " ms"), ...value("qtc_ms", "QTc", " ms"), ...value("axis_deg", "axis", "°")];
    const rare = statements.filter((name) => learnt(this.records(name))).map((name) => `${name}: ${learnt(this.records(name))}`);
    const what = this.final ? facts.join(" · ") : this.film.querySelector("output").textContent;
    const page = {
      drawing,
      seconds: this.seconds,
      asked: statements.length ? `${told(this.settings)} ${inLine(partsOf(this.settings), "  ")}` : "",
      changes: this.changes,
      drawn: this.record?.drawn.join("  ") ?? "",
      facts: strip && !rows ? `${this.of.textContent} of ${clock(this.seconds)} · ${what}` : what,
      rare: rare.join(" · "),
      recorded: !!this.settings.recorded,
      how: this.root.querySelector(".how").textContent,
      traces: [{ signal: this.signal, colour, band: this.band }],
    };
    if (!rows) return [page];
    const count = rowsIn(this.seconds);
    return Array.from({ length: Math.ceil(count / ON_A_PAGE) }, (_, i) => {
      const part = [i * ON_A_PAGE, Math.min((i + 1) * ON_A_PAGE, count)];
      const times = part.map((k) => clock(Math.min(k * ROW_S, this.seconds))).join(" to ");
      return { ...page, part, facts: [`lead ${drawing.rhythm}, ${times} of ${clock(this.seconds)}`, ...(what ? [what] : [])].join(" · ") };
    });
  }

  #show(number) {
    const { step, rows } = this.frames[number - 1];
    this.current = rows;
    this.final = !!this.record && number === this.frames.length;
    this.progress = step / (this.steps + 1);
    this.#setPast(!!this.record && !this.final);
    this.film.querySelector("output").textContent = this.final ? `done, ${inSteps(this.steps)}` : `step ${step} of ${this.steps}`;
    this.onFrame(this);
  }

  // What was measured is of the final record: it is hidden while an earlier step is shown.
  #setPast(past) {
    for (const part of [this.root, this.measures]) part.classList.toggle("past", past);
  }

  // parts: see partsOf; beside: the statements of a part that were drawn
  #title(parts) {
    const part = (name, className) => {
      const span = document.createElement("span");
      span.className = className;
      const words = this.describe(name);
      const code = document.createElement("b");
      code.textContent = name;
      span.append(code, Object.assign(document.createElement("span"), { className: "words", textContent: words ? ` ${words}` : "" }));
      span.title = words;
      return span;
    };
    const aside = (textContent, className, title = "") => Object.assign(document.createElement("span"), { className, textContent, title });
    const often = "These statements often occur with the chosen ones; the seed decides which";
    this.root.querySelector(".names").replaceChildren(
      ...(parts[0].statements.length ? [aside(told(this.settings), "told-as")] : []),
      ...parts.flatMap(({ from, statements, beside = [] }) => [
        ...(from ? [aside(`then, from ${clock(from)}`, "then")] : []),
        ...statements.map((name) => part(name, "asked")),
        ...(beside.length ? [aside("with", "with", often), ...beside.map((name) => part(name, "also"))] : []),
      ]),
    );
    this.fitCaption();
  }

  // A caption that would take too many lines has the codes of statements alone. What they mean is in their titles and, of those
  // that were asked for, in the text below the paper.
  fitCaption() {
    const names = this.caption.querySelector("h2");
    names.classList.remove("brief");
    names.classList.toggle("brief", names.offsetHeight > (LINES + 0.6) * parseFloat(getComputedStyle(names).lineHeight));
  }

  #measured(measured) {
    for (const dd of this.measures.querySelectorAll("[data-measure]")) {
      const value = measured?.[dd.dataset.measure];
      const known = value !== null && value !== undefined;
      const unit = dd.dataset.unit === "°" ? "°" : Object.assign(document.createElement("small"), { textContent: ` ${dd.dataset.unit}` });
      dd.replaceChildren(known ? inWhole(value) : "–", known ? unit : "");
      dd.title = measured && !known ? "This could not be measured in this record" : `This was measured in the ${this.settings?.recorded ? "recorded" : "generated"} signal`;
    }
  }

  // What the signal shows of the statements that have a rule, and which statements the model had hardly any records of.
  #checked(statements, checks) {
    const line = (name, words, verdict, className) => {
      const item = document.createElement("li");
      item.className = className;
      const [code, mark] = [document.createElement("b"), document.createElement("em")];
      code.textContent = name;
      mark.textContent = verdict;
      item.append(code, words ? ` ${words} ` : " ", mark);
      return item;
    };
    const verdict = { true: ["shown", "passed"], false: ["not shown", "failed"], null: ["not measurable", "unknown"] };
    this.root.querySelector(".checks").replaceChildren(
      ...statements.flatMap((name) => {
        const rare = learnt(this.records(name));
        return rare ? [line(name, "", rare, "rare")] : [];
      }),
      ...checks.map((check) => line(check.statement, check.words, ...verdict[check.shown])),
    );
  }

  async #download(button, accept, suffix) {
    button.setAttribute("aria-busy", "true");
    try {
      const { file: own, name } = this.settings;
      const fs = this.rate.selectedIndex > 0 ? Number(this.rate.value) : null;
      const ask = own ?? ((...how) => file(this.settings, ...how));
      const url = URL.createObjectURL(await ask(accept, this.paper.drawing, fs));
      const link = Object.assign(document.createElement("a"), { href: url, download: `${name ?? fileName(this.settings)}${fs ? `_${fs}hz` : ""}.${suffix}` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    } finally {
      button.removeAttribute("aria-busy");
    }
  }
}
