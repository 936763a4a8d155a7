// The command that makes the same record in a shell.

export function inShell({ statements, exact, quality, sampler, steps, eta, seed, duration, age, sex, heart_rate }, model) {
  const builtIn = (model?.name ?? "builtin") === "builtin";
  const how = builtIn ? [] : [`--checkpoint '${model.name}'`];
  if (quality) how.push(`--quality ${quality}`);
  else {
    how.push(`--sampler ${sampler}`, sampler === "ddpm" ? "" : `--steps ${steps}`);
    if (sampler === "ddim") how.push(`--eta ${eta}`);
  }
  if (duration) how.push(`--duration ${duration}`);
  if (age !== null) how.push(`--age ${age}`);
  if (sex) how.push(`--sex ${sex}`);
  if (heart_rate !== null) how.push(`--heart-rate ${heart_rate}`);
  if (exact) how.push("--exact");
  if (model) how.push(`--precision ${model.precision}`);
  return `sssd-ecg generate --label '${statements.join("+")}' ${how.filter(Boolean).join(" ")} --seed ${seed} --out ecg`;
}
