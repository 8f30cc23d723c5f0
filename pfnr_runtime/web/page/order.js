// The order of play: which frame is the k-th from where playback began, and when it is due.

import { timeOf } from "./times.js";

export class Order {
  #session;
  #from;
  #speed;

  constructor(session, from, speed, loop) {
    this.#session = session;
    this.#from = from;
    this.#speed = speed;
    this.count = loop ? Infinity : session.frames - from;
  }

  frame(k) {
    return (this.#from + k) % this.#session.frames;
  }

  // Seconds after the beginning of playback at which frame k is due; that of frame k + 1 is its end.
  due(k) {
    const { frames, seconds } = this.#session;
    const at = this.#from + k;
    const rounds = Math.floor(at / frames);
    return (rounds * seconds + timeOf(this.#session, at % frames) - timeOf(this.#session, this.#from)) / this.#speed;
  }

  // The first frame from k on that is still on screen at a moment; the last one at the latest.
  next(k, moment) {
    let low = k;
    let high = k + 1;
    while (high < this.count && this.due(high) <= moment) high = 2 * high - low;
    high = Math.min(high, this.count);
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.due(middle) <= moment) low = middle;
      else high = middle;
    }
    return low;
  }
}
