// Probabilities of whole numbers as integer tables: see the module pfnr_runtime.coding.laplace.

export const CLASSES = 64;
export const SYMBOLS = 256;
export const ESCAPE = 255;
export const PRECISION = 14;
const MOST = 127;
const UNIT = 1n << 60n;
const QUARTERS = [1n << 32n, 5107605667n, 6074001000n, 7223245205n];

let made = null;

// frequency and start of every symbol of every class, the symbol of every slot, the largest magnitude with a symbol.
export function tables() {
  return (made ??= make());
}

function make() {
  const frequency = new Uint16Array(CLASSES * SYMBOLS);
  const start = new Uint16Array(CLASSES * SYMBOLS);
  const symbol = new Uint8Array(CLASSES << PRECISION);
  const largest = new Uint8Array(CLASSES);
  for (let c = 0; c < CLASSES; c++) {
    let at = 0;
    const counts = frequencies(c);
    counts.forEach((count, s) => {
      frequency[c * SYMBOLS + s] = count;
      start[c * SYMBOLS + s] = at;
      symbol.fill(s, (c << PRECISION) + at, (c << PRECISION) + at + count);
      at += count;
    });
    largest[c] = counts.slice(0, ESCAPE).filter((count) => count).length >> 1;
  }
  return { frequency, start, symbol, largest };
}

function frequencies(c) {
  const mean = QUARTERS[c & 3] << BigInt(17 + (c >> 2));
  const s = ((root(UNIT * UNIT + 4n * mean * mean) - UNIT) * UNIT) / (2n * mean);
  const square = (s * s) / UNIT;
  const share = (part) => Number(((part << BigInt(PRECISION)) + UNIT / 2n) / UNIT);
  const counts = new Array(SYMBOLS).fill(0);
  let one = (s * (UNIT - square)) / (2n * UNIT);
  let tail = s;
  for (let k = 1; k <= MOST && share(one); k++) {
    counts[2 * k - 1] = counts[2 * k] = share(one);
    one = (one * square) / UNIT;
    tail = (tail * square) / UNIT;
  }
  counts[ESCAPE] = Math.max(1, share(tail));
  counts[0] = (1 << PRECISION) - counts.reduce((a, b) => a + b);
  return counts;
}

// The whole part of a square root.
function root(n) {
  let x = 1n << BigInt((n.toString(2).length + 1) >> 1);
  for (let y = (x + n / x) >> 1n; y < x; y = (x + n / x) >> 1n) x = y;
  return x;
}
