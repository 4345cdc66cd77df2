/**
 * Builds elements. Text from people always becomes a text node; the one place that
 * parses markup is `serverHtml`, for what the server has already sanitised.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with properties and children.
 *
 * `props` are attributes, except: `on` (an object of listeners), `data` (dataset entries),
 * and `value`, `checked`, `disabled`, `hidden`, `open`, `selected`, which are set as properties.
 * `null`, `undefined` and `false` leave an attribute out. Styles come from CSS files:
 * a `style` attribute would be refused by the content security policy.
 *
 * @param {string} tag
 * @param {object} [props]
 * @param {...(Node|string|number|null|undefined|false|Array)} children
 * @returns {HTMLElement}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  fill(element, props ?? {});
  append(element, children);
  return element;
}

/** An SVG element, built as `h` builds HTML. @returns {SVGElement} */
export function svg(tag, props, ...children) {
  const element = document.createElementNS(SVG, tag);
  fill(element, props ?? {});
  append(element, children);
  return element;
}

const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "open", "selected", "indeterminate"]);

function fill(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "data") {
      Object.assign(element.dataset, value);
    } else if (PROPERTIES.has(name) && name in element) {
      element[name] = value;
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Replaces all that is in `element`. @returns {Element} the element */
export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/**
 * Markup that the server has sanitised (`html` of an answer, a sentence or a message), as an element.
 * Never pass it anything else.
 */
export function serverHtml(html, tag = "div", props = {}) {
  const element = h(tag, props);
  element.innerHTML = html;
  return element;
}

/** A symbol of `icons.svg`. Decorative: the control that holds it carries the name. */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true", focusable: "false" }, svg("use", { href: `/assets/icons.svg#${name}` }));
}

/**
 * A button. `label` is its text, or with `iconOnly` its accessible name and tooltip.
 *
 * @param {{label: string, icon?: string, kind?: "primary"|"quiet"|"danger", iconOnly?: boolean, onClick?: Function, props?: object}} options
 */
export function button({ label, icon: name, kind, iconOnly, onClick, props = {} }) {
  const classes = ["button", kind, iconOnly && "icon-only", props.class].filter(Boolean).join(" ");
  const names = iconOnly ? { "aria-label": label, title: label } : {};
  const on = onClick ? { click: onClick } : {};
  return h("button", { type: "button", ...names, ...props, class: classes, on: { ...on, ...props.on } }, name && icon(name), !iconOnly && h("span", {}, label));
}

let fields = 0;

/**
 * A labelled form control; `hint` is tied to it by aria-describedby.
 *
 * @param {string} label
 * @param {HTMLElement} control input, select or textarea
 */
export function field(label, control, hint) {
  control.id ||= `field-${(fields += 1)}`;
  const note = hint && h("p", { class: "hint", id: `${control.id}-hint` }, hint);
  if (note) control.setAttribute("aria-describedby", note.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
}
