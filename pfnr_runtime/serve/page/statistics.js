// The statistics of the player and of the server's decoding, once a second.

import { element } from "./controls.js";
import { Meter, tidy } from "./meter.js";
import { describe, failure } from "./player.js";

export class Statistics {
  #player;
  #meter = new Meter();

  constructor(player) {
    this.#player = player;
    setInterval(() => document.hidden || this.update(), 1000);
  }

  async update() {
    const player = this.#player;
    if (player.session !== null) this.#meter.update(player, player.skipped + player.dropped + player.overtaken);
    try {
      const response = await fetch("/api/statistics");
      if (!response.ok) throw await failure(response);
      this.#server(await response.json());
      element("status").textContent = "";
    } catch (error) {
      element("status").textContent = describe(error);
    }
  }

  #server({ backends, decoding, cache, streams }) {
    const names = [...new Set(backends.map((backend) => backend.name))];
    const { median, p95 } = decoding.decode_ms;
    element("decode").textContent = decoding.decoded ? `${tidy(median)} ms` : "–";
    element("decode-note").textContent = decoding.decoded ? `p95 ${tidy(p95)} ms` : "";
    element("backend").textContent = names.join(", ");
    element("engine").textContent = [...new Set(backends.map((backend) => backend.description))].join("; ");
    const asked = cache.hits + cache.misses;
    const share = asked ? `, ${Math.round((100 * cache.hits) / asked)} % hits` : "";
    element("cache").textContent = `${megabytes(cache.bytes)} of ${megabytes(cache.capacity)} MB${share}`;
    element("streams").textContent = `${streams.length} open, ${decoding.fps.toFixed(1)} frames per second decoded`;
  }
}

function megabytes(bytes) {
  return tidy(bytes / 1e6);
}
