/** Dashboard: how well customers are served, compared with the period before. */
import { button, h, icon, replace } from "../dom.js";
import { moment } from "../i18n.js";
import { download } from "../download.js";
import { daysSection } from "./dashboard/days.js";
import { details } from "./dashboard/details.js";
import { figures } from "./dashboard/figures.js";
import { latencyChart } from "./dashboard/latency.js";
import { periodOf, periodPicker, periodQuery } from "./dashboard/period.js";
import { topicsTable } from "./dashboard/topics.js";
import { questionList } from "./knowledge/unanswered.js";

// The list of unanswered questions is the knowledge view's own, with its words and looks.
export const sections = ["dashboard", "knowledge"];
export const styles = ["views/dashboard.css", "views/knowledge.css"];

export async function render(root, context) {
  const { t, api, params, signal, go } = context;
  root.classList.add("page");
  const period = periodOf(params);
  const range = { from: period.from, to: period.to };
  const dashboard = await api.get("/v1/dashboard", { query: range, signal });
  const behind = details(context, period);
  const save = async () => {
    try {
      await download("/v1/dashboard.csv", "dashboard.csv", range);
    } catch (error) {
      context.toast(api.errorText(error, t), "error");
    }
  };
  replace(root,
    h("header", {},
      h("div", {}, h("h1", {}, t("nav.dashboard")), h("p", { class: "soft" }, t("dashboard.compared", { from: moment(period.from), to: moment(period.to) }))),
      button({ label: t("dashboard.csv"), icon: "download", onClick: save })),
    periodPicker(period, (query) => go(api.address("/dashboard", query)), t),
    figures(dashboard, behind.open, t),
    behind.element,
    h("div", { class: "dashboard-charts" },
      section(t("dashboard.days"), daysSection(dashboard.days, context)),
      section(t("dashboard.latency.title"), h("p", { class: "small soft" }, t("dashboard.latency.about")), latencyChart(dashboard, context)),
      section(t("dashboard.topics"), topicsTable(dashboard.topics, t))),
    h("section", { class: "stack" },
      h("h2", {}, t("dashboard.unanswered")),
      dashboard.unanswered.length ? questionList(dashboard.unanswered.slice(0, 10), context, "h3") : h("p", { class: "soft row" }, icon("check"), t("dashboard.unanswered_none"))));
  history.replaceState(null, "", api.address("/dashboard", periodQuery(period)));
}

function section(title, ...children) {
  return h("section", { class: "card stack" }, h("h2", {}, title), children);
}
