// The page: the videos of videos.json, decoded in this browser.

import { complain, Controls, element, make } from "./controls.js";
import { choices, choose } from "./engine.js";
import { Meter, tidy } from "./meter.js";
import { Player } from "./player.js";

const FORMAT = 1;
const player = new Player(element("picture"), choose);
const controls = new Controls(player);
const meter = new Meter();

async function start() {
  try {
    const response = await fetch("videos.json", { cache: "no-cache" });
    if (!response.ok) throw new Error(`videos.json: the server answers ${response.status}; run pfnr-web again.`);
    const { format, videos, webgpu } = await response.json();
    if (format !== FORMAT) {
      throw new Error(`videos.json is of format ${format}, and this page knows ${FORMAT}: write the folder with one version of pfnr.`);
    }
    const options = (await choices(webgpu)).map(({ name, text, off }) =>
      make("option", { value: name, textContent: off ? `${text}: ${off}` : text, disabled: Boolean(off) }),
    );
    element("engine").replaceChildren(...options);
    controls.list(videos);
  } catch (error) {
    complain(error instanceof TypeError ? "The server does not answer." : error.message);
  }
}

function save() {
  const { frame, session } = element("picture").dataset;
  if (frame === undefined) return;
  element("picture").toBlob((blob) => {
    const href = URL.createObjectURL(blob);
    make("a", { href, download: `session${session}-${frame.padStart(5, "0")}.png` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 10000);
  });
}

setInterval(() => {
  if (document.hidden || player.session === null) return;
  meter.update(player, player.skipped + player.dropped);
  const times = player.decodeTimes();
  element("decode").textContent = times ? `${tidy(times.median)} ms` : "–";
  element("decode-note").textContent = times ? `p95 ${tidy(times.p95)} ms` : "";
}, 1000);
player.addEventListener("change", () => {
  element("runs").textContent = player.engine;
  element("status").textContent = player.status;
});
element("engine").addEventListener("change", (event) => player.use(event.target.value));
element("save").addEventListener("click", save);
start();
