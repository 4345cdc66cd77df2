/** One document as the server keeps it. */
import { button, h, icon, replace } from "../../dom.js";
import { bytes, moment, number } from "../../i18n.js";
import { deleteDocument } from "./documents.js";

export async function renderDocument(root, context, id) {
  const { t, api, go, signal, setTitle } = context;
  const document = await api.get(`/v1/documents/${encodeURIComponent(id)}`, { signal });
  setTitle(document.title);
  const facts = [
    [t("knowledge.source"), document.source ?? "–"],
    [t("knowledge.origin.name"), t(`knowledge.origin.${document.origin}`)],
    [t("knowledge.passages"), number(document.passages)],
    [t("knowledge.size"), bytes(document.bytes)],
    [t("knowledge.updated"), moment(document.updated)],
    ...Object.entries(document.metadata ?? {}).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
  ];
  replace(root,
    h("p", {}, h("a", { href: "/knowledge", class: "row" }, icon("left"), t("knowledge.all"))),
    h("header", {},
      h("h1", { class: "grow" }, document.title || document.id),
      h("div", { class: "row" },
        h("a", { href: `/knowledge?edit=${encodeURIComponent(id)}`, class: "button" }, icon("edit"), h("span", {}, t("common.edit"))),
        button({ label: t("common.delete"), icon: "trash", kind: "danger", onClick: () => deleteDocument(document, context, () => go("/knowledge")) }))),
    h("div", { class: "document" },
      h("article", { class: "card document-text" }, document.text),
      h("dl", { class: "card facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))));
}
