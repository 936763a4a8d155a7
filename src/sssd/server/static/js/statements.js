// Choosing statements: a text field that searches codes, descriptions and plain words, and a chip for each chosen statement.
// Arrow keys move through the list, Enter chooses, Escape closes, and Backspace in an empty field removes the last chip.

import { hints } from "./api.js";
import { PLAIN, learnt } from "./plain.js";
import { absent, plain, search } from "./search.js";
import { Sentence, inWords } from "./sentence.js";

const GROUPS = { NORM: "Normal", MI: "Infarction and injury", STTC: "ST and T", CD: "Conduction", HYP: "Hypertrophy", "": "Rhythm and form" };

// A copy of the field for statements in the template of the settings, without what belongs to the whole record. suffix: of its ids
export function copyField(template, suffix) {
  const root = template.querySelector(".statements").cloneNode(true);
  for (const name of [".only", ".understood"]) root.querySelector(name).remove();
  for (const e of root.querySelectorAll("[id]")) e.id += `-${suffix}`;
  for (const name of ["for", "aria-controls", "aria-describedby"])
    for (const e of root.querySelectorAll(`[${name}]`)) e.setAttribute(name, `${e.getAttribute(name)}-${suffix}`);
  return root;
}

export class Statements {
  // root: .statements, which contains .chips, input[role=combobox], ul[role=listbox] and .count (a live region)
  // onSentence(found): a sentence was taken, of which the server understood this; without it, there are no sentences
  // heartRate(): the heart rate that is asked for too, or null
  constructor(root, onChange, { onSentence = null, heartRate = () => null } = {}) {
    Object.assign(this, { onSentence, heartRate });
    this.sentence = new Sentence((option) => this.#offer(option));
    this.understood = root.querySelector(".understood");
    this.root = root;
    if (!onSentence) root.querySelector("input").placeholder = "AFIB, infarct, slow …";
    this.chips = root.querySelector(".chips");
    this.input = root.querySelector("input");
    this.list = root.querySelector("[role=listbox]");
    this.count = root.querySelector(".count");
    this.onChange = onChange;
    this.labels = [];
    this.chosen = [];
    this.active = -1;
    this.input.addEventListener("input", () => this.#open());
    this.input.addEventListener("click", () => this.#open());
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.input.addEventListener("blur", () => this.#close());
    this.list.addEventListener("pointerdown", (event) => event.preventDefault()); // so that the field keeps the focus
    this.list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#choose(option);
    });
    root.querySelector(".field").addEventListener("click", (event) => {
      if (event.target.matches(".field, .chips")) this.input.focus();
    });
  }

  setLabels(labels) {
    this.labels = labels;
    this.set(this.chosen);
  }

  set(names) {
    this.chosen = [...new Set(names)];
    this.hint();
    const known = new Map(this.labels.map((label) => [label.name, label]));
    this.chips.replaceChildren(
      ...this.chosen.map((name) => {
        const chip = document.createElement("li");
        const description = known.get(name)?.description ?? (this.labels.length ? "unknown" : "");
        chip.className = known.has(name) || !this.labels.length ? "chip" : "chip unknown";
        chip.title = PLAIN[name] ?? "";
        const text = document.createElement("span");
        const code = document.createElement("b");
        code.textContent = name;
        text.append(code, ` ${description}`);
        const remove = document.createElement("button");
        remove.type = "button";
        remove.textContent = "×";
        remove.setAttribute("aria-label", `Remove ${name}, ${description}`);
        remove.addEventListener("click", () => this.#remove(name));
        const rare = learnt(known.get(name)?.training_records);
        if (rare) text.append(" · ", Object.assign(document.createElement("em"), { textContent: rare }));
        chip.append(text, remove);
        return chip;
      }),
    );
  }

  // What is unusual about the choice, as the server says it. An answer for an earlier choice is dropped.
  async hint() {
    const [chosen, rate] = [this.chosen, this.heartRate()];
    const list = this.root.querySelector(".hints");
    const known = (chosen.length > 1 || rate !== null) && chosen.every((name) => this.labels.some((label) => label.name === name));
    const said = known ? await hints(chosen, rate).catch(() => []) : [];
    if (chosen !== this.chosen || rate !== this.heartRate()) return;
    list.replaceChildren(...said.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }

  get open() {
    return this.input.getAttribute("aria-expanded") === "true";
  }

  #remove(name) {
    this.set(this.chosen.filter((other) => other !== name));
    this.input.focus();
    this.onChange();
  }

  #choose(option) {
    if (option.dataset.sentence) this.#takeSentence();
    else this.#take(option.dataset.name);
  }

  // Put what the server understood of a sentence into the list, as its first option.
  #offer(option) {
    if (document.activeElement !== this.input) return;
    option.id = `${this.list.id}-sentence`;
    this.list.prepend(option);
    this.items.unshift(option);
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.count.textContent = `A sentence: ${option.querySelector("span").textContent}`;
    this.count.classList.remove("none");
    this.#activate(this.active > 0 ? this.active + 1 : 0);
  }

  // The statements, the patient and the rate of a sentence take the place of those that were chosen.
  #takeSentence() {
    const { found } = this.sentence;
    this.input.value = "";
    this.#close();
    if (found.statements.length) this.set(found.statements);
    this.onSentence(found);
    this.understood.textContent = inWords(found);
    this.onChange();
  }

  #take(name) {
    this.set(this.chosen.includes(name) ? this.chosen.filter((other) => other !== name) : [...this.chosen, name]);
    this.input.value = "";
    this.#close();
    this.onChange();
  }

  #open() {
    if (this.understood) this.understood.textContent = "";
    const missing = absent(this.labels, this.input.value);
    const found = missing ? this.labels.filter((label) => missing.near.includes(label.name)) : search(this.labels, this.input.value);
    const grouped = !plain(this.input.value);
    const items = [];
    const option = (label) => {
      const item = document.createElement("li");
      item.id = `${this.list.id}-${items.length}`;
      item.role = "option";
      item.dataset.name = label.name;
      item.setAttribute("aria-selected", this.chosen.includes(label.name));
      const [code, words, more] = ["b", "span", "small"].map((tag) => document.createElement(tag));
      code.textContent = label.name;
      words.textContent = label.description;
      more.textContent = PLAIN[label.name] ?? "";
      item.append(code, words, more);
      if (learnt(label.training_records)) item.append(Object.assign(document.createElement("em"), { textContent: learnt(label.training_records) }));
      items.push(item);
      return item;
    };
    if (grouped)
      this.list.replaceChildren(
        ...Object.entries(GROUPS).flatMap(([superclass, title]) => {
          const members = found.filter((label) => (GROUPS[label.superclass] ? label.superclass : "") === superclass);
          if (!members.length) return [];
          const group = document.createElement("ul");
          group.role = "group";
          group.setAttribute("aria-label", title);
          group.dataset.title = title;
          group.append(...members.map(option));
          return [group];
        }),
      );
    else this.list.replaceChildren(...found.map(option));
    this.items = items;
    this.list.hidden = !items.length;
    this.input.setAttribute("aria-expanded", String(items.length > 0));
    const number = `${items.length} statement${items.length === 1 ? "" : "s"}`;
    if (missing) {
      const near = items.length ? ` Near to it: ${missing.near.join(", ")}.` : "";
      this.count.textContent = `“${missing.name}” is not among the ${this.labels.length} statements.${near}`;
    } else this.count.textContent = items.length ? number : `Nothing matches “${this.input.value.trim()}”.`;
    this.count.classList.toggle("none", !!missing || !items.length);
    this.#activate(grouped || missing ? -1 : 0); // nothing is chosen by Enter that was not asked for
    if (this.onSentence) this.sentence.ask(this.input.value, missing ? 0 : items.length);
  }

  #close() {
    this.sentence.forget();
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.count.textContent = "";
    this.count.classList.remove("none");
    this.active = -1;
  }

  #activate(index) {
    this.items.forEach((item, i) => item.classList.toggle("active", i === index));
    this.active = index;
    if (index < 0 || !this.items[index]) return this.input.removeAttribute("aria-activedescendant");
    this.input.setAttribute("aria-activedescendant", this.items[index].id);
    this.items[index].scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (!this.open) this.#open();
      if (this.items.length) this.#activate((this.active + step + this.items.length + (this.active < 0 && step < 0)) % this.items.length);
    } else if (event.key === "Enter" && this.open && this.active >= 0) {
      event.preventDefault(); // Enter without an active option submits the form
      this.#choose(this.items[this.active]);
    } else if (event.key === "Escape" && (this.open || this.input.value)) {
      event.preventDefault();
      event.stopPropagation();
      if (!this.open) this.input.value = "";
      this.#close();
    } else if (event.key === "Backspace" && !this.input.value && this.chosen.length) {
      this.#remove(this.chosen.at(-1));
    }
  }
}
