// The parts of a record: what it shows from when to when. A strip whose statements change on the way has several.

import { ROW_S, clock } from "./layout.js";

export const LEAST_S = 2.5; // of a part, and of a record
const TIMED = /^(.+)@(\d+\.?\d*)-(\d+\.?\d*)$/;
export const isTimed = (name) => TIMED.test(name);

// settings: {statements, then: [{at, statements}], duration}; the statements of `then` begin `at` s. Returns {from, to, statements} of each part.
export function partsOf({ statements, then = [], duration }) {
  const all = [{ at: 0, statements }, ...then];
  return all.map((part, k) => ({ from: part.at, to: all[k + 1]?.at ?? duration ?? ROW_S, statements: part.statements }));
}

// The statements of all parts, each once.
export const allOf = (settings) => [...new Set(partsOf(settings).flatMap(({ statements }) => statements))];

// With their times, as the service takes them: ["NORM+SR@0-30", "AFIB@30-60"]
export const timed = (settings, glue = "+") => partsOf(settings).map(({ from, to, statements }) => `${statements.join(glue)}@${from}-${to}`);

// What stands before the statements of a record, since nobody has found them in its signal.
export const told = ({ recorded = false }) => (recorded ? "Said to show" : "Asked for");

// In a line: "NORM SR, from 0:30 AFIB"
export const inLine = (parts, glue = " ") => parts.map(({ from, statements }) => `${from ? `from ${clock(from)} ` : ""}${statements.join(glue)}`).join(", ");

// {statements, then, duration} from what a link says: "NORM,SR@0-30,AFIB@30-60", where the times stand after the last statement
// of a part; null unless each part begins where the one before it ends.
export function fromTimed(names) {
  const parts = [];
  let [statements, end] = [[], 0];
  for (const name of names) {
    const [, code, from, to] = name.match(TIMED) ?? [];
    statements.push(code ?? name);
    if (!code) continue;
    if (Number(from) !== end || Number(to) - end < LEAST_S) return null;
    parts.push({ at: end, statements });
    [statements, end] = [[], Number(to)];
  }
  const [first, ...then] = parts;
  return statements.length ? null : { statements: first.statements, then, duration: end };
}
