/** One side of the playground: a model, its text, its tokens, and the request and response as they went. */
import { button, field, h, icon, replace } from "../../dom.js";
import { ApiError, errorText, key } from "../../api.js";
import { duration, number } from "../../i18n.js";
import { copy } from "../../clipboard.js";
import { Outcome, PATHS, requestBody, run } from "./request.js";
import { curl, python } from "./snippets.js";
import { parseObject } from "./parameters.js";
import { tokenView } from "./tokens.js";

const TABS = ["text", "tokens", "request", "response", "curl", "python"];

/**
 * @param {object} context
 * @param {{name: string, models: string[], model: string}} options `name` is "A" or "B"
 * @returns {{element: HTMLElement, run: Function}}
 */
export function column({ t, api, announce, toast }, { name, models, model }) {
  const select = h("select", {}, models.map((id) => h("option", { value: id, selected: id === model }, id)));
  const more = h("textarea", { rows: 2, class: "code", spellcheck: "false", placeholder: '{"temperature": 0}' });
  const figures = h("p", { class: "small soft figures-line" });
  const panel = h("div", { class: "output", role: "tabpanel", tabindex: "0", "aria-labelledby": `tab-${name}-text` });
  const tabs = TABS.map((tab) => h("button", { type: "button", role: "tab", id: `tab-${name}-${tab}`, "aria-selected": String(tab === "text"), tabindex: tab === "text" ? "0" : "-1", on: { click: () => choose(tab) } }, t(`playground.tab_${tab}`)));
  const tablist = h("div", { class: "tabs", role: "tablist", "aria-label": t("playground.views"), on: { keydown: moveTab } }, tabs);
  let shown = "text";
  let state = { body: null, path: null, outcome: null, error: null };
  let frame = 0;

  const element = h("section", { class: "card column stack tight", "aria-label": t("playground.side", { name }) },
    h("div", { class: "column-head" }, h("span", { class: "chip accent", "aria-hidden": "true" }, name), h("div", { class: "grow" }, field(t("playground.model"), select))),
    h("details", {}, h("summary", { class: "small" }, t("playground.more_fields")), field(t("playground.more_fields_label"), more, t("playground.more_fields_hint"))),
    tablist, panel, figures);

  function choose(tab) {
    shown = tab;
    tabs.forEach((each, index) => {
      each.setAttribute("aria-selected", String(TABS[index] === tab));
      each.tabIndex = TABS[index] === tab ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", `tab-${name}-${tab}`);
    draw();
  }
  function moveTab(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (TABS.indexOf(shown) + step + TABS.length) % TABS.length;
    choose(TABS[next]);
    tabs[next].focus();
  }

  /** At most one drawing a frame, however fast the tokens come. */
  function redraw() {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      draw();
    });
  }
  function draw() {
    const { body, path, outcome, error } = state;
    if (shown === "text" && !error && grow(outcome)) return drawFigures(outcome);
    if (shown === "text") replace(panel, error && problem(error), texts(outcome, error));
    else if (!body) replace(panel, h("p", { class: "soft" }, t("playground.nothing_yet")));
    else if (shown === "tokens") replace(panel, outcome.choices.map((choice) => tokenView(t, choice.tokens)));
    else replace(panel, code({
      request: () => `POST ${path}\n\n${JSON.stringify(body, null, 2)}`,
      response: () => [...outcome.raw, ...(error?.body ? [error.body] : [])].map((part) => (typeof part === "string" ? part : JSON.stringify(part, null, body.stream ? 0 : 2))).join("\n"),
      curl: () => curl(location.origin, path, body, Boolean(key())),
      python: () => python(location.origin, path, body, Boolean(key())),
    }[shown]()));
    drawFigures(outcome);
  }
  /** Adds what is new to the texts on show, so that a selection in them stays; false where they are not on show. */
  function grow(outcome) {
    const nodes = [...panel.querySelectorAll(".plain")].map((element) => element.firstChild);
    if (!outcome?.choices.length || nodes.length !== outcome.choices.length) return false;
    const isShown = nodes.every((node, index) => outcome.choices[index].text.startsWith(node.data));
    if (isShown) nodes.forEach((node, index) => node.appendData(outcome.choices[index].text.slice(node.length)));
    return isShown;
  }
  function texts(outcome, error) {
    if (!outcome) return h("p", { class: "soft" }, t("playground.nothing_yet"));
    if (!outcome.choices.length) return error ? null : h("p", { class: "soft" }, t("playground.waiting"));
    return outcome.choices.map((choice, index) => h("div", { class: "choice", dir: "auto" }, outcome.choices.length > 1 && h("p", { class: "small soft" }, t("playground.choice", { n: index + 1 })), h("div", { class: "plain" }, document.createTextNode(choice.text))));
  }
  /** The error in words, with the field it is about and what the server said. */
  function problem(error) {
    const isOurs = error instanceof ApiError;
    return h("div", { class: "note bad", role: "alert" }, icon("warn"), h("div", {},
      h("p", {}, isOurs ? errorText(error, t) : error.message),
      isOurs && error.status > 0 && h("p", { class: "small" }, [`HTTP ${error.status}`, error.type, error.param && t("playground.field", { name: error.param }), error.code].filter(Boolean).join(" · "))));
  }
  function code(text) {
    const onClick = async () => ((await copy(text)) ? announce(t("common.copied")) : toast(t("playground.copy_failed"), "error"));
    return h("div", { class: "code-box" }, button({ label: t("common.copy"), icon: "copy", kind: "quiet", iconOnly: true, props: { class: "small" }, onClick }), h("pre", { dir: "ltr", tabindex: "0" }, text));
  }
  function drawFigures(outcome) {
    if (!outcome) return;
    const { first, total, rate } = outcome.figures();
    const finish = outcome.choices.map((choice) => choice.finish).filter(Boolean).join(", ");
    figures.textContent = [
      first !== null && t("playground.first_token", { time: duration(first) }), t("playground.total", { time: duration(total) }),
      outcome.usage && t("playground.usage", { prompt: outcome.usage.prompt_tokens ?? 0, completion: outcome.usage.completion_tokens ?? 0 }),
      rate && t("playground.rate", { rate: number(rate, 1) }), finish && t("playground.finish", { reason: finish }),
    ].filter(Boolean).join(" · ");
  }
  draw();

  return {
    element,
    /** Sends the form's request with this side's model and fields. */
    async run(endpoint, form, { signal, timeout }) {
      state = { body: null, path: PATHS[endpoint], outcome: new Outcome(), error: null };
      try {
        const own = more.value.trim() ? parseObject(more.value, t("playground.more_fields_label"), t) : {};
        state.body = requestBody(endpoint, { ...form, model: select.value, more: own });
        redraw();
        await run(api, state.path, state.body, { signal, timeout, outcome: state.outcome, onChange: redraw });
        announce(`${name}: ${state.outcome.choices[0]?.text ?? ""}`);
      } catch (error) {
        state.error = error;
        redraw();
      }
    },
  };
}
