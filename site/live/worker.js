// The models, in a thread of their own, so that the page stays awake. Messages: {id, kind, texts} → {id, answer | error}.

import { answering } from "./answers.js";
import { contents, load, NEEDS, tidy } from "./files.js";
import * as ort from "./vendor/ort.js";

const text = new TextDecoder();
const loading = new Map(); // a file or session is asked for once
let fetched; // loads a file, and tells whoever asked last how far that is
let manifest;
let answers;

function once(name, make) {
  if (!loading.has(name)) {
    const made = make();
    made.catch(() => loading.delete(name)); // a broken line: the next question tries again
    loading.set(name, made);
  }
  return loading.get(name);
}

async function model(name, fetched) {
  return once(`session ${name}`, async () => {
    const [binary, graph, words, own] = await Promise.all(["runtime", `${name}.graph`, "words", name].map(fetched));
    ort.env.wasm.wasmBinary ??= binary.buffer;
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";
    const session = await ort.InferenceSession.create(graph, {
      executionProviders: ["wasm"],
      externalData: [
        { path: "words", data: words },
        { path: name, data: own },
      ],
    });
    for (const file of ["runtime", `${name}.graph`, name]) loading.delete(file); // the session has its own copy
    const numbers = (values) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [values.length]);
    let before = Promise.resolve();
    return (ids, place) => {
      const feeds = { ids: numbers(ids).reshape([1, ids.length]) };
      if (session.inputNames.includes("place")) feeds.place = numbers([place]);
      before = before.catch(() => {}).then(() => session.run(feeds)); // one after the other
      return before;
    };
  });
}

async function answer({ kind, texts }, onProgress) {
  manifest ??= contents().then((entries) => (tidy(entries).catch(() => {}), entries));
  manifest.catch(() => (manifest = undefined));
  const entries = await manifest;
  const needed = ["tokenizer", ...(NEEDS[kind] ?? [])];
  const total = needed.reduce((sum, name) => sum + entries[name].bytes, 0);
  let loaded = 0;
  fetched = (name) => once(name, () => load(entries[name], (bytes) => onProgress((loaded += bytes), total)));
  const file = await fetched("tokenizer");
  answers ??= answering(JSON.parse(text.decode(file)), (name) => model(name, (file) => fetched(file)));
  return answers[kind](...texts);
}

onmessage = async ({ data }) => {
  try {
    const onProgress = (loaded, total) => postMessage({ id: data.id, loaded, total });
    postMessage({ id: data.id, answer: await answer(data, onProgress) });
  } catch (error) {
    postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
};
