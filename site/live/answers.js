// What each kind of page asks, and how the model's numbers become an answer. The same as tools/live_answers.py.

import { tokenizerFrom } from "./pieces.js";

const LIKELIEST = 5;

export function softmax(logits) {
  const highest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = Array.from(logits, (logit) => Math.exp(logit - highest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

function cosine(one, other) {
  const product = (a, b) => a.reduce((sum, value, n) => sum + value * b[n], 0);
  return product(one, other) / Math.sqrt(product(one, one) * product(other, other));
}

// `model(name)` gives a function from ids (and the place of a token) to the network's outputs.
export function answering(tokenizerFile, model) {
  const tokenizer = tokenizerFrom(tokenizerFile);
  const encoder = async (text, place = 0) => (await model("encoder"))(tokenizer.encode(text), place);
  const opinions = async (text) => (await model("opinions"))(tokenizer.encode(text));
  const average = ({ stars }) => softmax(stars.data).reduce((sum, share, n) => sum + share * (n + 1), 0);

  return {
    async tokens(text) {
      let done = 0;
      const pieces = tokenizer.places(text).map(({ token, id, start, end }) => {
        start = Math.max(start, done);
        end = token === "▁" && text.slice(start, end).trim() ? start : Math.max(start, end);
        const piece = { token, id, text: text.slice(start, end), gap: text.slice(done, start) };
        done = Math.max(done, end);
        return piece;
      });
      return { pieces };
    },

    async stars(text) {
      const { stars, sentiment } = await opinions(text);
      return { stars: softmax(stars.data), sentiment: softmax(sentiment.data) };
    },

    async words(text) {
      const places = new Map();
      for (const { start, end } of tokenizer.places(text)) if (start < end) places.set(`${start}-${end}`, [start, end]);
      const whole = average(await opinions(text));
      const parts = [];
      const effects = [];
      for (const [start, end] of places.values()) {
        parts.push(text.slice(start, end));
        effects.push(whole - average(await opinions(text.slice(0, start) + text.slice(end))));
      }
      return { average: whole, parts, effects };
    },

    async hidden(text) {
      const place = tokenizer.encode(text).indexOf(tokenizer.maskId);
      if (place < 0) return { pieces: (await this.tokens(text)).pieces };
      const scores = softmax((await encoder(text, place)).guesses.data);
      const likeliest = [...scores.keys()].sort((a, b) => scores[b] - scores[a]).slice(0, LIKELIEST);
      return { guesses: likeliest.map((id) => tokenizer.decode(id)), scores: likeliest.map((id) => scores[id]) };
    },

    async similar(one, other) {
      return { cosine: cosine(Array.from((await encoder(one)).mean.data), Array.from((await encoder(other)).mean.data)) };
    },

    async attention(text) {
      const { dims, data } = (await encoder(text)).attentions;
      const shares = (level, start, size) =>
        level === dims.length
          ? data[start]
          : Array.from({ length: dims[level] }, (_, n) => shares(level + 1, start + (n * size) / dims[level], size / dims[level]));
      return { tokens: tokenizer.names(tokenizer.encode(text)), shares: shares(0, 0, data.length) };
    },

    // For tests: the ids that the model reads.
    async ids(text) {
      return tokenizer.encode(text);
    },
  };
}
