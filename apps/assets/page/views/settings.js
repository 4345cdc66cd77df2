/** Settings: who this browser is to the server, the keys of others, what runs, and what is kept. */
import { h, replace } from "../dom.js";
import { guide } from "../guide.js";
import { may } from "../shell.js";
import { customerSection } from "./settings/customer.js";
import { keySection } from "./settings/key.js";
import { keysSection } from "./settings/keys.js";
import { languageSection } from "./settings/language.js";
import { statusSection } from "./settings/status.js";

export const sections = ["settings", "guide"];
export const styles = ["views/settings.css", "guide.css"];

export async function render(root, context) {
  const { t, status } = context;
  root.classList.add("page");
  const admin = status && may(status, "admin");
  const parts = [
    status?.documents === 0 && guide(context),
    keySection(context),
    status && statusSection(status, t),
    admin && (await keysSection(context)),
    admin && customerSection(context),
    languageSection(t),
  ];
  replace(root, h("header", {}, h("h1", {}, t("nav.settings"))), parts);
}
