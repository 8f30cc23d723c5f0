// The page of pfnr-serve: sessions and controls around a player whose frames the server decodes.

import { complain, Controls, element, make, aspect } from "./controls.js";
import { describe, failure, Player } from "./player.js";
import { Statistics } from "./statistics.js";

const player = new Player(element("picture"));
const controls = new Controls(player);
const statistics = new Statistics(player);

async function start() {
  try {
    const response = await fetch("/api/sessions");
    if (!response.ok) throw await failure(response);
    const { sessions, damaged, browser } = await response.json();
    element("damaged").textContent = damaged.map((reason) => `Left out: ${reason}`).join(" ");
    if (browser) element("help").before(make("a", { href: browser, textContent: "Decode in this browser" }));
    controls.list(sessions, thumbnail);
  } catch (error) {
    complain(describe(error));
    return;
  }
  statistics.update();
}

function thumbnail(session) {
  const { width, height } = session;
  const src = `${session.thumbnail}?v=${session.version}`;
  const picture = make("img", { src, alt: "", loading: "lazy", width, height });
  picture.style.aspectRatio = String(aspect(session));
  return picture;
}

player.addEventListener("change", () => {
  const { session, frame, kind } = player;
  if (session === null) return;
  element("kind").value = kind;
  element("save").href = player.url(frame);
  element("save").download = `session${session.session}-${String(frame).padStart(5, "0")}.png`;
});
element("kind").addEventListener("change", (event) => player.set("kind", event.target.value));
start();
