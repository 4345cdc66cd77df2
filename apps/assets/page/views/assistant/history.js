/** The reader's own conversations, in a menu that opens over the page. */
import { button, h, icon, replace } from "../../dom.js";
import { moment, when } from "../../i18n.js";
import * as memory from "./memory.js";

/**
 * @param {object} context
 * @param {(id: string) => void} onOpen
 * @param {(id: string) => void} onForget after a conversation was taken from the list
 * @returns {{opener: HTMLElement, menu: HTMLElement}}
 */
export function history({ t }, onOpen, onForget) {
  const menu = h("div", { id: "conversations", class: "popover card", popover: "auto", role: "dialog", "aria-label": t("assistant.conversations") });
  const opener = button({ label: t("assistant.conversations"), icon: "list", kind: "quiet", iconOnly: true, props: { popovertarget: "conversations" } });
  menu.addEventListener("toggle", (event) => event.newState === "open" && draw());

  function draw() {
    const entries = memory.conversations();
    replace(menu, h("h2", {}, t("assistant.conversations")),
      entries.length ? h("ul", { class: "conversation-list" }, entries.map(row)) : h("p", { class: "soft" }, t("assistant.no_conversations")),
      entries.length > 0 && h("p", { class: "hint" }, t("assistant.kept_here")));
  }
  function row({ id, title, updated }) {
    const current = id === memory.current();
    const open = () => {
      menu.hidePopover();
      onOpen(id);
    };
    const forget = () => {
      memory.forget(id);
      draw();
      onForget(id);
    };
    return h("li", {},
      h("button", { type: "button", class: "conversation", "aria-current": current && "true", on: { click: open } },
        h("span", { class: "conversation-title" }, title), h("time", { class: "small soft", datetime: updated, title: moment(updated) }, when(updated))),
      button({ label: t("assistant.forget", { title }), icon: "close", kind: "quiet", iconOnly: true, props: { class: "small" }, onClick: forget }));
  }
  return { opener, menu };
}
