/** The time range of the dashboard. It lives in the address, so that a range can be sent to a colleague. */
import { button, field, h } from "../../dom.js";

const DAY = 86400e3;

/** The ranges offered, in days up to now. */
export const PRESETS = [1, 7, 30, 90];

/**
 * The range that the address asks for: `?days=30`, or `?from=2026-11-01&to=2026-11-30` with both days
 * included. What cannot be read falls back to the last seven days.
 *
 * @param {URLSearchParams} params
 * @returns {{days: number|null, from: string, to: string}} RFC 3339 bounds; `days` is null for dates of one's own
 */
export function periodOf(params, now = Date.now()) {
  const first = Date.parse(params.get("from") ?? "");
  const last = Date.parse(params.get("to") ?? "");
  if (first <= last) return { days: null, from: new Date(first).toISOString(), to: new Date(last + DAY).toISOString() };
  const asked = Number(params.get("days"));
  const days = PRESETS.includes(asked) ? asked : 7;
  return { days, from: new Date(now - days * DAY).toISOString(), to: new Date(now).toISOString() };
}

/** The range as parameters of the dashboard's own address. */
export function periodQuery(period) {
  return period.days ? { days: period.days } : { from: firstDay(period), to: lastDay(period) };
}

const firstDay = (period) => period.from.slice(0, 10);
const lastDay = (period) => new Date(Date.parse(period.to) - 1).toISOString().slice(0, 10);

/** The controls that choose a range. @param {(query: object) => void} choose */
export function periodPicker(period, choose, t) {
  const presets = PRESETS.map((days) => button({ label: t("dashboard.last_days", { n: days }), kind: "quiet", onClick: () => choose({ days }), props: { class: "small", "aria-pressed": String(period.days === days) } }));
  const from = h("input", { type: "date", value: firstDay(period), required: true });
  const to = h("input", { type: "date", value: lastDay(period), required: true });
  const form = h("form", { class: "row period-dates", on: {
    submit(event) {
      event.preventDefault();
      const dates = [from.value, to.value].sort();
      choose({ from: dates[0], to: dates[1] });
    },
  } }, field(t("dashboard.from"), from), field(t("dashboard.to"), to), button({ label: t("dashboard.show"), props: { type: "submit", class: "small" } }));
  return h("div", { class: "period" }, h("div", { class: "row", role: "group", "aria-label": t("dashboard.range") }, presets), form);
}
