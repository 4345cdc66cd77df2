/** Where an agent writes, with a suggested reply above. */
import { button, field, h, replace } from "../../dom.js";
import { suggestionFor } from "./suggestion.js";

/**
 * @param {object} context the view's
 * @param {{send: (text: string) => Promise<void>, take: () => Promise<void>}} thread
 * @returns {{element: HTMLElement, setStatus: (status: string) => void, suggest: (messages: Array<object>) => void, focus: () => void, stop: () => void}}
 */
export function composer(context, thread) {
  const { t, api } = context;
  const stopping = new AbortController();
  const text = h("textarea", { rows: "3", placeholder: t("inbox.reply_hint") });
  const problem = h("p", { class: "note bad small", role: "alert", hidden: true });
  const sendButton = button({ label: t("common.send"), icon: "send", kind: "primary", props: { type: "submit" } });
  // On a phone the thread needs the room, so the suggestion waits behind its heading there.
  const suggestion = h("details", { class: "suggestion", hidden: true, open: matchMedia("(min-width: 48rem)").matches });
  const hint = h("p", { class: "small soft grow" });
  const form = h("form", { class: "stack tight" }, field(t("inbox.reply"), text), problem, h("div", { class: "row between" }, hint, sendButton));
  let asked = null;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const reply = text.value.trim();
    if (!reply || sendButton.disabled) return;
    sendButton.disabled = true;
    problem.hidden = true;
    try {
      await thread.send(reply);
      // What was typed while it was on its way stays.
      if (text.value.trim() === reply) text.value = "";
      suggestion.hidden = true;
    } catch (error) {
      problem.textContent = api.errorText(error, t);
      problem.hidden = false;
    } finally {
      sendButton.disabled = false;
      text.focus();
    }
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });

  /** Looks for a reply to the customer's last words, once for each of them. */
  async function suggest(messages) {
    const last = messages.findLast((message) => message.role === "customer");
    const replied = messages.findLastIndex((message) => message.role === "agent") > messages.indexOf(last);
    if (!last || replied) return void (suggestion.hidden = true);
    if (asked === last.id) return;
    asked = last.id;
    const found = await suggestionFor(messages, last, api, stopping.signal).catch(() => null);
    if (stopping.signal.aborted || asked !== last.id) return;
    suggestion.hidden = !found;
    if (found) replace(suggestion, suggestionParts(found));
  }
  function suggestionParts(found) {
    const use = (reply) => {
      text.value = text.value.trim() ? `${text.value.trimEnd()}\n\n${reply}` : reply;
      text.focus();
    };
    const option = ({ text: reply, title, document }) => h("li", {},
      h("p", { class: "suggestion-text" }, reply),
      h("div", { class: "row between" },
        h("a", { class: "small", href: `/knowledge?document=${encodeURIComponent(document)}` }, title),
        button({ label: t("inbox.use"), icon: "edit", onClick: () => use(reply), props: { class: "small" } })));
    return [h("summary", { class: "small soft" }, t(`inbox.suggested.${found.from}`)), h("ul", {}, found.options.map(option))];
  }

  return {
    element: h("div", { class: "composer" }, suggestion, form),
    setStatus(status) {
      hint.textContent = t(status === "taken" ? "inbox.keys" : "inbox.reply_takes");
    },
    suggest,
    focus: () => text.focus(),
    stop: () => stopping.abort(),
  };
}
