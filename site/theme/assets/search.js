// The search, as a worker of the theme's: it finds Arabic without its marks and with any hamza, Chinese in either script
// and without word spaces, and Latin words with or without hyphens. Texts are fetched when somebody first types.
const SETUP = 0, READY = 1, QUERY = 2, RESULT = 3;
const home = new URL("../", self.location.href);
const lang = home.pathname.split("/").filter(Boolean).pop();
const LANGS = ["en", "ar", "zh", "zh-Hant"];
const MARKS = /[\u064b-\u065f\u0670\u06d6-\u06ed\u0640\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\u00ad]/;
const LETTERS = { "أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ة": "ه", "ى": "ي", "ؤ": "و", "ئ": "ي", "ی": "ي", "ک": "ك" };
const HAN = /[\u3400-\u9fff\uf900-\ufaff]/, ARABIC = /[\u0600-\u06ff]/, WORD = /[\p{L}\p{N}_]/u;
const books = new Map();
let fold = {};

// One letter as it is compared; nothing for marks, a blank for what parts words.
function letter(char) {
  if (MARKS.test(char)) return "";
  const plain = char.normalize("NFKC").toLowerCase();
  if (plain !== char && [...plain].length > 1) return [...plain].map(letter).join("");
  return LETTERS[plain] ?? fold[plain] ?? (WORD.test(plain) ? plain : " ");
}

function compared(text) {
  let out = "";
  for (const char of text) out += letter(char);
  return out;
}

async function book(code) {
  if (!books.has(code)) {
    const root = new URL(`../${code}/`, home);
    const answer = await fetch(new URL("search/texts.json", root));
    const { pages, variants } = await answer.json();
    fold = variants;
    for (const page of pages) {
      page.key = compared(page.title);
      page.sections = page.sections.map(([id, title, cells]) =>
        ({ id, title, cells, key: compared(title), texts: cells.map(([, text]) => compared(text)) }));
    }
    books.set(code, { root, pages });
  }
  return books.get(code);
}

// The words of a query: pieces of Chinese stay whole, and may fall back to pairs of letters.
function terms(query, pairs) {
  const words = compared(query).split(/\s+/).filter(Boolean);
  return [...new Set(words.flatMap(word => word.match(/[\u3400-\u9fff\uf900-\ufaff]+|[^\u3400-\u9fff\uf900-\ufaff]+/g))
    .flatMap(word => pairs && HAN.test(word) && word.length > 2
      ? Array.from({ length: word.length - 1 }, (_, at) => word.slice(at, at + 2)) : [word]))];
}

// How well a text has a term: as a whole word, as the beginning of one, or, in Arabic, behind an article or a particle.
function weight(text, term) {
  let best = 0, count = 0;
  for (let at = text.indexOf(term); at >= 0; at = text.indexOf(term, at + term.length)) {
    const before = at === 0 ? " " : text[at - 1], after = text[at + term.length] ?? " ";
    let value = 0;
    if (HAN.test(term)) value = 1;
    else if (before === " ") value = after === " " ? 1 : term.length > 1 ? 0.6 : 0;
    else if (ARABIC.test(term) && term.length > 2) value = 0.4;
    best = Math.max(best, value);
    count += value > 0;
  }
  return best && best * (1 + Math.log2(count) / 8);
}

function score(page, section, words) {
  const each = words.map(word => {
    const stem = ARABIC.test(word) && word.startsWith("ال") && word.length > 4 ? word.slice(2) : "";
    const value = text => Math.max(weight(text, word), stem && 0.7 * weight(text, stem));
    return Math.max(5 * value(section.key), 3 * value(page.key), ...section.texts.map(value));
  });
  const present = each.filter(Boolean).length;
  // Words of a query that stand together count for more.
  const phrase = words.join(" ");
  const whole = words.length > 1 && (section.key.includes(phrase) || section.texts.some(text => text.includes(phrase)));
  const exact = section.key.trim() === phrase ? 4 : section.key.trim().startsWith(phrase) ? 2 : 0;
  return { present, value: each.reduce((sum, one) => sum + one, 0) + exact + (whole ? 2 : 0) };
}

const escaped = text => text.replace(/[&<>"]/g, char => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[char]);

// A text with the words of the query marked; a long one is cut to the part that has them.
function marked(text, words, long = 160) {
  const chars = [...text], places = [], key = [];
  chars.forEach((char, at) => { for (const one of letter(char)) { key.push(one); places.push(at); } });
  const whole = key.join(""), hits = new Set();
  let first = -1;
  for (const word of words)
    for (let at = whole.indexOf(word); at >= 0; at = whole.indexOf(word, at + 1)) {
      if (first < 0) first = places[at];
      for (let step = at; step < at + word.length; step++) hits.add(places[step]);
    }
  let from = Math.max(0, first - 40);
  while (from > 0 && from < first && WORD.test(chars[from - 1]) && !HAN.test(chars[from - 1])) from++;
  const to = Math.min(chars.length, from + long);
  let out = from ? "… " : "", open = false;
  for (let at = from; at < to; at++) {
    if (hits.has(at) !== open) out += (open = !open) ? "<mark data-md-highlight>" : "</mark>";
    out += escaped(chars[at]);
  }
  return out + (open ? "</mark>" : "") + (to < chars.length ? " …" : "");
}

function find({ root, pages }, words, foreign) {
  const every = pages.flatMap(page => page.sections.map(section => ({ page, section, ...score(page, section, words) })));
  const most = Math.max(0, ...every.map(one => one.present));
  if (most === 0 || (words.length > 2 && most < words.length / 2)) return [];
  const found = every.filter(one => one.present === most && one.value > 0).sort((a, b) => b.value - a.value);
  const grouped = new Map();
  for (const one of found) grouped.set(one.page, [...(grouped.get(one.page) ?? []), one]);
  return [...grouped].slice(0, 30).map(([page, hits]) => {
    const location = new URL(page.location, root).href;
    const shown = hits.slice(0, 12).map(({ section, value }) => {
      const at = section.texts.map(text => words.reduce((sum, word) => sum + weight(text, word), 0));
      const best = at.indexOf(Math.max(...at, 0)), [cell, text] = section.cells[best] ?? [section.id, ""];
      const place = weight(section.key, words[0]) || !text ? section.id : cell;
      const shown = text && `<span dir="auto">${marked(text, words)}</span>`;
      return { location: `${location}#${place}`, title: marked(section.title, words), text: shown, score: value, terms: {} };
    });
    const score = shown[Math.min(2, shown.length - 1)].score;
    const tags = foreign ? { tags: [foreign] } : {};
    return [{ location, title: marked(page.title, words), text: "", score, terms: {}, ...tags }, ...shown];
  });
}

async function search(query) {
  const own = await book(lang);
  for (const pairs of [false, true]) {
    const items = find(own, terms(query, pairs), "");
    if (items.length) return items;
  }
  const others = [];
  for (const code of LANGS.filter(code => code !== lang)) {
    try {
      const other = await book(code);
      others.push(...find(other, terms(query, false), code));
    } catch { /* a site may have fewer languages */ }
  }
  return others;
}

let latest = 0;
self.addEventListener("message", async ({ data: { type, data } }) => {
  if (type === SETUP) return self.postMessage({ type: READY });
  if (type !== QUERY) return;
  const turn = ++latest;
  await new Promise(resolve => setTimeout(resolve, 80)); // the next letter may be on its way
  if (turn !== latest) return;
  const items = data.trim() ? await search(data) : [];
  if (turn === latest) self.postMessage({ type: RESULT, data: { items } });
});
