// A quiz of ten ECGs: the diagnosis is hidden until it is chosen, typed or revealed. A quiz is its level and its seed, so a
// link gives the same ten to everybody.

import { PLAIN } from "./plain.js";
import { search } from "./search.js";

export const LENGTH = 10;
const CHOICES = 4;
const TRIES = 8; // how many records of a statement are drawn at most until one shows it, where a rule can tell
export const LEVELS = {
  easy: ["NORM", "AFIB", "STACH", "SBRAD", "CLBBB", "CRBBB", "PVC", "PACE"],
  medium: ["NORM", "AFIB", "CLBBB", "CRBBB", "IRBBB", "LVH", "1AVB", "PVC", "PAC", "IMI", "ASMI", "LAFB"],
  hard: ["1AVB", "LVH", "RVH", "LAFB", "LPFB", "IVCD", "LNGQT", "LVOLT", "IMI", "ASMI", "ISCAL", "LAO/LAE", "WPW", "SARRH", "INVT"],
};

// Numbers from 0 to 1 that depend on the seed alone (mulberry32, by Tommy Ettinger).
function numbers(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function shuffled(list, random) {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}

// What the ten questions ask for: [{answer, seed}]. No statement comes twice before all of the level have come.
export function questions({ level, seed }, known) {
  const pool = LEVELS[level].filter((name) => known.includes(name));
  const random = numbers(seed);
  const answers = [];
  while (answers.length < LENGTH) answers.push(...shuffled(pool, random));
  return answers.slice(0, LENGTH).map((answer) => ({ answer, seed: Math.floor(random() * 1e9) }));
}

// What the question may ask for, the first of which a record shows: its own statement, then the others of the level in an
// order that depends on its seed, those first that no question asks for.
function candidates(list, number, pool) {
  const { answer, seed } = list[number];
  const others = shuffled(pool.filter((name) => name !== answer), numbers(seed));
  const asked = (name) => list.some((question) => question.answer === name);
  return [answer, ...others.filter((name) => !asked(name)), ...others.filter(asked)];
}

// Whether a record shows a statement, as far as a rule can tell.
const shows = (record, name) => record.checks.every(({ statement, shown }) => statement !== name || shown !== false);

export const toQuiz = ({ level, seed }) => `#quiz=${level}&seed=${seed}`;

export function fromQuiz(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  const [level, seed] = [given.get("quiz"), Number(given.get("seed"))];
  return level in LEVELS && Number.isSafeInteger(seed) && seed >= 0 && seed < 2 ** 32 ? { level, seed } : null;
}

export class Quiz {
  // root: #quiz. show(statement, seed) shows a record and returns it. hide(hidden) hides what tells the diagnosis.
  constructor(root, { labels, show, hide, onLink }) {
    this.root = root;
    this.labels = labels;
    this.show = show;
    this.hide = hide;
    this.part = (name) => root.querySelector(`[data-quiz=${name}]`);
    this.part("reveal").addEventListener("click", () => this.#judge(null));
    this.part("next").addEventListener("click", () => this.#ask(this.number + 1));
    this.part("link").addEventListener("click", () => onLink(toQuiz(this)));
    this.part("typed").addEventListener("submit", (event) => {
      event.preventDefault();
      const input = event.target.querySelector("input");
      const [found] = search(this.labels, input.value);
      if (input.value.trim() && found) this.#judge(found.name);
      else this.part("said").textContent = `Nothing matches “${input.value.trim()}”.`;
    });
  }

  begin({ level, seed }) {
    Object.assign(this, { level, seed, right: 0 });
    this.known = this.labels.map(({ name }) => name);
    this.list = questions(this, this.known);
    return this.#ask(0);
  }

  async #ask(number) {
    if (number >= LENGTH) return this.begin({ level: this.level, seed: (this.seed + 1) % 2 ** 32 });
    this.number = number;
    const { list } = this;
    const { seed } = list[number];
    this.hide(true);
    this.part("where").textContent = `${this.level[0].toUpperCase()}${this.level.slice(1)} · ${number + 1} of ${LENGTH} · ${this.right} right`;
    this.part("said").textContent = "";
    this.part("choices").replaceChildren();
    this.part("typed").querySelector("input").value = "";
    this.part("next").hidden = true;
    this.part("reveal").hidden = this.part("typed").hidden = true;
    const pool = LEVELS[this.level].filter((name) => this.known.includes(name));
    const found = await this.#find(candidates(list, number, pool), seed, () => this.list === list);
    if (!found) return;
    const { answer, record } = found;
    list[number].answer = answer;
    this.record = record;
    const others = shuffled(LEVELS[this.level].filter((name) => !record.statements.includes(name)), numbers(seed));
    const choices = shuffled([answer, ...others.slice(0, CHOICES - 1)], numbers(seed + 1));
    this.part("choices").replaceChildren(
      ...choices.map((name) => {
        const button = Object.assign(document.createElement("button"), { type: "button" });
        button.dataset.name = name;
        button.textContent = this.labels.find((label) => label.name === name)?.description ?? name;
        button.addEventListener("click", () => this.#judge(name));
        return button;
      }),
    );
    this.part("reveal").hidden = this.part("typed").hidden = false;
    this.part("choices").querySelector("button").focus({ preventScroll: true });
  }

  // Show records of these statements until one shows its statement, and return {answer, record}; null if it was stopped, if
  // another quiz has begun, or if there is none.
  async #find(names, seed, going) {
    for (const answer of names) {
      for (let k = 0; k < TRIES; k++) {
        const record = await this.show(answer, seed + k);
        if (!record || !going()) return null;
        if (shows(record, answer)) return { answer, record };
      }
    }
    this.part("said").textContent = "No record shows what this level asks for.";
    return null;
  }

  // guess: the code of a statement, or null to reveal it without one
  #judge(guess) {
    const { answer } = this.list[this.number];
    if (guess === answer) this.right++;
    for (const button of this.part("choices").children) {
      button.disabled = true;
      button.classList.toggle("right", button.dataset.name === answer);
      button.classList.toggle("wrong", button.dataset.name === guess && guess !== answer);
    }
    const beside = guess && guess !== answer && this.record.statements.includes(guess) && shows(this.record, guess);
    const verdict = guess === null ? "" : guess === answer ? "Right. " : beside ? `${guess} is there too, but the question was ${answer}. ` : "No. ";
    const checked = this.record.checks.some(({ statement, shown }) => statement === answer && shown);
    this.part("said").textContent = `${verdict}${answer}: ${PLAIN[answer] ?? ""}.${checked ? "" : " It was asked for, and nothing has checked whether the record shows it."}`;
    this.part("where").textContent = this.part("where").textContent.replace(/\d+ right/, `${this.right} right`);
    this.part("reveal").hidden = this.part("typed").hidden = true;
    this.part("next").hidden = false;
    this.part("next").textContent = this.number + 1 < LENGTH ? "Next" : `${this.right} of ${LENGTH}: ten more`;
    this.hide(false);
    this.part("next").focus({ preventScroll: true });
  }
}
