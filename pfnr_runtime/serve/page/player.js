// The player: one session's frames on a canvas. Paused, a frame is an exact PNG; playing, it is a stream that the
// server paces. Sends "change" when anything that the page shows has changed, "failed" with a message.

import { readParts } from "./multipart.js";

const RECENT_MS = 2000;

export class Player extends EventTarget {
  session = null;
  frame = 0;
  playing = false;
  speed = 1;
  loop = false;
  kind = "jpg";
  skipped = 0; // by the server since the stream began: never decoded
  dropped = 0; // decoded too late
  overtaken = 0; // replaced here by a newer one before it was drawn
  shown = 0;

  #canvas;
  #context;
  #wanted = null; // the frame to show next while paused
  #fetching = false;
  #stream = null; // aborts the stream
  #times = []; // when recent frames appeared

  constructor(canvas) {
    super();
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
  }

  get last() {
    return this.session.frames - 1;
  }

  // Frames per second on the canvas over the last two seconds.
  get rate() {
    const now = performance.now();
    while (this.#times.length && now - this.#times[0] > RECENT_MS) this.#times.shift();
    const times = this.#times;
    if (!this.playing || times.length < 2) return 0;
    return (1000 * (times.length - 1)) / (times.at(-1) - times[0]);
  }

  // Go to another session; keep playing if already playing.
  switch(session, frame = 0) {
    this.session = session;
    this.seek(frame);
  }

  seek(frame) {
    this.frame = Math.min(Math.max(frame, 0), this.last);
    if (this.playing) this.#restart();
    else this.#rest();
    this.#changed();
  }

  play() {
    if (this.playing) return;
    this.playing = true;
    if (this.frame >= this.last) this.frame = 0;
    this.#restart();
    this.#changed();
  }

  // Pause at the frame that is shown, and show it exactly.
  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.#stop();
    this.#rest();
    this.#changed();
  }

  step(frames) {
    this.pause();
    this.seek(this.frame + frames);
  }

  set(name, value) {
    this[name] = value;
    if (this.playing) this.#restart();
    this.#changed();
  }

  url(frame, kind = "png") {
    return this.session.frame.replace("{frame}.png", `${frame}.${kind}?v=${this.session.version}`);
  }

  // Show the wanted frame; one fetch at a time, and only the last of those wanted meanwhile.
  async #rest() {
    this.#wanted = { session: this.session, frame: this.frame, url: this.url(this.frame) };
    if (this.#fetching) return;
    this.#fetching = true;
    while (this.#wanted !== null) {
      const { session, frame, url } = this.#wanted;
      this.#wanted = null;
      try {
        const response = await fetch(url);
        if (!response.ok) throw await failure(response);
        const picture = await bitmap(await response.blob());
        if (!this.playing && this.session === session) this.#draw(picture, session, frame, "png");
      } catch (error) {
        this.#failed(error);
      }
    }
    this.#fetching = false;
  }

  #restart() {
    this.#stop();
    this.#wanted = null;
    this.skipped = this.dropped = this.overtaken = this.shown = 0;
    this.#times = [];
    this.#stream = new AbortController();
    this.#run(this.session, this.#stream.signal);
  }

  #stop() {
    this.#stream?.abort();
    this.#stream = null;
  }

  async #run(session, signal) {
    const query = new URLSearchParams({ start: this.frame, speed: this.speed, loop: this.loop ? 1 : 0, format: this.kind });
    const kind = this.kind;
    let newest = null; // the part to draw next: one that comes while another is drawn takes its place
    let drawing = false;
    let drawn = null; // settles when nothing is left to draw
    const draw = async () => {
      drawing = true;
      while (newest !== null) {
        const { headers, data } = newest;
        newest = null;
        const picture = await bitmap(new Blob([data], { type: headers.get("content-type") }));
        if (signal.aborted) return;
        this.frame = Number(headers.get("x-frame"));
        this.skipped = Number(headers.get("x-skipped"));
        this.dropped = Number(headers.get("x-dropped"));
        this.shown += 1;
        this.#times.push(performance.now());
        this.#draw(picture, session, this.frame, kind);
        this.#changed();
      }
      drawing = false;
    };
    try {
      const response = await fetch(`${session.stream}?${query}`, { signal });
      if (!response.ok) throw await failure(response);
      for await (const part of readParts(response.body)) {
        if (signal.aborted) return;
        if (newest !== null) this.overtaken += 1;
        newest = part;
        if (!drawing) drawn = draw().catch((error) => this.#broke(error, signal));
      }
      await drawn;
      if (!signal.aborted) this.pause();
    } catch (error) {
      this.#broke(error, signal);
    }
  }

  // The stream of `signal` failed, unless it was aborted on purpose.
  #broke(error, signal) {
    if (signal.aborted) return;
    this.playing = false;
    this.#stop();
    this.#failed(error);
    this.#changed();
  }

  #draw(picture, session, frame, kind) {
    const canvas = this.#canvas;
    if (canvas.width !== picture.width || canvas.height !== picture.height) {
      canvas.width = picture.width;
      canvas.height = picture.height;
    }
    this.#context.drawImage(picture, 0, 0);
    picture.close();
    Object.assign(canvas.dataset, { session: session.session, frame, kind });
    canvas.setAttribute("aria-label", `${session.name}, frame ${frame} of ${session.frames}`);
    this.dispatchEvent(new Event("drawn"));
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  #failed(error) {
    this.dispatchEvent(new CustomEvent("failed", { detail: describe(error) }));
  }
}

// The server's message about a refused request.
export async function failure(response) {
  try {
    return new Error((await response.json()).error);
  } catch {
    return new Error(`${response.status} ${response.statusText}`);
  }
}

export function describe(error) {
  return error instanceof TypeError ? "The server does not answer." : error.message;
}

// Samples exactly as in the file, whatever the screen's colours.
function bitmap(blob) {
  return createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
}
