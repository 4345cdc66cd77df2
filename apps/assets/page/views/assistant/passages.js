/** The passages an answer was made from: beside the thread where there is room, else in a dialog. */
import { button, h, replace } from "../../dom.js";
import { duration, number, percent } from "../../i18n.js";
import { may } from "../../shell.js";
import { pieces } from "./ranges.js";

/**
 * @param {object} context
 * @param {MediaQueryList} beside whether there is room beside the thread
 * @returns {{aside: HTMLElement, show: Function, clear: Function}}
 */
export function passages(context, beside) {
  const { t, signal } = context;
  const body = h("div", { class: "passages-body" });
  const aside = h("aside", { class: "passages", "aria-label": t("assistant.sources") });
  const dialog = h("dialog", { class: "wide passages-dialog", "aria-label": t("assistant.sources") },
    h("div", { class: "row end" }, button({ label: t("common.close"), icon: "close", kind: "quiet", iconOnly: true, onClick: () => dialog.close() })));
  aside.append(dialog);

  /** The one body moves to where it is seen. */
  function place() {
    if (beside.matches) dialog.close();
    (beside.matches ? aside : dialog).append(body);
  }
  beside.addEventListener("change", place, { signal });
  place();

  function clear() {
    replace(body, h("h2", {}, t("assistant.sources")), h("p", { class: "soft small" }, t("assistant.sources_hint")));
  }
  clear();

  return {
    aside,
    clear,
    /**
     * Shows an answer's passages; with `chosen` opens that passage, marks its range and moves there.
     * Without `open` a dialog stays closed: an answer that arrives must not cover the thread.
     *
     * @param {object} answer
     * @param {{chosen?: {number: number, range: [number, number]|null}, open?: boolean}} [options]
     */
    show(answer, { chosen = null, open = false } = {}) {
      const cited = new Set(answer.sentences.map((sentence) => sentence.citation));
      const list = answer.context.map((passage) => passageCard(context, answer, passage, { chosen, isCited: cited.has(passage.number) }));
      replace(body,
        h("h2", { tabindex: "-1" }, t("assistant.sources")),
        h("p", { class: "soft small" }, answer.question),
        list.length ? h("ol", { class: "passage-list" }, list) : h("p", { class: "soft" }, t("assistant.no_sources")),
        metrics(context, answer));
      if (!open && !chosen) return;
      if (!beside.matches && !dialog.open) dialog.showModal();
      const target = chosen && body.querySelector(`[data-number="${Number(chosen.number)}"] summary`);
      (target || body.querySelector("h2")).focus({ preventScroll: true });
      const place = body.querySelector("mark.chosen") ?? target;
      place?.scrollIntoView({ block: "center" });
    },
  };
}

function passageCard({ t }, answer, passage, { chosen, isCited }) {
  const ranges = answer.sentences.filter((sentence) => sentence.citation === passage.number && sentence.range).map((sentence) => sentence.range);
  const isChosen = chosen?.number === passage.number;
  const text = pieces(passage.text, ranges, isChosen ? chosen.range : null).map((piece) => (piece.cited ? h("mark", { class: piece.chosen ? "chosen" : "cited" }, piece.text) : piece.text));
  const trail = (passage.headings ?? []).filter((heading) => heading !== passage.title);
  return h("li", { data: { number: passage.number } },
    h("details", { class: `passage ${isCited ? "is-cited" : ""}`, open: isChosen || (!chosen && isCited) },
      h("summary", {},
        h("span", { class: "passage-number" }, passage.number),
        h("span", { class: "grow" }, h("span", { class: "passage-title" }, passage.title || passage.source), trail.length > 0 && h("span", { class: "soft small passage-trail" }, trail.join(" › "))),
        h("span", { class: "soft small numeric", title: t("assistant.score") }, number(passage.score, 3))),
      h("div", { class: "passage-text" }, text),
      h("dl", { class: "figures small" },
        figure(t("assistant.source"), passage.source),
        Object.entries(passage.scores ?? {}).filter(([, value]) => value !== null && value !== undefined).map(([stage, value]) => figure(t(`assistant.score_${stage}`), number(value, 4))),
        Object.entries(passage.metadata ?? {}).map(([name, value]) => figure(name, typeof value === "string" ? value : JSON.stringify(value))))));
}

function figure(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

/** What the first system's retrieval page showed under "metrics". An agent sees it at once, a customer on request. */
function metrics({ t, status }, answer) {
  const { context, timings } = answer;
  const mean = context.length ? context.reduce((sum, passage) => sum + passage.score, 0) / context.length : null;
  const letters = context.reduce((sum, passage) => sum + passage.text.length, 0);
  return h("details", { class: "metrics", open: may(status, "agent") },
    h("summary", {}, t("assistant.how_found")),
    h("dl", { class: "figures small" },
      figure(t("assistant.searched"), answer.searched ?? "–"),
      figure(t("assistant.retrieve_time"), duration(timings.retrieve_ms)),
      figure(t("assistant.generate_time"), duration(timings.generate_ms)),
      figure(t("assistant.total_time"), duration(timings.total_ms)),
      figure(t("assistant.passages"), number(context.length)),
      figure(t("assistant.mean_score"), mean === null ? "–" : number(mean, 3)),
      figure(t("assistant.letters"), number(letters)),
      figure(t("assistant.no_answer_probability"), percent(answer.no_answer_probability, 1)),
      figure(t("assistant.intent"), answer.intent ?? "–"),
      figure(t("assistant.language"), answer.language ?? "–"),
      figure(t("assistant.wording"), answer.wording ? t(`assistant.wording_${answer.wording}`) : "–")));
}
