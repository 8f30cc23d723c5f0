// What every page has around its player: the bar, the buttons, the keys, the list of sessions.

import { frameAfter, timeOf } from "./times.js";

export const element = (id) => document.getElementById(id);

export function make(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

export function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
}

// Display aspect ratio, width over height.
export function aspect(session) {
  const [above, below = 1] = session.video.sample_aspect.split("/").map(Number);
  return (session.width * above) / (session.height * below);
}

export function complain(message) {
  element("error").textContent = message;
  element("error").hidden = message === "";
}

export class Controls {
  sessions = [];
  #player;
  #resume = false; // whether it played before the bar was dragged

  constructor(player) {
    this.#player = player;
    element("seek").addEventListener("input", (event) => {
      this.#resume ||= player.playing;
      player.pause();
      player.seek(event.target.valueAsNumber);
    });
    element("seek").addEventListener("change", () => {
      if (this.#resume) player.play();
      this.#resume = false;
    });
    const clicks = { play: this.#keys[" "], back: this.#keys[","], next: this.#keys["."], loop: this.#keys.l };
    Object.assign(clicks, { full: this.#keys.f, help: this.#keys["?"], picture: this.#keys[" "] });
    for (const [id, act] of Object.entries(clicks)) element(id).addEventListener("click", () => act());
    element("speed").addEventListener("change", (event) => player.set("speed", Number(event.target.value)));
    document.addEventListener("keydown", (event) => this.#press(event));
    player.addEventListener("change", () => player.session && this.#show());
    player.addEventListener("drawn", () => element("error").hidden || complain(""));
    player.addEventListener("failed", (event) => complain(event.detail));
  }

  // List the sessions, and choose the one that the address names. picture: what stands for one in the list.
  list(sessions, picture = () => "") {
    this.sessions = sessions;
    element("about").textContent = [...new Set(sessions.map((session) => session.file))].join(", ");
    element("count").textContent = String(sessions.length);
    element("sessions").replaceChildren(...sessions.map((session) => this.#entry(session, picture(session))));
    const [, number, frame] = /^#(\d{1,9})(?:\/(\d{1,9}))?$/.exec(location.hash) ?? [];
    const chosen = sessions.find((session) => session.session === Number(number)) ?? sessions[0];
    this.choose(chosen, Number(frame ?? 0));
  }

  choose(session, frame = 0) {
    complain("");
    element("seek").max = session.frames - 1;
    for (const button of element("sessions").querySelectorAll("button")) {
      const here = button.dataset.session === String(session.session);
      if (here) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    element("video").replaceChildren(...details(session));
    element("picture").style.aspectRatio = String(aspect(session));
    document.title = `${session.name} – pfnr`;
    this.#player.switch(session, frame);
  }

  #entry(session, picture) {
    const button = make("button", { type: "button" });
    const number = make("span", { className: "number", textContent: session.session });
    number.setAttribute("aria-label", `Session ${session.session}`);
    const name = make("span", { className: "name", textContent: session.name });
    const about = `${clock(session.seconds)} · ${session.frames} frames`;
    button.append(number, picture, name, make("span", { className: "about", textContent: about }));
    button.dataset.session = session.session;
    button.addEventListener("click", () => this.choose(session));
    const item = make("li", {});
    item.append(button);
    return item;
  }

  #show() {
    const { session, frame, playing } = this.#player;
    const seek = element("seek");
    seek.value = frame;
    seek.style.setProperty("--done", `${session.frames > 1 ? (100 * frame) / (session.frames - 1) : 100}%`);
    const place = `${clock(timeOf(session, frame))} / ${clock(session.seconds)}`;
    seek.setAttribute("aria-valuetext", `frame ${frame} of ${session.frames}, ${place}`);
    element("place").textContent = `${place} · frame ${frame}`;
    element("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    element("play").classList.toggle("playing", playing);
    element("loop").setAttribute("aria-pressed", String(this.#player.loop));
    element("speed").value = String(this.#player.speed);
    if (!playing) history.replaceState(null, "", `#${session.session}/${frame}`);
  }

  #keys = {
    " ": () => (this.#player.playing ? this.#player.pause() : this.#player.play()),
    ".": () => this.#player.step(1),
    ",": () => this.#player.step(-1),
    ArrowRight: (shift) => this.#seekBy(shift ? 1 : 5),
    ArrowLeft: (shift) => this.#seekBy(shift ? -1 : -5),
    Home: () => this.#player.seek(0),
    "[": () => this.#changeSpeed(-1),
    "]": () => this.#changeSpeed(1),
    Backspace: () => this.#player.set("speed", 1),
    l: () => this.#player.set("loop", !this.#player.loop),
    n: () => this.#neighbour(1),
    p: () => this.#neighbour(-1),
    s: () => element("save").click(),
    f: () => (document.fullscreenElement ? document.exitFullscreen() : element("player").requestFullscreen()),
    "?": () => element("keys").showModal(),
  };

  #press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || element("keys").open || !this.#player.session) return;
    // The focused control keeps the keys that it uses.
    const own = { INPUT: /^(Arrow.*|Home|End|Page.*)$/, SELECT: /^([ \w]|Arrow.*|Home|End)$/, BUTTON: /^ $/, A: /^ $/ };
    if (own[event.target.tagName]?.test(event.key)) return;
    const session = this.sessions.find((each) => String(each.session) === event.key);
    if (session) this.choose(session);
    else if (Object.hasOwn(this.#keys, event.key)) this.#keys[event.key](event.shiftKey);
    else return;
    event.preventDefault();
  }

  #changeSpeed(direction) {
    const select = element("speed");
    const at = Math.min(Math.max(select.selectedIndex + direction, 0), select.options.length - 1);
    this.#player.set("speed", Number(select.options[at].value));
  }

  #neighbour(offset) {
    const at = this.sessions.indexOf(this.#player.session);
    this.choose(this.sessions[(at + offset + this.sessions.length) % this.sessions.length]);
  }

  #seekBy(seconds) {
    this.#player.seek(frameAfter(this.#player.session, this.#player.frame, seconds));
  }
}

function details(session) {
  const { video, quality } = session;
  const measured = Object.entries(quality).map(([name, value]) => {
    if (name === "psnr") return `PSNR ${value.toFixed(2)} dB`;
    return `${name.toUpperCase().replace("_", "-")} ${value.toFixed(4)}`;
  });
  const rows = [
    ["name", session.name],
    ["size", `${session.width}×${session.height}`],
    ["rate", `${Number(session.fps.toFixed(3))} frames per second${video.times ? ", uneven" : ""}`],
    ["length", `${session.frames} frames, ${clock(session.seconds)}`],
    ["source", video.source],
    ["colour", colour(video.colour)],
    ["precision", session.precision],
    ["quality", measured.join(", ")],
    ["file", session.file],
  ];
  return rows.filter(([, text]) => text).map(([name, text]) => {
    const row = make("div", {});
    row.append(make("dt", { textContent: name }), make("dd", { textContent: text }));
    return row;
  });
}

function colour({ matrix, range, transfer, primaries }) {
  const parts = [matrix, `${range} range`, transfer && `transfer ${transfer}`, primaries && `primaries ${primaries}`];
  return parts.filter(Boolean).join(", ");
}
