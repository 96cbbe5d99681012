// A hidden piece, and what the encoder would put there. In a text without a mask, a click hides a piece.
import { bars, coloured, h } from "./dom.js";

const MASK = "[MASK]";

export function draw({ guesses, scores, pieces }, { words, texts: [text], again }) {
  if (guesses) {
    return [
      h("p", { class: "live-said", dir: "auto" }, text.replace(MASK, `[${guesses[0].trim()}]`)),
      bars(guesses.map((name, n) => ({ name: name.trim() || "·", value: scores[n], best: n === 0 }))),
    ];
  }
  let place = 0;
  const button = (piece, attributes, shown) => {
    const start = (place += piece.gap.length);
    place += piece.text.length;
    const end = place;
    const blank = piece.text.startsWith(" ") ? 1 : 0;
    const hide = () => again([text.slice(0, start + blank) + MASK + text.slice(end)]);
    return h("button", { ...attributes, type: "button", onclick: hide }, shown);
  };
  return [h("p", {}, words["hidden.choose"]), coloured(pieces, button)];
}
