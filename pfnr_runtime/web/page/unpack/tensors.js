// Few bytes back to tensors: see the modules pfnr_runtime.coding.decode, header and slices.

import { Bytes, inflate, product } from "./bytes.js";
import { CLASSES, ESCAPE, tables } from "./laplace.js";
import { RunDecoder } from "./rans.js";
import { planes, ScaleModel, viewAxes } from "./scale_model.js";

const RAW = 0;
const ZERO = 1;
const CODED = 2;
const MOST_EXPONENT = 100;
const MOST_SHIFT = 24;
const MOST_WEIGHTS = 2 ** 26;
const LARGEST = 2 ** 24;
const LEAST_EIGHTHS = -4;

// Tensors of these shapes, as Float32Arrays.
export async function decodeTensors(data, shapes) {
  const sizes = shapes.map(product);
  if (!(sizes.reduce((a, b) => a + b, 0) <= MOST_WEIGHTS)) throw new Error(`more than ${MOST_WEIGHTS} coded weights`);
  const source = new Bytes(data);
  const headers = shapes.map((shape) => readHeader(source, shape));
  const escapes = new Bytes(source.part());
  const packed = source.part();
  const raw = 4 * headers.reduce((sum, { kind }, i) => sum + (kind === RAW ? sizes[i] : 0), 0);
  let values = raw || packed.length ? await inflate(packed, raw, "deflate") : packed;
  const coded = headers.filter(({ kind }) => kind === CODED);
  let low = source.bits(coded.reduce((sum, { shift, size }) => sum + shift * size, 0));
  if (!coded.length && source.left) throw new Error(`${source.left} bytes after the last coded weight`);
  const symbols = coded.length ? new RunDecoder(source.take(source.left), coded.reduce((sum, { size }) => sum + size, 0)) : null;
  const found = headers.map((header, i) => {
    const size = sizes[i];
    if (header.kind === RAW) {
      const own = values.slice(0, 4 * size);
      values = values.subarray(4 * size);
      return new Float32Array(own.buffer);
    }
    if (header.kind === ZERO) return new Float32Array(size);
    const own = readCoded(header, symbols, escapes, low);
    low = low.subarray(header.shift * header.size);
    const step = 2 ** header.exponent;
    return spread(header, Float32Array.from(own, (value) => value * step), size);
  });
  symbols?.finish();
  if (escapes.left) throw new Error("more escaped weights than symbols that ask for them");
  return found;
}

function readCoded(header, symbols, escapes, low) {
  const { axes, shift, size, settings } = header;
  const { largest } = tables();
  const model = new ScaleModel(settings, axes);
  const values = new Int32Array(size);
  for (const plane of planes(axes)) {
    const { classes, expected } = model.expect(plane);
    const found = symbols.run(classes);
    const own = new Float64Array(found.length);
    const differences = new Float64Array(found.length);
    for (let i = 0; i < found.length; i++) {
      const symbol = found[i];
      let difference = symbol % 2 ? (symbol + 1) / 2 : -symbol / 2;
      if (symbol === ESCAPE) {
        const number = escapes.number();
        const magnitude = Math.floor(number / 2) + 1 + largest[classes[i]];
        difference = number % 2 ? -magnitude : magnitude;
      }
      differences[i] = difference;
      own[i] = difference + expected[i];
      if (Math.abs(own[i]) > LARGEST) throw new Error(`a coded weight of more than ${LARGEST} steps`);
      values[plane.places[i]] = own[i];
    }
    model.learn(plane, own, differences);
  }
  if (!shift) return values;
  return values.map((value, i) => {
    let wide = value * 2 ** shift - 2 ** (shift - 1);
    for (let bit = 0; bit < shift; bit++) wide += low[i * shift + bit] * 2 ** (shift - 1 - bit);
    if (Math.abs(wide) > LARGEST) throw new Error(`a coded weight of more than ${LARGEST} steps`);
    return wide;
  });
}

function readHeader(source, shape) {
  const kind = source.byte();
  if (kind === RAW) return { kind };
  if (kind > CODED) throw new Error(`a coded tensor of kind ${kind}`);
  const exponent = source.signed();
  if (Math.abs(exponent) > MOST_EXPONENT) throw new Error(`a step of 2^${exponent}`);
  if (kind === ZERO) return { kind, exponent };
  const joined = shape.length < 3 ? shape : [shape[0], shape[1], product(shape.slice(2))];
  const flags = source.byte();
  if (flags >> joined.length) throw new Error("masks for axes that a tensor does not have");
  const masks = joined.map((length, axis) => ((flags >> axis) & 1 ? source.bits(length) : null));
  const kept = masks.some(Boolean) ? joined.map((length, axis) => (masks[axis] ? masks[axis].reduce((a, b) => a + b, 0) : length)) : shape;
  const [shift, base, split, counts] = [source.byte(), source.byte(), source.number(), source.byte()];
  if (shift > MOST_SHIFT || base >= CLASSES) throw new Error(`shift ${shift}, base ${base}`);
  if (split < 1 || (kept[0] ?? 1) % split) throw new Error(`an axis of ${kept[0]} split by ${split}`);
  const axes = viewAxes(kept, split);
  const powers = readEighths(source, counts >> 4, axes.length);
  const shares = readEighths(source, counts & 15, axes.length);
  return { kind, exponent, joined, masks, shift, axes, size: product(kept), settings: { base, powers, shares } };
}

function readEighths(source, count, axes) {
  let last = 0;
  return Array.from({ length: count }, () => {
    const byte = source.byte();
    const mask = byte >> 4;
    if (mask <= last || mask > 2 ** axes - 2) throw new Error(`set ${mask} of ${axes} axes`);
    last = mask;
    const set = Array.from({ length: axes }, (_, axis) => axis).filter((axis) => (mask >> axis) & 1);
    return [set, (byte & 15) + LEAST_EIGHTHS];
  });
}

// All values, with zeros where the slices that a header leaves out lie.
function spread({ joined, masks }, kept, size) {
  if (!masks.some(Boolean)) return kept;
  const values = new Float32Array(size);
  let places = [0];
  joined.forEach((length, axis) => {
    const next = [];
    for (const place of places) for (let i = 0; i < length; i++) if (!masks[axis] || masks[axis][i]) next.push(place * length + i);
    places = next;
  });
  places.forEach((place, i) => (values[place] = kept[i]));
  return values;
}
