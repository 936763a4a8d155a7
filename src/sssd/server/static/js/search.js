// Searching statements by code, description, alias, plain or common words, with typing errors; and what is not among them.

import { PLAIN } from "./plain.js";

// Words that many people use for what the descriptions call otherwise.
const COMMON = {
  "heart attack": "myocardial infarction",
  "heart block": "av block",
  "extra beat": "premature",
  "ectopic beat": "premature",
  "ectopic": "premature",
  "vpb": "pvc",
  "veb": "pvc",
  "apb": "pac",
  "wenckebach": "second degree av block",
  "mobitz": "second degree av block",
  "enlarged heart": "hypertrophy",
};

// What people look for that no statement stands for, with statements that come near to it.
const ABSENT = [
  { names: ["ventricular tachycardia", "vt", "v tach", "vtach"], near: [] },
  { names: ["ventricular fibrillation", "vf", "v fib", "vfib"], near: [] },
  { names: ["torsade de pointes", "torsades de pointes", "torsades"], near: ["LNGQT"] },
  { names: ["left axis deviation", "lad"], near: ["LAFB"] },
  { names: ["right axis deviation"], near: ["LPFB", "RVH"] },
  { names: ["hyperkalemia", "hyperkalaemia"], near: ["EL"] },
  { names: ["hypokalemia", "hypokalaemia"], near: ["EL"] },
  { names: ["pericarditis"], near: ["STE_"] },
  { names: ["early repolarization", "early repolarisation"], near: ["STE_"] },
  { names: ["brugada syndrome", "brugada"], near: [] },
  { names: ["pulmonary embolism"], near: [] },
  { names: ["junctional rhythm", "junctional tachycardia", "nodal rhythm"], near: [] },
  { names: ["atrial tachycardia"], near: ["SVTAC", "PSVT"] },
  { names: ["av nodal reentrant tachycardia", "avnrt", "avrt"], near: ["PSVT"] },
  { names: ["sick sinus"], near: [] },
  { names: ["asystole", "cardiac arrest"], near: [] },
  { names: ["pericardial effusion", "cardiac tamponade", "tamponade"], near: ["LVOLT"] },
];

const OTHERWISE = /^(supra|intra|in|non|un)$/; // a word means something else after these: supraventricular, incomplete

export const plain = (text) => text.toLowerCase().normalize("NFKD").replace(/[^a-z0-9]+/g, " ").trim();
const split = (text) => plain(text).split(" ").filter(Boolean);
const textOf = (label) => [label.name, label.description, ...(label.aliases ?? []), PLAIN[label.name] ?? ""].join(" ");
const phraseIn = (text, phrase) => ` ${text} `.includes(` ${phrase} `);

// Whether a word begins with `part`, or contains it as in "anterolateral".
function holds(word, part) {
  const at = word.indexOf(part);
  return at === 0 || (at > 0 && part.length > 3 && !OTHERWISE.test(word.slice(0, at)));
}

// How many letters have to be put in, left out, changed or exchanged with the next one (optimal string alignment).
function distance(a, b) {
  const d = Array.from({ length: a.length + 1 }, (_, i) => [i, ...Array(b.length).fill(0)]);
  for (let j = 1; j <= b.length; j++) d[0][j] = j;
  for (let i = 1; i <= a.length; i++)
    for (let j = 1; j <= b.length; j++) {
      d[i][j] = Math.min(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] !== b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) d[i][j] = Math.min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.length][b.length];
}

// The query with the words that are known: without a plural s, with typing errors mended, and common words translated.
function understood(labels, query) {
  const known = new Set([...labels.map(textOf), ...Object.keys(COMMON), ...ABSENT.flatMap(({ names }) => names)].flatMap(split));
  const isKnown = (part) => [...known].some((word) => holds(word, part));
  const mended = split(query).map((part) => {
    if (isKnown(part)) return part;
    if (part.endsWith("s") && isKnown(part.slice(0, -1))) return part.slice(0, -1);
    if (part.length < 5) return part;
    let [best, least] = [part, part.length < 8 ? 1 : 2];
    for (const word of known) {
      const far = Math.min(distance(part, word), distance(part, word.slice(0, part.length)));
      if (word.length > 3 && (far < least || (far === least && best === part))) [best, least] = [word, far];
    }
    return best;
  });
  let text = mended.join(" ");
  for (const [common, words] of Object.entries(COMMON))
    for (const phrase of [common, `${common}s`]) text = ` ${text} `.replace(` ${phrase} `, ` ${words} `).trim();
  return text;
}

// What the query names that is not among the statements: its name and the codes of statements near to it; or null.
export function absent(labels, query) {
  const text = understood(labels, query);
  if (labels.some((label) => [label.name, label.description, ...(label.aliases ?? [])].some((name) => plain(name) === text))) return null;
  const found = ABSENT.find(({ names }) => names.some((name) => phraseIn(text, name)));
  return found ? { name: found.names[0], near: found.near } : null;
}

// The labels that match every word of the query, best match first: by code, by description, by alias, by plain words.
export function search(labels, query) {
  const whole = understood(labels, query);
  const words = split(whole);
  if (!words.length) return labels;
  const rank = (label) => {
    const code = plain(label.name);
    const description = plain(label.description);
    const names = (label.aliases ?? []).map(plain);
    const all = split(textOf(label));
    if (!words.every((part) => all.some((word) => holds(word, part)))) return -1;
    if (code === whole || names.includes(whole)) return 0;
    if (code.startsWith(whole)) return 1;
    if (description.startsWith(whole)) return 2;
    if (` ${description}`.includes(` ${whole}`)) return 3;
    if (names.some((name) => ` ${name}`.includes(` ${whole}`))) return 4;
    return 5;
  };
  return labels
    .map((label) => ({ label, rank: rank(label), records: label.training_records ?? 0 }))
    .filter((found) => found.rank >= 0)
    .sort((a, b) => a.rank - b.rank || b.records - a.records)
    .map((found) => found.label);
}
