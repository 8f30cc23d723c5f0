// What the player did lately: frames per second, frames lost, and a curve over the last minute.

import { element } from "./controls.js";

const SECONDS = 60;

export class Meter {
  #history = [];

  // Call it once a second. lost: frames that were due and did not appear.
  update(player, lost) {
    const rate = player.rate;
    const due = player.shown + lost;
    const wanted = player.session.fps * player.speed;
    element("fps").textContent = player.playing ? rate.toFixed(1) : "paused";
    element("fps-note").textContent = `of ${tidy(wanted)}`;
    element("dropped").textContent = String(lost);
    element("dropped-note").textContent = due ? `${((100 * lost) / due).toFixed(1)} % of ${due}` : "none due";
    this.#history.push(rate);
    if (this.#history.length > SECONDS) this.#history.shift();
    this.#plot(Math.max(wanted, ...this.#history));
  }

  #plot(most) {
    const begin = SECONDS - this.#history.length;
    const points = this.#history.map((rate, i) => `${begin + i},${(19 - (18 * rate) / most).toFixed(2)}`);
    element("history-line").setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
    const area = points.length > 1 ? `M${begin},20L${points.join("L")}L${SECONDS - 1},20Z` : "";
    element("history-area").setAttribute("d", area);
  }
}

export function tidy(value) {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}
