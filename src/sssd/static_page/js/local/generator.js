// NumPy's generator for a seed and the number of a record, as sssd/labels.py draws statements with it: SeedSequence, then
// PCG64 (O'Neill 2014). It gives few numbers, so it may be slow.

const [M64, M128] = [2n ** 64n - 1n, 2n ** 128n - 1n];
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;
const POOL = 4; // words of 32 bits

// The state of a SeedSequence of four words of 32 bits: eight words.
function state(entropy) {
  let hash = 0x43b0d7e5;
  const hashed = (value) => {
    value ^= hash;
    hash = Math.imul(hash, 0x931e8875);
    value = Math.imul(value, hash);
    return value ^ (value >>> 16);
  };
  const pool = entropy.map(hashed);
  for (let from = 0; from < POOL; from++)
    for (let to = 0; to < POOL; to++)
      if (from !== to) {
        const mixed = (Math.imul(0xca01f9dd, pool[to]) - Math.imul(0x4973f715, hashed(pool[from]))) | 0;
        pool[to] = mixed ^ (mixed >>> 16);
      }
  hash = 0x8b51f9dd;
  return Array.from({ length: 2 * POOL }, (_, i) => {
    let value = pool[i % POOL] ^ hash;
    hash = Math.imul(hash, 0x58f38ded);
    value = Math.imul(value, hash);
    return (value ^ (value >>> 16)) >>> 0;
  });
}

// A function that gives uniform numbers from 0 to below 1. seed: a BigInt below 2^64; index: a whole number below 2^53.
export function uniforms(seed, index) {
  const number = BigInt(index);
  const words = [seed & 0xffffffffn, seed >> 32n, number & 0xffffffffn, number >> 32n].map((word) => Number(word) | 0);
  const [a, b, c, d] = (() => {
    const s = state(words).map(BigInt);
    return [0, 2, 4, 6].map((i) => s[i] | (s[i + 1] << 32n));
  })();
  const increment = ((((c << 64n) | d) << 1n) | 1n) & M128;
  let now = (increment + ((a << 64n) | b)) & M128;
  const advance = () => (now = (now * MULTIPLIER + increment) & M128);
  advance();
  return () => {
    advance();
    const [folded, turn] = [((now >> 64n) ^ now) & M64, now >> 122n];
    const turned = ((folded >> turn) | (folded << (64n - turn))) & M64;
    return Number(turned >> 11n) / 2 ** 53;
  };
}
