// What the theme does not do by itself: stay in the place when the language is switched, and unfold what a link leads into.
(() => {
  const place = () => {
    const line = 120;
    let last = "";
    for (const cell of document.querySelectorAll("article .cell[id], article h1[id], article h2[id], article h3[id]")) {
      if (cell.getBoundingClientRect().top > line) break;
      last = cell.id;
    }
    return window.scrollY < line ? "" : last;
  };
  for (const link of document.querySelectorAll("a[data-stay]"))
    for (const moment of ["pointerdown", "focus", "click"])
      link.addEventListener(moment, () => { link.hash = place(); if (moment === "click") remember(link.hreflang); });
  const remember = lang => { try { localStorage.setItem("ftcourse.lang", lang); } catch { /* a browser may forbid it */ } };

  const unfold = () => {
    const name = decodeURIComponent(location.hash.slice(1)), target = name && document.getElementById(name);
    const folded = target && target.closest("details:not([open])");
    if (folded) { folded.open = true; target.scrollIntoView(); }
  };
  window.addEventListener("hashchange", unfold);
  unfold();

  // What scrolls sideways can be reached by the keyboard.
  const reach = () => {
    for (const box of document.querySelectorAll("article pre > code, article pre.output"))
      if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight)
        (box.querySelector(".lines") ?? box).tabIndex = 0;
  };
  window.addEventListener("resize", reach);
  reach();

  const query = document.querySelector(".md-search__input");
  query?.addEventListener("input", () => query.dispatchEvent(new KeyboardEvent("keyup")));
})();
