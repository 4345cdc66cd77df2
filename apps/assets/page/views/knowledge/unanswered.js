/** Questions of the last thirty days that found no answer; each can become an article. */
import { button, h, icon, replace } from "../../dom.js";
import { ago, moment } from "../../i18n.js";
import { draftFromQuestion } from "../../draft.js";

const DAYS = 30;

export async function renderUnanswered(root, context) {
  const { t, api, signal } = context;
  const from = new Date(Date.now() - DAYS * 86400e3).toISOString();
  const { unanswered } = await api.get("/v1/dashboard", { query: { from, to: new Date().toISOString() }, signal });
  if (!unanswered.length) return void replace(root, h("div", { class: "empty" }, icon("check"), h("p", {}, t("knowledge.unanswered.none"))));
  replace(root, h("p", { class: "soft" }, t("knowledge.unanswered.about", { days: DAYS })), questionList(unanswered, context, "h2"));
}

/**
 * The list, as the dashboard shows it too.
 *
 * @param {Array<object>} questions `unanswered` of the dashboard answer
 * @param {object} context the view's
 * @param {"h2"|"h3"} heading what fits below the heading above the list
 */
export function questionList(questions, context, heading) {
  return h("ul", { class: "questions" }, questions.map((one) => h("li", { class: "card" }, question(one, context, heading))));
}

function question({ question, count, last, sessions }, context, heading) {
  const { t, api, go } = context;
  const write = async () => {
    await draftFromQuestion(api, question, sessions);
    go("/knowledge?new=1");
  };
  return [
    h("div", { class: "grow" },
      h(heading, {}, question),
      h("p", { class: "small soft" }, t("knowledge.unanswered.asked", { n: count }), " · ", h("time", { datetime: last, title: moment(last) }, ago(last)))),
    h("div", { class: "row" },
      h("a", { class: "button quiet small", href: `/inbox?session=${encodeURIComponent(sessions[0])}`, hidden: !sessions.length }, icon("chat"), h("span", {}, t("knowledge.unanswered.open"))),
      h("a", { class: "button quiet small", href: api.address("/knowledge", { tab: "search", question }) }, icon("search"), h("span", {}, t("knowledge.unanswered.search"))),
      button({ label: t("knowledge.unanswered.write"), icon: "edit", onClick: write, props: { class: "small" } })),
  ];
}
