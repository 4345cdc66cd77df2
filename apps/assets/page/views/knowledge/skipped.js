/** Files and parts of files that were not read, and why. */
import { h, icon, replace } from "../../dom.js";
import { table } from "../../table.js";

export async function renderSkipped(root, { t, api, signal }) {
  const { skipped } = await api.get("/v1/documents", { query: { limit: 1 }, signal });
  if (!skipped.length) return void replace(root, h("div", { class: "empty" }, icon("check"), h("p", {}, t("knowledge.skipped.none"))));
  const columns = [{ head: t("knowledge.source") }, { head: t("knowledge.skipped.reason") }];
  replace(root, h("p", { class: "soft" }, t("knowledge.skipped.about")), table(t("knowledge.tab.skipped"), columns, skipped.map((one) => [one.source, one.reason])));
}
