/** Writes a new article or changes one. What is typed is kept as a draft until it is saved. */
import { button, field, h, icon, replace } from "../../dom.js";
import { dropDraft, keepDraft, readDraft } from "../../draft.js";

/** @param {string|null} id of the document to change, or null for a new one */
export async function renderEditor(root, context, id) {
  const { t, api, signal, setTitle } = context;
  const saved = id ? await api.get(`/v1/documents/${encodeURIComponent(id)}`, { signal }) : null;
  const draft = readDraft(id);
  const start = draft ?? { title: saved?.title ?? "", text: saved?.text ?? "", metadata: metadataText(saved?.metadata) };
  const heading = t(id ? "knowledge.editor.change" : "knowledge.editor.write");
  setTitle(heading);

  const title = h("input", { type: "text", value: start.title, required: true, maxlength: "500" });
  const text = h("textarea", { rows: "14", required: true, class: "editor-text", spellcheck: "true" });
  const metadata = h("textarea", { rows: "3", class: "code", spellcheck: "false", placeholder: '{"product": "Pro"}' });
  text.value = start.text;
  metadata.value = start.metadata ?? "";
  const problem = h("p", { class: "note bad", role: "alert", hidden: true });
  const save = button({ label: t("common.save"), icon: "check", kind: "primary", props: { type: "submit" } });
  const form = h("form", { class: "stack" },
    field(t("knowledge.title"), title),
    field(t("knowledge.editor.text"), text, t("knowledge.editor.text_hint")),
    h("details", { open: Boolean(start.metadata) }, h("summary", {}, t("knowledge.editor.more")), field(t("knowledge.editor.metadata"), metadata, t("knowledge.editor.metadata_hint"))),
    problem,
    h("div", { class: "row" }, save, button({ label: t("common.cancel"), onClick: cancel })));

  form.addEventListener("input", () => keepDraft({ id, title: title.value, text: text.value, metadata: metadata.value, question: draft?.question }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit().catch((error) => {
      problem.textContent = error instanceof SyntaxError ? t("knowledge.editor.metadata_wrong") : api.errorText(error, t);
      problem.hidden = false;
      save.disabled = false;
    });
  });

  async function submit() {
    problem.hidden = true;
    const article = { title: title.value.trim(), text: text.value, ...(metadata.value.trim() || saved ? { metadata: JSON.parse(metadata.value.trim() || "{}") } : {}) };
    save.disabled = true;
    const stored = id ? await api.put(`/v1/documents/${encodeURIComponent(id)}`, article) : await api.post("/v1/documents", article);
    dropDraft();
    context.toast(t("knowledge.editor.saved"));
    // Whoever wrote the article for a question wants to see at once whether it is found now.
    const next = draft?.question ? api.address("/knowledge", { tab: "search", question: draft.question }) : `/knowledge?document=${encodeURIComponent(stored.id)}`;
    context.go(next, { replaceEntry: true });
  }
  function cancel() {
    dropDraft();
    context.go(id ? `/knowledge?document=${encodeURIComponent(id)}` : "/knowledge", { replaceEntry: true });
  }

  replace(root,
    h("p", {}, h("a", { href: "/knowledge", class: "row" }, icon("left"), t("knowledge.all"))),
    h("header", {}, h("h1", {}, heading)),
    draft?.question && h("p", { class: "note" }, icon("info"), h("span", {}, t("knowledge.editor.question", { question: draft.question }))),
    saved?.origin === "folder" && h("p", { class: "note warn" }, icon("warn"), h("span", {}, t("knowledge.editor.folder", { source: saved.source }))),
    draft && !draft.question && h("p", { class: "note", role: "status" }, icon("info"), h("span", {}, t("knowledge.editor.draft"))),
    form);
}

function metadataText(metadata) {
  return metadata && Object.keys(metadata).length ? JSON.stringify(metadata, null, 2) : "";
}
