// Attention as a picture: a row is the token that looks, a column the token looked at.
import { h, say, two } from "./dom.js";

export function draw({ tokens, shares }, { words }) {
  const number = (count, label) => {
    const options = Array.from({ length: count }, (_, n) => h("option", { value: n }, n + 1));
    return h("label", {}, `${label} `, h("select", { onchange: show }, ...options));
  };
  const layer = number(shares.length, words["attention.layer"]);
  const head = number(shares[0].length, words["attention.head"]);
  const picture = h("div", { class: "live-scroll", tabindex: "0", role: "group", "aria-label": words["attention.picture"] });
  const said = h("p", { class: "live-said", role: "status" });

  function show() {
    const chosen = shares[layer.lastChild.value][head.lastChild.value];
    const names = tokens.map((token) => token.replace(/^▁(?=.)/, ""));
    const cell = (share, row, column) => {
      const title = say(words["attention.cell"], { from: names[row], to: names[column], share: two(share) });
      const box = h("td", { title });
      box.style.setProperty("--share", share);
      return box;
    };
    const heading = (name, scope) => h("th", { scope }, h("bdi", {}, name));
    const top = h("tr", {}, h("td", {}), ...names.map((name) => heading(name, "col")));
    const rows = chosen.map((row, n) => h("tr", {}, heading(names[n], "row"), ...row.map((share, m) => cell(share, n, m))));
    picture.replaceChildren(h("table", { class: "live-attention", dir: "ltr" }, top, ...rows));
    // The strongest look at another token; [CLS] and [SEP] are where heads look that have found nothing.
    let best = { share: -1 };
    chosen.forEach((row, n) => row.forEach((share, m) => {
      const word = n > 0 && m > 0 && n < names.length - 1 && m < names.length - 1;
      if (word && n !== m && share > best.share) best = { from: names[n], to: names[m], share };
    }));
    said.textContent = best.share < 0 ? "" : say(words["attention.said"], { ...best, share: two(best.share) });
  }

  // Begin with the head that most often looks at the token before.
  let most = -1;
  shares.forEach((heads, l) => heads.forEach((rows, n) => {
    const before = rows.reduce((sum, row, m) => sum + (m ? row[m - 1] : 0), 0);
    if (before > most) [most, layer.lastChild.value, head.lastChild.value] = [before, l, n];
  }));
  show();
  return [h("p", { class: "live-choices" }, layer, head), said, picture, h("p", { class: "live-note" }, words["attention.note"])];
}
