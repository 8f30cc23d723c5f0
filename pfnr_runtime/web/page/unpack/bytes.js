// Bytes read from the front, and numbers as LEB128: see the module pfnr_runtime.coding.numbers.

export class Bytes {
  #data;
  #at = 0;

  constructor(data) {
    this.#data = data;
  }

  get left() {
    return this.#data.length - this.#at;
  }

  // The next bytes, as a view.
  take(count) {
    if (count > this.left) throw new Error(`it ends too soon: ${count} bytes are needed and ${this.left} are left`);
    this.#at += count;
    return this.#data.subarray(this.#at - count, this.#at);
  }

  byte() {
    return this.take(1)[0];
  }

  number() {
    let value = 0;
    for (let unit = 1; ; unit *= 128) {
      const byte = this.byte();
      value += (byte & 127) * unit;
      if (value > Number.MAX_SAFE_INTEGER || unit > 2 ** 63) throw new Error("a number of more than 53 bits");
      if (byte < 128) return value;
    }
  }

  signed() {
    const value = this.number();
    return value % 2 ? -(value + 1) / 2 : value / 2;
  }

  part() {
    return this.take(this.number());
  }

  // A count of things that take a byte each at least.
  count() {
    const count = this.number();
    if (count > this.left) throw new Error(`${count} entries in ${this.left} bytes`);
    return count;
  }

  // Bits, the highest of a byte first, one a number.
  bits(count) {
    const packed = this.take(Math.ceil(count / 8));
    return Uint8Array.from({ length: count }, (_, i) => (packed[i >> 3] >> (7 - (i & 7))) & 1);
  }

  double() {
    const bytes = this.take(8);
    return new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0, true);
  }
}

export const product = (numbers) => numbers.reduce((a, b) => a * b, 1);

// A deflated stream of exactly so many bytes, or of any number where size is null. format: "deflate" (zlib) or
// "deflate-raw".
export async function inflate(packed, size, format) {
  const parts = [];
  let length = 0;
  const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream(format)).getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      parts.push(part.value);
      length += part.value.length;
      if (size !== null && length > size) throw new Error("longer than it says");
    }
  } catch (error) {
    throw new Error(`compressed data that is damaged (${error.message})`);
  }
  if (size !== null && length !== size) throw new Error(`compressed data of ${length} bytes where ${size} are needed`);
  return joined(parts, length);
}

export function joined(parts, length) {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
