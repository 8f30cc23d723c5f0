// An .onnx as protobuf fields: its metadata, and a model put together from its skeleton and the tensors that it lacks.

import { product } from "./bytes.js";

const GRAPH = 7; // in a model
const METADATA = 14;
const INITIALISER = 5; // in a graph
const DIMS = 1; // in a tensor
const DATA_TYPE = 2;
const NAME = 8;
const RAW = 9;
const FLOAT = 1;
const LEAST_VALUES = 16; // smaller tensors stay in the skeleton
const MOST_FIELDS = 2000000;

// The text under a key of a model's metadata.
export function metadata(model, key) {
  for (const item of fields(model)) {
    if (item.number !== METADATA) continue;
    const pair = {};
    for (const part of fields(item.data)) pair[part.number] = part.data;
    if (pair[1] && text(pair[1]) === key) return text(pair[2] ?? new Uint8Array());
  }
  throw new Error(`it has no metadata called ${key}`);
}

// What a skeleton lacks, in file order: name, shape, size.
export function findHoles(skeleton) {
  const holes = [];
  for (const graph of fields(skeleton)) {
    if (graph.number !== GRAPH) continue;
    for (const item of fields(graph.data)) {
      const hole = item.number === INITIALISER && holeOf(item.data);
      if (hole) holes.push(hole);
    }
  }
  return holes;
}

// The model whose holes these tensors fill (Float32Arrays in the order of findHoles), in parts.
export function modelParts(skeleton, tensors) {
  const left = tensors.values();
  const withValues = (tensor) => {
    if (!holeOf(tensor)) return [tensor];
    return [tensor, ...message(RAW, [new Uint8Array(left.next().value.buffer)])];
  };
  return rewritten(skeleton, GRAPH, (graph) => rewritten(graph, INITIALISER, withValues));
}

// A message in parts, with the content of every field of one number replaced by parts.
function rewritten(data, number, parts) {
  const found = [];
  for (const item of fields(data)) {
    if (item.number === number) found.push(...message(number, parts(item.data)));
    else found.push(item.whole);
  }
  return found;
}

function message(number, parts) {
  return [Uint8Array.from([...varint((number << 3) | 2), ...varint(total(parts))]), ...parts];
}

const total = (parts) => parts.reduce((sum, part) => sum + part.length, 0);

function varint(value) {
  const bytes = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return [...bytes, value];
}

function holeOf(tensor) {
  const shape = [];
  let kind = 0;
  for (const { number, value, data } of fields(tensor)) {
    if (number === DIMS && data) for (let at = { i: 0 }; at.i < data.length; ) shape.push(readVarint(data, at));
    else if (number === DIMS) shape.push(value);
    else if (number === DATA_TYPE) kind = value;
    else if (number !== NAME) return null; // RAW: it keeps its values
  }
  const size = product(shape);
  if (kind !== FLOAT || size < LEAST_VALUES) return null;
  if (!(size < 2 ** 31)) throw new Error("a tensor of an impossible shape");
  return { shape, size };
}

const text = (bytes) => new TextDecoder("utf-8", { fatal: true }).decode(bytes);

// The fields of a message: number; value of a number, or data of bytes; whole with its tag.
function* fields(data) {
  const at = { i: 0 };
  for (let count = 0; at.i < data.length; count++) {
    if (count > MOST_FIELDS) throw new Error(`more than ${MOST_FIELDS} fields`);
    const start = at.i;
    const tag = readVarint(data, at);
    const [number, wire] = [Math.floor(tag / 8), tag % 8];
    const found = { number };
    if (wire === 0) found.value = readVarint(data, at);
    else {
      const length = { 1: () => 8, 2: () => readVarint(data, at), 5: () => 4 }[wire]?.();
      if (length === undefined || number === 0) throw new Error(`a field that no .onnx has at byte ${start}`);
      if (length > data.length - at.i) throw new Error(`it ends inside a field at byte ${start}`);
      if (wire === 2) found.data = data.subarray(at.i, at.i + length);
      at.i += length;
    }
    found.whole = data.subarray(start, at.i);
    yield found;
  }
}

function readVarint(data, at) {
  let value = 0;
  for (let unit = 1; at.i < data.length && unit < 2 ** 70; unit *= 128) {
    const byte = data[at.i++];
    value += (byte & 127) * unit;
    if (byte < 128) return value;
  }
  throw new Error("it ends inside a number");
}
