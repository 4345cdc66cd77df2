/** The frame around the views: navigation, toasts, the live region and the confirmation dialog. */
import { button, h, icon, replace } from "./dom.js";
import { t } from "./i18n.js";

const ENTRIES = [
  { path: "/", name: "assistant", icon: "chat", role: "client" },
  { path: "/playground", name: "playground", icon: "flask", role: "client" },
  { path: "/knowledge", name: "knowledge", icon: "book", role: "agent" },
  { path: "/inbox", name: "inbox", icon: "inbox", role: "agent" },
  { path: "/dashboard", name: "dashboard", icon: "chart", role: "agent" },
  { path: "/settings", name: "settings", icon: "gear", role: "client" },
];

const ROLES = ["client", "agent", "admin"];

/** Whether the caller of `status` has at least `role`. */
export function may(status, role) {
  return ROLES.indexOf(status?.role ?? "client") >= ROLES.indexOf(role);
}

/** Draws the navigation for what the caller may use. */
export function drawNav(status) {
  const entries = ENTRIES.filter((entry) => may(status, entry.role));
  const links = entries.map((entry) => h("li", {}, h("a", { href: entry.path, data: { path: entry.path } }, icon(entry.icon), h("span", {}, t(`nav.${entry.name}`)))));
  const nav = document.getElementById("nav");
  nav.setAttribute("aria-label", t("shell.main_navigation"));
  replace(nav, h("ul", {}, links));
  document.querySelector(".skip").textContent = t("shell.skip");
  drawMenu(nav);
}

/** On a phone the navigation folds behind a button. */
function drawMenu(nav) {
  const menu = document.querySelector(".bar .menu");
  menu.setAttribute("aria-label", t("shell.menu"));
  replace(menu, icon("menu"));
  const set = (open) => {
    menu.setAttribute("aria-expanded", String(open));
    nav.classList.toggle("open", open);
  };
  menu.onclick = () => set(menu.getAttribute("aria-expanded") !== "true");
  nav.onclick = (event) => event.target.closest("a") && set(false);
  document.onkeydown = (event) => {
    if (event.key !== "Escape" || menu.getAttribute("aria-expanded") !== "true") return;
    set(false);
    menu.focus();
  };
}

/** Marks the entry of `path` as the present page. */
export function markNav(path) {
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.path === path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Says `text` to a screen reader. */
export function announce(text) {
  const region = document.getElementById("announcer");
  // The same text twice is announced only if the region was empty in between.
  region.textContent = "";
  setTimeout(() => (region.textContent = text), 50);
}

/** A short message at the page's foot. @param {"info"|"error"} [kind] an error stays until it is closed */
export function toast(text, kind = "info") {
  const box = document.getElementById("toasts");
  const close = button({ label: t("common.close"), icon: "close", kind: "quiet", iconOnly: true, onClick: () => note.remove() });
  const note = h("div", { class: `toast ${kind}` }, icon(kind === "error" ? "warn" : "check"), h("p", {}, text), close);
  box.append(note);
  if (kind !== "error") setTimeout(() => note.remove(), 6000);
}

/**
 * Asks before something that cannot be undone.
 *
 * @param {{title: string, text: string, action: string, danger?: boolean}} question
 * @returns {Promise<boolean>}
 */
export function confirm({ title, text, action, danger = true }) {
  return new Promise((resolve) => {
    const close = (yes) => {
      dialog.close();
      dialog.remove();
      resolve(yes);
    };
    const dialog = h("dialog", { class: "dialog", "aria-labelledby": "confirm-title", on: { cancel: () => close(false) } },
      h("h2", { id: "confirm-title" }, title),
      h("p", {}, text),
      h("div", { class: "row end" },
        button({ label: t("common.cancel"), onClick: () => close(false), props: { autofocus: true } }),
        button({ label: action, kind: danger ? "danger" : "primary", onClick: () => close(true) })));
    document.body.append(dialog);
    dialog.showModal();
  });
}
