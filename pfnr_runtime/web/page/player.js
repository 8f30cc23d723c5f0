// The player: one video's frames on a canvas, decoded here. Sends "change" when anything that the page shows has
// changed, "drawn" for every frame, "failed" with a message.

import { Order } from "./order.js";
import { Pool } from "./pool.js";

const RECENT_MS = 2000;
const TELL_SECONDS = 0.1; // between changes while it plays: the page around the picture costs more than a small frame
const TIMES = 240; // decode times that the median is of

export class Player extends EventTarget {
  session = null;
  frame = 0;
  playing = false;
  speed = 1;
  loop = false;
  skipped = 0; // since playback began: never decoded
  dropped = 0; // decoded too late
  shown = 0;
  engine = "–";
  status = "";

  #context;
  #choose;
  #choice = "auto";
  #pool = null; // decodes the session, once it is open
  #opening = 0; // counts openings, so that one that was overtaken is known
  #wanted = null; // the frame to show next while paused
  #resting = false;
  #run = null; // what one playback needs: order, next k, frames that are ready
  #drawnAt = [];
  #times = [];

  // choose: what to start for a choice of the menu and a model's bytes.
  constructor(canvas, choose) {
    super();
    this.#context = canvas.getContext("2d", { alpha: false });
    this.#choose = choose;
    document.addEventListener("visibilitychange", () => {
      if (!this.playing) return;
      this.#stop();
      if (!document.hidden) this.#start();
    });
  }

  // Frames per second on the canvas over the last two seconds.
  get rate() {
    const now = performance.now();
    while (this.#drawnAt.length && now - this.#drawnAt[0] > RECENT_MS) this.#drawnAt.shift();
    const times = this.#drawnAt;
    if (!this.playing || times.length < 2) return 0;
    return (1000 * (times.length - 1)) / (times.at(-1) - times[0]);
  }

  // Milliseconds that recent frames took a worker; null before the first.
  decodeTimes() {
    const sorted = [...this.#times].sort((a, b) => a - b);
    const at = (share) => sorted[Math.floor(share * (sorted.length - 1))];
    return sorted.length ? { median: at(0.5), p95: at(0.95) } : null;
  }

  // Go to another session; keep playing if already playing.
  async switch(session, frame = 0) {
    const again = this.session === session && this.#pool;
    if (this.session !== session) this.#clear();
    this.session = session;
    this.frame = Math.min(Math.max(frame, 0), session.frames - 1);
    if (again) this.seek(this.frame);
    else await this.#open();
  }

  // Decode with another engine.
  use(choice) {
    this.#choice = choice;
    if (this.session) this.#open();
  }

  seek(frame) {
    this.frame = Math.min(Math.max(frame, 0), this.session.frames - 1);
    if (this.playing) this.#start();
    else this.#rest();
    this.#changed();
  }

  play() {
    if (this.playing || !this.#pool) return;
    this.playing = true;
    if (this.frame >= this.session.frames - 1) this.frame = 0;
    this.#start();
    this.#changed();
  }

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
    if (this.playing) this.#start();
    this.#changed();
  }

  async #open() {
    const opening = ++this.#opening;
    this.#stop();
    this.#pool?.close();
    this.#pool = null;
    this.#times = [];
    this.engine = "–";
    const pool = new Pool((text) => this.#say(opening, text));
    try {
      const { session } = this;
      const model = await pool.read(session);
      await pool.start(this.#choose(this.#choice, model.byteLength));
      if (opening !== this.#opening) return pool.close();
      this.#pool = pool;
      this.engine = pool.text;
      this.#say(opening, "");
      if (this.playing) this.#start();
      else this.#rest();
    } catch (error) {
      pool.close();
      if (opening !== this.#opening) return;
      this.playing = false;
      this.#say(opening, "");
      this.#failed(error);
    }
    this.#changed();
  }

  // Show the wanted frame; one at a time, and only the last of those wanted meanwhile.
  async #rest() {
    this.#wanted = this.frame;
    if (this.#resting) return;
    this.#resting = true;
    while (this.#wanted !== null && this.#pool) {
      const frame = this.#wanted;
      const pool = this.#pool;
      this.#wanted = null;
      try {
        const picture = await this.#decode(frame, true);
        if (!this.playing && this.#pool === pool) this.#draw(picture, frame);
      } catch (error) {
        if (this.#pool === pool) this.#failed(error);
      }
    }
    this.#resting = false;
  }

  async #decode(frame, check) {
    const picture = await this.#pool.decode(frame, check);
    this.#times.push(picture.ms);
    if (this.#times.length > TIMES) this.#times.shift();
    return picture;
  }

  #start() {
    this.#stop();
    if (!this.#pool) return;
    this.#wanted = null;
    this.skipped = this.dropped = this.shown = 0;
    this.#drawnAt = [];
    const order = new Order(this.session, this.frame, this.speed, this.loop);
    this.#run = { order, next: 0, ready: new Map(), waiting: 0, began: null, late: 0 };
    this.#fill(this.#run);
    this.#tick(this.#run);
  }

  #stop() {
    this.#run = null;
  }

  // Ask for frames ahead of the clock, a few, so that memory does not grow with the clip.
  #fill(run) {
    const { order, ready } = run;
    while (run.waiting + ready.size < this.#pool.ahead && run.next < order.count) {
      if (run.began !== null) {
        // A frame that would be decoded after its time is left out.
        const k = order.next(run.next, this.#now(run) + run.late);
        this.skipped += k - run.next;
        run.next = k;
      }
      this.#fetch(run, run.next++);
    }
  }

  async #fetch(run, k) {
    run.waiting += 1;
    const asked = performance.now();
    try {
      const picture = await this.#decode(run.order.frame(k), false);
      if (run !== this.#run) return;
      run.waiting -= 1;
      run.late = 0.8 * run.late + (0.2 * (performance.now() - asked)) / 1000;
      run.began ??= performance.now() - 1000 * run.order.due(k);
      run.ready.set(k, picture);
      this.#show(run);
    } catch (error) {
      if (run !== this.#run) return;
      this.playing = false;
      this.#stop();
      this.#failed(error);
      this.#changed();
    }
  }

  #tick(run) {
    requestAnimationFrame(() => {
      if (run !== this.#run) return;
      this.#show(run);
      this.#tick(run);
    });
  }

  // Draw the newest frame that is due, and forget those before it.
  #show(run) {
    if (run.began === null) return;
    const now = this.#now(run);
    const due = [...run.ready.keys()].filter((k) => run.order.due(k) <= now).sort((a, b) => a - b);
    const newest = due.at(-1);
    if (newest !== undefined && newest > (run.last ?? -1)) {
      this.dropped += due.length - 1;
      run.last = newest;
      this.frame = run.order.frame(newest);
      this.shown += 1;
      this.#drawnAt.push(performance.now());
      this.#draw(run.ready.get(newest), this.frame);
      if (now - (run.told ?? -1) > TELL_SECONDS) {
        run.told = now;
        this.#changed();
      }
    } else this.dropped += due.length;
    for (const k of due) run.ready.delete(k);
    if (run !== this.#run) return;
    if (run.last === run.order.count - 1 && now >= run.order.due(run.order.count)) this.pause();
    else this.#fill(run);
  }

  #now(run) {
    return (performance.now() - run.began) / 1000;
  }

  #draw({ pixels, width, height }, frame) {
    const { canvas } = this.#context;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    this.#context.putImageData(new ImageData(new Uint8ClampedArray(pixels), width, height), 0, 0);
    Object.assign(canvas.dataset, { session: this.session.session, frame, kind: "png" });
    if (!this.playing) canvas.setAttribute("aria-label", `${this.session.name}, frame ${frame} of ${this.session.frames}`);
    this.dispatchEvent(new Event("drawn"));
  }

  #clear() {
    const { canvas } = this.#context;
    canvas.width = canvas.width; // black again
    delete canvas.dataset.frame;
    canvas.setAttribute("aria-label", "No frame yet");
  }

  #say(opening, text) {
    if (opening !== this.#opening) return;
    this.status = text;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  #failed(error) {
    this.dispatchEvent(new CustomEvent("failed", { detail: error.message }));
  }
}
