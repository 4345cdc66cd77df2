/** One message of a thread, with what an agent wants to know about the assistant's answers. */
import { h, icon, serverHtml } from "../../dom.js";
import { moment, percent } from "../../i18n.js";

/** @param {object} message of a session @param {object} context the view's */
export function messageItem(message, { t }) {
  const head = h("p", { class: "message-head small soft" }, h("strong", {}, t(`inbox.role.${message.role}`)), " ", h("time", { datetime: message.created, }, moment(message.created)));
  // Customers write plain text; what the assistant and agents wrote is Markdown that the server rendered.
  const body = message.role === "customer" ? h("div", { class: "message-text" }, message.text) : serverHtml(message.html, "div", { class: "prose" });
  return h("li", { class: `message ${message.role}`, data: { id: message.id } }, head, body, citations(message.answer, t), outcome(message.answer, t), feedback(message.feedback, t));
}

function citations(answer, t) {
  const numbers = new Set((answer?.sentences ?? []).map((sentence) => sentence.citation));
  const cited = (answer?.context ?? []).filter((passage) => numbers.has(passage.number));
  if (!cited.length) return null;
  return h("details", { class: "small" },
    h("summary", {}, t("inbox.sources", { n: cited.length })),
    h("ul", { class: "sources" }, cited.map((passage) => h("li", {}, h("a", { href: `/knowledge?document=${encodeURIComponent(passage.document)}` }, passage.title), h("p", { class: "soft" }, passage.text)))));
}

function outcome(answer, t) {
  if (!answer || answer.answered || answer.outcome === "talk") return null;
  const reason = answer.handoff?.reason ?? "no_answer";
  const known = answer.no_answer_probability;
  return h("p", { class: "small" }, h("span", { class: "chip warn" }, t(`inbox.reason.${reason}`)), " ",
    reason === "no_answer" && typeof known === "number" && h("span", { class: "soft" }, t("inbox.doubt", { share: percent(known) })));
}

function feedback(given, t) {
  if (!given) return null;
  const good = given.rating > 0;
  return h("div", { class: "small stack tight" },
    h("p", {}, h("span", { class: `chip ${good ? "good" : "bad"}` }, icon(good ? "up" : "down"), t(good ? "inbox.liked" : "inbox.disliked"))),
    given.correction && h("p", {}, h("span", { class: "soft" }, `${t("inbox.correction")}: `), given.correction),
    given.remark && h("p", {}, h("span", { class: "soft" }, `${t("inbox.remark")}: `), given.remark));
}
