// How a page asks the models: `ask(kind, texts, onProgress)` promises an answer.

import { contents, NEEDS } from "./files.js";

const waiting = new Map();
let worker;
let count = 0;

// Small WebAssembly with the instructions that the runtime uses (SIMD), or none.
const PROBE = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

// Whether this browser can answer. Tokens need no WebAssembly.
export function able(kind) {
  try {
    const runs = !NEEDS[kind].length || WebAssembly.validate(new Uint8Array(PROBE));
    return runs && "DecompressionStream" in globalThis && "Worker" in globalThis;
  } catch {
    return false;
  }
}

function start() {
  worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.onmessage = ({ data: { id, loaded, total, answer, error } }) => {
    if (!waiting.has(id)) return; // a file that still comes, though another one has failed
    const { resolve, reject, onProgress } = waiting.get(id);
    if (total !== undefined) return onProgress(loaded, total);
    waiting.delete(id);
    if (error === undefined) resolve(answer);
    else reject(new Error(error));
  };
  worker.onerror = (event) => {
    for (const { reject } of waiting.values()) reject(new Error(event.message || "worker"));
    waiting.clear();
    worker = undefined;
  };
}

export function ask(kind, texts, onProgress = () => {}) {
  if (!worker) start();
  return new Promise((resolve, reject) => {
    waiting.set(++count, { resolve, reject, onProgress });
    worker.postMessage({ id: count, kind, texts });
  });
}

// How many bytes a kind of page fetches the first time.
export async function size(kind) {
  const entries = await contents();
  return ["tokenizer", ...NEEDS[kind]].reduce((sum, name) => sum + entries[name].bytes, 0);
}
