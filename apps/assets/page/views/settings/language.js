/** The language of the page. */
import { field, h } from "../../dom.js";
import { LANGUAGES, chooseLanguage, language } from "../../i18n.js";
import { section } from "./section.js";

/** @param {Function} t */
export function languageSection(t) {
  const options = Object.entries(LANGUAGES).map(([value, name]) => h("option", { value, lang: value, selected: value === language }, name));
  const select = h("select", { class: "language", on: { change: () => chooseLanguage(select.value) } }, options);
  return section("language", t("settings.language.title"), field(t("settings.language.label"), select, t("settings.language.hint")));
}
