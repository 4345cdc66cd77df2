/** Cuts a passage's text at the byte positions the server gives; JavaScript counts in UTF-16. */

/**
 * The text as pieces, each inside a cited range or between two.
 *
 * @param {string} text
 * @param {[number, number][]} ranges byte ranges in the UTF-8 text, in any order
 * @param {[number, number]|null} chosen the range the reader asked for; it wins where ranges overlap
 * @returns {{text: string, cited: boolean, chosen: boolean}[]}
 */
export function pieces(text, ranges, chosen = null) {
  const bytes = new TextEncoder().encode(text);
  const same = (range) => chosen && range[0] === chosen[0] && range[1] === chosen[1];
  const overlaps = (range) => chosen && !same(range) && range[0] < chosen[1] && chosen[0] < range[1];
  const wanted = [...(chosen ? [chosen] : []), ...ranges.filter((range) => !same(range) && !overlaps(range))];
  const decoder = new TextDecoder();
  const cut = (from, to) => decoder.decode(bytes.subarray(from, to));
  const result = [];
  let at = 0;
  for (const range of wanted.sort((a, b) => a[0] - b[0])) {
    const from = Math.max(range[0], at);
    const to = Math.min(range[1], bytes.length);
    if (to <= from) continue;
    if (from > at) result.push({ text: cut(at, from), cited: false, chosen: false });
    result.push({ text: cut(from, to), cited: true, chosen: range === chosen });
    at = to;
  }
  if (at < bytes.length) result.push({ text: cut(at), cited: false, chosen: false });
  return result;
}
