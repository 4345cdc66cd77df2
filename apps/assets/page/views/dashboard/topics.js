/** What customers ask about: the documents that answers cite most. */
import { h, svg } from "../../dom.js";
import { number } from "../../i18n.js";
import { table } from "../../table.js";

const WIDTH = 120;

/** @param {Array<{document: string, title: string, count: number}>} topics @param {Function} t */
export function topicsTable(topics, t) {
  if (!topics.length) return h("p", { class: "soft" }, t("dashboard.nothing"));
  const top = Math.max(...topics.map((topic) => topic.count));
  const columns = [{ head: t("dashboard.document") }, { head: t("dashboard.share"), quiet: true, class: "wide-only" }, { head: t("dashboard.answers"), class: "numeric" }];
  const rows = topics.map((topic) => [h("a", { href: `/knowledge?document=${encodeURIComponent(topic.document)}` }, topic.title || topic.document), bar(topic.count / top), number(topic.count)]);
  return table(t("dashboard.topics"), columns, rows);
}

/** Decoration: the number stands in the next cell. */
function bar(share) {
  return svg("svg", { width: WIDTH, height: 12, viewBox: `0 0 ${WIDTH} 12`, preserveAspectRatio: "none", "aria-hidden": "true", class: "chart" }, svg("rect", { width: Math.max(2, WIDTH * share), height: 12, rx: 2, class: "series series-now" }));
}
