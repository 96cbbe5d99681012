// Elements without a framework: h("p", {class: "note"}, "text", otherElement).

export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// A message with its places filled in: say("{mb} MB", {mb: 5}). What stands in a place keeps its own direction.
export const say = (message, values = {}) =>
  message.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? `\u2068${values[name]}\u2069` : whole));

// A number between -1 and 1 with two places; a sign where asked for.
export const two = (number, sign = false) => (sign && number >= 0 ? "+" : "") + number.toFixed(2).replace("-", "−");

// Bars: a row each with a name, a bar and a number. Negative ones run the other way and have another colour.
export function bars(rows, { sign = false, most = 1 } = {}) {
  const list = h("ul", { class: sign ? "live-bars live-both" : "live-bars" });
  for (const { name, value, best } of rows) {
    const bar = h("span", { class: value < 0 ? "live-bar live-minus" : "live-bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", Math.min(1, Math.abs(value) / most));
    const label = h("span", { class: "live-name", dir: "auto" }, name);
    const number = h("span", { class: "live-number", dir: "ltr" }, two(value, sign));
    list.append(h("li", best ? { class: "live-best" } : {}, label, h("span", { class: "live-track" }, bar), number));
  }
  return list;
}

// Pieces of a text in four colours, with the token and its id under the pointer and for the screen reader's cursor.
export function coloured(pieces, wrap = (piece, attributes, text) => h("span", attributes, text)) {
  const line = h("p", { class: "live-pieces", dir: "auto" });
  pieces.forEach((piece, n) => {
    const attributes = { class: `live-piece live-colour-${n % 4}`, title: `${piece.token} ${piece.id}` };
    line.append(piece.gap, wrap(piece, attributes, piece.text || "·"));
  });
  return line;
}
