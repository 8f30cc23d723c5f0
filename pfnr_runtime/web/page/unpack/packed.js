// The packed video back to its .onnx: see docs/packed.md and the module pfnr_runtime.artifact.packed.file.

import { Bytes, inflate, joined } from "./bytes.js";
import { build, checkTables, readDerivation } from "./derivations.js";
import { sha256 } from "./sha256.js";
import { findHoles, modelParts } from "./skeleton.js";
import { decodeTensors } from "./tensors.js";

// Which dictionary each version has, and whether its .onnx ends with a seal.
const VERSIONS = { 1: { dictionary: 1, sealed: false }, 2: { dictionary: 2, sealed: true } };
const MOST_BYTES = 2 ** 28;
const MOST_RANK = 8;
// A text is a graph, a few thousand bytes, and tensors of whole numbers; deflate could make 1,032 bytes of one.
const LEAST_TEXT = 2 ** 20;
const TEXT_A_BYTE = 32;
const SEAL_BYTES = 81;

// The .onnx, proved by its digest. dictionaryOf: gives the dictionary of a number, deflated.
export async function unpack(data, dictionaryOf) {
  const source = new Bytes(data);
  source.take(4);
  const version = source.byte();
  const kind = VERSIONS[version];
  if (!kind) throw new Error(`version ${version}, and this page knows ${Object.keys(VERSIONS).join(" and ")}: run pfnr-web of the pfnr that packed it`);
  const digest = [...source.take(32)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const [size, textSize] = [source.number(), source.number()];
  if (Math.max(size, textSize) > MOST_BYTES) throw new Error(`a model of more than ${MOST_BYTES} bytes`);
  const dictionary = await inflate(await dictionaryOf(kind.dictionary), null, "deflate-raw");
  const squeezed = source.part();
  if (textSize > LEAST_TEXT + TEXT_A_BYTE * squeezed.length) throw new Error(`a text of ${textSize} bytes in ${squeezed.length}`);
  const text = new Bytes(await inflateAfter(dictionary, squeezed, textSize));
  const shapes = Array.from({ length: text.count() }, () => {
    const rank = text.number();
    if (rank > MOST_RANK) throw new Error(`a learned tensor of ${rank} axes`);
    return Array.from({ length: rank }, () => text.number());
  });
  const fills = Array.from({ length: text.count() }, () => readFill(text));
  checkTables(fills.map(({ derivation }) => derivation));
  const skeleton = text.take(text.left);
  const holes = findHoles(skeleton);
  if (holes.length !== fills.length) throw new Error(`${fills.length} derivations for ${holes.length} tensors`);
  if (skeleton.length + holes.reduce((sum, hole) => sum + 4 * hole.size, 0) > size) throw new Error(`tensors that a model of ${size} bytes has no room for`);
  const values = await decodeTensors(source.take(source.left), shapes);
  const sources = values.map((own, i) => ({ shape: shapes[i], values: own }));
  const tensors = fills.map((fill, i) => filled(fill, sources, holes[i]));
  const parts = modelParts(skeleton, tensors);
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length + (kind.sealed ? SEAL_BYTES : 0) !== size) throw new Error(`a model of another size than ${size} bytes`);
  const model = joined(parts, size);
  if (kind.sealed) model.set(sealOf(model.subarray(0, length)), length);
  if (sha256(model) !== digest) throw new Error("what comes out is not what was packed");
  return model;
}

// The last entry of a model's metadata: the digest of what comes before it.
function sealOf(body) {
  return new TextEncoder().encode(`r\x4f\n\x0bpfnr_sha256\x12\x40${sha256(body)}`);
}

function readFill(text) {
  const derivation = readDerivation(text);
  let place = 0;
  const patches = Array.from({ length: text.count() }, () => {
    place += text.number();
    return { place, bytes: text.take(4) };
  });
  return { derivation, patches };
}

function filled({ derivation, patches }, sources, hole) {
  const tensor = build(derivation, sources, hole.shape);
  const bytes = new Uint8Array(tensor.buffer);
  for (const { place, bytes: value } of patches) {
    if (place >= hole.size) throw new Error(`a patch at place ${place} of ${hole.size}`);
    bytes.set(value, 4 * place);
  }
  return tensor;
}

// A raw deflate stream with a preset dictionary: the dictionary goes in front of it as a block that is stored as it
// is, since a browser's inflater knows no dictionaries.
async function inflateAfter(dictionary, packed, size) {
  const [low, high] = [dictionary.length & 255, dictionary.length >> 8];
  const stream = new Uint8Array(5 + dictionary.length + packed.length);
  stream.set([0, low, high, ~low, ~high]);
  stream.set(dictionary, 5);
  stream.set(packed, 5 + dictionary.length);
  return (await inflate(stream, dictionary.length + size, "deflate-raw")).subarray(dictionary.length);
}
