// What to expect at a place of a tensor from what was decoded before it: see the modules pfnr_runtime.coding.places
// and pfnr_runtime.coding.scale_model.

import { product } from "./bytes.js";
import { CLASSES } from "./laplace.js";

const PARTS = 64;
const PLANE_ENDS = [1, 2, 3, 4];
for (let end = 6; end < 65; end += 2) PLANE_ENDS.push(end);
const PLACES_A_PLANE = 64;
const PRIOR = 2;
const FRACTION = 4096;
const FARTHEST = 32767;
const ROOTS = [65536, 77935, 92681, 110217];

// The axes along which a tensor of this shape is seen, its first one split.
export function viewAxes(shape, split) {
  const [first, ...others] = shape.length ? shape : [1];
  const joined = others.length > 1 ? [others[0], product(others.slice(1))] : others;
  return [...(split > 1 ? [first / split, split] : [first]), ...joined];
}

// The places in planes, in coding order: places, first, last.
export function planes(axes) {
  const size = product(axes);
  const part = residues(axes);
  const bounds = new Int32Array(PARTS + 1);
  for (const p of part) bounds[p + 1]++;
  for (let p = 0; p < PARTS; p++) bounds[p + 1] += bounds[p];
  const order = new Int32Array(size);
  const at = bounds.slice();
  for (let i = 0; i < size; i++) order[at[part[i]]++] = i;
  const ends = PLANE_ENDS.filter((end) => end * size >= PARTS * PLACES_A_PLANE);
  let first = 0;
  return (ends.length ? ends : [PARTS]).map((last) => {
    const plane = { places: order.subarray(bounds[first], bounds[last]), first, last };
    first = last;
    return plane;
  });
}

// The sum of the coordinates of every place, modulo PARTS.
function residues(lengths) {
  let found = new Uint8Array(1);
  for (const length of lengths) {
    const next = new Uint8Array(found.length * length);
    for (let i = 0, to = 0; i < found.length; i++) for (let j = 0; j < length; j++) next[to++] = (found[i] + j) % PARTS;
    found = next;
  }
  return found;
}

// Means of values at every coordinate along one set of axes.
class Means {
  #axes;
  #strides;
  #lengths;
  #residues;
  #others;
  #sum;
  #count;
  #prior;

  constructor(set, axes, prior, weight) {
    this.weight = weight;
    this.#lengths = set.map((axis) => axes[axis]);
    this.#strides = set.map((axis) => product(axes.slice(axis + 1)));
    this.#axes = set;
    this.#residues = residues(this.#lengths);
    this.#others = byPart(axes.filter((_, axis) => !set.includes(axis)));
    this.#sum = new Float64Array(this.#residues.length);
    this.#count = new Float64Array(this.#residues.length).fill(PRIOR);
    this.#prior = prior * PRIOR;
  }

  keys(places) {
    const keys = new Int32Array(places.length);
    for (let a = 0; a < this.#axes.length; a++) {
      const length = this.#lengths[a];
      const stride = this.#strides[a];
      for (let i = 0; i < keys.length; i++) keys[i] = keys[i] * length + (Math.floor(places[i] / stride) % length);
    }
    return keys;
  }

  logarithms() {
    const found = new Int32Array(this.#sum.length);
    for (let i = 0; i < found.length; i++) found[i] = logarithm(this.#sum[i] * FRACTION + this.#prior) - logarithm(this.#count[i]);
    return found;
  }

  means() {
    const found = new Float64Array(this.#sum.length);
    for (let i = 0; i < found.length; i++) found[i] = Math.floor((this.#sum[i] * FRACTION) / this.#count[i]);
    return found;
  }

  add(plane, keys, values) {
    for (let i = 0; i < keys.length; i++) this.#sum[keys[i]] += values[i];
    const added = new Float64Array(PARTS);
    for (let r = 0; r < PARTS; r++) for (let p = plane.first; p < plane.last; p++) added[r] += this.#others[(p - r + PARTS) % PARTS];
    for (let i = 0; i < this.#count.length; i++) this.#count[i] += added[this.#residues[i]];
  }
}

// How many places of these axes lie in each part.
function byPart(lengths) {
  let counts = new Float64Array(PARTS);
  counts[0] = 1;
  for (const length of lengths) {
    const along = new Float64Array(PARTS);
    for (let i = 0; i < length; i++) along[i % PARTS]++;
    counts = counts.map((_, i) => along.reduce((sum, n, j) => sum + n * counts[(i - j + PARTS) % PARTS], 0));
  }
  return counts;
}

// The model of one tensor while it is decoded.
export class ScaleModel {
  #base;
  #origin;
  #magnitudes;
  #values;
  #keys = [];

  // settings: base; powers and shares as [axes, eighths].
  constructor({ base, powers, shares }, axes) {
    const prior = Math.max(1, Math.floor((ROOTS[base & 3] * 2 ** (base >> 2)) / 2 ** 15));
    this.#base = base;
    this.#origin = logarithm(prior);
    this.#magnitudes = powers.map(([set, power]) => new Means(set, axes, prior, power));
    this.#values = shares.map(([set, share]) => new Means(set, axes, 0, share));
  }

  // Classes of the difference from the expected value, and that value.
  expect({ places }) {
    this.#keys = [...this.#magnitudes, ...this.#values].map((means) => means.keys(places));
    const change = new Int32Array(places.length);
    const value = new Float64Array(places.length);
    this.#magnitudes.forEach((means, m) => {
      const logarithms = means.logarithms();
      const keys = this.#keys[m];
      for (let i = 0; i < change.length; i++) change[i] += means.weight * (logarithms[keys[i]] - this.#origin);
    });
    this.#values.forEach((means, m) => {
      const expected = means.means();
      const keys = this.#keys[this.#magnitudes.length + m];
      for (let i = 0; i < value.length; i++) value[i] += means.weight * expected[keys[i]];
    });
    const classes = new Uint8Array(places.length);
    for (let i = 0; i < classes.length; i++) {
      const level = 4 * this.#base + ((change[i] + 4) >> 3) + 2;
      classes[i] = Math.min(Math.max(level >> 2, 0), CLASSES - 1);
      value[i] = Math.floor((value[i] + 4 * FRACTION) / (8 * FRACTION));
    }
    return { classes, expected: value };
  }

  // Count in what the places last expected hold, and how far that was off.
  learn(plane, values, differences) {
    if (this.#magnitudes.length) {
      const magnitudes = differences.map((d) => Math.min(Math.abs(d), FARTHEST));
      this.#magnitudes.forEach((means, m) => means.add(plane, this.#keys[m], magnitudes));
    }
    if (this.#values.length) {
      const near = values.map((v) => Math.min(Math.max(v, -FARTHEST), FARTHEST));
      this.#values.forEach((means, m) => means.add(plane, this.#keys[this.#magnitudes.length + m], near));
    }
  }
}

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);
const mantissas = sixteenths();

// The logarithm to base 2 of a whole number from 1, in sixteenths, rounded down to a mantissa of 10 bits.
function logarithm(number) {
  double[0] = number;
  return (((words[1] >>> 20) & 2047) - 1022) * 16 + mantissas[(words[1] >>> 10) & 1023];
}

function sixteenths() {
  return Int8Array.from({ length: 1024 }, (_, i) => {
    let part = 15n;
    while (BigInt(1024 + i) ** 16n < 1n << (160n + part)) part--;
    return Number(part) - 16;
  });
}
