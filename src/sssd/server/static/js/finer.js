// Band-limited interpolation for drawing, as in sssd/signals/interpolation.py: sinc with Lanczos' window. Samples keep
// their values.

const A = 6; // samples to either side that count
export const FINE = 5; // points for each sample

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const KERNELS = Array.from({ length: FINE }, (_, k) => {
  const weights = Array.from({ length: 2 * A }, (_, n) => sinc(k / FINE - n + A - 1) * sinc((k / FINE - n + A - 1) / A));
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / sum);
});

// The points of one lead of L samples: (L - 1) FINE + 1 of them. A point is missing (NaN) only where the sample before or
// after it is; in place of others that are missing, the nearer of these two counts.
export function finer(samples) {
  const last = samples.length - 1;
  const out = new Float32Array(last * FINE + 1);
  for (let i = 0; i <= last; i++) {
    out[i * FINE] = samples[i];
    for (let k = 1; k < FINE && i < last; k++) {
      let y = 0;
      for (let n = 0; n < 2 * A; n++) {
        const mv = samples[Math.min(Math.max(i + n - A + 1, 0), last)];
        y += KERNELS[k][n] * (mv === mv ? mv : samples[n < A ? i : i + 1]);
      }
      out[i * FINE + k] = y;
    }
  }
  return out;
}

const known = new WeakMap();

// The points of one lead, computed once for each array of samples.
export function finerLead(samples) {
  if (!known.has(samples)) known.set(samples, finer(samples));
  return known.get(samples);
}
