/** The list of documents, with upload, search and paging. */
import { button, field, h, icon, replace } from "../../dom.js";
import { bytes, moment, number, when } from "../../i18n.js";
import { guide } from "../../guide.js";
import { pager, table } from "../../table.js";
import { uploader } from "./upload.js";

const LIMIT = 25;

export async function renderDocuments(root, context) {
  const { t, api, params, signal } = context;
  let query = params.get("query") ?? "";
  let offset = Number(params.get("offset")) || 0;
  let asked = 0;

  const list = h("div", { class: "stack documents", "aria-busy": "true", tabindex: "-1" });
  const box = h("input", { type: "search", value: query, autocomplete: "off" });
  const welcome = h("div", { hidden: true });
  const files = uploader(context, () => reload());
  const search = h("form", { role: "search" }, field(t("knowledge.find"), box));

  // The address keeps search and page, so that "back" from a document returns to the same place.
  const remember = () => {
    const kept = { query, offset: offset || null };
    history.replaceState(null, "", api.address("/knowledge", kept));
  };
  async function load() {
    asked += 1;
    const mine = asked;
    const page = await api.get("/v1/documents", { query: { query, limit: LIMIT, offset }, signal });
    if (mine !== asked) return; // an answer that a later question has overtaken
    list.removeAttribute("aria-busy");
    const empty = page.total === 0 && !query;
    welcome.hidden = !empty;
    search.hidden = empty;
    replace(list, empty ? null : contents(page));
  }
  /** @param {boolean} [moveFocus] the control that was pressed goes with the old list */
  async function reload(moveFocus = false) {
    remember();
    try {
      await load();
      if (moveFocus) list.focus();
    } catch (error) {
      if (!signal.aborted) context.toast(api.errorText(error, t), "error");
    }
  }
  function contents(page) {
    if (!page.total) return h("div", { class: "empty" }, h("p", {}, t("knowledge.found_none", { query })));
    const turn = (to) => {
      offset = to;
      reload(true);
    };
    const count = h("p", { class: "small soft", role: "status" }, t("knowledge.count", { n: page.total }));
    return [count, documentTable(page.data, context, () => reload(true)), pager({ offset, limit: LIMIT, total: page.total }, turn, pagerWords(t))];
  }

  let clock = null;
  box.addEventListener("input", () => {
    clearTimeout(clock);
    clock = setTimeout(() => {
      query = box.value.trim();
      offset = 0;
      reload();
    }, 200);
  });
  search.addEventListener("submit", (event) => event.preventDefault());
  replace(welcome, guide(context, files.choose));
  replace(root, welcome, files.element, search, list);
  await load();
  return () => {
    clearTimeout(clock);
    files.stop();
  };
}

/** Words of `pager`, for every list of this section. */
export function pagerWords(t) {
  return {
    name: t("knowledge.pages"),
    before: t("knowledge.page_before"),
    after: t("knowledge.page_after"),
    range: (first, last, total) => t("knowledge.page_range", { first, last, total }),
  };
}

function documentTable(documents, context, reload) {
  const { t } = context;
  const columns = [
    { head: t("knowledge.title") },
    { head: t("knowledge.source"), class: "wide-only" },
    { head: t("knowledge.passages"), class: "numeric" },
    { head: t("knowledge.size"), class: "numeric wide-only" },
    { head: t("knowledge.updated"), class: "wide-only nowrap" },
    { head: t("knowledge.actions"), quiet: true, class: "actions" },
  ];
  const rows = documents.map((document) => [
    h("a", { href: `/knowledge?document=${encodeURIComponent(document.id)}`, class: "document-title" }, document.title || document.id),
    [h("span", { class: "soft" }, document.source ?? "–"), " ", document.origin === "api" && h("span", { class: "chip" }, t("knowledge.origin.api"))],
    number(document.passages),
    bytes(document.bytes),
    h("time", { datetime: document.updated, title: moment(document.updated) }, when(document.updated)),
    h("span", { class: "row end" },
      h("a", { href: `/knowledge?edit=${encodeURIComponent(document.id)}`, class: "button quiet small icon-only", "aria-label": t("knowledge.edit_named", { title: document.title }), title: t("common.edit") }, icon("edit")),
      button({ label: t("knowledge.delete_named", { title: document.title }), icon: "trash", kind: "quiet", iconOnly: true, props: { class: "small" }, onClick: () => deleteDocument(document, context, reload) })),
  ]);
  return table(t("knowledge.tab.documents"), columns, rows);
}

/** Deletes a document once the person has confirmed it; then calls `done`. */
export async function deleteDocument(document, { t, api, confirm, toast }, done) {
  const yes = await confirm({ title: t("knowledge.delete_title", { title: document.title }), text: t(`knowledge.delete_text.${document.origin}`), action: t("common.delete") });
  if (!yes) return;
  try {
    await api.remove(`/v1/documents/${encodeURIComponent(document.id)}`);
    toast(t("knowledge.deleted", { title: document.title }));
    done();
  } catch (error) {
    toast(api.errorText(error, t), "error");
  }
}
