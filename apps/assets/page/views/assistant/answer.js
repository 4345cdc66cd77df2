/**
 * `<hearth-answer>`: one answer of the assistant, from its first sentence to its thumbs.
 * A sentence that has arrived is never drawn again; only the next is added after it.
 *
 * It tells by events that bubble: `hearth:cite` {answer, number, range}, `hearth:sources` {answer},
 * `hearth:again` {wording}, `hearth:person`.
 */
import { button, h, icon, replace, serverHtml } from "../../dom.js";
import { percent } from "../../i18n.js";
import { copy } from "../../clipboard.js";
import { feedback } from "./feedback.js";

class HearthAnswer extends HTMLElement {
  /** @param {object} context of the view */
  begin(context) {
    this.context = context;
    this.answer = null;
    this.sentences = 0;
    this.words = h("div", { class: "answer-text prose", dir: "auto" });
    this.waiting = h("p", { class: "waiting soft" }, h("span", { class: "dots", "aria-hidden": "true" }), h("span", {}, context.t("assistant.thinking")));
    this.foot = h("div", { class: "answer-foot" });
    this.setAttribute("aria-busy", "true");
    replace(this, this.words, this.waiting, this.foot);
    return this;
  }

  /** Adds one sentence with the button that opens its passage. */
  addSentence(sentence) {
    if (sentence.index < this.sentences) return; // A resumed stream may tell a sentence again.
    this.sentences += 1;
    this.waiting.hidden = true;
    const { t } = this.context;
    const unsupported = !sentence.citation;
    const text = sentenceText(sentence);
    if (unsupported) text.classList.add("unsupported");
    const tag = text.tagName === "DIV" ? "div" : "span";
    this.words.append(h(tag, { class: "sentence" }, text, unsupported ? h("span", { class: "chip warn" }, t("assistant.unsupported")) : this.#cite(sentence), " "));
  }

  #cite(sentence) {
    const { t } = this.context;
    const label = t("assistant.open_source", { number: sentence.citation });
    const title = sentence.probability ? `${label} · ${percent(sentence.probability)}` : label;
    const open = () => this.answer && this.#tell("hearth:cite", { answer: this.answer, number: sentence.citation, range: sentence.range });
    return h("button", { type: "button", class: "cite", "aria-label": label, title, on: { click: open } }, sentence.citation);
  }

  /** The whole answer: what is missing is added, and the reader can judge it. */
  finish(answer, given = null) {
    this.answer = answer;
    const { t } = this.context;
    this.lang = answer.language ?? "";
    this.waiting.hidden = true;
    this.removeAttribute("aria-busy");
    this.dataset.outcome = answer.outcome;
    if (answer.answered && answer.sentences.length) {
      answer.sentences.slice(this.sentences).forEach((sentence, index) => this.addSentence({ ...sentence, index: this.sentences + index }));
    } else {
      replace(this.words, serverHtml(answer.html));
    }
    if (answer.outcome === "no_answer") this.#offerPerson();
    const { thumbs, form } = feedback(this.context, answer.id, given);
    replace(this.foot, h("div", { class: "actions", role: "group", "aria-label": t("assistant.actions") },
      answer.context.length > 0 && button({ label: t("assistant.sources_n", { n: answer.context.length }), icon: "book", kind: "quiet", props: { class: "small" }, onClick: () => this.#tell("hearth:sources", { answer }) }),
      this.#copyButton(() => answer.answer), this.#againButton(), thumbs), form);
  }

  /** "I don't know" is followed by what the customer can do about it. */
  #offerPerson() {
    const { t } = this.context;
    const ask = button({ label: t("assistant.ask_person"), icon: "person", props: { class: "small" }, onClick: () => this.#tell("hearth:person") });
    this.words.append(h("div", { class: "row offer" }, ask, h("span", { class: "soft small" }, t("assistant.or_rephrase"))));
  }

  /** The reader has stopped it: what has arrived stays. */
  stopped() {
    this.#end(h("p", { class: "soft small" }, this.context.t("assistant.stopped")), this.#againButton());
  }

  /** It could not be answered. @param {string} text the reason in words */
  failed(text) {
    this.#end(h("p", { class: "note bad", role: "alert" }, icon("warn"), h("span", {}, text)), this.#againButton(true));
  }

  #end(...nodes) {
    this.waiting.hidden = true;
    this.removeAttribute("aria-busy");
    replace(this.foot, ...nodes);
  }

  #againButton(withText = false) {
    const { t } = this.context;
    const label = withText ? t("common.retry") : t("assistant.regenerate");
    return button({ label, icon: "redo", kind: "quiet", iconOnly: !withText, props: { class: "small" }, onClick: () => this.#tell("hearth:again") });
  }

  #copyButton(text) {
    const { t, toast, announce } = this.context;
    const onClick = async () => ((await copy(text())) ? announce(t("common.copied")) : toast(t("assistant.copy_failed"), "error"));
    return button({ label: t("common.copy"), icon: "copy", kind: "quiet", iconOnly: true, props: { class: "small" }, onClick });
  }

  #tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
  }
}

/** A sentence as an inline element, or as a block where it is a list or a table. */
function sentenceText(sentence) {
  const box = serverHtml(sentence.html);
  const only = box.children.length === 1 && box.firstElementChild;
  if (only && only.tagName === "P" && only === box.lastChild) return h("span", {}, [...only.childNodes]);
  if (!box.querySelector("p, ul, ol, table, pre, blockquote")) return h("span", {}, [...box.childNodes]);
  return box;
}

customElements.define("hearth-answer", HearthAnswer);
