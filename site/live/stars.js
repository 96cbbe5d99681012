// What two classifiers say: stars from one to five, complaint or praise.
import { bars, h, say, two } from "./dom.js";

export function draw({ stars, sentiment }, { words }) {
  const most = stars.indexOf(Math.max(...stars));
  const names = ["sentiment.negative", "sentiment.positive"].map((key) => words[key]);
  const side = sentiment[1] > sentiment[0] ? 1 : 0;
  const said = say(words["stars.said"], { stars: most + 1, sure: two(stars[most]), side: names[side] });
  return [
    h("p", { class: "live-said" }, said),
    bars(stars.map((value, n) => ({ name: "★".repeat(n + 1), value, best: n === most }))),
    bars(sentiment.map((value, n) => ({ name: names[n], value, best: n === side }))),
  ];
}
