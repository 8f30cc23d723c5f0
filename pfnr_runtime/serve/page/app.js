// The page: sessions, controls and keys around one player.

import { aspect, describe, failure, Player } from "./player.js";
import { Statistics } from "./statistics.js";
import { frameAfter, timeOf } from "./times.js";

const element = (id) => document.getElementById(id);
const player = new Player(element("picture"));
const statistics = new Statistics(player);
let sessions = [];

async function start() {
  try {
    const response = await fetch("/api/sessions");
    if (!response.ok) throw await failure(response);
    const found = await response.json();
    sessions = found.sessions;
    element("damaged").textContent = found.damaged.map((reason) => `Left out: ${reason}`).join(" ");
  } catch (error) {
    complain(describe(error));
    return;
  }
  const files = [...new Set(sessions.map((session) => session.file))];
  element("about").textContent = files.join(", ");
  element("count").textContent = String(sessions.length);
  element("sessions").replaceChildren(...sessions.map(entry));
  const [, number, frame] = /^#(\d{1,9})(?:\/(\d{1,9}))?$/.exec(location.hash) ?? [];
  const chosen = sessions.find((session) => session.session === Number(number)) ?? sessions[0];
  choose(chosen, Number(frame ?? 0));
  statistics.update();
}

function entry(session) {
  const button = make("button", { type: "button" });
  const picture = make("img", {
    src: `${session.thumbnail}?v=${session.version}`,
    alt: "",
    loading: "lazy",
    width: session.width,
    height: session.height,
  });
  picture.style.aspectRatio = String(aspect(session));
  const name = make("span", { className: "name", textContent: session.name });
  const about = `${clock(session.seconds)} · ${session.frames} frames`;
  button.append(picture, name, make("span", { className: "about", textContent: about }));
  const number = make("span", { className: "number", textContent: session.session });
  number.setAttribute("aria-label", `Session ${session.session}`);
  button.prepend(number);
  button.dataset.session = session.session;
  button.addEventListener("click", () => choose(session));
  const item = make("li", {});
  item.append(button);
  return item;
}

function choose(session, frame = 0) {
  complain("");
  element("seek").max = session.frames - 1;
  for (const button of element("sessions").querySelectorAll("button")) {
    const here = button.dataset.session === String(session.session);
    if (here) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  element("video").replaceChildren(...details(session));
  document.title = `${session.name} – pfnr`;
  player.switch(session, frame);
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

function show() {
  const { session, frame, playing } = player;
  if (session === null) return;
  const seek = element("seek");
  seek.value = frame;
  seek.style.setProperty("--done", `${session.frames > 1 ? (100 * frame) / (session.frames - 1) : 100}%`);
  const place = `${clock(timeOf(session, frame))} / ${clock(session.seconds)}`;
  seek.setAttribute("aria-valuetext", `frame ${frame} of ${session.frames}, ${place}`);
  element("place").textContent = `${place} · frame ${frame}`;
  const play = element("play");
  play.setAttribute("aria-label", playing ? "Pause" : "Play");
  play.classList.toggle("playing", playing);
  element("loop").setAttribute("aria-pressed", String(player.loop));
  element("speed").value = String(player.speed);
  element("kind").value = player.kind;
  element("save").href = player.url(frame);
  element("save").download = `session${session.session}-${String(frame).padStart(5, "0")}.png`;
  if (!playing) history.replaceState(null, "", `#${session.session}/${frame}`);
}

function complain(message) {
  element("error").textContent = message;
  element("error").hidden = message === "";
}

function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
}

function make(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

function toggle() {
  if (player.playing) player.pause();
  else player.play();
}

function changeSpeed(direction) {
  const select = element("speed");
  const at = Math.min(Math.max(select.selectedIndex + direction, 0), select.options.length - 1);
  player.set("speed", Number(select.options[at].value));
}

function neighbour(offset) {
  const at = sessions.indexOf(player.session);
  choose(sessions[(at + offset + sessions.length) % sessions.length]);
}

function seekBy(seconds) {
  player.seek(frameAfter(player.session, player.frame, seconds));
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else element("player").requestFullscreen();
}

const KEYS = {
  " ": toggle,
  ".": () => player.step(1),
  ",": () => player.step(-1),
  ArrowRight: (shift) => seekBy(shift ? 1 : 5),
  ArrowLeft: (shift) => seekBy(shift ? -1 : -5),
  Home: () => player.seek(0),
  "[": () => changeSpeed(-1),
  "]": () => changeSpeed(1),
  Backspace: () => player.set("speed", 1),
  l: () => player.set("loop", !player.loop),
  n: () => neighbour(1),
  p: () => neighbour(-1),
  s: () => element("save").click(),
  f: fullScreen,
  "?": () => element("keys").showModal(),
};

function press(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || element("keys").open || player.session === null) return;
  // The focused control keeps the keys that it uses.
  const own = { INPUT: /^(Arrow.*|Home|End|Page.*)$/, SELECT: /^([ \w]|Arrow.*|Home|End)$/, BUTTON: /^ $/, A: /^ $/ };
  if (own[event.target.tagName]?.test(event.key)) return;
  const session = sessions.find((each) => String(each.session) === event.key);
  if (session) choose(session);
  else if (Object.hasOwn(KEYS, event.key)) KEYS[event.key](event.shiftKey);
  else return;
  event.preventDefault();
}

let resume = false; // whether it played before the bar was dragged
element("seek").addEventListener("input", (event) => {
  resume ||= player.playing;
  player.pause();
  player.seek(event.target.valueAsNumber);
});
element("seek").addEventListener("change", () => {
  if (resume) player.play();
  resume = false;
});
element("play").addEventListener("click", toggle);
element("back").addEventListener("click", () => player.step(-1));
element("next").addEventListener("click", () => player.step(1));
element("loop").addEventListener("click", () => player.set("loop", !player.loop));
element("speed").addEventListener("change", (event) => player.set("speed", Number(event.target.value)));
element("kind").addEventListener("change", (event) => player.set("kind", event.target.value));
element("full").addEventListener("click", fullScreen);
element("help").addEventListener("click", () => element("keys").showModal());
element("picture").addEventListener("click", toggle);
document.addEventListener("keydown", press);
player.addEventListener("change", show);
player.addEventListener("drawn", () => complain(""));
player.addEventListener("failed", (event) => complain(event.detail));
start();
