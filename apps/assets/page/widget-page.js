/**
 * What the widget's frame shows: the assistant, without the rest of the page.
 * `widget.js` on the host's page passes settings behind the address's `#`, which no server or log sees.
 */
import * as api from "./api.js";
import { button, h, replace } from "./dom.js";
import { language, loadStrings, markDocument, t } from "./i18n.js";
import { announce, confirm, toast } from "./shell.js";
import * as assistant from "./views/assistant.js";

const settings = new URLSearchParams(location.hash.slice(1));

/** Tells the host's page; it checks that the message is from this frame. No text of the conversation is in it. */
const tell = (kind) => window.parent !== window && window.parent.postMessage({ hearth: kind }, settings.get("host") ?? location.origin);

async function start() {
  if (settings.get("key")) api.setKey(settings.get("key"));
  history.replaceState(null, "", location.pathname);
  markDocument();
  await loadStrings();
  await Promise.all(assistant.sections.map(loadStrings));
  document.title = t("nav.widget");
  const root = h("div", { class: "view view-assistant" });
  const close = window.parent !== window && button({ label: t("common.close"), icon: "close", kind: "quiet", iconOnly: true, onClick: () => tell("close") });
  const context = {
    t, api, language, announce, confirm, toast,
    status: null,
    params: new URLSearchParams(),
    signal: new AbortController().signal,
    compact: true,
    customer: settings.get("customer"),
    controls: close,
    onAgent: () => tell("reply"),
  };
  replace(document.getElementById("main"), root);
  await assistant.render(root, context);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented && !document.querySelector("dialog[open], :popover-open")) tell("close");
  });
  tell("ready");
}

start();
