// Two texts, one number.
import { bars, h, say, two } from "./dom.js";

export function draw({ cosine }, { words }) {
  return [
    h("p", { class: "live-said" }, say(words["similar.said"], { cosine: two(cosine) })),
    bars([{ name: words["similar.name"], value: cosine, best: true }]),
    h("p", { class: "live-note" }, words["similar.note"]),
  ];
}
