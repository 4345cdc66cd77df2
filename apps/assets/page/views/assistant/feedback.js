/** Thumbs on an answer; a thumb down asks what would have been right. */
import { button, field, h } from "../../dom.js";
import { errorText } from "../../api.js";

/**
 * @param {object} context
 * @param {string} turn
 * @param {{rating: number, correction?: string, remark?: string}|null} given what was said before
 * @returns {{thumbs: HTMLElement[], form: HTMLElement}} the two buttons, and the form that a thumb down opens
 */
export function feedback({ t, api, toast, announce }, turn, given) {
  let rating = given?.rating ?? 0;
  const correction = h("textarea", { rows: 3, value: given?.correction ?? "" });
  const remark = h("textarea", { rows: 2, value: given?.remark ?? "" });
  const up = thumb(1, "up", t("assistant.helpful"));
  const down = thumb(-1, "down", t("assistant.not_helpful"));
  const form = h("form", { class: "feedback card stack tight", hidden: true, "aria-label": t("assistant.feedback"), on: { submit } },
    field(t("assistant.correction"), correction, t("assistant.correction_hint")),
    field(t("assistant.remark"), remark),
    h("div", { class: "row end" },
      button({ label: t("common.close"), kind: "quiet", props: { class: "small" }, onClick: () => close() }),
      button({ label: t("common.send"), kind: "primary", props: { type: "submit", class: "small" } })));

  function thumb(value, icon, label) {
    return button({ label, icon, kind: "quiet", iconOnly: true, onClick: () => rate(value), props: { class: "small", "aria-pressed": String(rating === value) } });
  }
  function mark() {
    up.setAttribute("aria-pressed", String(rating === 1));
    down.setAttribute("aria-pressed", String(rating === -1));
  }
  function close() {
    form.hidden = true;
    down.focus();
  }
  /** Sends the thumb at once: who closes the form has still said that the answer was no help. */
  async function rate(value) {
    form.hidden = value === 1;
    if (value === -1) correction.focus();
    if (value === rating) return;
    const before = rating;
    rating = value;
    mark();
    if (await send({ rating })) announce(t("assistant.thanks"));
    else {
      rating = before;
      mark();
    }
  }
  async function submit(event) {
    event.preventDefault();
    const said = { rating: -1, correction: correction.value.trim() || undefined, remark: remark.value.trim() || undefined };
    if (!(await send(said))) return;
    close();
    toast(t("assistant.thanks"));
  }
  async function send(body) {
    try {
      await api.post(`/v1/turns/${encodeURIComponent(turn)}/feedback`, body);
      return true;
    } catch (error) {
      toast(errorText(error, t), "error");
      return false;
    }
  }
  return { thumbs: [up, down], form };
}
