/**
 * What the page's tests share: a browser, checks that are counted, accessibility, and a slow or breaking network.
 *
 * `playwright-core` and `axe-core` come from NODE_PATH; the browser is CHROMIUM or Debian's.
 */
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import assert from "node:assert/strict";

// `import` does not look at NODE_PATH, `require` does.
const require = createRequire(import.meta.url);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export { assert };

/** The server that is tested, and the key of an administrator where it has keys. */
export const base = (process.argv[2] ?? "http://127.0.0.1:8080").replace(/\/$/, "");
export const key = process.env.HEARTH_KEY ?? null;

export const WIDTHS = [[390, 844], [1440, 900]];
export const SCHEMES = ["light", "dark"];

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const failures = [];
let checks = 0;

/**
 * A fresh browser profile with one page. Errors on its console fail the check that runs; `expected` are
 * patterns of messages that a check provokes; an `anonymous` page has no key of its own.
 */
export async function open(path = "/", { width = 1440, height = 900, scheme = "light", locale = "en-US", url = base, script, expected = [], bypassCSP = false, anonymous = false } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, locale, bypassCSP });
  if (key && !anonymous) await context.addInitScript((value) => location.protocol.startsWith("http") && sessionStorage.setItem("hearth.key", value), key);
  if (script) await context.addInitScript(script.run, script.value);
  const page = await context.newPage();
  page.errors = [];
  const note = (text) => expected.some((pattern) => pattern.test(text)) || page.errors.push(text);
  page.on("console", (message) => message.type() === "error" && note(`${message.text()} ${message.location().url}`));
  page.on("pageerror", (error) => note(error.stack));
  await page.goto(url + path);
  return page;
}

/** One check (ONLY is a pattern of the names to run): `run` opens pages by the `open` it is given, which are closed after it. */
export async function check(name, run) {
  if (process.env.ONLY && !new RegExp(process.env.ONLY).test(name)) return;
  const pages = [];
  const opened = async (...args) => {
    const page = await open(...args);
    pages.push(page);
    return page;
  };
  checks += 1;
  try {
    await run(opened);
    for (const page of pages) assert.deepEqual(page.errors, [], "errors on the console");
    console.log(`ok - ${name}`);
  } catch (error) {
    failures.push(name);
    console.log(`NOT OK - ${name}\n  ${String(error.message).split("\n").slice(0, 12).join("\n  ")}`);
    if (process.env.SHOTS && pages.length) await pages.at(-1).screenshot({ path: `${process.env.SHOTS}/failed-${checks}.png` }).catch(() => {});
  }
  for (const page of pages) await page.context().close();
}

/** Calls the API as an administrator. */
export async function api(method, path, body) {
  const headers = { ...(key ? { authorization: `Bearer ${key}` } : {}), ...(body === undefined ? {} : { "content-type": "application/json" }) };
  const response = await fetch(base + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

/** Fails on any accessibility violation of WCAG 2.2 AA or axe's best practices, and where the page scrolls sideways. */
export async function accessible(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  const words = found.violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.target).join(", ")}`);
  assert.deepEqual(words, [], "accessibility");
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, "the page scrolls sideways");
}

/** A view at both widths in both themes; `prepare` brings it to the state that is looked at. */
export async function accessibleView(name, path, prepare = async () => {}) {
  for (const [width, height] of WIDTHS) {
    for (const scheme of SCHEMES) {
      await check(`axe: ${name}, ${width} px, ${scheme}`, async (open) => {
        const page = await open(path, { width, height, scheme, bypassCSP: true });
        await page.waitForSelector("main .view");
        await prepare(page, width);
        if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}-${width}-${scheme}.png` });
        await accessible(page);
      });
    }
  }
}

/**
 * An init script that lets the events of `POST /v1/ask` through one by one, `ms` apart, and with `breakAfter`
 * loses the connection after that many: a network as a phone has it, in front of any server.
 */
export const slowNetwork = (ms, breakAfter = Infinity) => ({
  value: [ms, breakAfter === Infinity ? -1 : breakAfter],
  run: ([ms, breakAfter]) => {
    const plain = window.fetch;
    window.resumedFrom = [];
    window.fetch = async (input, init) => {
      const last = init?.headers?.["last-event-id"];
      if (last !== undefined) window.resumedFrom.push(last);
      const response = await plain(input, init);
      if (!String(input).includes("/v1/ask")) return response;
      let rest = "";
      let sent = 0;
      const slow = new TransformStream({
        async transform(chunk, out) {
          const blocks = (rest + new TextDecoder().decode(chunk, { stream: true })).split("\n\n");
          rest = blocks.pop();
          for (const block of blocks) {
            if (sent === breakAfter) return out.error(new TypeError("network error"));
            out.enqueue(new TextEncoder().encode(`${block}\n\n`));
            sent += 1;
            await new Promise((resolve) => setTimeout(resolve, ms));
          }
        },
      });
      return new Response(response.body.pipeThrough(slow), { status: response.status, headers: response.headers });
    };
  },
});

/** Says how it went and ends the process. */
export async function finish() {
  await browser.close();
  console.log(`${checks - failures.length} of ${checks} checks passed`);
  process.exit(failures.length ? 1 : 0);
}
