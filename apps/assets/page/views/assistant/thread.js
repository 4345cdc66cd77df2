/** The list of messages of one conversation, as elements. It knows no server. */
import { button, h, icon, replace, serverHtml } from "../../dom.js";
import { moment, when } from "../../i18n.js";
import { holdEnd } from "./scroll.js";
import "./answer.js";

/**
 * @param {object} context
 * @param {{onEdit: (item: HTMLElement) => void}} listeners
 */
export function thread(context, { onEdit }) {
  const { t, signal } = context;
  const list = h("ol", { class: "messages", "aria-label": t("assistant.conversation") });
  const content = h("div", { class: "thread-content" });
  const scroller = h("div", { class: "thread", tabindex: "0", role: "region", "aria-label": t("assistant.conversation") }, content);
  const latest = button({ label: t("assistant.to_latest"), icon: "down-arrow", props: { class: "small to-latest", hidden: true }, onClick: () => toEnd() });
  const toEnd = holdEnd(scroller, content, (atEnd) => (latest.hidden = atEnd), signal);

  const item = (kind, ...children) => {
    const element = h("li", { class: `message ${kind}` }, ...children);
    list.append(element);
    return element;
  };
  const author = (name, created) => h("p", { class: "author small soft" }, name, created && [" · ", h("time", { datetime: created, title: moment(created) }, when(created))]);

  return {
    element: h("div", { class: "thread-frame" }, scroller, latest),
    toEnd,
    /** Empties the thread; `head` is what stands above the first message. */
    clear(head) {
      replace(list);
      replace(content, head, list);
      toEnd();
    },
    /** @returns {HTMLElement} the item; its `question` and `turn` are what an edit replaces */
    addQuestion(text, { turn = null, created = null } = {}) {
      const edit = button({ label: t("assistant.edit"), icon: "edit", kind: "quiet", iconOnly: true, props: { class: "small" }, onClick: () => onEdit(element) });
      const element = item("customer", h("div", { class: "bubble", dir: "auto" }, text), h("div", { class: "actions" }, edit));
      element.setAttribute("aria-label", t("assistant.you"));
      return Object.assign(element, { question: text, turn, created });
    },
    /** What a customer writes to a person: there is no answer to it that an edit could replace. */
    addToPerson(message) {
      return item("customer", h("div", { class: "bubble", dir: "auto" }, message.text));
    },
    /** @returns {HearthAnswer} an answer that has yet to arrive */
    addAnswer() {
      const answer = document.createElement("hearth-answer").begin(context);
      item("assistant", author(t("assistant.assistant")), answer);
      return answer;
    },
    addAgent(message, name) {
      const element = item("agent", author(name || t("assistant.colleague"), message.created), serverHtml(message.html, "div", { class: "prose", dir: "auto" }));
      element.dataset.message = message.id;
      return element;
    },
    has: (id) => [...list.querySelectorAll("[data-message]")].some((element) => element.dataset.message === id),
    /** A line between messages: what became of the conversation. */
    addEvent(text, name = "info") {
      return item("event small soft", icon(name), h("span", {}, text));
    },
    /** Folds `first` and all that follows: an edited question replaces them. @returns the turns folded */
    fold(first) {
      const items = [...list.children].slice([...list.children].indexOf(first));
      if (!first.turn) {
        // The question never reached the server: there is nothing to look back at.
        items.forEach((element) => element.remove());
        return [];
      }
      const inside = h("ol", { class: "messages" }, items);
      list.append(h("li", { class: "folded" }, h("details", {}, h("summary", { class: "small soft" }, t("assistant.earlier_wording")), inside)));
      return items.map((element) => element.turn).filter(Boolean);
    },
    /** What was said and stands, as the history a question is asked with. */
    history() {
      const items = [...list.children].filter((element) => !element.classList.contains("folded"));
      return items.flatMap((element) => {
        if (element.question) return [{ role: "user", content: element.question }];
        const said = element.querySelector("hearth-answer")?.answer?.answer;
        return said ? [{ role: "assistant", content: said }] : [];
      });
    },
    /** The question that an answer belongs to. */
    questionOf(answer) {
      let element = answer.closest("li");
      while (element && !element.question) element = element.previousElementSibling;
      return element;
    },
    last: () => list.lastElementChild,
  };
}
