import { h } from "../../dom.js";

/** A part of the settings under its own heading. */
export function section(name, title, ...children) {
  return h("section", { class: "card stack", "aria-labelledby": `settings-${name}` }, h("h2", { id: `settings-${name}` }, title), children);
}
