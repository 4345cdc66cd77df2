/** What runs, from which model, and how long conversations are kept. */
import { h } from "../../dom.js";
import { number } from "../../i18n.js";
import { section } from "./section.js";

/** @param {object} status of the server @param {Function} t */
export function statusSection(status, t) {
  const facts = [
    ["version", `${status.name} ${status.version}`],
    ["model", status.model ?? t("common.none")],
    ["adapter", status.adapter ?? t("common.none")],
    ["embedder", status.embedder ?? t("common.none")],
    ["documents", h("a", { href: "/knowledge" }, t("settings.status.documents_value", { documents: number(status.documents), passages: number(status.passages) }))],
    ["skipped", status.skipped ? h("a", { href: "/knowledge?tab=skipped" }, number(status.skipped)) : number(0)],
    ["uptime", uptime(status.uptime_s, t)],
  ];
  return section("status", t("settings.status.title"),
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, t(`settings.status.${name}`)), h("dd", {}, value)))),
    h("p", { class: "small soft" }, t("settings.status.retention")));
}

function uptime(seconds, t) {
  const minutes = Math.floor(seconds / 60);
  const [days, hours] = [Math.floor(minutes / 1440), Math.floor((minutes % 1440) / 60)];
  if (days) return t("settings.status.days_hours", { days, hours });
  return t("settings.status.hours_minutes", { hours, minutes: minutes % 60 });
}
