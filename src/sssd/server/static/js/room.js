// A recording of one's own, and what a model makes of it: a variation, an edit, or the leads and seconds that are missing.
// The recording is on the first sheet, what was made of it on the second. A generated record can be taken in its place.

import { change, inFile, patiently, read } from "./api.js";
import { LEADS } from "./layout.js";
import { seedOf, newSeed } from "./settings.js";
import { Statements, copyField } from "./statements.js";
import { contents } from "./uploads.js";

export const ROOM = "#recording";
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const WORDS = { vary: "Varied", edit: "Edited", complete: "Completed" };

const SEVERAL = ["application/json", "application/x-npz", "application/zip"]; // types of files that hold several records

// The request for a file: where the file holds one record, for the first of them.
const fitting = (body, accept) => (body.count > 1 && !SEVERAL.includes(accept) ? { ...body, count: 1 } : body);

// The least and the largest values of several records, 12 leads each; null for one record.
function bounds(records) {
  if (records.length < 2) return null;
  const lead = (name, pick) => {
    const [first, ...others] = records.map(({ leads, signal }) => signal[leads.indexOf(name)]);
    return Float32Array.from(first, (mv, i) => others.reduce((found, row) => pick(found, row[i]), mv));
  };
  return [Math.min, Math.max].map((pick) => LEADS.map((name) => lead(name, pick)));
}

const STRENGTHS = { vary: 0.4, edit: 0.54 }; // by default, as in sssd.config.names

// How far a result may be from the recording, in words.
const far = (strength) => ["hardly changed", "a little changed", "changed", "much changed", "a new record"][Math.min(4, Math.floor(strength * 5))];

export class Room {
  // root: #room. sheets: the two of the page. onShow(two): whether the second sheet is to be seen. onError(error).
  // statements: the template with the field for statements.
  constructor(root, { sheets, statements, onShow, onError, onStart }) {
    Object.assign(this, { root, onShow, onError, onStart });
    [this.source, this.result] = sheets;
    this.strengths = { ...STRENGTHS };
    this.part = (name) => root.querySelector(`[data-room=${name}]`);
    this.all = (name) => [...root.querySelectorAll(`[data-room=${name}]`)];
    this.own = this.#field(statements, "own", "It shows");
    this.wanted = this.#field(statements, "wanted", "It is to show");
    this.part("leads").append(
      ...LEADS.map((lead) => {
        const label = document.createElement("label");
        label.append(Object.assign(document.createElement("input"), { type: "checkbox", value: lead }), Object.assign(document.createElement("span"), { textContent: lead }));
        return label;
      }),
    );
    const input = this.part("files");
    input.addEventListener("change", () => {
      if (input.files.length) this.open(input.files);
      input.value = ""; // so that the same file can be chosen again
    });
    for (const radio of this.all("task")) radio.addEventListener("change", () => this.#refresh());
    this.part("strength").addEventListener("input", ({ target }) => {
      this.strengths[this.task] = Number(target.value);
      this.#refresh();
    });
    this.part("again").addEventListener("click", () => {
      this.part("seed").value = newSeed();
      this.make();
    });
    root.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.running) this.running.abort();
      else this.make();
    });
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.running && !event.defaultPrevented) {
        this.running.abort();
        event.stopPropagation();
      }
    });
    this.part("seed").value = newSeed();
    this.#refresh();
  }

  get task() {
    return this.all("task").find(({ checked }) => checked).value;
  }

  setModel(model, labels) {
    this.model = model;
    const most = Math.max(1, Math.min(12, Math.floor(model.records_max / 5))); // a record at 500 Hz counts as five
    this.part("count").max = most;
    this.part("count").value = Math.min(8, most);
    for (const field of [this.own, this.wanted]) field.setLabels(labels);
    for (const name of ["age", "sex", "heart_rate"])
      for (const row of this.root.querySelectorAll(`[data-takes=${name}]`)) row.hidden = !model[name];
    this.#refresh();
  }

  // What is on the first sheet: "recording", or "record" if it was generated.
  get kind() {
    return this.taken ? "record" : "recording";
  }

  // The empty room, or the recording that was opened before.
  begin() {
    this.root.hidden = false;
    if (this.recording) this.#show();
    this.part("files").focus({ preventScroll: true });
  }

  end() {
    this.running?.abort();
    this.root.hidden = true;
    if (this.taken) {
      this.recording = this.taken = this.made = null;
      this.part("have").hidden = true;
      this.#say("");
    }
    this.#name();
  }

  // Take a generated record in place of a recording, and vary it. about: {name, words, how, seed, from: its address}
  take(record, about) {
    const { fs_hz, leads, signal, statements, measured } = record;
    this.#stop();
    this.#hold({ recording: { fs_hz, leads, signal, statements }, whole: true, measured, notes: ["it was generated, not recorded"] }, about.name, { record, ...about });
    this.all("task").find(({ value }) => value === "vary").checked = true;
    this.#refresh();
    this.#show();
    this.part("make").focus({ preventScroll: true });
    return this.make();
  }

  async open(files) {
    const names = [...files].map(({ name }) => name).join(", ");
    this.#say(`Reading ${names} …`);
    this.#stop();
    const { signal } = (this.running = new AbortController());
    try {
      const sent = await contents(files);
      const found = await patiently(() => read(sent, { signal }), { signal });
      if (signal.aborted) return;
      this.#hold(found, names);
      if (!found.whole) this.all("task").find(({ value }) => value === "complete").checked = true;
      this.#refresh();
      this.#say(`${names} is read.`);
      this.#show();
      this.all("task").find(({ checked }) => checked).focus({ preventScroll: true });
    } catch (error) {
      if (signal.aborted) return;
      if (error.unreachable || error.status === 401 || error.status === 403) this.onError(error);
      this.#say(error.message, { wrong: true });
    } finally {
      if (this.running?.signal === signal) this.running = null;
    }
  }

  // Let the form be about a recording as it was read. taken: see `take`
  #hold({ recording, whole, measured, notes }, name, taken = null) {
    Object.assign(this, { recording, whole, measured, name, taken, made: null });
    this.#name();
    this.part("name").textContent = name;
    const told = notes.length ? notes : ["nothing had to be done to it"];
    this.part("notes").replaceChildren(...told.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
    this.own.set(recording.statements);
    this.wanted.set(recording.statements);
    this.part("own-age").value = taken?.record.age ?? ""; // not that of another patient
    this.part("own-sex").value = taken?.record.sex ?? "";
    const there = LEADS.filter((_, i) => recording.signal[recording.leads.indexOf(LEADS[i])].some((value) => value !== null));
    for (const box of this.part("leads").querySelectorAll("input")) {
      box.disabled = !there.includes(box.value);
      box.checked = !box.disabled;
    }
    this.part("have").hidden = false;
  }

  #name() {
    document.body.classList.toggle("taken", !!this.taken);
    this.part("title").textContent = this.taken ? "A generated record" : "Your recording";
    this.part("own").querySelector("label.name").textContent = this.taken ? "It was asked for" : "It shows";
  }

  // Make what is asked for, and show it beside the recording.
  async make() {
    if (!this.recording) return this.#say("Choose a recording first.", { wrong: true });
    const body = this.#body();
    if (!body) return;
    const task = this.task;
    this.#stop();
    this.onStart();
    const { signal } = (this.running = new AbortController());
    this.#busy(true);
    this.#say("The server is at work …");
    const onWait = (seconds) => this.#say(seconds ? `The server is busy. The page tries again in ${seconds} s.` : "The server is at work …");
    try {
      const answer = await patiently(() => change(task, { ...body, measure: true }, { signal }), { signal, onWait });
      const { records, provenance } = await answer.json();
      this.made = { task, body, record: { ...records[0], provenance }, band: bounds(records) };
      this.#show();
      this.#say(`${WORDS[task]}. It is beside the ${this.kind}.`);
      const { root } = this.result;
      if (root.getBoundingClientRect().top > innerHeight / 2) root.scrollIntoView({ behavior: calm.matches ? "auto" : "smooth" });
    } catch (error) {
      if (signal.aborted) this.#say("Stopped.");
      else {
        if (error.unreachable || error.status === 401 || error.status === 403) this.onError(error);
        this.#say(error.message, { wrong: true });
      }
    } finally {
      if (this.running?.signal === signal) {
        this.running = null;
        this.#busy(false);
      }
    }
  }

  #stop() {
    this.running?.abort();
    this.#busy(false);
  }

  #busy(on) {
    this.part("make").textContent = on ? "Stop" : { vary: "Vary", edit: "Edit", complete: "Complete" }[this.task];
    this.root.setAttribute("aria-busy", String(on));
    this.result.root.classList.toggle("forming", on);
  }

  #say(text, { wrong = false } = {}) {
    this.part("said").textContent = text;
    this.part("said").classList.toggle("problem", wrong);
  }

  // A copy of the field for statements, under another name.
  #field(template, place, title) {
    const root = copyField(template, place);
    root.querySelector("label.name").textContent = title;
    root.querySelector("[data-problem]").removeAttribute("data-problem");
    this.part(place).append(root);
    return new Statements(root, () => {});
  }

  #refresh() {
    const task = this.task;
    for (const place of this.root.querySelectorAll("[data-for]")) place.hidden = !place.dataset.for.split(" ").includes(task) || (place.dataset.takes && !this.model?.[place.dataset.takes]);
    const strength = this.strengths[task] ?? STRENGTHS.edit;
    this.part("strength").value = strength;
    this.part("far").textContent = `${strength.toFixed(2)}, ${far(strength)}`;
    this.part("strength").setAttribute("aria-valuetext", this.part("far").textContent);
    for (const radio of this.all("task")) radio.disabled = !!this.recording && !this.whole && radio.value !== "complete";
    this.part("partial").hidden = !this.recording || this.whole;
    if (this.root.getAttribute("aria-busy") !== "true") this.#busy(false);
  }

  // A number in a field; undefined if it is empty.
  #number(name) {
    const text = this.part(name).value.trim().replace(",", ".");
    return text === "" || this.part(name).closest("[hidden]") ? undefined : Number(text);
  }

  // What to ask the server for; null, with a message, if something is wrong.
  #body() {
    const wrong = (text) => (this.#say(text, { wrong: true }), null);
    const seed = seedOf(this.part("seed").value);
    if (seed === null) return wrong("The seed is a whole number from 0 to 2^64 − 1.");
    const recording = { ...this.recording, statements: this.own.chosen };
    const sex = (name) => (this.part(name).closest("[hidden]") ? undefined : this.part(name).value || undefined);
    const own = { age: this.#number("own-age"), sex: sex("own-sex") };
    const body = { recording, seed };
    if (this.task === "vary") return { ...body, ...own, strength: this.strengths[this.task] };
    if (this.task === "edit") {
      const other = (a, b) => a.some((name) => !b.includes(name));
      const wanted = { age: this.#number("age"), sex: sex("sex"), heart_rate: this.#number("heart-rate") };
      const [now, then] = [this.own.chosen, this.wanted.chosen];
      if (!other(now, then) && !other(then, now) && Object.values(wanted).every((value) => value === undefined))
        return wrong("It shows that already: choose other statements, or another heart rate, age or sex.");
      return { ...body, ...wanted, own_age: own.age, own_sex: own.sex, statements: this.wanted.chosen, strength: this.strengths[this.task] };
    }
    const boxes = [...this.part("leads").querySelectorAll("input")];
    const known = boxes.filter(({ checked }) => checked).map(({ value }) => value);
    const [from, to] = [this.#number("from"), this.#number("to")];
    if ((from === undefined) !== (to === undefined)) return wrong("A gap has a beginning and an end, in seconds.");
    const count = this.#number("count") ?? 1;
    const { min, max } = this.part("count");
    if (!Number.isInteger(count) || count < min || count > max) return wrong(`Completions are ${min} to ${max}.`);
    return { ...body, ...own, count, known, gaps: from === undefined ? [] : [[from, to]] };
  }

  #show() {
    const { recording, made, taken } = this;
    const unknown = { statements: recording.statements, requested: "", drawn: [], measured: this.measured, checks: [], provenance: {} };
    if (taken) {
      const { record, ...about } = taken;
      this.source.hold(record, { ...about, statements: record.statements.filter((name) => !record.drawn.includes(name)), beside: record.drawn });
    } else this.source.hold({ ...recording, ...unknown }, { statements: this.own.chosen, words: `Your recording: ${this.name}`, how: this.name, recorded: true });
    if (made) {
      const { task, body, record, band } = made;
      const all = band ? `. One of ${body.count} is drawn; the band reaches from the least to the largest of them` : "";
      const asked = { vary: `strength ${body.strength}`, edit: `strength ${body.strength}`, complete: `known: ${body.known?.join(" ")}${body.gaps?.length ? `, without ${body.gaps[0].join(" to ")} s` : ""}` }[task];
      this.result.hold(record, {
        statements: record.statements,
        words: `${WORDS[task]} by the model, ${asked}${all}.${taken ? "" : " What it shows is as personal as the recording."}`,
        how: `${WORDS[task]} · ${asked} · seed ${body.seed}`,
        seed: body.seed,
        name: `${this.name.split(",")[0].replace(/\.\w+$/, "").replace(/[^\w-]+/g, "_")}_${task}_seed${body.seed}`,
        band,
        file: async (accept, ...how) => (await change(task, inFile(fitting(body, accept), accept, ...how), { accept })).blob(),
      });
    }
    this.onShow(!!made);
  }
}
