/**
 * The support button for any page:
 *
 *   <script async src="https://support.example.org/widget.js" data-key="CLIENT_KEY"></script>
 *
 * Settings: `data-key` (a key of the role "client"), `data-customer` (your own id of the customer),
 * `data-label` (the button's name), `data-side="start"` (the other corner).
 *
 * It works under a strict content security policy that has this server in `script-src` and `frame-src`:
 * nothing is inline, the styles are a constructed sheet, and the rest of the page cannot reach in.
 */
(() => {
  const script = document.currentScript;
  if (!script || document.querySelector("hearth-widget")) return;
  const { key = "", customer = "", label = "Support", side = "end" } = script.dataset;
  const server = new URL(script.src).origin;

  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    :host { all: initial; position: fixed; inset-block-end: 1rem; inset-inline-${side === "start" ? "start" : "end"}: 1rem; z-index: 2147483000; font: 500 15px/1 system-ui, sans-serif; color-scheme: light dark; }
    button { display: grid; place-items: center; position: relative; inline-size: 3.5rem; block-size: 3.5rem; margin-inline-start: auto; padding: 0; border: 0; border-radius: 50%; background: #a83f1b; color: #fff; cursor: pointer; box-shadow: 0 4px 16px rgb(0 0 0 / 25%); }
    button:hover { background: #8f3415; }
    button:focus-visible { outline: 3px solid #fff; box-shadow: 0 0 0 6px #a83f1b; }
    button[data-unread]::after { content: ""; position: absolute; inset-block-start: 0; inset-inline-end: 0; inline-size: 0.9rem; block-size: 0.9rem; border-radius: 50%; background: #1a7f37; border: 2px solid #fff; }
    svg { inline-size: 1.6rem; block-size: 1.6rem; }
    iframe { display: block; position: absolute; inset-block-end: 4.25rem; inset-inline-${side === "start" ? "start" : "end"}: 0; inline-size: min(25rem, calc(100vw - 2rem)); block-size: min(42rem, calc(100dvh - 6.5rem)); border: 1px solid rgb(128 128 128 / 35%); border-radius: 14px; background: Canvas; box-shadow: 0 12px 40px rgb(0 0 0 / 25%); }
    iframe[hidden] { display: none; }
    @media (max-width: 30rem) {
      :host([data-open]) { inset: 0; }
      :host([data-open]) iframe { position: fixed; inset: 0; inline-size: 100%; block-size: 100dvh; border: 0; border-radius: 0; }
      :host([data-open]) button { display: none; }
    }
  `);

  const host = document.createElement("hearth-widget");
  const shadow = host.attachShadow({ mode: "closed" });
  shadow.adoptedStyleSheets = [sheet];
  const opener = document.createElement("button");
  opener.type = "button";
  opener.append(drawing());
  shadow.append(opener);
  let frame = null;
  setOpen(false);
  opener.addEventListener("click", () => setOpen(!host.hasAttribute("data-open")));

  /** The frame is made at the first opening: until then the host's page pays for this file only. */
  function makeFrame() {
    frame = document.createElement("iframe");
    frame.title = label;
    frame.allow = "clipboard-write";
    const settings = new URLSearchParams({ host: location.origin, ...(key && { key }), ...(customer && { customer }) });
    frame.src = `${server}/widget#${settings}`;
    shadow.prepend(frame);
  }

  function setOpen(open) {
    if (open && !frame) makeFrame();
    if (frame) frame.hidden = !open;
    host.toggleAttribute("data-open", open);
    opener.setAttribute("aria-expanded", String(open));
    setUnread(false);
    if (open) frame.focus();
  }

  function setUnread(unread) {
    opener.toggleAttribute("data-unread", unread);
    opener.setAttribute("aria-label", unread ? `${label} (1)` : label);
  }

  addEventListener("message", ({ origin, source, data }) => {
    if (!frame || source !== frame.contentWindow || origin !== server) return;
    if (data?.hearth === "close") {
      setOpen(false);
      opener.focus();
    } else if (data?.hearth === "reply" && frame.hidden) setUnread(true);
  });

  function drawing() {
    const name = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(name, "svg");
    const path = document.createElementNS(name, "path");
    const attributes = { d: "M4 5h16v11H9l-5 4z", fill: "none", stroke: "currentColor", "stroke-width": "1.75", "stroke-linejoin": "round" };
    for (const [attribute, value] of Object.entries(attributes)) path.setAttribute(attribute, value);
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    svg.append(path);
    return svg;
  }

  if (document.body) document.body.append(host);
  else addEventListener("DOMContentLoaded", () => document.body.append(host), { once: true });
})();
