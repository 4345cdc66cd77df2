/** One conversation: its messages as they come, and what an agent can do with it. */
import { button, h, icon, replace } from "../../dom.js";
import { keepDraft } from "../../draft.js";
import { may } from "../../shell.js";
import { composer } from "./composer.js";
import { messageItem } from "./message.js";

/** Wait before a lost event stream is opened again. */
const RECONNECT_MS = 2000;

/** How long the thread waits for its suggested reply before it is drawn without. */
const SUGGESTION_MS = 400;

/**
 * @param {HTMLElement} root
 * @param {object} context the view's
 * @param {string} id of the session
 * @param {{changed: () => Promise<void>, back: () => void}} list
 * @returns {Promise<() => void>} closes the thread
 */
export async function openThread(root, context, id, { changed, back }) {
  const { t, api } = context;
  const path = `/v1/sessions/${encodeURIComponent(id)}`;
  const closing = new AbortController();
  context.signal.addEventListener("abort", () => closing.abort(), { once: true });
  const session = await api.get(path, { signal: context.signal });
  const messages = h("ol", { class: "messages" });
  const scroller = h("div", { class: "thread-scroll", tabindex: "0", role: "log", "aria-label": t("inbox.messages") }, messages);
  const known = new Set();
  const actions = h("div", { class: "row" });
  const state = h("span", { class: "row", role: "status" });
  const compose = composer(context, { send, take: () => setStatus("taken") });

  function add(message) {
    if (known.has(message.id)) return false;
    known.add(message.id);
    // A reader who has scrolled up to older messages stays where they are.
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 48;
    messages.append(messageItem(message, context));
    if (atEnd) scroller.scrollTop = scroller.scrollHeight;
    return true;
  }
  function showStatus() {
    const kind = { waiting: "warn", taken: "accent", resolved: "good" }[session.status] ?? "";
    replace(state, h("span", { class: `chip ${kind}` }, t(`inbox.state.${session.status}`)), session.agent && h("span", { class: "small soft" }, t("inbox.with", { agent: session.agent })));
    const held = actions.contains(document.activeElement);
    replace(actions, actionButtons());
    if (held) actions.querySelector("button").focus(); // the button that was pressed is gone
    compose.setStatus(session.status);
  }
  function actionButtons() {
    const act = (label, name, status, kind) => button({ label: t(label), icon: name, kind, onClick: () => setStatus(status), props: { class: "small" } });
    const taken = session.status === "taken";
    return [
      taken ? act("inbox.release", "inbox", "waiting") : act("inbox.take", "person", "taken", "primary"),
      session.status !== "resolved" && act("inbox.resolve", "check", "resolved", taken ? "primary" : undefined),
      button({ label: t("inbox.write_article"), icon: "edit", kind: "quiet", onClick: writeArticle, props: { class: "small" } }),
      may(context.status, "admin") && button({ label: t("inbox.delete"), icon: "trash", kind: "quiet", iconOnly: true, onClick: erase, props: { class: "small" } }),
    ];
  }
  async function setStatus(status) {
    try {
      Object.assign(session, await api.post(`${path}/status`, { status }));
      showStatus();
      await changed();
      if (status === "taken") compose.focus();
    } catch (error) {
      context.toast(api.errorText(error, t), "error");
    }
  }
  async function send(text) {
    if (session.status !== "taken") await setStatus("taken");
    add(await api.post(`${path}/messages`, { role: "agent", text }));
    scroller.scrollTop = scroller.scrollHeight;
  }
  async function erase() {
    if (!(await context.confirm({ title: t("inbox.delete_title"), text: t("inbox.delete_text"), action: t("common.delete") }))) return;
    try {
      await api.remove(path);
      back();
      await changed();
    } catch (error) {
      context.toast(api.errorText(error, t), "error");
    }
  }
  function writeArticle() {
    const asked = session.messages.findLast((message) => message.role === "customer")?.text ?? "";
    const replied = session.messages.findLast((message) => message.role === "agent")?.text ?? "";
    keepDraft({ id: null, title: asked, text: replied, question: asked });
    context.go("/knowledge?new=1");
  }

  /** Follows the events; after a lost connection the session is read again, so that nothing is missed. */
  async function follow() {
    while (!closing.signal.aborted) {
      try {
        for await (const { event, data } of api.events(`${path}/events`, { signal: closing.signal })) {
          if (event === "message") take(data);
          if (event === "status") {
            Object.assign(session, data);
            showStatus();
          }
        }
      } catch {
        // The loop tries again; whoever acts meanwhile is told by the action's own error.
      }
      if (closing.signal.aborted) return;
      await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
      const again = await api.get(path, { signal: closing.signal }).catch(() => null);
      if (!again || closing.signal.aborted) continue;
      again.messages.forEach(take);
      Object.assign(session, { status: again.status, agent: again.agent });
      showStatus();
    }
  }
  function take(message) {
    if (!add(message)) return;
    session.messages.push(message);
    compose.suggest(session.messages);
    if (message.role === "customer") context.announce(t("inbox.customer_wrote", { text: message.text }));
  }

  // A suggestion that comes after the first drawing would push the messages up, so it gets a moment.
  await Promise.race([compose.suggest(session.messages), new Promise((resolve) => setTimeout(resolve, SUGGESTION_MS))]);
  replace(root,
    h("header", { class: "thread-head" },
      button({ label: t("common.back"), icon: "left", kind: "quiet", iconOnly: true, onClick: back, props: { class: "thread-back" } }),
      h("div", { class: "grow" }, h("h2", { tabindex: "-1" }, session.customer ?? t("inbox.nobody")), state),
      actions),
    scroller,
    compose.element);
  session.messages.forEach(add);
  showStatus();
  scroller.scrollTop = scroller.scrollHeight;
  follow();
  return () => {
    closing.abort();
    compose.stop();
  };
}
