/** The first-run guide: three steps from an empty server to an answer on the company's own site. */
import { button, h, icon } from "./dom.js";

/**
 * @param {object} context the view's; its `sections` must name "guide"
 * @param {(() => void)|null} upload opens the file dialog, where the view has one
 */
export function guide({ t }, upload = null) {
  const add = upload ? button({ label: t("guide.add"), icon: "upload", kind: "primary", onClick: upload }) : link("/knowledge", "upload", t("guide.add"), "primary");
  const steps = [
    [t("guide.documents"), t("guide.documents_why"), [add, link("/knowledge?new=1", "edit", t("guide.write"))]],
    [t("guide.ask"), t("guide.ask_why"), [link("/", "chat", t("guide.try"))]],
    [t("guide.share"), t("guide.share_why"), [h("code", { class: "guide-code" }, `<script src="${location.origin}/widget.js" async></script>`)]],
  ];
  return h("section", { class: "card guide", "aria-labelledby": "guide-title" },
    h("h2", { id: "guide-title" }, t("guide.title")),
    h("ol", {}, steps.map(([title, why, actions]) => h("li", {}, h("h3", {}, title), h("p", { class: "soft" }, why), h("div", { class: "row" }, actions)))));
}

function link(href, name, label, kind = "") {
  return h("a", { href, class: `button ${kind}` }, icon(name), h("span", {}, label));
}
