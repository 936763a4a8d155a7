// A sentence in the field for statements, such as "70-year-old woman, atrial fibrillation with LBBB, rate about 120". The
// server understands it, by the parser of `generate --text`.

import { understand } from "./api.js";

const WAIT_MS = 250; // after the last key

// Whether a text may be more than the name of one statement.
const isSentence = (text) => /[,;.:]|\d{2}|\S\s+\S+\s+\S/.test(text.trim());

// What was understood in short: "AFIB + CLBBB · 70 years · female · 120 /min".
function short({ statements, age, sex, heart_rate }) {
  const facts = [...(age === null ? [] : [`${age} years`]), ...(sex ? [sex] : []), ...(heart_rate === null ? [] : [`${heart_rate} /min`])];
  return [...(statements.length ? [statements.join(" + ")] : []), ...facts].join(" · ");
}

// The lines that say what was understood and what was not, as sentences.
export const inWords = ({ said }) => said.map((line) => `${line[0].toUpperCase()}${line.slice(1)}.`).join(" ");

export class Sentence {
  // onFound(option): the text that was given last has been understood; option is a new item for the list
  constructor(onFound) {
    this.onFound = onFound;
    this.found = null; // what the server understood of the text
  }

  // text: what is in the field now. matches: how many statements match it as a name
  ask(text, matches) {
    clearTimeout(this.timer);
    this.found = null;
    this.text = text;
    if (!isSentence(text)) return;
    this.timer = setTimeout(async () => {
      const found = await understand(text.slice(0, 400)).catch(() => null);
      if (!found || this.text !== text) return;
      const { statements, age, sex, heart_rate } = found;
      const facts = age !== null || sex || heart_rate !== null;
      if (!(statements.length > 1 || facts || (statements.length && !matches))) return;
      this.found = found;
      const option = document.createElement("li");
      option.role = "option";
      option.dataset.sentence = "1";
      option.setAttribute("aria-selected", "false");
      const [title, more] = ["span", "small"].map((tag) => document.createElement(tag));
      title.textContent = short(found);
      more.textContent = inWords(found);
      option.append(Object.assign(document.createElement("b"), { textContent: "Sentence" }), title, more);
      this.onFound(option);
    }, WAIT_MS);
  }

  forget() {
    clearTimeout(this.timer);
    this.text = null;
  }
}
