/** The keys of the server: made, shown once, revoked. For admins. */
import { refreshStatus } from "../../app.js";
import { button, field, h, icon, replace } from "../../dom.js";
import { copy } from "../../clipboard.js";
import { ago, moment, when } from "../../i18n.js";
import { table } from "../../table.js";
import { section } from "./section.js";

const ROLES = ["client", "agent", "admin"];

/** The first key, while the view is drawn again as its bearer sees it. */
let firstKey = null;

/** @param {object} context the view's */
export async function keysSection(context) {
  const { t, api, toast, signal, status } = context;
  const list = h("div", { tabindex: "-1" });
  const made = h("div", { role: "status" });
  const name = h("input", { type: "text", required: true, maxlength: "100", autocomplete: "off" });
  // A first key of a lower role would lock everybody out of this page.
  const role = h("select", {}, (status.keys ? ROLES : ["admin"]).map((value) => h("option", { value }, t(`settings.role.${value}`))));

  async function load() {
    const { data } = await api.get("/v1/keys", { signal });
    replace(list, data.length ? keyTable(data, t, revoke) : h("p", { class: "soft" }, t("settings.keys.none")));
  }
  async function make(event) {
    event.preventDefault();
    try {
      const key = await api.post("/v1/keys", { name: name.value.trim(), role: role.value });
      if (!status.keys) return await begin(key);
      name.value = "";
      replace(made, shownOnce(key, context));
      await load();
    } catch (error) {
      toast(api.errorText(error, t), "error");
    }
  }
  /** From the first key on the server asks for keys, so this tab goes on with it. */
  async function begin(key) {
    firstKey = key;
    api.setKey(key.key);
    await refreshStatus();
    context.announce(t("settings.keys.once", { name: key.name }));
    await context.go("/settings", { replaceEntry: true });
  }
  async function revoke(key) {
    const yes = await context.confirm({ title: t("settings.keys.revoke_title", { name: key.name }), text: t("settings.keys.revoke_text"), action: t("settings.keys.revoke") });
    if (!yes) return;
    try {
      await api.remove(`/v1/keys/${encodeURIComponent(key.id)}`);
      await load();
      list.focus(); // the button that was pressed is gone
    } catch (error) {
      toast(api.errorText(error, t), "error");
    }
  }

  if (firstKey) replace(made, shownOnce(firstKey, context));
  firstKey = null;
  await load().catch((error) => replace(list, h("p", { class: "note bad", role: "alert" }, api.errorText(error, t))));
  return section("keys", t("settings.keys.title"),
    h("p", { class: "soft" }, t("settings.keys.about")),
    list,
    made,
    h("form", { class: "row key-form", on: { submit: make } },
      h("div", { class: "grow" }, field(t("settings.keys.name"), name)),
      field(t("settings.keys.role"), role),
      button({ label: t("settings.keys.make"), icon: "plus", props: { type: "submit" } })));
}

function keyTable(keys, t, revoke) {
  const columns = [
    { head: t("settings.keys.name") },
    { head: t("settings.keys.role") },
    { head: t("settings.keys.created"), class: "wide-only" },
    { head: t("settings.keys.used"), class: "wide-only" },
    { head: t("settings.keys.revoke"), quiet: true, class: "actions" },
  ];
  const rows = keys.map((key) => [
    key.name,
    t(`settings.role.${key.role}`),
    when(key.created),
    key.last_used ? h("time", { datetime: key.last_used, title: moment(key.last_used) }, ago(key.last_used)) : t("settings.keys.never"),
    key.revoked ? h("span", { class: "chip bad" }, t("settings.keys.revoked")) : button({ label: t("settings.keys.revoke"), kind: "danger", onClick: () => revoke(key), props: { class: "small", "aria-label": t("settings.keys.revoke_title", { name: key.name }) } }),
  ]);
  return table(t("settings.keys.all"), columns, rows);
}

/** The server keeps only a hash: this is the one time that the key can be read. */
function shownOnce({ name, key }, { t, toast }) {
  const copyKey = async () => (await copy(key)) && toast(t("common.copied"));
  return h("div", { class: "note" }, icon("key"), h("div", { class: "stack tight grow" },
    h("p", {}, t("settings.keys.once", { name })),
    h("div", { class: "row" }, h("code", { class: "secret" }, key), button({ label: t("common.copy"), icon: "copy", onClick: copyKey, props: { class: "small" } }))));
}
