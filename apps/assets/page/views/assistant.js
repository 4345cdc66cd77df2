/** The assistant: a conversation, and beside it the passages its answers were made from. */
import { button, field, h, icon, replace } from "../dom.js";
import { chooseLanguage, language, LANGUAGES } from "../i18n.js";
import { errorText } from "../api.js";
import { may } from "../shell.js";
import { local } from "../storage.js";
import { composer } from "./assistant/composer.js";
import { Conversation } from "./assistant/conversation.js";
import { history } from "./assistant/history.js";
import { passages } from "./assistant/passages.js";
import { thread } from "./assistant/thread.js";
import * as memory from "./assistant/memory.js";

export const sections = ["assistant"];
export const styles = ["views/assistant.css"];

const WORDING = "hearth.wording";

/**
 * @param {HTMLElement} root
 * @param {object} context of the view; the widget adds `compact`, `customer`, `onAgent` and its own `controls`
 */
export async function render(root, context) {
  const { t, compact = false, status } = context;
  const beside = compact ? matchMedia("not all") : matchMedia("(min-width: 68rem)");
  const sources = passages(context, beside);
  const editing = { item: null };
  const list = thread(context, { onEdit: edit });
  const input = composer(context, { onSend: send, onStop: () => talk.stop() });
  const banner = h("p", { class: "note edit-note small", hidden: true });
  const person = button({ label: t("assistant.ask_person"), icon: "person", kind: "quiet", props: { class: "small" }, onClick: askPerson });
  const solved = button({ label: t("assistant.solved"), icon: "check", kind: "quiet", props: { class: "small", hidden: true }, onClick: () => talk.setStatus("resolved") });
  const talk = new Conversation(context, list, {
    onAnswer(answer) {
      if (beside.matches) sources.show(answer);
    },
    onStatus: showStatus,
    onBusy: input.busy,
    onDraft: input.set,
    onAgent: context.onAgent,
    options: () => ({ ...(wording.value ? { wording: wording.value } : {}), ...(context.customer ? { customer: context.customer } : {}) }),
  });
  const past = history(context, open, (id) => id === talk.session && begin());
  const wording = wordingChoice(context);

  root.append(
    h("section", { class: "talk", "aria-label": t("nav.assistant") },
      h("header", { class: "talk-head" },
        h("h1", {}, t(compact ? "nav.widget" : "nav.assistant")),
        h("div", { class: "row" }, solved, person, past.opener,
          button({ label: t("assistant.new"), icon: "plus", kind: "quiet", iconOnly: true, onClick: begin }), context.controls)),
      list.element,
      h("div", { class: "talk-foot" }, banner, input.element,
        may(status, "agent") && !compact && h("div", { class: "talk-options" }, wording.element))),
    sources.aside, past.menu);

  root.addEventListener("hearth:cite", ({ detail }) => sources.show(detail.answer, { chosen: { number: detail.number, range: detail.range } }));
  root.addEventListener("hearth:sources", ({ detail }) => sources.show(detail.answer, { open: true }));
  root.addEventListener("hearth:person", askPerson);
  root.addEventListener("hearth:again", ({ target }) => {
    const item = list.questionOf(target);
    if (item) talk.replace(item, item.question);
  });

  function showStatus(state, agent) {
    root.dataset.status = state;
    person.hidden = state === "waiting" || state === "taken";
    solved.hidden = state !== "waiting" && state !== "taken";
    input.placeholder(state === "taken" ? t("assistant.write_to", { name: agent || t("assistant.colleague") }) : t("assistant.placeholder"));
  }
  function begin() {
    stopEditing();
    talk.fresh(greeting(context, send));
    sources.clear();
    // On a phone the focus would bring up the keyboard over the greeting.
    if (matchMedia("(hover: hover)").matches) input.focus();
  }
  async function open(id) {
    stopEditing();
    sources.clear();
    try {
      await talk.open(id, greeting(context, null));
    } catch (error) {
      list.addEvent(errorText(error, t), "warn");
    }
  }
  function send(text) {
    const { item } = editing;
    stopEditing();
    list.element.querySelectorAll(".greeting > :not(.disclosure)").forEach((element) => element.remove());
    return item ? talk.replace(item, text) : talk.send(text);
  }
  function askPerson() {
    // Before the first message there is no session that could wait.
    if (talk.session) talk.setStatus("waiting");
    else send(t("assistant.person_please"));
  }
  function edit(item) {
    editing.item = item;
    input.set(item.question);
    replace(banner, icon("edit"), h("span", { class: "grow" }, t("assistant.editing")), button({ label: t("common.cancel"), kind: "quiet", props: { class: "small" }, onClick: () => (stopEditing(), input.set("")) }));
    banner.hidden = false;
    input.focus();
  }
  function stopEditing() {
    editing.item = null;
    banner.hidden = true;
  }

  const wanted = context.params?.get("session") ?? memory.current();
  if (wanted) open(wanted);
  else {
    begin();
    talk.restoreDraft();
  }
}

/** What stands above the first message: that this is a machine, what it knows, and the reader's language. */
function greeting({ t, compact }, onAsk) {
  const pick = h("select", { on: { change: (event) => chooseLanguage(event.target.value) } },
    Object.entries(LANGUAGES).map(([tag, name]) => h("option", { value: tag, selected: tag === language, lang: tag }, name)));
  const examples = ["assistant.example_1", "assistant.example_2", "assistant.example_3"].map((name) => t(name));
  return h("div", { class: "greeting" },
    onAsk && h("h2", {}, t("assistant.greeting")),
    h("p", { class: "disclosure soft" }, icon("info"), h("span", {}, t("assistant.disclosure"))),
    onAsk && h("div", { class: "suggestions" },
      h("ul", {}, examples.map((text) => h("li", {}, button({ label: text, onClick: () => onAsk(text) })))),
      !compact && h("div", { class: "language" }, field(t("assistant.page_language"), pick))));
}

/** Agents may ask for the model's own wording; customers get what the server is set to. */
function wordingChoice({ t }) {
  const select = h("select", { on: { change: () => local.set(WORDING, select.value) } },
    ["", "articles", "model"].map((value) => h("option", { value, selected: value === (local.get(WORDING) ?? "") }, t(`assistant.wording_${value || "default"}`))));
  const element = field(t("assistant.wording"), select);
  element.classList.add("inline");
  return { element, get value() { return select.isConnected ? select.value : ""; } };
}
