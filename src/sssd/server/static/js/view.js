// The controls that say how records are drawn: layout, speed, gain, the rhythm lead, and which stretch of a strip.

import { CHOICES, ROW_S, USUAL, clock, isStrip, rowsIn, stretchOf, usual } from "./layout.js";

export class View {
  // root: .tools, with radio buttons for the layout and a <select> for each of the others. stretch: a label with a slider
  constructor(root, stretch, onChange) {
    this.stretch = stretch;
    this.range = stretch.querySelector("input");
    this.seconds = ROW_S;
    this.layouts = root.querySelector("#layout");
    this.selects = Object.fromEntries(["speed", "gain", "rhythm"].map((name) => [name, root.querySelector(`#${name}`)]));
    this.selects.rhythm.append(...CHOICES.rhythm.map((lead) => new Option(`Rhythm ${lead}`, lead)));
    this.set(USUAL);
    const change = () => {
      this.#refresh();
      onChange();
    };
    for (const control of [this.layouts, ...Object.values(this.selects)]) control.addEventListener("change", change);
    this.range.addEventListener("input", change);
  }

  get drawing() {
    const { speed, gain, rhythm } = this.selects;
    return { layout: this.layouts.querySelector(":checked").value, speed: Number(speed.value), gain: Number(gain.value), rhythm: rhythm.value, at: ROW_S * this.range.value };
  }

  // The length of the records. A strip is shown in rows at first.
  setSeconds(seconds) {
    if (seconds === this.seconds) return;
    const was = isStrip(this.seconds);
    this.seconds = seconds;
    const { layout } = this.drawing;
    this.range.max = rowsIn(seconds) - 1;
    this.set({ ...this.drawing, at: 0, layout: was === isStrip(seconds) ? layout : usual(seconds).layout });
  }

  set(drawing) {
    const { layout, at, ...others } = { ...USUAL, ...drawing };
    this.range.value = Math.round(at / ROW_S);
    this.layouts.querySelector(`[value="${layout}"]`).checked = true;
    for (const [name, value] of Object.entries(others)) this.selects[name].value = value;
    this.#refresh();
  }

  #refresh() {
    const strip = isStrip(this.seconds);
    this.stretch.hidden = this.layouts.querySelector("[value=strip]").parentElement.hidden = !strip;
    const text = `${stretchOf(this.drawing.at, this.seconds).map(clock).join(" to ")} of ${clock(this.seconds)}`;
    this.stretch.querySelector("output").textContent = text;
    this.range.setAttribute("aria-valuetext", text);
    this.selects.rhythm.disabled = this.drawing.layout === "12x1"; // every lead has its full length there
  }
}
