/** Questions a day, stacked by their outcome. */
import { h, svg } from "../../dom.js";
import { number } from "../../i18n.js";
import { table } from "../../table.js";
import { drawing, responsive, roundUp } from "./drawing.js";

/** From the bottom of a bar upwards. The class of a series gives it its colour. */
const OUTCOMES = ["answered", "talk", "no_answer", "handoff"];

const HEIGHT = 220;
const MARGIN = { top: 12, end: 4, bottom: 26, start: 36 };

/** Pixels that the label of a day needs. */
const LABEL = 56;

/**
 * The chart with its legend, and the same figures as a table.
 *
 * @param {Array<object>} days of the dashboard answer
 * @param {object} context the view's
 */
export function daysSection(days, { t, language, signal }) {
  // The server counts days in UTC, so they are named in UTC as well.
  const format = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", timeZone: "UTC" });
  const dayName = (row) => format.format(new Date(row.day));
  const names = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, t(`dashboard.outcome.${outcome}`)]));
  const total = days.reduce((sum, row) => sum + row.asked, 0);
  const words = { title: t("dashboard.days"), description: t("dashboard.days_description", { n: total, days: days.length }) };
  const columns = [{ head: t("dashboard.day") }, { head: t("dashboard.figure.asked"), class: "numeric" }, ...OUTCOMES.map((outcome) => ({ head: names[outcome], class: "numeric" }))];
  const rows = days.map((row) => [dayName(row), number(row.asked), ...OUTCOMES.map((outcome) => number(row[outcome]))]);
  return [
    responsive((width) => daysChart(days, width, words, names, dayName), signal, "chart-days"),
    h("ul", { class: "legend small" }, OUTCOMES.map((outcome) => h("li", {}, swatch(outcome), names[outcome]))),
    h("details", {}, h("summary", {}, t("dashboard.as_table")), table(words.title, columns, rows)),
  ];
}

function swatch(outcome) {
  return svg("svg", { width: 12, height: 12, "aria-hidden": "true" }, svg("rect", { width: 12, height: 12, rx: 2, class: `series series-${outcome}` }));
}

function daysChart(days, width, words, names, dayName) {
  const top = roundUp(Math.max(1, ...days.map((row) => row.asked)));
  const inner = { width: width - MARGIN.start - MARGIN.end, height: HEIGHT - MARGIN.top - MARGIN.bottom };
  const slot = inner.width / Math.max(1, days.length);
  const bar = Math.max(1, Math.min(40, slot * 0.7));
  const y = (value) => MARGIN.top + inner.height * (1 - value / top);
  const every = Math.ceil(LABEL / slot);
  const columns = days.map((row, index) => {
    const middle = MARGIN.start + slot * (index + 0.5);
    const label = index % every === 0 && svg("text", { x: middle, y: HEIGHT - 8, "text-anchor": "middle", class: "chart-label" }, dayName(row));
    return [column(row, middle - bar / 2, bar, y, [dayName(row), names]), label];
  });
  return drawing(width, HEIGHT, words, gridLines(top, width, y), columns);
}

function gridLines(top, width, y) {
  const steps = top === 1 ? [0, 1] : [0, top / 2, top];
  return steps.map((value) => [
    svg("line", { x1: MARGIN.start, x2: width - MARGIN.end, y1: y(value), y2: y(value), class: "chart-line" }),
    svg("text", { x: MARGIN.start - 8, y: y(value) + 4, "text-anchor": "end", class: "chart-label" }, number(value, 1)),
  ]);
}

function column(row, x, width, y, [day, names]) {
  const parts = [];
  let below = 0;
  for (const outcome of OUTCOMES) {
    const count = row[outcome];
    if (!count) continue;
    // One pixel between the parts keeps them apart for eyes that do not tell the colours apart.
    const height = Math.max(1, y(below) - y(below + count) - 1);
    parts.push(svg("rect", { x, y: y(below + count), width, height, class: `series series-${outcome}` }));
    below += count;
  }
  const told = OUTCOMES.filter((outcome) => row[outcome]).map((outcome) => `${names[outcome]}: ${number(row[outcome])}`);
  return svg("g", {}, svg("title", {}, [day, ...told].join("\n")), parts);
}
