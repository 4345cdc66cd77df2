/** The key that this browser tab sends. */
import { refreshStatus } from "../../app.js";
import { button, field, h, icon } from "../../dom.js";
import { section } from "./section.js";

/** @param {object} context the view's */
export function keySection({ t, api, status, go, toast }) {
  const has = Boolean(api.key());
  const hint = h("p", { class: "hint", id: "key-hint" }, t("settings.key.hint"));
  const input = h("input", { type: "password", "aria-describedby": hint.id, autocomplete: "off", spellcheck: "false", required: true, placeholder: "hearth_…" });
  const problem = h("p", { class: "note bad", role: "alert", hidden: true });

  // The new key is tried before it is kept as the tab's, so that a typing error does not lock anybody out.
  async function use(event) {
    event.preventDefault();
    const before = api.key();
    problem.hidden = true;
    api.setKey(input.value.trim());
    try {
      const found = await api.get("/v1/status", { timeout: 10000 });
      toast(t("settings.key.accepted", { role: t(`settings.role.${found.role}`) }));
      await changed();
    } catch (error) {
      problem.textContent = api.errorText(error, t);
      problem.hidden = false;
      api.setKey(before);
    }
  }
  // The view is drawn again for what the new key may see.
  async function changed() {
    await refreshStatus();
    await go("/settings", { replaceEntry: true });
  }
  const forget = () => {
    api.setKey(null);
    changed();
  };
  return section("key", t("settings.key.title"),
    who(status, has, t),
    h("form", { class: "row key-form", on: { submit: use } },
      h("div", { class: "grow" }, field(t("settings.key.label"), input)),
      h("div", { class: "row" },
        button({ label: t("settings.key.use"), icon: "key", kind: "primary", props: { type: "submit" } }),
        has && button({ label: t("settings.key.forget"), onClick: forget }))),
    hint,
    problem);
}

function who(status, has, t) {
  if (!status) return h("p", { class: "note warn" }, icon("warn"), h("span", {}, t(has ? "settings.key.wrong" : "settings.key.needed")));
  if (!status.keys) return h("p", { class: "note" }, icon("info"), h("span", {}, t("settings.key.open")));
  return h("p", { class: "note" }, icon("check"), h("span", {}, t("settings.key.role", { role: t(`settings.role.${status.role}`) })));
}
