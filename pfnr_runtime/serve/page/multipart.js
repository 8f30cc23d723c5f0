// A multipart body as it arrives: one part after another, each {headers: Map, data: Uint8Array}.

const decoder = new TextDecoder();
const HEAD_END = [13, 10, 13, 10];

export async function* readParts(body) {
  const input = new Input(body.getReader());
  try {
    for (;;) {
      const head = await input.until(HEAD_END);
      if (head === null) return;
      const headers = new Map();
      for (const line of decoder.decode(head).split("\r\n")) {
        const colon = line.indexOf(":");
        if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
      }
      const data = await input.take(Number(headers.get("content-length")));
      if (data === null) return;
      yield { headers, data };
    }
  } finally {
    input.cancel();
  }
}

// Bytes of a stream, gathered until there are enough of them.
class Input {
  #reader;
  #chunks = [];
  #length = 0;

  constructor(reader) {
    this.#reader = reader;
  }

  // The bytes up to a pattern, which is consumed too; null at the end of the stream.
  async until(pattern) {
    for (;;) {
      const joined = this.#join();
      const at = find(joined, pattern);
      if (at >= 0) {
        this.#put(joined.subarray(at + pattern.length));
        return joined.subarray(0, at);
      }
      if (!(await this.#more())) return null;
    }
  }

  // Exactly `count` bytes; null where the stream ends before.
  async take(count) {
    while (this.#length < count) if (!(await this.#more())) return null;
    const joined = this.#join();
    this.#put(joined.subarray(count));
    return joined.subarray(0, count);
  }

  cancel() {
    this.#reader.cancel().catch(() => {});
  }

  async #more() {
    const { done, value } = await this.#reader.read();
    if (done) return false;
    this.#chunks.push(value);
    this.#length += value.length;
    return true;
  }

  #join() {
    if (this.#chunks.length === 1) return this.#chunks[0];
    const joined = new Uint8Array(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      joined.set(chunk, at);
      at += chunk.length;
    }
    this.#put(joined);
    return joined;
  }

  #put(bytes) {
    this.#chunks = [bytes];
    this.#length = bytes.length;
  }
}

function find(bytes, pattern) {
  outer: for (let i = 0; i + pattern.length <= bytes.length; i++) {
    for (let k = 0; k < pattern.length; k++) if (bytes[i + k] !== pattern[k]) continue outer;
    return i;
  }
  return -1;
}
