/** Where the customer types. Enter sends, Shift and Enter begin a new line. */
import { button, h } from "../../dom.js";
import { draft, setDraft } from "./memory.js";

/**
 * @param {object} context
 * @param {{onSend: (text: string) => void, onStop: () => void}} listeners
 * @returns {{element: HTMLElement, set: Function, focus: Function, busy: Function, placeholder: Function}}
 */
export function composer({ t }, { onSend, onStop }) {
  let busy = false;
  const input = h("textarea", { rows: 1, placeholder: t("assistant.placeholder"), "aria-label": t("assistant.placeholder"), autocomplete: "off", enterkeyhint: "send", value: draft() });
  const send = button({ label: t("common.send"), icon: "send", kind: "primary", iconOnly: true, props: { type: "submit", class: "send" } });
  const stop = button({ label: t("assistant.stop"), icon: "stop", iconOnly: true, onClick: onStop, props: { hidden: true, class: "stop" } });
  const form = h("form", { class: "composer", on: { submit: submit } }, input, stop, send);

  function submit(event) {
    event.preventDefault();
    const text = input.value.trim();
    if (!text || busy) return;
    set("");
    onSend(text);
  }
  function set(text) {
    input.value = text;
    setDraft(text);
    grow();
  }
  /** The box grows with the text; a browser that knows `field-sizing` does it by itself. */
  function grow() {
    if (CSS.supports("field-sizing", "content")) return;
    input.style.setProperty("height", "auto");
    input.style.setProperty("height", `${input.scrollHeight + 2}px`);
  }
  input.addEventListener("input", () => {
    setDraft(input.value);
    grow();
  });
  input.addEventListener("keydown", (event) => {
    // While an input method composes a character, Enter belongs to it.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });

  return {
    element: form,
    set,
    focus: () => input.focus(),
    busy(value) {
      busy = value;
      const held = document.activeElement === (value ? send : stop);
      send.hidden = value;
      stop.hidden = !value;
      if (held) (value ? stop : input).focus();
    },
    placeholder(text) {
      input.placeholder = text;
      input.setAttribute("aria-label", text);
    },
  };
}
