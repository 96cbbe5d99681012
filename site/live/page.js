// The page that shows every kind, in the language of its address: index.html?lang=ar, with kind=stars only that one.

import { h } from "./dom.js";
import { json, KINDS, known, LANGS, mount } from "./live.js";

const asked = new URLSearchParams(location.search);
const lang = known(asked.get("lang") ?? navigator.language);
const kinds = KINDS.filter((kind) => !asked.has("kind") || asked.get("kind") === kind);
const words = await json(`words/${lang}.json`);
const NAMES = { en: "English", ar: "العربية", zh: "简体中文", "zh-Hant": "繁體中文" };

document.documentElement.lang = lang;
document.documentElement.dir = lang === "ar" ? "rtl" : "ltr";
document.title = words["page.title"];
const links = LANGS.map((name) => {
  const current = name === lang ? "page" : undefined;
  return h("a", { href: `?lang=${name}`, lang: name, dir: "auto", "aria-current": current }, NAMES[name]);
});
const places = kinds.map((kind) => h("div", { "data-live": kind }));
document
  .querySelector("main")
  .replaceChildren(
    h("nav", {}, ...links),
    h("h1", {}, words["page.title"]),
    h("p", {}, words["page.about"]),
    ...kinds.flatMap((kind, n) => [h("h2", {}, words[`${kind}.title`]), places[n]]),
  );
await Promise.all(places.map((place, n) => mount(place, kinds[n], lang)));
document.documentElement.dataset.ready = "true";
