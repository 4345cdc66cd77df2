/** The playground: the model without retrieval, one side or two on the same prompt. */
import { button, field, h } from "../dom.js";
import { errorText } from "../api.js";
import { local } from "../storage.js";
import { column } from "./playground/column.js";
import { parameters } from "./playground/parameters.js";

export const sections = ["playground"];
export const styles = ["views/playground.css"];

const KEPT = "hearth.prompt";

export async function render(root, context) {
  const { t, api, toast, signal } = context;
  const models = await api.get("/v1/models", { signal }).then((list) => list.data.map((model) => model.id), (error) => {
    toast(errorText(error, t), "error");
    return [];
  });
  const kept = local.read(KEPT, {});
  const endpoint = h("select", {}, ["chat", "completions"].map((name) => h("option", { value: name, selected: name === kept.endpoint }, t(`playground.endpoint_${name}`))));
  const system = h("textarea", { rows: 2, value: kept.system ?? "" });
  const prompt = h("textarea", { rows: 4, value: kept.prompt ?? "", required: true });
  const own = parameters(t);
  const compare = h("input", { type: "checkbox", checked: kept.compare ?? false, on: { change: showSides } });
  const sides = [column(context, { name: "A", models, model: models[0] }), column(context, { name: "B", models, model: models[1] ?? models[0] })];
  const start = button({ label: t("playground.run"), icon: "send", kind: "primary", props: { type: "submit" } });
  const stop = button({ label: t("playground.stop_run"), icon: "stop", props: { hidden: true }, onClick: () => running?.abort() });
  let running = null;

  const form = h("form", { class: "stack prompt-form", on: { submit: send } },
    h("div", { class: "card stack tight" },
      field(t("playground.endpoint"), endpoint),
      field(t("playground.system"), system),
      field(t("playground.prompt"), prompt, t("playground.prompt_hint")),
      h("div", { class: "row between" }, h("label", { class: "check" }, compare, t("playground.compare")), h("div", { class: "row" }, stop, start))),
    own.element);
  const grid = h("div", { class: "sides" }, sides.map((side) => side.element));
  root.append(h("div", { class: "page" },
    h("header", {}, h("div", { class: "stack tight" }, h("h1", {}, t("nav.playground")), h("p", { class: "soft" }, t("playground.intro")))),
    h("div", { class: "playground" }, form, grid)));
  showSides();

  // Ctrl or Command with Enter runs from any field.
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });

  function showSides() {
    sides[1].element.hidden = !compare.checked;
    grid.classList.toggle("two", compare.checked);
  }
  async function send(event) {
    event.preventDefault();
    if (running) return;
    let values;
    try {
      values = { system: system.value, prompt: prompt.value, parameters: own.values() };
    } catch (error) {
      toast(error.message, "error");
      return;
    }
    local.write(KEPT, { endpoint: endpoint.value, system: system.value, prompt: prompt.value, compare: compare.checked });
    running = new AbortController();
    signal.addEventListener("abort", () => running?.abort(), { once: true });
    busy(true);
    const used = compare.checked ? sides : sides.slice(0, 1);
    await Promise.all(used.map((side) => side.run(endpoint.value, values, { signal: running.signal, timeout: own.seconds() * 1000 })));
    running = null;
    busy(false);
  }
  function busy(value) {
    const held = document.activeElement === (value ? start : stop);
    start.hidden = value;
    stop.hidden = !value;
    if (held) (value ? stop : start).focus();
  }
}
