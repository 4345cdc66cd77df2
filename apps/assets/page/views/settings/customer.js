/** What is kept of one customer, to hand it over or to delete it; and the export of all conversations. */
import { button, field, h, replace } from "../../dom.js";
import { download } from "../../download.js";
import { section } from "./section.js";

/** @param {object} context the view's */
export function customerSection(context) {
  const { t, api, toast } = context;
  const customer = h("input", { type: "text", required: true, autocomplete: "off" });
  const result = h("div", { role: "status" });
  const path = () => `/v1/customers/${encodeURIComponent(customer.value.trim())}`;
  const report = (error) => toast(api.errorText(error, t), "error");

  const hand = (event) => {
    event.preventDefault();
    download(path(), "customer.json").catch(report);
  };
  const erase = async () => {
    if (!customer.reportValidity()) return;
    const name = customer.value.trim();
    const yes = await context.confirm({ title: t("settings.customer.delete_title", { customer: name }), text: t("settings.customer.delete_text"), action: t("common.delete") });
    if (!yes) return;
    try {
      const { deleted } = await api.remove(path());
      replace(result, h("p", {}, t("settings.customer.deleted", { n: deleted })));
    } catch (error) {
      report(error);
    }
  };
  const exportAll = () => download("/v1/sessions/export", "conversations.jsonl").catch(report);

  return section("customer", t("settings.customer.title"),
    h("p", { class: "soft" }, t("settings.customer.about")),
    h("form", { class: "row key-form", on: { submit: hand } },
      h("div", { class: "grow" }, field(t("settings.customer.name"), customer)),
      h("div", { class: "row" },
        button({ label: t("settings.customer.hand"), icon: "download", props: { type: "submit" } }),
        button({ label: t("common.delete"), icon: "trash", kind: "danger", onClick: erase }))),
    result,
    h("div", {}, button({ label: t("settings.customer.export"), icon: "download", onClick: exportAll })));
}
