// Tokens in colour, and their number.
import { coloured, h, say } from "./dom.js";

export function draw({ pieces }, { words, texts: [text] }) {
  const values = { tokens: pieces.length, characters: [...text].length };
  const ids = h("p", { class: "live-ids", dir: "ltr" }, pieces.map((piece) => piece.id).join(" "));
  return [coloured(pieces), h("p", {}, say(words["tokens.count"], values)), ids];
}
