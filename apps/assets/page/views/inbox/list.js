/** The list of conversations by status, kept fresh. */
import { button, field, h, replace } from "../../dom.js";
import { ago, moment } from "../../i18n.js";

const STATUSES = ["waiting", "taken", "open", "resolved"];

/** The server has no event stream for the list, so it is asked again from time to time. */
const REFRESH_MS = 5000;

/**
 * @param {object} context the view's
 * @param {URLSearchParams} params `status` and `query` to begin with
 * @param {(id: string) => void} select a conversation was chosen
 * @returns {{element: HTMLElement, refresh: (first?: boolean) => Promise<void>, mark: (id: string|null) => void, filter: () => object, stop: () => void}}
 */
export function conversationList(context, params, select) {
  const { t, api, signal } = context;
  let status = STATUSES.includes(params.get("status")) ? params.get("status") : "waiting";
  let query = params.get("query") ?? "";
  let marked = null;
  let shown = []; // the conversations drawn, all pages
  let next = null;

  const tabs = STATUSES.map((name) => h("button", { type: "button", "aria-pressed": String(name === status), on: { click: () => choose(name) } }, t(`inbox.status.${name}`)));
  const box = h("input", { type: "search", value: query, autocomplete: "off" });
  const items = h("ul", { class: "conversations" });
  const empty = h("p", { class: "empty", hidden: true });
  const more = button({ label: t("common.more"), onClick: () => load(next).catch(report), props: { hidden: true } });
  const element = h("section", { class: "conversation-list", "aria-label": t("inbox.list") },
    h("div", { class: "tabs", role: "group", "aria-label": t("inbox.by_status") }, tabs),
    field(t("inbox.search"), box),
    h("div", { class: "conversation-scroll", tabindex: "-1" }, items, empty, more));

  const report = (error) => signal.aborted || context.toast(api.errorText(error, t), "error");

  async function load(before = null) {
    const asked = { status, query };
    const page = await api.get("/v1/sessions", { query: { ...asked, limit: 50, before }, signal });
    if (asked.status !== status || asked.query !== query) return; // the filter has changed meanwhile
    const known = before ? shown : [];
    shown = [...known, ...page.data];
    next = page.next;
    draw();
  }
  /** What is new comes on top; pages that were loaded by "more" stay as they are. */
  async function refresh(first = false) {
    const asked = { status, query };
    const page = await api.get("/v1/sessions", { query: { ...asked, limit: 50 }, signal });
    if (asked.status !== status || asked.query !== query) return;
    const fresh = new Set(page.data.map((one) => one.id));
    const oldest = page.data.at(-1)?.updated ?? "";
    const rest = shown.length > 50 ? shown.filter((one) => !fresh.has(one.id) && one.updated < oldest) : [];
    if (!rest.length) next = page.next;
    const arrived = first || status !== "waiting" ? [] : page.data.filter((one) => !shown.some((old) => old.id === one.id));
    shown = [...page.data, ...rest];
    draw();
    if (arrived.length) context.announce(t("inbox.arrived", { n: arrived.length }));
  }
  function draw() {
    const focused = document.activeElement?.closest?.(".conversations button")?.dataset.id;
    replace(items, shown.map((one) => h("li", {}, conversation(one, context, select))));
    mark(marked);
    items.querySelector(`[data-id="${CSS.escape(focused ?? "")}"]`)?.focus({ preventScroll: true });
    empty.hidden = shown.length > 0;
    empty.textContent = t(query ? "inbox.found_none" : `inbox.empty.${status}`);
    more.hidden = !next;
  }
  function choose(name) {
    status = name;
    tabs.forEach((tab, index) => tab.setAttribute("aria-pressed", String(STATUSES[index] === name)));
    shown = [];
    select(null);
    refresh(true).catch(report);
  }
  function mark(id) {
    marked = id;
    for (const item of items.querySelectorAll("button")) item.setAttribute("aria-current", String(item.dataset.id === id));
  }

  let typing = null;
  box.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      query = box.value.trim();
      shown = [];
      refresh(true).catch(report);
    }, 200);
  });
  // A page in the background asks nothing; a failed refresh is tried again at the next tick.
  const clock = setInterval(() => document.hidden || refresh().catch(() => {}), REFRESH_MS);
  const stop = () => {
    clearInterval(clock);
    clearTimeout(typing);
  };
  return { element, refresh, mark, filter: () => ({ status, query }), stop };
}

function conversation(one, { t }, select) {
  const since = one.waiting_since ?? one.updated;
  return h("button", { type: "button", class: "conversation", data: { id: one.id }, on: { click: () => select(one.id) } },
    h("span", { class: "row between" }, h("strong", {}, one.customer ?? t("inbox.nobody")), h("time", { class: "small soft", datetime: since, title: moment(since) }, ago(since))),
    h("span", { class: "conversation-last" }, one.last),
    h("span", { class: "row small soft" }, t("inbox.turns", { n: one.turns }), one.language && h("span", { class: "chip" }, one.language), one.agent && t("inbox.with", { agent: one.agent })));
}
