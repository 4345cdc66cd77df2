/** Time to the whole answer: the median and the 95th percentile, now and before. */
import { svg } from "../../dom.js";
import { duration } from "../../i18n.js";
import { drawing, responsive } from "./drawing.js";

const ROW = 34;
const LABEL = 148;
const VALUE = 72;

/** @param {{now: object, before: object}} dashboard the server's answer @param {object} context the view's */
export function latencyChart({ now, before }, { t, signal }) {
  const row = (name, values, series) => ({ label: t(`dashboard.latency.${name}_${series}`), value: values[name], series });
  const rows = [row("p50_ms", now, "now"), row("p50_ms", before, "before"), row("p95_ms", now, "now"), row("p95_ms", before, "before")];
  const description = rows.map((one) => `${one.label}: ${duration(one.value)}`).join("; ");
  return responsive((width) => draw(rows, width, { title: t("dashboard.latency.title"), description }), signal, "chart-latency");
}

function draw(rows, width, words) {
  const top = Math.max(1, ...rows.map((row) => row.value ?? 0));
  const room = Math.max(20, width - LABEL - VALUE);
  return drawing(width, ROW * rows.length, words, rows.map(({ label, value, series }, index) => {
    const middle = ROW * index + ROW / 2;
    const length = (room * (value ?? 0)) / top;
    return [
      svg("text", { x: 0, y: middle + 4, class: "chart-label" }, label),
      svg("rect", { x: LABEL, y: middle - 9, width: Math.max(1, length), height: 18, class: `series series-${series}` }),
      svg("text", { x: LABEL + length + 8, y: middle + 4, class: "chart-value" }, duration(value)),
    ];
  }));
}
