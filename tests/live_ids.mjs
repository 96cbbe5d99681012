// Token ids of texts by the page's own code: node live_ids.mjs BUILD TEXTS.json writes them, and places, as JSON.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { gunzipSync } from "node:zlib";

const [build, textsFile] = process.argv.slice(2);
const read = (path) => readFileSync(`${build}/${path}`);
const { tokenizerFrom } = await import(pathToFileURL(`${build}/pieces.js`));
const { tokenizer } = JSON.parse(read("models/manifest.json"));
const { encode, places } = tokenizerFrom(JSON.parse(gunzipSync(read(tokenizer.path))));
const answer = JSON.parse(readFileSync(textsFile)).map((text) => [encode(text), places(text).map((place) => place.id)]);
process.stdout.write(JSON.stringify(answer));
