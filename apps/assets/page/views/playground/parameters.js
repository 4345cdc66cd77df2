/** The parameters of a request to the model: what each is called, what it may be, and its control. */
import { field, h } from "../../dom.js";
import { local } from "../../storage.js";

const KEPT = "hearth.playground";

/** Numbers with their bounds. `whole` is an integer; where nothing is given the server's default holds. */
const NUMBERS = [
  { name: "max_tokens", min: 1, max: 4096, whole: true, initial: 200 },
  { name: "temperature", min: 0, max: 2, step: 0.1, initial: 0.7 },
  { name: "top_p", min: 0, max: 1, step: 0.05 },
  { name: "top_k", min: 0, max: 1000, whole: true },
  { name: "min_p", min: 0, max: 1, step: 0.05 },
  { name: "frequency_penalty", min: -2, max: 2, step: 0.1 },
  { name: "presence_penalty", min: -2, max: 2, step: 0.1 },
  { name: "seed", min: 0, max: 2 ** 53 - 1, whole: true },
  { name: "n", min: 1, max: 8, whole: true },
];

/**
 * The form's part for parameters.
 *
 * @param {Function} t
 * @returns {{element: HTMLElement, values: () => object, seconds: () => number}}
 *   `values` are the fields of the request that are set; `seconds` is how long to wait
 */
export function parameters(t) {
  const kept = local.read(KEPT, {});
  const inputs = new Map();
  const number = ({ name, min, max, step, whole, initial }) => {
    const input = h("input", { type: "number", name, min, max, step: whole ? 1 : step, inputmode: whole ? "numeric" : "decimal", value: kept[name] ?? initial ?? "", placeholder: t("playground.default") });
    inputs.set(name, input);
    return field(t(`playground.${name}`), input, name);
  };
  const text = (name, rows) => {
    const input = rows ? h("textarea", { rows, name, value: kept[name] ?? "", spellcheck: "false", class: "code" }) : h("input", { name, value: kept[name] ?? "" });
    inputs.set(name, input);
    return input;
  };
  const stop = field(t("playground.stop"), text("stop", 2), t("playground.stop_hint"));
  const bias = field(t("playground.logit_bias"), text("logit_bias", 2), t("playground.logit_bias_hint"));
  const top = h("select", { name: "top_logprobs" }, ["", 0, 1, 3, 5, 10].map((value) => h("option", { value, selected: String(value) === String(kept.top_logprobs ?? 3) }, value === "" ? t("playground.logprobs_off") : t("playground.logprobs_on", { n: value }))));
  const stream = h("input", { type: "checkbox", checked: kept.stream ?? true });
  const wait = h("input", { type: "number", min: 1, max: 3600, value: kept.wait ?? 120 });

  const element = h("details", { class: "parameters card", open: kept.open ?? false },
    h("summary", {}, t("playground.parameters")),
    h("div", { class: "parameter-grid" }, NUMBERS.map(number), field(t("playground.logprobs"), top, "top_logprobs"), field(t("playground.timeout"), wait, t("playground.timeout_hint"))),
    h("div", { class: "parameter-wide" }, stop, bias),
    h("label", { class: "check" }, stream, t("playground.stream")));

  function values() {
    const body = {};
    for (const { name } of NUMBERS) {
      const { value } = inputs.get(name);
      if (value !== "") body[name] = Number(value);
    }
    const stops = inputs.get("stop").value.split("\n").filter(Boolean).map((line) => line.replaceAll("\\n", "\n"));
    if (stops.length) body.stop = stops;
    const biased = inputs.get("logit_bias").value.trim();
    if (biased) body.logit_bias = parseObject(biased, "logit_bias", t);
    if (top.value !== "") Object.assign(body, { logprobs: true, top_logprobs: Number(top.value) });
    if (stream.checked) body.stream = true;
    const raw = Object.fromEntries([...inputs].map(([name, input]) => [name, input.value]));
    local.write(KEPT, { ...raw, top_logprobs: top.value, stream: stream.checked, wait: wait.value, open: element.open });
    return body;
  }
  return { element, values, seconds: () => Number(wait.value) || 120 };
}

/** JSON that must be an object; anything else is an error in words. */
export function parseObject(text, name, t) {
  try {
    const value = JSON.parse(text);
    if (value && typeof value === "object" && !Array.isArray(value)) return value;
  } catch {
    // Said below, as for JSON that is no object.
  }
  throw new Error(t("playground.not_an_object", { name }));
}
