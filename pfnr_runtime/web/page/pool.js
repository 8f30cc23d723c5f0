// The workers that decode one video: the first reads it, and all of them decode it, a frame each at a time.

const STUCK_MS = 120000; // no usable device is silent for so long

export class Pool {
  text = ""; // what decodes, and why
  #say;
  #workers = [];
  #waiting = []; // frames that no worker is free for
  #model = null;
  #session = null;

  // say: is told what happens before the first frame.
  constructor(say) {
    this.#say = say;
    this.#workers = [new Remote(say)];
  }

  // How many frames to ask for ahead of the clock.
  get ahead() {
    return 2 * this.#workers.length + 1;
  }

  // The video's model, checked; a rejection says what is wrong with it.
  async read(session) {
    this.#session = session;
    const { model, checks } = await this.#workers[0].ask("read", { session });
    this.#model = { model, checks };
    return model;
  }

  // Start the engine. choice: see `choose` in engine.js; where its engine fails, `otherwise` takes its place.
  async start(choice) {
    const { width, height, frames } = this.#session;
    const begin = ({ kind, threads }, worker) => worker.ask("start", { ...this.#model, width, height, kind, threads });
    this.text = choice.text;
    try {
      await begin(choice, this.#workers[0]);
      // An engine that fails, or is not exact where the video is, shows in its frames.
      for (const frame of new Set([0, frames >> 1, frames - 1])) {
        if (choice.otherwise) await this.#workers[0].ask("decode", { frame, check: true });
      }
    } catch (error) {
      if (!choice.otherwise) throw error;
      this.#workers[0].close();
      this.#workers[0] = new Remote(this.#say);
      choice = choice.otherwise;
      this.text = `${choice.text}, since WebGPU failed: ${error.message}`;
      await begin(choice, this.#workers[0]);
    }
    while (this.#workers.length < choice.workers) {
      const worker = new Remote(this.#say);
      this.#workers.push(worker);
      await begin(choice, worker);
    }
    if (this.#model.checks) this.text += "; exact: paused frames are compared with those that were exported";
    this.#model = null;
  }

  // A frame: pixels (RGBA, an ArrayBuffer), width, height, ms. check: see worker.js.
  decode(frame, check) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ frame, check, resolve, reject });
      this.#next();
    });
  }

  close() {
    for (const worker of this.#workers) worker.close();
    for (const { reject } of this.#waiting) reject(new Error("closed"));
  }

  async #next() {
    const worker = this.#workers.find((each) => !each.busy);
    if (!worker || !this.#waiting.length) return;
    const { frame, check, resolve, reject } = this.#waiting.shift();
    try {
      resolve(await worker.ask("decode", { frame, check }));
    } catch (error) {
      reject(error);
    }
    this.#next();
  }
}

// One worker, asked one thing at a time.
class Remote {
  busy = false;
  #worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  #reject = () => {};

  constructor(say) {
    this.say = say;
  }

  ask(what, about) {
    this.busy = true;
    return new Promise((resolve, reject) => {
      let timer = 0;
      const done = (settle, value) => {
        clearTimeout(timer);
        this.busy = false;
        settle(value);
      };
      this.#reject = (message) => done(reject, new Error(message));
      const stuck = () => this.#reject(`The decoder has not answered for ${STUCK_MS / 1000} seconds; reload the page.`);
      const wait = () => {
        clearTimeout(timer);
        timer = setTimeout(stuck, STUCK_MS);
      };
      wait();
      this.#worker.onmessage = ({ data }) => {
        if (data.progress !== undefined) {
          wait();
          this.say(data.progress);
        } else if (data.error !== undefined) this.#reject(data.error);
        else done(resolve, data);
      };
      this.#worker.onerror = (event) => this.#reject(`The decoder failed: ${event.message ?? "a part of it is missing on the server"}.`);
      this.#worker.postMessage({ what, base: document.baseURI, ...about });
    });
  }

  close() {
    this.#worker.terminate();
    this.#reject("closed");
  }
}
