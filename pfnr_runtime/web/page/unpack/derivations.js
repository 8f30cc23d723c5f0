// How a stored tensor is made from what its session learned: see pfnr_runtime.artifact.packed.derivations. To add a
// kind, add an entry to KINDS: how many numbers and reals it has, and a function that gives the tensor's values.

import { product } from "./bytes.js";
import { rint, sineAndCosine } from "./sine.js";

const MOST_SIDE = 65536;
const MOST_TABLE = 2 ** 23;
const MOST_SUMS = 2 ** 25;
const LARGEST_ANGLE = 2 ** 20;
// Kinds that compute a table; a file has at most so many of them.
const TABLES = [4, 5, 6, 7, 9];
const MOST_TABLES = 16;

// Each takes learned tensors ({ shape, values }), numbers, reals, and the shape to fill.
export const KINDS = {
  0: { numbers: 1, reals: 0, build: (sources, [source]) => learned(sources, source).values },
  1: { numbers: 2, reals: 0, build: subpixels },
  2: { numbers: 2, reals: 0, build: diagonal },
  3: { numbers: 2, reals: 0, build: repeated },
  4: { numbers: 2, reals: 2, build: (sources, numbers, reals, [frames]) => timeTable(frames, numbers, reals).flat() },
  5: { numbers: 6, reals: 2, build: stem },
  6: { numbers: 6, reals: 0, build: fourier },
  7: { numbers: 1, reals: 0, build: cosines },
  8: { numbers: 0, reals: 0, build: (sources, numbers, reals, shape) => Float32Array.from({ length: product(shape) }, (_, i) => i) },
  9: { numbers: 3, reals: 0, build: places },
};

export function readDerivation(source) {
  const kind = source.byte();
  if (!KINDS[kind]) throw new Error(`a derivation of kind ${kind}, which this page does not know; export an .onnx for it: pfnr-export v.pfnv -o v.onnx`);
  const numbers = Array.from({ length: KINDS[kind].numbers }, () => source.number());
  const reals = Array.from({ length: KINDS[kind].reals }, () => source.double());
  if (!reals.every(Number.isFinite)) throw new Error("a derivation from a number that is not finite");
  return { kind, numbers, reals };
}

export function checkTables(derivations) {
  const tables = derivations.filter(({ kind }) => TABLES.includes(kind)).length;
  if (tables > MOST_TABLES) throw new Error(`${tables} tables to compute; at most ${MOST_TABLES} are allowed`);
}

// The tensor as a new Float32Array.
export function build({ kind, numbers, reals }, sources, shape) {
  const made = Float32Array.from(KINDS[kind].build(sources, numbers, reals, shape));
  if (made.length !== product(shape)) throw new Error(`a tensor of ${made.length} values where the shape [${shape}] is needed`);
  return made;
}

function subpixels(sources, [source, stride]) {
  const { shape, values } = learned(sources, source);
  const groups = stride * stride;
  const rows = shape[0] / groups;
  if (!Number.isInteger(rows) || !rows) throw new Error(`a tensor of shape [${shape}] does not fall into ${groups} sub-pixels`);
  const length = values.length / shape[0];
  const made = new Float32Array(values.length);
  for (let row = 0; row < shape[0]; row++) {
    const from = (row % rows) * groups + Math.floor(row / rows);
    made.set(values.subarray(from * length, (from + 1) * length), row * length);
  }
  return made;
}

function diagonal(sources, [source, stride], reals, wanted) {
  const { shape, values } = learned(sources, source);
  const [rows, columns] = shape;
  const copies = stride * stride;
  if (shape.length !== 2 || values.length * copies ** 2 !== product(wanted)) throw new Error(`copies of a tensor of shape [${shape}] do not fill [${wanted}]`);
  const made = new Float32Array(product(wanted));
  for (let copy = 0; copy < copies; copy++) {
    for (let row = 0; row < rows; row++) {
      made.set(values.subarray(row * columns, (row + 1) * columns), ((copy * rows + row) * copies + copy) * columns);
    }
  }
  return made;
}

function repeated(sources, [source, stride], reals, shape) {
  const { values } = learned(sources, source);
  if (values.length * stride * stride !== product(shape)) throw new Error(`copies do not fill [${shape}]`);
  return Float32Array.from({ length: product(shape) }, (_, i) => values[i % values.length]);
}

function cosines(sources, [grid], reals, [frames, terms]) {
  if (!(Math.max(frames, terms) <= MOST_SIDE && frames * terms <= MOST_TABLE)) throw new Error("a table of cosines that is too large");
  const made = [];
  for (let f = 0; f < frames; f++) {
    for (let k = 0; k < terms; k++) {
      const turns = ((2 * f + 1) * k) % (4 * frames);
      made.push(k < frames ? onGrid(sineAndCosine((Math.PI * turns) / (2 * frames))[1], grid) : 0);
    }
  }
  return made;
}

// Cosines of time times a path, on a grid. No sum is inexact, in any order.
function places(sources, [source, grid, placeGrid], reals, [frames, axes]) {
  const { shape, values } = learned(sources, source);
  const terms = shape[1];
  if (shape.length !== 2 || shape[0] !== axes) throw new Error(`places on ${axes} axes from a path of shape [${shape}]`);
  if (!(frames * axes <= MOST_SUMS)) throw new Error(`places of ${frames} frames on ${axes} axes`);
  const rows = cosines(sources, [grid], reals, [frames, terms]);
  return Float32Array.from({ length: frames * axes }, (_, i) => {
    const [frame, axis] = [Math.floor(i / axes), i % axes];
    let sum = 0;
    for (let k = 0; k < terms; k++) sum += rows[frame * terms + k] * values[axis * terms + k];
    return onGrid(sum, placeGrid);
  });
}

// Rows of the time table, an array of numbers a frame.
function timeTable(frames, [levels, grid], [base, scalar]) {
  if (!(levels <= 256 && base > 1 && Math.PI * base ** (levels - 1) < LARGEST_ANGLE)) throw new Error("a time table whose angles are too large");
  if (!(4 * levels * frames <= MOST_TABLE)) throw new Error(`a time table of ${frames} frames; at most ${MOST_TABLE} values are allowed`);
  const powers = Array.from({ length: levels }, (_, i) => power(base, i) * Math.PI);
  const encoding = (position) => powers.flatMap((p) => sineAndCosine(position * p)).map((x) => onGrid(x, grid));
  const session = encoding(scalar);
  return Array.from({ length: frames }, (_, f) => [...encoding(f / frames), ...session]);
}

// base^i, rounded once: a float is a whole number times a power of two, and so are its powers.
function power(base, i) {
  let exponent = 0;
  for (; !Number.isInteger(base); base *= 2) exponent++;
  return Number(BigInt(base) ** BigInt(i)) / 2 ** (exponent * i);
}

function onGrid(x, grid) {
  return grid ? rint(x * 2 ** grid) / 2 ** grid : x;
}

// ReLU(rows · Wᵀ + b) of one layer or two for every frame. No sum is inexact, in any order.
function stem(sources, [levels, grid, ...layers], reals, [frames]) {
  let rows = timeTable(frames, [levels, grid], reals).map((row) => Float32Array.from(row));
  for (const [weight, bias] of [layers.slice(0, 2), layers.slice(2)]) {
    if (!weight) continue;
    const { shape, values } = learned(sources, weight - 1);
    if (!(rows.length * shape[0] <= MOST_SUMS)) throw new Error(`a table of ${rows.length} rows of ${shape[0]} values; ${MOST_SUMS} in all are allowed`);
    const offset = bias ? learned(sources, bias - 1).values : new Float32Array(shape[0]);
    if (shape[1] !== rows[0].length) throw new Error(`a layer of shape [${shape}] for rows of ${rows[0].length} values`);
    rows = rows.map((row) => offset.map((b, o) => {
      let sum = 0;
      for (let i = 0; i < row.length; i++) sum += row[i] * values[o * row.length + i];
      return Math.max(sum + b, 0);
    }));
  }
  return rows.flatMap((row) => [...row]);
}

// A matrix of a Fourier block: columns in, rows in, rows out, columns out.
function fourier(sources, [which, rows, columns, stride, negativeIn, negativeOut], reals, shape) {
  const [m1, m2, H, W] = [rows >> 1, columns >> 1, rows * stride, columns * stride];
  const wanted = [[2 * m2, columns], [4 * m1, 2 * rows], [2 * H, 8 * m1], [W, 2 * m2]][which];
  if (!wanted || Math.max(...shape) > MOST_SIDE || `${wanted}` !== `${shape}`) throw new Error(`a Fourier matrix of shape [${shape}]`);
  const angles = (left, right, period) => sineAndCosine((2 * Math.PI * ((left * right) % period)) / period);
  const kept = (k, negative) => (k < m1 ? k : negative + k - m1);
  const values = [
    (y, x) => {
      const [sine, cosine] = angles(y % m2, x, columns);
      return (y < m2 ? cosine : -sine) / (rows * columns);
    },
    (y, x) => {
      const [sine, cosine] = angles(kept(y >> 1, negativeIn), x >> 1, rows);
      return [cosine, sine, -sine, cosine][2 * (y & 1) + (x & 1)];
    },
    (y, x) => {
      const [sine, cosine] = angles(y >> 1, kept(x >> 2, negativeOut), H);
      return [cosine, -sine, -sine, -cosine, sine, cosine, cosine, -sine][4 * (y & 1) + (x & 3)];
    },
    (y, x) => {
      const [sine, cosine] = angles(y, x % m2, W);
      return (x < m2 ? cosine : -sine) * (x % m2 ? 2 : 1);
    },
  ][which];
  return Float32Array.from({ length: product(shape) }, (_, i) => values(Math.floor(i / shape[1]), i % shape[1]));
}

function learned(sources, index) {
  if (index >= sources.length) throw new Error(`learned tensor ${index} of ${sources.length}`);
  return sources[index];
}
