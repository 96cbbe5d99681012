// Tokens as Python makes them, and the part of the text that each one stands for.

import { Tokenizer } from "./vendor/tokenizers.js";

const FIRST_BYTE = "<0x00>";
const bytesOf = new TextEncoder();

export function tokenizerFrom({ tokenizer, config }, limit = config.model_max_length) {
  const made = new Tokenizer(tokenizer, config);
  const firstByte = made.token_to_id(FIRST_BYTE);
  const special = new Set(tokenizer.added_tokens.map((token) => token.content));
  const between = new RegExp(`(${[...special].map((name) => name.replace(/[[\]]/g, "\\$&")).join("|")})`);

  // A token that is no entry of the vocabulary is a run of characters without one: it is written in bytes.
  const entries = (tokens) =>
    tokens.flatMap((token) => {
      const id = made.token_to_id(token);
      if (id !== undefined) return [{ token, id, size: token.length }];
      return [...bytesOf.encode(token)].map((byte, n) => ({
        token: made.id_to_token(firstByte + byte),
        id: firstByte + byte,
        size: n ? 0 : token.length,
        same: n > 0,
      }));
    });

  // Ids with [CLS] and [SEP], no more than the model can read.
  function encode(text) {
    const ids = entries(made.encode(text).tokens).map((entry) => entry.id);
    return ids.length > limit ? [...ids.slice(0, limit - 1), ids.at(-1)] : ids;
  }

  // Where each token begins and ends in the text, without [CLS] and [SEP]. The spelling is made even before a text is
  // cut; how long each beginning of the text is after that tells which part became which.
  function places(text) {
    const tokens = entries(made.tokenize(text));
    const found = [];
    let done = 0;
    for (const section of text.split(between)) {
      const next = tokens.findIndex((entry) => special.has(entry.token));
      if (special.has(section)) {
        const [{ token, id }] = tokens.splice(0, 1);
        found.push({ token, id, start: done, end: done + section.length });
      } else {
        const own = tokens.splice(0, next < 0 ? tokens.length : next);
        found.push(...placesIn(section, own, done === 0).map((place) => shifted(place, done)));
      }
      done += section.length;
    }
    return found;
  }

  function placesIn(section, tokens, first) {
    const even = (text) => made.normalizer.normalizers.slice(0, -1).reduce((t, one) => one.normalize(t), text);
    const cuts = [...new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(section)].map((s) => s.index);
    cuts.push(section.length);
    const lengths = cuts.map((cut) => even(section.slice(0, cut)).length);
    for (let n = 1; n < lengths.length; n++) lengths[n] = Math.max(lengths[n], lengths[n - 1]);
    const total = made.normalizer(section).length;
    // A text gets a blank in front; a section after a mask does not.
    let from = first ? total - tokens.reduce((sum, entry) => sum + entry.size, 0) : 0;
    let last;
    return tokens.map(({ token, id, size, same }) => {
      if (!same) {
        const start = Math.max(0, lengths.findLastIndex((length) => length <= Math.max(0, from)));
        from += size;
        const end = lengths.findIndex((length) => length >= from);
        last = { start: cuts[start], end: from > 0 ? cuts[end < 0 ? cuts.length - 1 : end] : cuts[start] };
      }
      return { token, id, ...last };
    });
  }

  const shifted = ({ token, id, start, end }, by) => ({ token, id, start: start + by, end: end + by });

  const names = (ids) => ids.map((id) => made.id_to_token(id));
  return { encode, places, names, decode: (id) => made.decode([id]), maskId: made.token_to_id(config.mask_token) };
}
