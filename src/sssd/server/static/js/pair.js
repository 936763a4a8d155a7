// The two sheets: what they draw, how they are arranged, the calipers on their papers, and their pages in print.

import { Calipers, place } from "./calipers.js";
import { isShortcut } from "./keys.js";
import { ROW_S, nearest } from "./layout.js";
import { WHOLE_WIDTH } from "./paper.js";
import { fill } from "./print.js";
import { Sheet } from "./sheet.js";

const $ = (id) => document.getElementById(id);

// A trace is faint while its record forms.
const trace = (sheet, colour) => ({ signal: sheet.signal, colour, band: sheet.band, alpha: sheet.final ? 1 : 0.45 + 0.5 * sheet.progress });

export class Pair {
  // describe(name), records(name): of statements, see Sheet. onError(error): a download failed. onPick(at): a row of a strip
  // was chosen, which begins at this second.
  constructor({ describe, records, onError, onPick }) {
    this.onPick = onPick;
    this.captions = new ResizeObserver(() => this.#makeRoom());
    this.sheets = ["A", "B"].map((name) => {
      $("sheets").append($("sheet").content.cloneNode(true));
      const root = $("sheets").lastElementChild;
      const sheet = new Sheet(root, name, { onFrame: () => this.draw(), onView: (paper) => this.#follow(paper), onError, describe, records });
      sheet.calipers = new Calipers(() => this.#tellReading(), { name: () => (this.comparing ? name : "") });
      sheet.place = sheet.calipers.attach(sheet.paper, root.querySelector(".calipers"));
      for (const tag of root.querySelectorAll(".tag")) tag.textContent = name;
      this.captions.observe(sheet.caption);
      sheet.paper.scroller.addEventListener("keydown", (event) => this.#keyOnPaper(event));
      sheet.paper.scroller.addEventListener("click", (event) => this.#pick(sheet.paper, event));
      return sheet;
    });
    [this.a, this.b] = this.sheets;
    this.b.root.hidden = this.b.root.querySelector(".empty").hidden = true;
    addEventListener("keydown", (event) => this.#key(event));
    $("arrange").addEventListener("change", () => this.arrange());
    $("smaller").addEventListener("click", () => this.#zoom(0.8));
    $("larger").addEventListener("click", () => this.#zoom(1.25));
    $("fit").addEventListener("click", () => this.a.paper.zoomTo(this.a.paper.zoom === null ? WHOLE_WIDTH : null));
    $("calipers").addEventListener("click", () => this.#toggleCalipers());
    $("march").addEventListener("click", () => this.#march());
  }

  // Whether there are two.
  get comparing() {
    return $("comparing").checked;
  }

  set comparing(on) {
    $("comparing").checked = on;
  }

  get overlaid() {
    return this.comparing && $("arrange").querySelector(":checked").value === "over";
  }

  draw() {
    const { a, b } = this;
    const visible = (this.comparing ? this.sheets : [a]).filter((sheet) => sheet.signal);
    const roomFor = visible.every((sheet) => sheet.final) ? visible.flatMap((sheet) => [sheet.signal, ...(sheet.band ?? [])]) : null;
    const first = visible.includes(a) ? [trace(a, "ink")] : [];
    const second = visible.includes(b) ? [trace(b, "second")] : [];
    const { seconds } = a;
    a.paper.show(this.overlaid ? [...first, ...second] : first, { roomFor, seconds, changes: a.changes });
    if (this.comparing && !this.overlaid) b.paper.show(second, { roomFor, seconds, changes: b.changes });
  }

  // A click on a row of a strip chooses it.
  #pick(paper, event) {
    if (paper.geometry.chosen === null || !paper.traces.length || this.measuring || event.target.closest("button")) return;
    this.onPick(ROW_S * nearest(paper.geometry, paper.at(event).y));
  }

  // Both papers show the same part at the same size. A paper that was scrolled from here must not scroll the other back.
  #follow(paper) {
    const { scrollLeft: x, scrollTop: y } = paper.scroller;
    const led = paper.led?.x === x && paper.led?.y === y;
    paper.led = null;
    for (const sheet of this.sheets) {
      if (sheet.paper === paper) sheet.place?.();
      else if (this.comparing && !this.overlaid && !led) {
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

  // The papers leave room for what stands above them, so that the sliders below them are in the window.
  #makeRoom() {
    for (const sheet of this.sheets) sheet.fitCaption();
    const heights = this.sheets.map(({ caption }) => caption.offsetHeight); // 0 of one that is hidden
    const room = this.overlaid ? heights[0] + heights[1] : Math.max(...heights);
    if (room === this.room) return;
    this.room = room;
    $("sheets").style.setProperty("--caption", `${room}px`);
    for (const sheet of this.sheets) sheet.paper.resize();
  }

  arrange() {
    const two = this.comparing;
    $("second").hidden = !two;
    $("arrange").hidden = !two;
    this.b.root.hidden = !two;
    $("sheets").className = two ? (this.overlaid ? "two over" : "two beside") : "";
    for (const tag of document.querySelectorAll(".tag")) tag.hidden = !two;
    this.b.measures.classList.toggle("second", this.overlaid);
    (this.overlaid ? this.a : this.b).root.querySelector(".printout .facts").append(this.b.measures);
    this.#makeRoom();
    for (const sheet of this.sheets) sheet.paper.resize();
    this.draw();
    if (this.measuring) this.placeCalipers();
  }

  // Draw the records in the way that the view says.
  setDrawing(drawing) {
    for (const sheet of this.sheets) sheet.setDrawing(drawing);
    if (this.measuring) this.placeCalipers();
  }

  #zoom(by) {
    this.a.paper.zoomTo(by === null ? null : this.a.paper.scale * by);
  }

  // --- calipers: each paper has its own, which begin on two beats of its record ------------------------------

  get measuring() {
    return this.sheets.some((sheet) => sheet.calipers.points);
  }

  // The sheets whose paper is visible: of two that are overlaid, the first.
  get #papers() {
    return this.comparing && !this.overlaid ? this.sheets : [this.a];
  }

  #tellReading() {
    const read = this.#papers.flatMap(({ name, calipers }) => (calipers.points ? [`${this.comparing ? `${name} ` : ""}${calipers.reading}`] : []));
    $("reading").textContent = read.join("\u2003");
    $("calipers").setAttribute("aria-pressed", String(this.measuring));
    $("march").hidden = !this.measuring;
  }

  placeCalipers() {
    for (const sheet of this.sheets) sheet.calipers.set(this.#papers.includes(sheet) ? place(sheet.paper.geometry, sheet.signal) : null);
  }

  hideCalipers() {
    for (const sheet of this.sheets) sheet.calipers.set(null);
  }

  #march() {
    const on = $("march").getAttribute("aria-pressed") !== "true";
    $("march").setAttribute("aria-pressed", String(on));
    for (const sheet of this.sheets) sheet.calipers.march(on);
  }

  #toggleCalipers() {
    if (this.measuring) return this.hideCalipers();
    this.placeCalipers();
    const handle = this.a.root.querySelector(".handle");
    handle.scrollIntoView({ block: "nearest", inline: "center" });
    handle.focus({ preventScroll: true });
  }

  #key(event) {
    const larger = () => this.#zoom(1.25);
    const act = {
      "+": larger, "=": larger, "-": () => this.#zoom(0.8), 0: () => this.#zoom(null),
      c: () => this.#toggleCalipers(), m: () => this.measuring && this.#march(),
    }[event.key.toLowerCase()];
    if (!act || !isShortcut(event)) return;
    event.preventDefault();
    act();
  }

  #keyOnPaper(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && this.measuring) {
      this.hideCalipers();
      event.currentTarget.focus({ preventScroll: true });
      event.stopPropagation();
    } else if (event.key === "Enter" && this.a.paper.geometry.chosen !== null && event.target === event.currentTarget) {
      this.onPick(ROW_S * this.a.paper.geometry.chosen);
    }
  }

  // Fill #print with a page for each record, or with one for both where they are overlaid. named: whether they say what the
  // records show.
  print({ named }) {
    const [first, second] = (this.comparing ? this.sheets : [this.a])
      .filter((sheet) => sheet.signal)
      .map((sheet) => sheet.printed(sheet === this.b && this.overlaid ? "second" : "ink"))
      .map((pages) => (named ? pages : pages.map((page) => ({ ...page, asked: "", drawn: "", rare: "", how: "" }))));
    const both = (a, b) => ({ ...a, asked: `A ${a.asked}    B ${b.asked}`, drawn: "", facts: "A black, B blue", how: `A ${a.how}    B ${b.how}`, traces: [...a.traces, ...b.traces] });
    fill($("print"), this.overlaid && second ? first.map((page, i) => both(page, second[i])) : [...(first ?? []), ...(second ?? [])]);
  }
}
