/** Knowledge: what the assistant may answer from, how it is found, and what is missing. */
import { h, icon, replace } from "../dom.js";
import { renderDocuments } from "./knowledge/documents.js";
import { renderDocument } from "./knowledge/document.js";
import { renderEditor } from "./knowledge/editor.js";
import { renderSearch } from "./knowledge/search.js";
import { renderSkipped } from "./knowledge/skipped.js";
import { renderUnanswered } from "./knowledge/unanswered.js";

export const sections = ["knowledge", "guide"];
export const styles = ["views/knowledge.css", "guide.css"];

const TABS = { documents: renderDocuments, search: renderSearch, unanswered: renderUnanswered, skipped: renderSkipped };

/** The address says what is shown: `?document=ID`, `?edit=ID`, `?new=1`, else `?tab=NAME`. */
export async function render(root, context) {
  const { params } = context;
  root.classList.add("page");
  if (params.get("document")) return renderDocument(root, context, params.get("document"));
  if (params.get("edit")) return renderEditor(root, context, params.get("edit"));
  if (params.has("new")) return renderEditor(root, context, null);
  return renderTabs(root, context);
}

function renderTabs(root, context) {
  const { t, params } = context;
  const chosen = params.get("tab") in TABS ? params.get("tab") : "documents";
  const tabs = Object.keys(TABS).map((name) => {
    const href = name === "documents" ? "/knowledge" : `/knowledge?tab=${name}`;
    return h("a", { href, "aria-current": name === chosen && "page" }, t(`knowledge.tab.${name}`));
  });
  const body = h("div", { class: "stack" });
  replace(root,
    h("header", {},
      h("div", {}, h("h1", {}, t("nav.knowledge")), h("p", { class: "soft" }, t("knowledge.about"))),
      h("a", { href: "/knowledge?new=1", class: "button" }, icon("edit"), h("span", {}, t("knowledge.write")))),
    h("nav", { class: "tabs", "aria-label": t("nav.knowledge") }, tabs),
    body);
  // On a phone the tabs scroll sideways.
  root.querySelector("[aria-current]").scrollIntoView({ block: "nearest", inline: "nearest" });
  return TABS[chosen](body, context);
}
