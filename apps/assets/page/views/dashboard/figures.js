/** The figures on top: each with its change, its definition, and what it opens. */
import { h } from "../../dom.js";
import { duration, number, percent } from "../../i18n.js";

/**
 * What is shown, in this order. `better` is the direction that is good news, or null where neither is;
 * `opens` is what the list below the figures shows when the figure is chosen.
 */
const FIGURES = [
  { name: "conversations", kind: "count", better: null, opens: { list: "sessions" } },
  { name: "asked", kind: "count", better: null, opens: { list: "turns" } },
  { name: "coverage", kind: "rate", better: "up", opens: { list: "turns", outcome: "answered" } },
  { name: "resolution_rate", kind: "rate", better: "up", opens: { list: "sessions", status: "resolved" } },
  { name: "handoff_rate", kind: "rate", better: "down", opens: { list: "turns", outcome: "handoff" } },
  { name: "no_answer", kind: "count", better: "down", opens: { list: "turns", outcome: "no_answer" } },
  { name: "csat", kind: "rate", better: "up", opens: { list: "turns", rating: "1" } },
  { name: "thumbs_down", kind: "count", better: "down", opens: { list: "turns", rating: "-1" } },
  { name: "p50_ms", kind: "time", better: "down", opens: { list: "turns" } },
  { name: "p95_ms", kind: "time", better: "down", opens: { list: "turns" } },
];

const SHOW = { count: (value) => number(value), rate: percent, time: duration };

/**
 * @param {{now: object, before: object}} dashboard the server's answer
 * @param {(opens: object, title: string) => void} open shows what a figure counts
 * @param {Function} t
 */
export function figures({ now, before }, open, t) {
  const tiles = FIGURES.map(({ name, kind, better, opens }) => {
    const label = t(`dashboard.figure.${name}`);
    return h("li", {},
      h("button", { type: "button", class: "card figure", on: { click: () => open(opens, label) } },
        h("span", { class: "figure-name" }, label),
        h("span", { class: "figure-value" }, now[name] === null ? "–" : SHOW[kind](now[name])),
        change(now[name], before[name], kind, better, t),
        h("span", { class: "small soft figure-meaning" }, t(`dashboard.meaning.${name}`))));
  });
  return h("ul", { class: "figures" }, tiles);
}

/** The change from the period before, in words as well as by arrow and colour. */
function change(now, before, kind, better, t) {
  if (now === null || before === null) return h("span", { class: "small soft" }, t("dashboard.change.none"));
  const difference = kind === "rate" ? Math.round(now * 100) - Math.round(before * 100) : now - before;
  if (difference === 0) return h("span", { class: "small soft" }, t("dashboard.change.same"));
  const direction = difference > 0 ? "up" : "down";
  const mood = better === null ? "soft" : better === direction ? "good-text" : "bad-text";
  const size = Math.abs(difference);
  const amount = kind === "rate" ? t("dashboard.change.points", { n: size }) : kind === "time" ? duration(size) : number(size);
  return h("span", { class: `small change ${mood}` }, h("span", { "aria-hidden": "true" }, direction === "up" ? "▲" : "▼"), t(`dashboard.change.${direction}`, { amount, before: SHOW[kind](before) }));
}
