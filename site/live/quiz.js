// Quiz questions and exercises of a page that remember, on this device alone, what was solved.
//
// A question is a row of <details> whose texts begin with ✓ or ✗: opening one is answering. A folded solution gets a
// box to tick: nobody can check an exercise here, so the reader marks it. `remember(root, page, lang)` does it.

import { h, say } from "./dom.js";
import { json, known } from "./live.js";

const RIGHT = "✓";
const WRONG = "✗";
const SOLUTIONS = ["Solution", "الحلّ", "参考答案", "參考答案"];

// What is kept: for each question or exercise of a page whether it is solved. No storage, no memory; all else works.
function notebook(page) {
  const key = `ftcourse:${page}`;
  try {
    const kept = JSON.parse(localStorage.getItem(key) ?? "{}");
    const solved = new Set(Array.isArray(kept.solved) ? kept.solved : []);
    const write = () => localStorage.setItem(key, JSON.stringify({ solved: [...solved] }));
    return { solved, write, clear: () => (solved.clear(), localStorage.removeItem(key)) };
  } catch {
    const solved = new Set();
    return { solved, write() {}, clear: () => solved.clear() };
  }
}

const verdict = (option) => option.textContent.slice(option.querySelector("summary").textContent.length).trim()[0];

// Options that follow each other in the page belong to one question.
function questions(root) {
  const found = [];
  for (const option of root.querySelectorAll("details")) {
    if (![RIGHT, WRONG].includes(verdict(option))) continue;
    if (option.previousElementSibling && found.at(-1)?.at(-1) === option.previousElementSibling) found.at(-1).push(option);
    else found.push([option]);
  }
  return found;
}

export async function remember(root = document.body, page = location.pathname, lang = undefined) {
  const words = await json(`words/${known(lang ?? document.documentElement.lang)}.json`);
  const { solved, write, clear } = notebook(page);
  const score = h("p", { class: "live-score", role: "status" });
  const redraw = [];
  const asked = questions(root);
  const name = (kind, n) => `${kind}-${n + 1}`;

  function change(key, done) {
    if (done) solved.add(key);
    else solved.delete(key);
    try {
      write();
    } catch {
      // the device's store is full or closed
    }
    draw();
  }

  function draw() {
    for (const one of redraw) one();
    score.firstChild.textContent = say(words["quiz.solved"], { solved: redraw.filter((one) => one()).length, all: redraw.length });
    score.lastChild.hidden = solved.size === 0;
  }

  asked.forEach((options, n) => {
    const key = name("quiz", n);
    for (const option of options) {
      const right = verdict(option) === RIGHT;
      const mark = h("span", { class: "live-mark" });
      option.querySelector("summary").append(" ", mark);
      option.addEventListener("toggle", () => {
        if (!option.open) return;
        option.classList.add(right ? "live-right" : "live-wrong");
        mark.textContent = right ? words["quiz.right"] : words["quiz.wrong"];
        if (right) change(key, true);
      });
    }
    redraw.push(() => {
      const done = solved.has(key);
      for (const option of options) option.classList.toggle("live-solved", done && verdict(option) === RIGHT);
      return done;
    });
  });

  const solutions = [...root.querySelectorAll("details")].filter((one) =>
    SOLUTIONS.includes(one.querySelector("summary")?.textContent.trim()),
  );
  solutions.forEach((solution, n) => {
    const key = name("exercise", n);
    const box = h("input", { type: "checkbox", onchange: () => change(key, box.checked) });
    solution.after(h("p", { class: "live-done" }, h("label", {}, box, " ", words["quiz.done"])));
    redraw.push(() => (box.checked = solved.has(key)));
  });

  if (!redraw.length) return;
  const forget = h("button", { type: "button", onclick: () => { clear(); draw(); } }, words["quiz.again"]);
  score.append(h("span"), " ", forget);
  const last = solutions.at(-1)?.nextElementSibling ?? asked.at(-1).at(-1);
  last.after(score);
  draw();
}
