// One decoder in a worker: reads a video, starts the engine, decodes frames.

import { fetchBytes } from "./load.js";
import { sha256 } from "./unpack/sha256.js";
import { readVideo } from "./video.js";

const MEMORY = /bad_alloc|out of memory|allocation failed|could not allocate|failed to allocate|Invalid array (buffer )?length|Aborted\(OOM|memory access out of bounds|shape is too large|size overflow/i;
let ort = null;
let running = null; // the session of the engine, and the size of its frames

const say = (progress) => postMessage({ progress });

const answers = {
  async read({ base, session }) {
    return readVideo(base, session, say);
  },

  async start({ base, model, checks, kind, threads, width, height }) {
    const at = (name) => new URL(`engine/${name}`, base).href;
    ort = await import(at(`ort.${kind}.js`)).catch(() => {
      throw new Error(`engine/ort.${kind}.js is missing on the server; run pfnr-web again.`);
    });
    Object.assign(ort.env, { logLevel: "error" });
    Object.assign(ort.env.wasm, {
      numThreads: threads,
      wasmPaths: { mjs: at(`${kind}.js`) },
      wasmBinary: await fetchBytes(base, `engine/${kind}.wasm`, null, (text) => say(`engine ${text}`)),
    });
    say("starting the engine");
    const options = { executionProviders: [kind], graphOptimizationLevel: "all", logSeverityLevel: 3 };
    running = { session: await ort.InferenceSession.create(new Uint8Array(model), options), checks, width, height };
    return {};
  },

  // check: whether to compare with the frame that was exported, where the video is exact.
  async decode({ frame, check }) {
    const begin = performance.now();
    const { session, checks, width, height } = running;
    const index = new ort.Tensor("int64", BigInt64Array.of(BigInt(frame)), [1]);
    const { frames } = await session.run({ frame_index: index });
    const data = await frames.getData();
    const pixels = asRgba(frames.type, data, width * height);
    const ms = performance.now() - begin;
    if (check && checks && sha256(data).slice(0, 2) !== checks.slice(2 * frame, 2 * frame + 2)) {
      throw new Error(`Frame ${frame} is not the one that was exported: this engine does not compute exactly here; choose another one.`);
    }
    frames.dispose();
    return { pixels, width, height, ms };
  },
};

// uint8 [1, H, W, 3], or float32 [1, 3, H, W] in [0, 1], as RGBA.
function asRgba(type, data, size) {
  if (data.length !== 3 * size) throw new Error(`a frame of ${data.length} samples where ${3 * size} are needed`);
  const pixels = new Uint8ClampedArray(4 * size);
  if (type === "uint8") {
    for (let from = 0, to = 0; to < pixels.length; from += 3, to += 4) {
      pixels[to] = data[from];
      pixels[to + 1] = data[from + 1];
      pixels[to + 2] = data[from + 2];
      pixels[to + 3] = 255;
    }
  } else {
    // Products in float32; a clamped array rounds half to even.
    for (let i = 0; i < size; i++) {
      for (let c = 0; c < 3; c++) pixels[4 * i + c] = Math.fround(data[c * size + i] * 255);
      pixels[4 * i + 3] = 255;
    }
  }
  return pixels.buffer;
}

function sentence(error) {
  const text = String(error?.message ?? error);
  if (MEMORY.test(text) || error instanceof RangeError) {
    return "This video needs more memory than the browser gives a page; close other tabs, or export a smaller one.";
  }
  if (error instanceof TypeError && /fetch|network/i.test(text)) return "The server does not answer.";
  const engine = /\[ONNXRuntimeError\] : \d+ : (.*)/s.exec(text) ?? /^(?:failed to call|no available backend)(.*)/s.exec(text);
  return engine ? `The engine cannot decode this video: ${engine[1].trim()}` : text;
}

onmessage = async ({ data }) => {
  try {
    const answer = await answers[data.what](data);
    postMessage(answer, answer.pixels ? [answer.pixels] : []);
  } catch (error) {
    postMessage({ error: sentence(error) });
  }
};
