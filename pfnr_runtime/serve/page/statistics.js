// The statistics of the player and of the server's decoding, once a second.

import { describe, failure } from "./player.js";

const SECONDS = 60;
const element = (id) => document.getElementById(id);

export class Statistics {
  #player;
  #history = [];

  constructor(player) {
    this.#player = player;
    setInterval(() => document.hidden || this.update(), 1000);
  }

  async update() {
    const player = this.#player;
    if (player.session !== null) this.#playback(player);
    try {
      const response = await fetch("/api/statistics");
      if (!response.ok) throw await failure(response);
      this.#server(await response.json());
      element("status").textContent = "";
    } catch (error) {
      element("status").textContent = describe(error);
    }
  }

  #playback(player) {
    const rate = player.rate;
    const lost = player.skipped + player.dropped + player.overtaken;
    const due = player.shown + lost;
    element("fps").textContent = player.playing ? rate.toFixed(1) : "paused";
    element("fps-note").textContent = `of ${tidy(player.session.fps * player.speed)}`;
    element("dropped").textContent = String(lost);
    element("dropped-note").textContent = due ? `${((100 * lost) / due).toFixed(1)} % of ${due}` : "none due";
    this.#history.push(rate);
    if (this.#history.length > SECONDS) this.#history.shift();
    this.#plot(Math.max(player.session.fps * player.speed, ...this.#history));
  }

  #plot(most) {
    const begin = SECONDS - this.#history.length;
    const points = this.#history.map((rate, i) => `${begin + i},${(19 - (18 * rate) / most).toFixed(2)}`);
    element("history-line").setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
    const area = points.length > 1 ? `M${begin},20L${points.join("L")}L${SECONDS - 1},20Z` : "";
    element("history-area").setAttribute("d", area);
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

function tidy(value) {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

function megabytes(bytes) {
  return tidy(bytes / 1e6);
}
