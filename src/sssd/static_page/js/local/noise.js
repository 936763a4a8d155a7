// Standard normal noise as a pure function of (seed, record, step, element), as sssd/noise.py makes it: Philox-4x32-10
// (Salmon et al. 2011) and Box-Muller. A seed is a BigInt below 2^64, an index a whole number below 2^53.

const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57];
const WEYL = [0x9e3779b9, 0xbb67ae85];
const ROUNDS = 10;
const WORD = 2 ** 32;

// The high 32 bits of m x. Products of 32 and 16 bits are exact in a double.
function high(m, x) {
  const [upper, lower] = [m * (x >>> 16), m * (x & 0xffff)];
  return Math.floor((upper + Math.floor(lower / 65536)) / 65536) >>> 0;
}

// Four words of 32 random bits for a counter of four and a key of two words.
export function philox([c0, c1, c2, c3], [k0, k1]) {
  for (let round = 0; round < ROUNDS; round++) {
    const [high0, low0] = [high(MULTIPLIERS[0], c0), Math.imul(MULTIPLIERS[0], c0) >>> 0];
    const [high1, low1] = [high(MULTIPLIERS[1], c2), Math.imul(MULTIPLIERS[1], c2) >>> 0];
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    [k0, k1] = [(k0 + WEYL[0]) >>> 0, (k1 + WEYL[1]) >>> 0];
  }
  return [c0, c1, c2, c3];
}

const keyOf = (seed) => [Number(seed & 0xffffffffn), Number(seed >> 32n)];
const counter = (block, step, index) => [block, step, index % WORD, Math.floor(index / WORD)];

// `size` numbers of record `index` at a step.
export function normal(seed, index, step, size) {
  const key = keyOf(seed);
  const z = new Float32Array(4 * Math.ceil(size / 4));
  for (let block = 0; 4 * block < size; block++) {
    const words = philox(counter(block, step, index), key);
    for (const half of [0, 2]) {
      const radius = Math.sqrt(-2 * Math.log((words[half] + 0.5) / WORD));
      const angle = words[half + 1] * ((2 * Math.PI) / WORD);
      z[4 * block + half] = radius * Math.cos(angle);
      z[4 * block + half + 1] = radius * Math.sin(angle);
    }
  }
  return z.subarray(0, size);
}

// A whole number from 0 to below - 1; below is at most 2^21.
export const integer = (seed, index, step, below) => Math.floor((philox(counter(0, step, index), keyOf(seed))[0] * below) / WORD);
