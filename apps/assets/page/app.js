/**
 * The page's start: loads the words, draws the shell and shows the view of the path.
 *
 * A view is a module `views/<name>.js` that exports
 * - `render(root, context)`: fills `root`; may return a function that cleans up when the view is left;
 * - `sections` (optional): names of the string files it needs, as `lang/<language>.<section>.js`;
 * - `styles` (optional): CSS files it needs, as "views/inbox.css".
 *
 * `context` is `{t, api, language, status, params, path, signal, go, toast, announce, setTitle, confirm}`:
 * `status` is the server's status or null where it could not be had; `signal` is aborted when the view is left.
 */
import * as api from "./api.js";
import { h, replace, button } from "./dom.js";
import { t, language, loadStrings, markDocument } from "./i18n.js";
import { announce, confirm, drawNav, markNav, toast } from "./shell.js";

const VIEWS = {
  "/": "assistant",
  "/playground": "playground",
  "/knowledge": "knowledge",
  "/inbox": "inbox",
  "/dashboard": "dashboard",
  "/settings": "settings",
};

const main = document.getElementById("main");
let status = null;
let leave = null;

/** Shows another view, or the same with other parameters. */
export function go(path, { replaceEntry = false } = {}) {
  history[replaceEntry ? "replaceState" : "pushState"](null, "", path);
  return show(true);
}

function setTitle(title) {
  document.title = title ? `${title} · Hearth` : "Hearth";
}

/** Draws the view of the present address into a fresh root, so that a view that is left cannot draw over the next one. */
async function show(moveFocus) {
  leave?.();
  const leaving = new AbortController();
  let cleanup = null;
  leave = () => {
    leaving.abort();
    cleanup?.();
  };
  const name = VIEWS[location.pathname.replace(/(.)\/$/, "$1")];
  if (!name) return replace(main, notFound());
  markNav(location.pathname);
  try {
    const view = await import(`./views/${name}.js`);
    await Promise.all([...(view.sections ?? []).map(loadStrings), ...(view.styles ?? []).map(loadStyle)]);
    if (leaving.signal.aborted) return;
    setTitle(t(`nav.${name}`));
    const root = h("div", { class: `view view-${name}` });
    replace(main, root);
    const context = { t, api, language, status, path: location.pathname, params: new URLSearchParams(location.search), signal: leaving.signal, go, toast, announce, setTitle, confirm };
    const result = await view.render(root, context);
    if (leaving.signal.aborted) result?.();
    else cleanup = result ?? null;
    if (moveFocus) main.focus({ preventScroll: true });
  } catch (error) {
    if (leaving.signal.aborted) return;
    console.error(error);
    replace(main, failed(error));
  }
}

const styles = new Map();

/** Waits for a view's style sheet, so that the view is never seen without it. */
function loadStyle(file) {
  if (!styles.has(file)) {
    const link = h("link", { rel: "stylesheet", href: `/assets/${file}` });
    styles.set(file, new Promise((resolve) => {
      link.onload = link.onerror = resolve;
    }));
    document.head.append(link);
  }
  return styles.get(file);
}

function notFound() {
  return h("div", { class: "view page" }, h("div", { class: "empty" }, h("h1", {}, t("shell.not_found")), h("p", {}, h("a", { href: "/" }, t("nav.assistant")))));
}

function failed(error) {
  const again = button({ label: t("common.retry"), icon: "redo", onClick: () => show(true) });
  return h("div", { class: "view page" }, h("div", { class: "empty", role: "alert" }, h("h1", {}, t("error.title")), h("p", {}, api.errorText(error, t)), again));
}

/** Follows links between views without loading the page again; everything else is the browser's. */
function followLinks(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.origin !== location.origin || link.target || link.hasAttribute("download") || !(link.pathname in VIEWS) || link.hash) return;
  event.preventDefault();
  go(link.pathname + link.search);
}

/** Asks the server who we are; the navigation shows what this role may use. */
export async function refreshStatus() {
  status = await api.get("/v1/status", { timeout: 5000 }).catch(() => null);
  drawNav(status);
  markNav(location.pathname);
  return status;
}

async function start() {
  markDocument();
  await loadStrings();
  await refreshStatus();
  document.addEventListener("click", followLinks);
  addEventListener("popstate", () => show(true));
  addEventListener("hearth:key", refreshStatus);
  await show(false);
  // The scope needs the header `Service-Worker-Allowed: /`; without it the page works, but not offline.
  navigator.serviceWorker?.register("/assets/worker.js", { scope: "/" }).catch(() => {});
}

start();
