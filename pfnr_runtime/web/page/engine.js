// Which engine decodes, and why.

const MOST_WORKERS = 4;
const LARGE = 256e6; // bytes of model in all workers together, from which on one worker decodes alone

const cores = navigator.hardwareConcurrency || 1;
let gpu = null; // why there is no WebGPU; "" if there is

// The entries of the menu: name, text, and why an entry is off.
export async function choices(shipped) {
  gpu = shipped ? await lacksGpu() : "not on this server";
  const threads = self.crossOriginIsolated ? "" : "the page is not cross-origin isolated";
  return [
    { name: "auto", text: "automatic" },
    { name: "webgpu", text: "WebGPU", off: gpu },
    { name: "workers", text: `WebAssembly, ${workers()}` },
    { name: "threads", text: `WebAssembly, one worker of ${cores} threads`, off: cores > 1 ? threads : "one core" },
    { name: "one", text: "WebAssembly, one thread" },
  ];
}

// What to start for a choice of the menu and a model of so many bytes: kind, workers, threads, and as text what and
// why. otherwise: what to start where that fails, as a GPU may.
export function choose(name, bytes) {
  if (name === "webgpu" || (name === "auto" && gpu === "")) {
    const text = `WebGPU${name === "auto" ? ", since this browser has it" : ""}`;
    return { kind: "webgpu", workers: 1, threads: 1, text, otherwise: onProcessor("auto", bytes) };
  }
  const choice = onProcessor(name, bytes);
  if (name === "auto") choice.text += `; no WebGPU: ${gpu}`;
  return choice;
}

function onProcessor(name, bytes) {
  const count = Math.min(cores, MOST_WORKERS);
  const large = name === "auto" && bytes * count > LARGE;
  const why = large ? ", since the model is large" : "";
  if (name === "threads" || (large && self.crossOriginIsolated)) {
    return { kind: "wasm", workers: 1, threads: cores, text: `WebAssembly with ${cores} threads${why}` };
  }
  if (name === "one" || large) return { kind: "wasm", workers: 1, threads: 1, text: `WebAssembly with one thread${why}` };
  return { kind: "wasm", workers: count, threads: 1, text: `WebAssembly, ${workers()}` };
}

function workers() {
  const count = Math.min(cores, MOST_WORKERS);
  return count === 1 ? "one worker, as there is one core" : `${count} workers with a frame each`;
}

async function lacksGpu() {
  if (!navigator.gpu) return self.isSecureContext ? "not in this browser" : "only over https";
  try {
    return (await navigator.gpu.requestAdapter()) ? "" : "no graphics device that it can use";
  } catch (error) {
    return error.message;
  }
}
