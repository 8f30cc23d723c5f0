// Interleaved rANS: see the module pfnr_runtime.coding.rans.

import { PRECISION, SYMBOLS, tables } from "./laplace.js";

const LOW = 65536;
const DAMAGED = "the coded weights do not end where they should, so they are damaged";

export class RunDecoder {
  #lanes;
  #state;
  #words;
  #next = 0;

  // symbols: of all runs together.
  constructor(data, symbols) {
    this.#lanes = Math.max(4, Math.min(4096, 1 << (31 - Math.clz32(Math.max(Math.floor(symbols / 4096), 1)))));
    if (data.length < 4 * this.#lanes || data.length % 2) throw new Error(`coded weights of ${data.length} bytes, which no stream of ${symbols} symbols has`);
    const copy = data.slice().buffer; // aligned
    this.#state = new Uint32Array(copy, 0, this.#lanes);
    this.#words = new Uint16Array(copy, 4 * this.#lanes);
    if (this.#state.some((x) => x < LOW)) throw new Error("the coded weights begin with an impossible state");
  }

  // The symbols of a run, of these classes.
  run(classes) {
    const { frequency, start, symbol } = tables();
    const symbols = new Uint8Array(classes.length);
    const last = this.#lanes - 1;
    for (let i = 0; i < classes.length; i++) {
      const lane = i & last;
      const x = this.#state[lane];
      const slot = x & ((1 << PRECISION) - 1);
      const found = symbol[(classes[i] << PRECISION) + slot];
      const key = classes[i] * SYMBOLS + found;
      let y = frequency[key] * (x >>> PRECISION) + slot - start[key];
      if (y < LOW) {
        if (this.#next === this.#words.length) throw new Error("the coded weights end too soon");
        y = y * LOW + this.#words[this.#next++];
      }
      this.#state[lane] = y;
      symbols[i] = found;
    }
    return symbols;
  }

  finish() {
    if (this.#next !== this.#words.length || this.#state.some((x) => x !== LOW)) throw new Error(DAMAGED);
  }
}
