// The controls that say how records are drawn: layout, speed, gain and the rhythm lead.

import { CHOICES, USUAL } from "./layout.js";

export class View {
  // root: .tools, with radio buttons for the layout and a <select> for each of the others
  constructor(root, onChange) {
    this.layouts = root.querySelector("#layout");
    this.selects = Object.fromEntries(["speed", "gain", "rhythm"].map((name) => [name, root.querySelector(`#${name}`)]));
    this.selects.rhythm.append(...CHOICES.rhythm.map((lead) => new Option(`Rhythm ${lead}`, lead)));
    this.set(USUAL);
    for (const control of [this.layouts, ...Object.values(this.selects)])
      control.addEventListener("change", () => {
        this.#refresh();
        onChange();
      });
  }

  get drawing() {
    const { speed, gain, rhythm } = this.selects;
    return { layout: this.layouts.querySelector(":checked").value, speed: Number(speed.value), gain: Number(gain.value), rhythm: rhythm.value };
  }

  set(drawing) {
    const { layout, ...others } = { ...USUAL, ...drawing };
    this.layouts.querySelector(`[value="${layout}"]`).checked = true;
    for (const [name, value] of Object.entries(others)) this.selects[name].value = value;
    this.#refresh();
  }

  #refresh() {
    this.selects.rhythm.disabled = this.drawing.layout === "12x1"; // every lead has its full length there
  }
}
