/** The search as the retriever sees it: every passage with its dense, lexical and fused score. */
import { button, field, h, replace } from "../../dom.js";
import { duration, language, percent } from "../../i18n.js";

/** Scores of a passage, in the order they are shown. */
const SCORES = ["fused", "dense", "lexical"];

export async function renderSearch(root, context) {
  const { t, api, params, signal } = context;
  const question = h("input", { type: "search", value: params.get("question") ?? "", required: true, autocomplete: "off" });
  const limit = h("select", {}, [5, 10, 20, 50].map((value) => h("option", { value: String(value), selected: value === 10 }, String(value))));
  const results = h("div", { class: "stack", "aria-live": "polite" });
  const form = h("form", { role: "search", class: "search-form" },
    field(t("knowledge.search.question"), question),
    field(t("knowledge.search.limit"), limit),
    button({ label: t("common.search"), icon: "search", kind: "primary", props: { type: "submit" } }));

  async function run() {
    const text = question.value.trim();
    if (!text) return;
    history.replaceState(null, "", api.address("/knowledge", { tab: "search", question: text }));
    try {
      const found = await api.post("/v1/search", { question: text, limit: Number(limit.value) }, { signal });
      showResults(results, found, t);
    } catch (error) {
      if (!signal.aborted) replace(results, h("p", { class: "note bad", role: "alert" }, api.errorText(error, t)));
    }
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  replace(root, h("p", { class: "soft" }, t("knowledge.search.about")), form, results);
  await run();
}

function showResults(root, found, t) {
  if (!found.data.length) return replace(root, h("div", { class: "empty" }, h("p", {}, t("knowledge.search.none"))));
  const ranks = ranksByScore(found.data);
  const list = h("ol", { class: "passages" });
  const draw = (order) => {
    const sorted = found.data.toSorted((a, b) => ranks.get(a)[order] - ranks.get(b)[order]);
    replace(list, sorted.map((passage) => h("li", {}, passageCard(passage, ranks.get(passage), t))));
    for (const choice of choices) choice.setAttribute("aria-pressed", String(choice.dataset.order === order));
  };
  const choices = SCORES.map((name) => button({ label: t(`knowledge.search.${name}`), kind: "quiet", onClick: () => draw(name), props: { class: "small", data: { order: name } } }));
  const summary = t("knowledge.search.summary", { n: found.data.length, time: duration(found.timings?.search_ms) });
  replace(root,
    h("div", { class: "row between" },
      h("p", {}, summary, " ", doubt(found.no_answer_probability, t)),
      h("div", { class: "row", role: "group", "aria-label": t("knowledge.search.order") }, h("span", { class: "small soft" }, t("knowledge.search.order")), choices)),
    list);
  draw("fused");
}

/** How sure the retriever is that nothing here answers the question. */
function doubt(probability, t) {
  if (probability === null || probability === undefined) return null;
  const kind = probability > 0.5 ? "warn" : "good";
  return h("span", { class: `chip ${kind}` }, t("knowledge.search.no_answer", { share: percent(probability) }));
}

/** The place of each passage by each score; a passage that one of the searches did not find comes last there. */
export function ranksByScore(passages) {
  const ranks = new Map(passages.map((passage) => [passage, {}]));
  for (const name of SCORES) {
    const score = (passage) => passage.scores?.[name] ?? -Infinity;
    passages.toSorted((a, b) => score(b) - score(a)).forEach((passage, index) => (ranks.get(passage)[name] = index + 1));
  }
  return ranks;
}

/** Always three decimals, so that scores compare at a glance. */
const scoreText = (value) => value.toLocaleString(language, { minimumFractionDigits: 3, maximumFractionDigits: 3 });

function passageCard(passage, rank, t) {
  const scores = SCORES.map((name) => {
    const value = passage.scores?.[name];
    const shown = value === null || value === undefined ? t("knowledge.search.not_found") : t("knowledge.search.score", { value: scoreText(value), rank: rank[name] });
    return h("div", {}, h("dt", {}, t(`knowledge.search.${name}`)), h("dd", {}, shown));
  });
  const place = [...new Set([passage.title, ...(passage.headings ?? [])])].filter(Boolean).join(" › ");
  return h("article", { class: "card passage" },
    h("h2", {}, h("a", { href: `/knowledge?document=${encodeURIComponent(passage.document)}` }, place || passage.document)),
    h("p", { class: "passage-text" }, passage.text),
    h("dl", { class: "scores" }, scores));
}
