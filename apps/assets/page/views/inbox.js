/** Inbox: the conversations that want a person, and the thread that is open. */
import { button, h, icon, replace } from "../dom.js";
import { conversationList } from "./inbox/list.js";
import { openThread } from "./inbox/thread.js";

export const sections = ["inbox"];
export const styles = ["views/inbox.css"];

export async function render(root, context) {
  const { params, signal, t, api } = context;
  const list = conversationList(context, params, select);
  const thread = h("section", { class: "thread", "aria-label": t("inbox.thread") });
  let chosen = null;
  let close = null;

  // Choosing a conversation changes only the thread, so the list keeps its place.
  function select(id, { moveFocus = true } = {}) {
    close?.();
    close = null;
    chosen = id;
    root.classList.toggle("reading", Boolean(id));
    list.mark(id);
    history.replaceState(null, "", api.address("/inbox", { ...list.filter(), session: id }));
    if (!id) return replace(thread, nothingChosen(t));
    replace(thread, h("div", { class: "empty" }, h("p", {}, t("common.loading"))));
    openThread(thread, context, id, { changed: list.refresh, back: () => select(null) }).then(
      (stop) => {
        if (signal.aborted || chosen !== id) return stop();
        close = stop;
        if (moveFocus) thread.querySelector("h2")?.focus();
      },
      (error) => {
        if (signal.aborted || chosen !== id) return;
        const back = button({ label: t("common.back"), icon: "left", onClick: () => select(null) });
        replace(thread, h("div", { class: "empty", role: "alert" }, icon("warn"), h("p", {}, api.errorText(error, t)), back));
      },
    );
  }

  root.classList.toggle("reading", params.has("session"));
  replace(root, h("h1", {}, t("nav.inbox")), list.element, thread);
  const listed = list.refresh(true);
  select(params.get("session"), { moveFocus: false });
  await listed;
  return () => {
    list.stop();
    close?.();
  };
}

function nothingChosen(t) {
  return h("div", { class: "empty" }, icon("inbox"), h("p", {}, t("inbox.choose")));
}
