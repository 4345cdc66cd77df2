/** The tokens of a text, shaded by how likely each was; the alternatives of the one that is looked at stand below. */
import { h, replace } from "../../dom.js";
import { number, percent } from "../../i18n.js";

/**
 * One stop for the tab key; arrows move between the tokens.
 *
 * @param {Function} t
 * @param {{token: string, logprob: number|null, top: object[]}[]} tokens
 */
export function tokenView(t, tokens) {
  if (!tokens.length) return h("p", { class: "soft" }, t("playground.no_logprobs"));
  const details = h("div", { class: "token-details", "aria-live": "polite" }, h("p", { class: "soft small" }, t("playground.token_hint")));
  const buttons = tokens.map((token, index) => h("button", { type: "button", class: `token likely-${level(token.logprob)}`, tabindex: index ? "-1" : "0", "aria-label": `${visible(token.token)}, ${chance(token.logprob)}`, on: { focus: () => look(index), click: () => look(index), pointerenter: () => look(index) } }, visible(token.token)));
  const box = h("div", { class: "tokens", role: "group", "aria-label": t("playground.tokens"), on: { keydown: move } }, buttons);
  let at = 0;

  function look(index) {
    buttons[at].tabIndex = -1;
    buttons[at].classList.remove("looked-at");
    at = index;
    buttons[at].tabIndex = 0;
    buttons[at].classList.add("looked-at");
    const { token, logprob, top } = tokens[index];
    replace(details, h("p", { class: "small" }, h("code", {}, visible(token)), ` ${chance(logprob)} · log p ${logprob === null ? "–" : number(logprob, 3)}`),
      top.length > 0 && h("ol", { class: "alternatives small" }, top.map((other) => h("li", { class: other.token === token ? "taken" : "" }, h("code", {}, visible(other.token)), h("meter", { min: 0, max: 1, value: Math.exp(other.logprob), "aria-label": visible(other.token) }), h("span", { class: "numeric" }, chance(other.logprob))))));
  }
  function move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -buttons.length, End: buttons.length }[event.key];
    if (!step) return;
    event.preventDefault();
    buttons[Math.min(buttons.length - 1, Math.max(0, at + step))].focus();
  }
  return h("div", { class: "stack tight" }, box, details);
}

/** White space that would not be seen. */
const visible = (token) => token.replaceAll("\n", "↵").replaceAll("\t", "⇥").replace(/^ +| +$/g, (spaces) => "␣".repeat(spaces.length)) || "∅";

const chance = (logprob) => (logprob === null ? "–" : percent(Math.exp(logprob), 1));

/** Four shades: a coin's toss or worse is what a reader looks for. */
function level(logprob) {
  const p = logprob === null ? 1 : Math.exp(logprob);
  return p >= 0.9 ? 3 : p >= 0.5 ? 2 : p >= 0.1 ? 1 : 0;
}
