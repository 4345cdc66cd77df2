/**
 * The customer's side of the page against a running server: `NODE_PATH=… node page.mjs http://127.0.0.1:PORT`.
 *
 * The server has the shipped knowledge base. HEARTH_KEY is an administrator's key where the server has keys.
 * The widget's check serves a foreign page on port WIDGET_PORT (8199), which the server must let frame it;
 * SHOTS names a folder for screenshots.
 */
import http from "node:http";
import { accessible, accessibleView, api, assert, base, check, finish, key, slowNetwork } from "./harness.mjs";

const QUESTION = "How do I cancel my order?";
const HOSTILE = "<img src=x onerror='window.hacked=1'> where is my order?";

const box = (page) => page.locator(".composer textarea");
const answers = (page) => page.locator(".messages > li > hearth-answer");
const sessionOf = (page) => page.evaluate(() => localStorage.getItem("hearth.session"));

async function ask(page, question, { wait = true } = {}) {
  const before = await answers(page).count();
  await box(page).fill(question);
  await box(page).press("Enter");
  const answer = answers(page).nth(before);
  await answer.waitFor();
  if (wait) await page.waitForFunction((n) => document.querySelectorAll("hearth-answer")[n]?.dataset.outcome, before);
  return answer;
}

await check("the first visit says that a machine answers, and shows no key", async (open) => {
  const page = await open();
  await page.getByText("AI assistant").waitFor();
  assert.equal(await page.title(), "Assistant · Hearth");
});

await check("an answer's citation opens the passage with the exact bytes marked", async (open) => {
  const page = await open();
  const answer = await ask(page, QUESTION);
  const { messages } = await api("GET", `/v1/sessions/${await sessionOf(page)}`);
  const stored = messages.find((message) => message.answer).answer;
  assert.equal(await answer.locator(".sentence").count(), stored.sentences.length);
  await page.locator("#announcer", { hasText: stored.answer }).waitFor();
  for (const [index, sentence] of stored.sentences.entries()) {
    await answer.locator(".cite").nth(index).click();
    const passage = stored.context.find(({ number }) => number === sentence.citation);
    const expected = Buffer.from(passage.text).subarray(...sentence.range).toString();
    assert.equal(await page.locator("mark.chosen").textContent(), expected);
  }
});

await check("on a phone the citation opens in a dialog, and Escape closes it", async (open) => {
  const page = await open("/", { width: 390, height: 844 });
  const answer = await ask(page, QUESTION);
  await answer.locator(".cite").first().click();
  await page.locator("dialog mark.chosen").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("dialog mark.chosen").waitFor({ state: "hidden" });
});

await check("a thumb down with a correction is kept", async (open) => {
  const page = await open();
  const answer = await ask(page, QUESTION);
  await answer.getByRole("button", { name: "This did not help" }).click();
  await page.getByLabel("What should the answer have been?").fill("Press Cancel.");
  await page.getByLabel("Anything else?").fill("It was long.");
  await answer.getByRole("button", { name: "Send" }).click();
  await page.getByText("Thank you for telling us.").first().waitFor();
  const { messages } = await api("GET", `/v1/sessions/${await sessionOf(page)}`);
  const { feedback } = messages.find((message) => message.answer);
  assert.deepEqual({ rating: feedback.rating, correction: feedback.correction, remark: feedback.remark }, { rating: -1, correction: "Press Cancel.", remark: "It was long." });
});

await check("a reload in the middle of an answer loses nothing", async (open) => {
  const page = await open("/", { script: slowNetwork(400) });
  await ask(page, QUESTION, { wait: false });
  await page.locator(".sentence").first().waitFor();
  await page.reload();
  await page.waitForSelector("hearth-answer[data-outcome]");
  const { messages } = await api("GET", `/v1/sessions/${await sessionOf(page)}`);
  const stored = messages.find((message) => message.answer).answer;
  assert.equal(await page.locator(".customer").count(), 1);
  assert.equal(await page.locator(".sentence").count(), stored.sentences.length);
  const shown = await page.locator(".sentence > :first-child").allTextContents();
  assert.deepEqual(shown.map((text) => text.trim()), stored.sentences.map(({ text }) => text.trim()));
});

await check("an answer goes on when the reader looks at another view and comes back", async (open) => {
  const page = await open("/", { script: slowNetwork(400) });
  await ask(page, QUESTION, { wait: false });
  await page.locator(".sentence").first().waitFor();
  await page.locator("#nav").getByText("Playground").click();
  await page.getByLabel("Prompt", { exact: true }).waitFor();
  await page.goBack();
  await page.waitForSelector("hearth-answer[data-outcome]");
  assert.equal(await page.locator(".customer").count(), 1);
  assert.equal(await page.locator("hearth-answer").count(), 1);
});

await check("a lost connection goes on from the last event", async (open) => {
  const page = await open("/", { script: slowNetwork(50, 2) });
  const answer = await ask(page, QUESTION);
  assert.equal((await page.evaluate(() => window.resumedFrom)).length, 1);
  const { messages } = await api("GET", `/v1/sessions/${await sessionOf(page)}`);
  assert.equal(await answer.locator(".sentence").count(), messages.find((message) => message.answer).answer.sentences.length);
});

await check("a reader who has scrolled up is not moved; one at the end follows", async (open) => {
  const page = await open("/", { width: 390, height: 640, script: slowNetwork(250) });
  await ask(page, QUESTION);
  await ask(page, "What does delivery cost?", { wait: false });
  const atEnd = () => page.evaluate(() => { const box = document.querySelector(".thread"); return box.scrollHeight - box.scrollTop - box.clientHeight < 4; });
  await page.locator("hearth-answer").nth(1).locator(".sentence").first().waitFor();
  await page.waitForTimeout(100);
  assert.ok(await atEnd(), "the end is followed");
  await page.evaluate(() => (document.querySelector(".thread").scrollTop = 10));
  await page.waitForFunction(() => document.querySelectorAll("hearth-answer")[1].dataset.outcome);
  await page.waitForTimeout(100);
  assert.equal(await page.evaluate(() => document.querySelector(".thread").scrollTop), 10);
  await page.getByRole("button", { name: "To the latest" }).click();
  assert.ok(await atEnd(), "the button moves to the end");
});

await check("stop keeps what has arrived; edit and answer again take its place, also after a reload", async (open) => {
  const page = await open("/", { script: slowNetwork(400) });
  await ask(page, QUESTION, { wait: false });
  await page.locator(".sentence").first().waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText("Stopped.").waitFor();
  await page.locator(".customer").first().hover();
  await page.getByRole("button", { name: "Edit and ask again" }).click();
  assert.equal(await box(page).inputValue(), QUESTION);
  await ask(page, "What does delivery cost?");
  assert.equal(await page.locator(".messages > .customer .bubble:visible").count(), 1);
  await page.reload();
  await page.locator(".customer .bubble", { hasText: "What does delivery cost?" }).waitFor();
  assert.deepEqual(await page.locator(".messages > .customer .bubble:visible").allTextContents(), ["What does delivery cost?"]);
});

await check("what is not known is said, and a person's reply arrives in the same thread", async (open) => {
  const page = await open();
  const answer = await ask(page, "Who walked on the moon first?");
  assert.equal(await answer.getAttribute("data-outcome"), "no_answer");
  // Whether a question without an answer waits for a person by itself is the server's choice.
  await page.waitForTimeout(300);
  const offer = answer.getByRole("button", { name: "Ask a person" });
  if (await offer.isVisible()) await offer.click();
  await page.locator(".event", { hasText: "Passed on to our team" }).waitFor();
  const id = await sessionOf(page);
  await api("POST", `/v1/sessions/${id}/status`, { status: "taken", agent: "Kim" });
  await page.locator(".event", { hasText: "Kim has joined" }).waitFor();
  await api("POST", `/v1/sessions/${id}/messages`, { role: "agent", text: "Neil Armstrong, says Kim." });
  await page.locator(".message.agent", { hasText: "Neil Armstrong" }).waitFor();
  await box(page).fill("Thank you, Kim");
  await box(page).press("Enter");
  await page.locator(".customer .bubble", { hasText: "Thank you, Kim" }).waitFor();
  const { messages } = await api("GET", `/v1/sessions/${id}`);
  assert.equal(messages.at(-1).text, "Thank you, Kim");
  assert.equal(messages.filter((message) => message.role === "assistant").length, 1, "a person's thread is not answered by the machine");
  await page.reload();
  await page.locator(".message.agent", { hasText: "Neil Armstrong" }).waitFor();
  await page.getByRole("button", { name: "Solved" }).click();
  await page.locator(".event", { hasText: "marked as solved" }).waitFor();
});

await check("a customer's markup is text", async (open) => {
  const page = await open();
  await ask(page, HOSTILE);
  assert.equal(await page.locator(".bubble").first().textContent(), HOSTILE);
  await page.reload();
  await page.locator(".bubble").first().waitFor();
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator("main img[src=x]").count(), 0);
});

await check("conversations are listed, opened again and left for a new one", async (open) => {
  const page = await open();
  await ask(page, QUESTION);
  await page.getByRole("button", { name: "New conversation" }).click();
  assert.equal(await page.locator(".message").count(), 0);
  await page.getByRole("button", { name: "Your conversations" }).click();
  await page.locator(".conversation", { hasText: QUESTION }).click();
  await page.locator(".bubble", { hasText: QUESTION }).waitFor();
  await page.waitForSelector("hearth-answer[data-outcome]");
});

await check("the keyboard alone asks, opens a citation and rates", async (open) => {
  const page = await open();
  await box(page).waitFor();
  await page.keyboard.press("Tab");
  for (let step = 0; step < 40 && !(await page.evaluate(() => document.activeElement.matches(".composer textarea"))); step += 1) await page.keyboard.press("Tab");
  await page.keyboard.type(QUESTION);
  await page.keyboard.press("Enter");
  await page.waitForSelector("hearth-answer[data-outcome]");
  const back = async (selector) => {
    for (let step = 0; step < 40 && !(await page.evaluate((s) => document.activeElement.matches(s), selector)); step += 1) await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Enter");
  };
  await back("hearth-answer [aria-pressed]:last-of-type");
  await page.getByLabel("What should the answer have been?").waitFor();
  await back("hearth-answer .cite");
  await page.locator("mark.chosen").waitFor();
});

await check("the page speaks the customer's language", async (open) => {
  for (const [locale, words] of [["de-DE", "Wie können wir helfen?"], ["es-ES", "¿En qué podemos ayudar?"], ["fr-FR", "Comment pouvons-nous aider"]]) {
    const page = await open("/", { locale });
    await page.getByText(words).waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.lang), locale.slice(0, 2));
  }
});

await check("every string is there in every language", async (open) => {
  const page = await open();
  const names = ["", "assistant.", "playground.", "knowledge.", "inbox.", "dashboard.", "settings."];
  const missing = await page.evaluate(async (names) => {
    const flat = (level, path) => (typeof level === "string" || "other" in level ? [path] : Object.entries(level).flatMap(([name, next]) => flat(next, `${path}.${name}`)));
    const found = [];
    for (const name of names) {
      const load = (language) => import(`/assets/lang/${language}.${name}js`).then((module) => flat(module.default, name).sort().join("\n"), () => `no file for ${language}`);
      const english = await load("en");
      for (const language of ["de", "es", "fr"]) if ((await load(language)) !== english) found.push(`${language}.${name}js`);
    }
    return found;
  }, names);
  assert.deepEqual(missing, []);
});

await check("the playground runs A against B, shows tokens, request, curl and Python, and errors in words", async (open) => {
  const page = await open("/playground", { expected: [/400|404|422/] });
  await page.getByLabel("Prompt", { exact: true }).fill("Say what it's worth");
  await page.getByLabel("Compare A with B").check();
  await page.locator(".parameters summary").click();
  await page.getByLabel("Most tokens").fill("12");
  const run = page.getByRole("button", { name: "Run" });
  await run.click();
  await page.waitForFunction(() => [...document.querySelectorAll(".figures-line")].every((line) => line.textContent.includes("ended by")), null, { timeout: 60_000 });
  const side = page.getByRole("region", { name: "Side A" });
  await side.getByRole("tab", { name: "Tokens" }).click();
  await side.locator(".token").first().focus();
  await page.keyboard.press("ArrowRight");
  assert.ok((await side.locator(".alternatives li").count()) > 0, "alternatives of a token");
  await side.getByRole("tab", { name: "Request" }).click();
  assert.match(await side.locator("pre").textContent(), /"max_tokens": 12/);
  await side.getByRole("tab", { name: "curl" }).click();
  assert.match(await side.locator("pre").textContent(), /it'\\''s worth/);
  await side.getByRole("tab", { name: "Python" }).click();
  assert.match(await side.locator("pre").textContent(), /client\.chat\.completions\.create/);
  await side.getByRole("tab", { name: "Text" }).click();
  await side.getByText("Fields of this side only").click();
  await side.getByLabel("More fields").fill('{"temperature": -1}');
  await run.click();
  await side.locator("[role=alert]", { hasText: "temperature" }).waitFor();
});

await check("without a network the error is in words, and trying again works", async (open) => {
  const page = await open("/", { expected: [/ERR_FAILED/] });
  await page.route("**/v1/ask", (route) => route.abort());
  await ask(page, QUESTION, { wait: false });
  await page.getByText("The server cannot be reached").waitFor();
  await page.unroute("**/v1/ask");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.waitForSelector("hearth-answer[data-outcome]");
});

await check("a missing key and a busy server are told in words", async (open) => {
  const page = await open("/", { expected: [/401|429/] });
  const cases = [[401, {}, /key/], [429, { "retry-after": "7" }, /Try again in 7 seconds/]];
  for (const [status, headers, words] of cases) {
    await page.route("**/v1/ask", (route) => route.fulfill({ status, headers, json: { error: { message: "no", type: "error", param: null, code: null } } }));
    await ask(page, QUESTION, { wait: false });
    await page.locator(".note.bad", { hasText: words }).waitFor();
    await page.unroute("**/v1/ask");
  }
});

await check("a sentence that no passage supports is marked, and bytes are not letters", async (open) => {
  const page = await open();
  const sentence = (index, text, citation) => ({ index, text, html: text, citation, range: citation ? [0, 4] : null, probability: 0.5 });
  const sentences = [sentence(0, "Größe zählt.", 1), sentence(1, "The moon is cheese.", null)];
  const done = { id: "t1", session: "s1", question: "q", answer: "a", html: "<p>a</p>", answered: true, outcome: "answered", intent: "question", handoff: null, language: "en", wording: "model", sentences, context: [{ number: 1, text: "Größe zählt.", title: "Sizes", source: "sizes.md", document: "d", headings: [], metadata: {}, score: 1, scores: {} }], no_answer_probability: 0.1, searched: "q", timings: { retrieve_ms: 1, generate_ms: 1, total_ms: 2 } };
  const events = [["start", { id: "t1", session: "s1", language: "en" }], ...sentences.map((each) => ["sentence", each]), ["done", done]];
  const body = events.map(([event, data], id) => `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`).join("");
  await page.route("**/v1/ask", (route) => route.fulfill({ status: 200, contentType: "text/event-stream", body }));
  await page.route("**/v1/sessions/s1**", (route) => route.fulfill({ status: 200, contentType: "text/event-stream", body: ": open\n\n" }));
  const answer = await ask(page, "q");
  assert.equal(await answer.locator(".sentence", { hasText: "cheese" }).locator(".chip").textContent(), "not in the articles");
  await answer.locator(".cite").click();
  assert.equal(await page.locator("mark.chosen").textContent(), "Grö", "four bytes are three letters");
});

await check("the widget works on a foreign page with a strict policy", async (open) => {
  const port = Number(process.env.WIDGET_PORT ?? 8199);
  const host = http.createServer((request, response) => {
    response.writeHead(request.url === "/" ? 200 : 404, { "content-type": "text/html", "content-security-policy": `default-src 'none'; script-src ${base}; frame-src ${base}` });
    response.end(`<!doctype html><html lang="en"><title>Shop</title><main><h1>A shop</h1></main><script async src="${base}/widget.js" data-label="Help" ${key ? `data-key="${key}"` : ""}></script></html>`);
  }).listen(port, "127.0.0.1");
  try {
    const page = await open("/", { url: `http://127.0.0.1:${port}`, anonymous: true, expected: [/favicon/] });
    await page.waitForSelector("hearth-widget", { state: "attached" });
    // The shadow root is closed, so the button is found as a reader finds it: by the tab key.
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("hearth-widget").hasAttribute("data-open"));
    const frame = await until(() => page.frames().find((each) => each.url().startsWith(`${base}/widget`)));
    await frame.locator(".composer textarea").fill(QUESTION);
    await frame.locator(".composer textarea").press("Enter");
    await frame.waitForSelector("hearth-answer[data-outcome]");
    assert.equal(new URL(frame.url()).hash, "", "the key does not stay in the address");
    await frame.locator(".composer textarea").press("Escape");
    await page.waitForFunction(() => !document.querySelector("hearth-widget").hasAttribute("data-open"));
  } finally {
    host.close();
  }
});

/** Waits until `find` finds something. */
async function until(find) {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const found = find();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("not found in 5 s");
}

await check("an installed page opens offline", async (open) => {
  const page = await open("/", { expected: [/ERR_INTERNET_DISCONNECTED|Failed to load resource/] });
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.reload();
  await box(page).waitFor();
  await page.context().setOffline(true);
  await page.reload();
  await box(page).waitFor();
});

await check("the first view is under 150 kB and nothing jumps", async (open) => {
  const page = await open("about:blank", { url: "" });
  let bytes = 0;
  const client = await page.context().newCDPSession(page);
  await client.send("Network.enable");
  client.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
  await page.addInitScript(() => {
    window.shift = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.shift += entry.hadRecentInput ? 0 : entry.value))).observe({ type: "layout-shift", buffered: true });
  });
  const started = performance.now();
  await page.goto(base);
  await box(page).waitFor();
  const interactive = Math.round(performance.now() - started);
  await page.waitForTimeout(300);
  const shift = await page.evaluate(() => window.shift);
  console.log(`# first view: ${bytes} bytes over the wire, ${interactive} ms until one can type, layout shift ${shift.toFixed(4)}`);
  assert.ok(bytes < 150_000, `${bytes} bytes`);
  assert.ok(shift < 0.01, `layout shift ${shift}`);
});

await check("320 px and text at twice its size scroll in one direction only", async (open) => {
  for (const path of ["/", "/playground"]) {
    const page = await open(path, { width: 320, height: 640 });
    await page.waitForSelector("main .view :is(textarea)");
    const sideways = () => page.evaluate(() => [...document.querySelectorAll("html, main, .thread, .page")].filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.className || box.tagName));
    assert.deepEqual(await sideways(), [], `${path} at 320 px`);
    await page.setViewportSize({ width: 640, height: 800 });
    await page.evaluate(() => document.documentElement.style.setProperty("font-size", "200%"));
    assert.deepEqual(await sideways(), [], `${path} with large text`);
  }
});

await accessibleView("assistant-empty", "/");
await accessibleView("assistant-answer", "/", async (page, width) => {
  const answer = await ask(page, QUESTION);
  await answer.getByRole("button", { name: "This did not help" }).click();
  if (width > 500) await answer.locator(".cite").first().click();
});
await accessibleView("assistant-passage", "/", async (page) => (await ask(page, QUESTION)).locator(".cite").first().click());
await accessibleView("assistant-person", "/", async (page) => {
  await ask(page, "I want to talk to a person");
  await page.getByRole("button", { name: "Your conversations" }).click();
});
await accessibleView("playground", "/playground", async (page) => {
  await page.getByLabel("Prompt", { exact: true }).fill("Hello");
  await page.locator(".parameters summary").click();
  await page.getByRole("button", { name: "Run" }).click();
  await page.locator(".figures-line", { hasText: "ended by" }).first().waitFor({ timeout: 60_000 });
  await page.getByRole("tab", { name: "Tokens" }).first().click();
});
await accessibleView("widget", "/widget", async (page) => void (await ask(page, QUESTION)));

await finish();
