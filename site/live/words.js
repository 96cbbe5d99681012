// Which pieces mattered: the average number of stars, minus that of the text without the piece.
import { bars, h, say, two } from "./dom.js";

export function draw({ average, parts, effects }, { words }) {
  const sizes = effects.map(Math.abs);
  const most = sizes.indexOf(Math.max(...sizes));
  const rows = parts.map((part, n) => ({ name: part.trim(), value: effects[n], best: n === most }));
  const values = { average: two(average), part: parts[most]?.trim(), effect: effects.length ? two(effects[most], true) : "" };
  const said = parts.length ? say(words["words.said"], values) : say(words["words.none"]);
  return [h("p", { class: "live-said" }, said), bars(rows, { sign: true, most: Math.max(0.5, ...sizes) })];
}
