/** What a figure counts: the conversations or the single questions behind it. */
import { button, h, icon, replace } from "../../dom.js";
import { duration, moment, when } from "../../i18n.js";
import { table } from "../../table.js";

const LIMIT = 50;

/**
 * A list that is filled by `open`.
 *
 * The server pages from the newest backwards and knows no range there, so what lies outside the range is
 * left out here, and paging ends with the first that is too old.
 *
 * @param {object} context the view's
 * @param {{from: string, to: string}} period
 * @returns {{element: HTMLElement, open: (opens: object, title: string) => Promise<void>}}
 */
export function details(context, period) {
  const { t, api, signal } = context;
  const element = h("section", { class: "card stack details", hidden: true });
  let asked = 0;

  async function open({ list, ...filter }, title) {
    asked += 1;
    const mine = asked;
    const opener = document.activeElement;
    const heading = h("h2", { tabindex: "-1" }, title);
    const body = h("div", { class: "stack" }, h("p", { class: "soft" }, t("common.loading")));
    const close = button({ label: t("common.close"), icon: "close", kind: "quiet", iconOnly: true, onClick: leave });
    replace(element, h("div", { class: "row between" }, heading, close), body);
    element.hidden = false;
    element.scrollIntoView({ block: "nearest" });
    heading.focus({ preventScroll: true });
    function leave() {
      element.hidden = true;
      opener.focus();
    }
    const found = [];
    let next = null;
    const read = async () => {
      do {
        const page = await api.get(`/v1/${list}`, { query: { ...filter, limit: LIMIT, before: next }, signal });
        const stamp = (one) => (list === "sessions" ? one.updated : one.created);
        found.push(...page.data.filter((one) => one.created >= period.from && one.created < period.to));
        const past = page.data.length && stamp(page.data.at(-1)) < period.from;
        next = past ? null : page.next;
      } while (next && found.length === 0);
      if (mine !== asked) return;
      const more = next && button({ label: t("common.more"), onClick: () => read().catch(report) });
      replace(body, found.length ? [ROWS[list](found, title, t), more] : h("p", { class: "soft" }, t("dashboard.nothing")));
    };
    const report = (error) => signal.aborted || replace(body, h("p", { class: "note bad", role: "alert" }, icon("warn"), api.errorText(error, t)));
    await read().catch(report);
  }
  return { element, open };
}

const ROWS = {
  turns(turns, title, t) {
    const columns = [{ head: t("dashboard.question") }, { head: t("dashboard.outcome.name") }, { head: t("dashboard.rating"), class: "wide-only" }, { head: t("dashboard.time"), class: "numeric wide-only" }, { head: t("dashboard.when"), class: "nowrap" }];
    const rows = turns.map((turn) => [
      h("a", { href: inbox(turn.session) }, turn.question),
      h("span", { class: `chip ${{ answered: "good", no_answer: "warn", handoff: "warn" }[turn.outcome] ?? ""}` }, t(`dashboard.outcome.${turn.outcome}`)),
      turn.rating ? [icon(turn.rating > 0 ? "up" : "down"), h("span", { class: "visually-hidden" }, t(turn.rating > 0 ? "dashboard.liked" : "dashboard.disliked"))] : "–",
      duration(turn.total_ms),
      time(turn.created),
    ]);
    return table(title, columns, rows);
  },
  sessions(sessions, title, t) {
    const columns = [{ head: t("dashboard.last_message") }, { head: t("dashboard.customer") }, { head: t("dashboard.status"), class: "wide-only" }, { head: t("dashboard.when"), class: "nowrap" }];
    const rows = sessions.map((session) => [h("a", { href: inbox(session.id) }, session.last || session.id), session.customer ?? "–", t(`dashboard.session.${session.status}`), time(session.updated)]);
    return table(title, columns, rows);
  },
};

const inbox = (session) => `/inbox?session=${encodeURIComponent(session)}`;
const time = (iso) => h("time", { datetime: iso, title: moment(iso) }, when(iso));
