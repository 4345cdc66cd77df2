/** Tables that scroll inside their own box, and the buttons that page through them. */
import { button, h } from "./dom.js";

/**
 * @param {string} name what the table shows, for a screen reader
 * @param {Array<{head: string, class?: string, quiet?: boolean}>} columns `quiet` hides the heading from sight only
 * @param {Array<Array<Node|string|number|null>>} rows
 */
export function table(name, columns, rows) {
  const head = columns.map(({ head, class: kind, quiet }) => h("th", { scope: "col", class: kind }, quiet ? h("span", { class: "visually-hidden" }, head) : head));
  const body = rows.map((cells) => h("tr", {}, cells.map((cell, index) => h("td", { class: columns[index].class }, cell))));
  return h("div", { class: "table", role: "region", "aria-label": name, tabindex: "0" }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}

/**
 * "11–20 of 43" with buttons for the page before and after; nothing where one page shows all.
 *
 * @param {{offset: number, limit: number, total: number}} page
 * @param {(offset: number) => void} turn
 * @param {{name: string, before: string, after: string, range: (first: number, last: number, total: number) => string}} words
 */
export function pager({ offset, limit, total }, turn, words) {
  if (total <= limit) return null;
  const last = Math.min(offset + limit, total);
  return h("nav", { class: "row between pager", "aria-label": words.name },
    h("span", { class: "small soft" }, words.range(offset + 1, last, total)),
    h("span", { class: "row" },
      button({ label: words.before, icon: "left", onClick: () => turn(Math.max(0, offset - limit)), props: { disabled: offset === 0, class: "small" } }),
      button({ label: words.after, icon: "right", onClick: () => turn(offset + limit), props: { disabled: last === total, class: "small" } })));
}
