// The command that makes the same record in a shell.

import { timed } from "./parts.js";

export function inShell(settings, model) {
  const { statements, then, exact, quality, sampler, steps, eta, seed, duration, age, sex, heart_rate } = settings;
  const builtIn = (model?.name ?? "builtin") === "builtin";
  const how = builtIn ? [] : [`--checkpoint '${model.name}'`];
  if (quality) how.push(`--quality ${quality}`);
  else {
    how.push(`--sampler ${sampler}`, sampler === "ddpm" ? "" : `--steps ${steps}`);
    if (sampler === "ddim") how.push(`--eta ${eta}`);
  }
  if (duration && !then.length) how.push(`--duration ${duration}`);
  if (age !== null) how.push(`--age ${age}`);
  if (sex) how.push(`--sex ${sex}`);
  if (heart_rate !== null) how.push(`--heart-rate ${heart_rate}`);
  if (exact) how.push("--exact");
  if (model) how.push(`--precision ${model.precision}`);
  const labels = then.length ? timed(settings) : [statements.join("+")];
  return `sssd-ecg generate ${labels.map((label) => `--label '${label}'`).join(" ")} ${how.filter(Boolean).join(" ")} --seed ${seed} --out ecg`;
}
