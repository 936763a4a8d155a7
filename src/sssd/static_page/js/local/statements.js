// Statements: their names, those that are drawn beside the chosen ones, and what is unusual together. The rules are those
// of sssd/labels.py and sssd/mix.py, the numbers come from them.

import { uniforms } from "./generator.js";

const TEMPER = 0.6;
const LIKELIEST = 0.97;
const [RARE, MANY, NAMED, UNLIKELY] = [20, 6, 3, 0.1];

export const spelled = (name) => name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();

// A function that gives the number of the statement with a name, which may be a description or an alias; -1 if none has it.
export function finder(labels) {
  const names = new Map(labels.map(({ name }, i) => [spelled(name), i]));
  for (const [i, { description, aliases }] of labels.entries())
    for (const name of [description, ...aliases]) if (name && !names.has(spelled(name))) names.set(spelled(name), i);
  return (name) => names.get(spelled(name)) ?? -1;
}

// The numbers of all statements of a record: those asked for, and those drawn beside them. together: sssd.labels.together.
export function complete(asked, together, seed, index) {
  const random = uniforms(seed, index);
  let present = [...asked].sort((a, b) => a - b);
  const size = choose(sizeWeights(present, together), random);
  const add = (weights) => {
    if (weights.some((w) => w)) present = [...present, choose(weights, random)].sort((a, b) => a - b);
  };
  if (size > present.length && !present.some((k) => together.rhythm[k])) {
    const rhythm = probability(present, together).map((p, k) => (together.rhythm[k] ? p : 0));
    if (random() < sum(rhythm)) add(rhythm.map((p, k) => p * together.size_ratio[k][size]));
  }
  while (present.length < size) {
    const before = present;
    add(probability(present, together).map((p, k) => (p / (1 - p)) * together.size_ratio[k][size]));
    if (present === before) break;
  }
  return [...new Set(present)];
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

function choose(weights, random) {
  let total = 0;
  const cumulative = weights.map((w) => (total += w));
  const at = random() * total;
  const found = cumulative.findIndex((c) => c > at);
  return found < 0 ? weights.length : found;
}

function sizeWeights(present, { log_size, log_size_with }) {
  const m = present.length;
  const last = log_size.length - 1;
  if (m > last) return log_size.map((_, n) => Number(n === last));
  const log = log_size.map((l, n) => l + sum(present.map((s) => log_size_with[s][n] - l)));
  const least = Math.max(m, 1);
  const most = Math.max(...log.slice(least));
  return log.map((l, n) => {
    let distinct = 1;
    for (let k = 0; k < m; k++) distinct *= (n - k) / Math.max(n, 1);
    return n >= least ? Math.exp(l - most) * distinct : 0;
  });
}

// log_lift is null where it is minus infinity.
function probability(present, { log_share, log_lift }) {
  const gamma = present.length <= 1 ? 1 : TEMPER;
  return log_share.map((share, j) => {
    if (present.includes(j)) return 0;
    return Math.min(Math.exp(share + gamma * sum(present.map((s) => log_lift[s][j] ?? -Infinity))), LIKELIEST);
  });
}

// Sentences about statements, given by their codes, that recordings hardly carry together. mix: {codes, rows: the numbers
// of the statements of each different label vector, counts: of recordings that carry it, rates: of statements, {statement,
// sign, limit, expected}}. rate: the heart rate that is asked for, or null.
export function hints(asked, rate, { codes, rows, counts, rates }) {
  const statements = [...new Set(asked)];
  const carrying = (some) => {
    const numbers = some.map((code) => codes.indexOf(code));
    return sum(rows.map((row, i) => (numbers.every((k) => row.includes(k)) ? counts[i] : 0)));
  };
  const total = sum(counts);
  const alone = new Map(statements.map((code) => [code, carrying([code])]));
  const said = (n, what) => `${n || "None"} of ${total} recordings of PTB-XL ${n > 1 ? "carry" : "carries"} ${what}`;
  const learnt = statements.filter((code) => alone.get(code) >= RARE);
  const seldom = learnt
    .flatMap((one, i) => learnt.slice(i + 1).map((other) => [one, other]))
    .map(([one, other]) => ({ both: carrying([one, other]), chance: (alone.get(one) * alone.get(other)) / total, pair: `both ${one} and ${other}` }))
    .filter(({ both, chance }) => both < Math.max(RARE, UNLIKELY * chance))
    .sort((a, b) => a.both - b.both || (a.pair < b.pair ? -1 : 1));
  const broken = rates.filter(({ statement, sign, limit }) => rate !== null && statements.includes(statement) && !(sign === ">" ? rate > limit : rate < limit));
  const told = broken.map(({ statement, expected }) => `${statement} is a rate of ${expected} /min, and ${rate} /min is asked for`);
  told.push(...seldom.slice(0, NAMED).map(({ both, pair }) => said(both, pair)));
  if (seldom.length > NAMED) told.push(`${seldom.length - NAMED} more of these pairs hardly ever occur together`);
  const together = statements.length ? carrying(statements) : total;
  if (statements.length > 2 && !seldom.length && together < RARE && RARE <= Math.min(...alone.values())) told.push(said(together, `all of ${statements.join(", ")}`));
  if (statements.length > MANY) {
    const mean = sum(rows.map((row, i) => row.length * counts[i])) / total;
    const more = sum(rows.map((row, i) => (row.length > MANY ? counts[i] : 0)));
    told.push(`${statements.length} statements are many: recordings carry ${mean.toFixed(1)} on average, and ${more} of ${total} of PTB-XL carry more than ${MANY}`);
  }
  return told;
}
