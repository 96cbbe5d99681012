// Models in a page: every <div data-live="stars" data-lang="ar"></div> becomes a place to try one out.
// Kinds: tokens, stars, words, hidden, similar, attention. `mount(element, kind, lang)` does it for one element.

import { h, say } from "./dom.js";
import { able, ask, size } from "./models.js";

const HERE = new URL(".", import.meta.url);
export const KINDS = ["tokens", "stars", "words", "hidden", "similar", "attention"];
export const LANGS = ["en", "ar", "zh", "zh-Hant"];

const fetched = new Map();
export function json(path) {
  if (!fetched.has(path)) fetched.set(path, fetch(new URL(path, HERE)).then((response) => response.json()));
  return fetched.get(path);
}

// The language of the page as one that there is: zh-TW and zh-HK read Traditional letters, ar-EG is Arabic.
export function known(lang = "") {
  if (/^zh-(Hant|TW|HK|MO)/i.test(lang)) return "zh-Hant";
  return LANGS.find((name) => name === lang) ?? LANGS.find((name) => name === lang.split("-")[0]) ?? "en";
}

let count = 0;

export async function mount(element, kind, lang) {
  lang = known(lang ?? element.dataset.lang ?? (element.closest("[lang]")?.lang || "en"));
  const [words, examples, { draw }] = await Promise.all([
    json(`words/${lang}.json`),
    json(`examples/${lang}.json`),
    import(`./${kind}.js`),
  ]);
  const stored = examples[kind];
  const can = able(kind);
  const number = ++count;
  const same = (texts) => (entry) => entry.input.every((text, n) => text === texts[n]);

  const fields = stored[0].input.map((text, n) => {
    const label = words[stored[0].input.length > 1 ? `field.${n + 1}` : "field"];
    const area = h("textarea", { id: `live-${number}-${n}`, rows: 2, dir: "auto", maxlength: 2000, onkeydown: enter });
    return { area, row: h("p", {}, h("label", { for: area.id }, label), area) };
  });
  const button = h("button", { class: "live-ask", type: "submit" }, words[`${kind}.ask`]);
  const bar = h("progress", { hidden: true, max: 1, value: 0, "aria-label": words.loading });
  const status = h("p", { class: "live-status", role: "status" });
  const output = h("div", { class: "live-answer", "aria-live": "polite" });
  const choices = stored.map(({ input }) =>
    h("button", { type: "button", dir: "auto", onclick: () => submit(input) }, ...input.flatMap((text, n) => [n ? " ↔ " : "", h("bdi", {}, text)])),
  );

  function enter(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  }

  function show(answer, texts) {
    output.replaceChildren(...draw(answer, { words, texts, again: submit }));
  }

  let newest = 0;
  async function submit(texts) {
    if (texts) fields.forEach(({ area }, n) => (area.value = texts[n]));
    texts = fields.map(({ area }) => area.value);
    if (!texts.every((text) => text.trim())) {
      status.textContent = words.empty;
      return;
    }
    const mine = ++newest; // who asks again before the answer is there wants the later one
    if (!can) {
      const entry = stored.find(same(texts));
      status.textContent = entry ? words.unable : words["unable.other"];
      if (entry) show(entry.answer, texts);
      else output.replaceChildren();
      return;
    }
    status.textContent = words.thinking;
    element.setAttribute("aria-busy", "true");
    try {
      const answer = await ask(kind, texts, (loaded, total) => {
        bar.hidden = loaded >= total;
        bar.value = loaded / total;
        const values = { loaded: (loaded / 1e6).toFixed(1), total: (total / 1e6).toFixed(1) };
        status.textContent = say(loaded < total ? words["loading.part"] : words.starting, values);
      });
      if (mine !== newest) return;
      status.textContent = "";
      show(answer, texts);
    } catch (error) {
      console.error(error);
      if (mine === newest) status.textContent = say(words.failed, { error: error.message });
    } finally {
      bar.hidden = true;
      if (mine === newest) element.removeAttribute("aria-busy");
    }
  }

  element.classList.add("live");
  element.lang = lang;
  element.dir = lang === "ar" ? "rtl" : "ltr";
  const send = (event) => (event.preventDefault(), submit());
  element.replaceChildren(
    h("form", { onsubmit: send }, ...fields.map(({ row }) => row), h("p", { class: "live-go" }, button)),
    h("p", { class: "live-examples", role: "group", "aria-label": words.examples }, ...choices),
    bar,
    status,
    output,
  );

  // What Python said stands there from the beginning; the models come when somebody asks.
  const [first] = stored;
  fields.forEach(({ area }, n) => (area.value = first.input[n]));
  show(first.answer, first.input);
  if (can) status.textContent = say(words[kind === "tokens" ? "stored.tokens" : "stored"], { mb: Math.ceil((await size(kind)) / 1e6) });
  else status.textContent = words.unable;
}

// Mounts whatever in the page asks for it.
export function mountAll(root = document) {
  const found = [...root.querySelectorAll("[data-live]:not(.live)")].filter((one) => KINDS.includes(one.dataset.live));
  return Promise.all(found.map((element) => mount(element, element.dataset.live)));
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => mountAll());
else mountAll();
