// Where a strip changes its statements on the way: "Then, from 30 s", with a field for statements, as often as it is added.

import { SERVICE } from "./origin.js";
import { LEAST_S } from "./parts.js";
import { Statements, copyField } from "./statements.js";

export class Changes {
  // root: .changes. heartRate(): see Statements. suffix: of ids
  constructor(root, { heartRate, suffix, onChange }) {
    Object.assign(this, { root, heartRate, suffix, onChange });
    this.added = 0; // so far, which numbers them
    this.labels = this.parts = [];
    root.querySelector(".add").addEventListener("click", () => {
      const from = this.then.at(-1)?.at ?? 0;
      this.#add({ at: Math.round((from + this.seconds) / 2), statements: [] }).statements.input.focus();
      onChange();
    });
  }

  setLabels(labels) {
    this.labels = labels;
    for (const { statements } of this.parts) statements.setLabels(labels);
  }

  hint() {
    for (const { statements } of this.parts) statements.hint();
  }

  // Be there for strips only, which a service makes. seconds: the length of the record, or null
  show(seconds) {
    this.seconds = seconds;
    this.root.hidden = seconds === null || !SERVICE;
  }

  // As typed: [{at, statements}]
  get then() {
    return this.parts.map(({ at, statements }) => ({ at: at.value.trim() === "" ? null : Number(at.value), statements: statements.chosen }));
  }

  set then(then) {
    for (const { root } of this.parts) root.remove();
    this.parts = [];
    for (const part of then) this.#add(part);
  }

  #add({ at, statements }) {
    this.root.querySelector(".parts").append(document.getElementById("part").content.cloneNode(true));
    const root = this.root.querySelector(".parts").lastElementChild;
    const name = `then-${++this.added}`;
    const field = copyField(document.getElementById("settings").content, `${name}${this.suffix}`);
    field.querySelector("label").remove();
    field.querySelector("input").setAttribute("aria-label", "Statements from then on");
    field.querySelector("[data-problem]").dataset.problem = name;
    root.append(field);
    const part = { name, root, at: root.querySelector("input"), statements: new Statements(field, this.onChange, { heartRate: this.heartRate }) };
    part.at.value = at;
    part.at.setAttribute("aria-describedby", field.querySelector("[data-problem]").id);
    part.at.addEventListener("input", this.onChange);
    root.querySelector("button").addEventListener("click", () => {
      root.remove();
      this.parts = this.parts.filter((other) => other !== part);
      this.root.querySelector(".add").focus();
      this.onChange();
    });
    part.statements.setLabels(this.labels);
    part.statements.set(statements);
    this.parts.push(part);
    return part;
  }

  // What is wrong with the first part that is wrong: {name, input, problem}, or null. The message stands under its field.
  wrong() {
    let before = 0;
    for (const [k, { at, statements }] of this.then.entries()) {
      const { name, ...part } = this.parts[k];
      const [least, most] = [before + LEAST_S, this.seconds - LEAST_S];
      if (!(at !== null && at >= least && at <= most)) {
        const room = least <= most ? `: this change can come from ${least} to ${most} s` : "";
        return { name, input: part.at, problem: `Each part must last at least ${LEAST_S} s${room}.` };
      }
      if (!statements.length) return { name, input: part.statements.input, problem: "Choose what the ECG shows from then on, or remove this change." };
      before = at;
    }
    return null;
  }
}
