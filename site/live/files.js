// Files of the models: fetched once, with progress, and kept in the browser. Each name changes with its content.

const HERE = new URL(".", import.meta.url);
const STORE = "ftcourse-live";

// Which files a kind of page needs beside the tokenizer.
export const NEEDS = {
  tokens: [],
  stars: ["runtime", "words", "opinions.graph", "opinions"],
  words: ["runtime", "words", "opinions.graph", "opinions"],
  hidden: ["runtime", "words", "encoder.graph", "encoder"],
  similar: ["runtime", "words", "encoder.graph", "encoder"],
  attention: ["runtime", "words", "encoder.graph", "encoder"],
};

// The table of contents; asked for each time, it is small.
export async function contents() {
  return (await fetch(new URL("models/manifest.json", HERE))).json();
}

// The store that the browser keeps for this site. Without https, and in some private windows, there is none: then the
// browser's ordinary cache has to do.
async function store() {
  try {
    return await globalThis.caches?.open(STORE);
  } catch {
    return undefined;
  }
}

// Throws away what an earlier edition of the course has left.
export async function tidy(entries) {
  const kept = await store();
  const wanted = new Set(Object.values(entries).map((entry) => new URL(entry.path, HERE).href));
  for (const request of (await kept?.keys()) ?? []) {
    if (!wanted.has(request.url)) await kept.delete(request);
  }
}

// The bytes of a file, unpacked. `onBytes` is told how many bytes have just come over the line.
export async function load(entry, onBytes = () => {}) {
  const url = new URL(entry.path, HERE).href;
  const kept = await store();
  let response = await kept?.match(url);
  if (response) {
    onBytes(entry.bytes);
  } else {
    response = await fetch(url, { cache: "force-cache" });
    if (!response.ok) response = await fetch(url, { cache: "reload" }); // the cache remembers failures, too
    if (!response.ok) throw new Error(`${url}: ${response.status}`);
    const packed = await whole(response.body, onBytes);
    await kept?.put(url, new Response(packed)).catch(() => {}); // a full disk is no reason to stop
    response = new Response(packed);
  }
  return unpacked(new Uint8Array(await response.arrayBuffer()));
}

async function whole(stream, onBytes) {
  const parts = [];
  for (const reader = stream.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return new Blob(parts);
    parts.push(value);
    onBytes(value.length);
  }
}

// Some servers unpack by themselves, so look at the first two bytes.
async function unpacked(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
