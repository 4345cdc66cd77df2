/**
 * The desk's side of the page (knowledge, inbox, dashboard, settings) against a running server:
 * `NODE_PATH=… node desk.mjs http://127.0.0.1:PORT`.
 *
 * HEARTH_KEY is an administrator's key where the server has keys. On a server without keys the last checks make
 * the first ones, and from then on it asks everybody for a key: give it a server of its own.
 * SHOTS names a folder for screenshots.
 */
import { accessible, accessibleView, api, assert, base, check, finish, key } from "./harness.mjs";

/** A run's own words, so that a second run against the same server finds only its own. */
const RUN = Date.now().toString(36);
const TITLE = `Quorvex lamp ${RUN}`;
const article = (price) => `# ${TITLE}\n\nThe Quorvex lamp ${RUN} costs ${price} pounds and burns for nine hours.\n`;
const QUESTION = `What does the Quorvex lamp ${RUN} cost?`;
const HOSTILE = "<img src=x onerror='window.hacked=1'>";

const file = (name, text) => ({ name, mimeType: "text/plain", buffer: Buffer.from(text) });
const row = (page, title) => page.locator("tbody tr", { hasText: title });

async function find(page, title) {
  await page.getByLabel("Find a document").fill(title);
  await row(page, title).first().waitFor();
}

/** A conversation in which a customer wants a person; returns its id. */
async function waiting(customer) {
  const answer = await api("POST", "/v1/ask", { question: "I want to talk to a person", customer });
  const { status } = await api("GET", `/v1/sessions/${answer.session}`);
  if (status !== "waiting") await api("POST", `/v1/sessions/${answer.session}/status`, { status: "waiting" });
  return answer.session;
}

await check("files are uploaded, and what cannot be read says why", async (open) => {
  const page = await open("/knowledge", { expected: [/status of 400/] });
  await page.locator("input[type=file]").setInputFiles([file("lamp.md", article(47)), file("picture.xyz", "?"), file(`${HOSTILE}.md`, `# ${HOSTILE}\n\nA file with markup in its name, ${RUN}.`)]);
  const uploads = page.locator(".uploads li");
  await uploads.filter({ hasText: "lamp.md" }).getByText("Added").waitFor();
  await uploads.filter({ hasText: "picture.xyz" }).getByText(/Skipped|Failed/).waitFor();
  await uploads.filter({ hasText: HOSTILE }).getByText("Added").waitFor();
  await find(page, TITLE);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator("main img[src=x]").count(), 0, "markup of a file name is text");
});

await check("dropped files are uploaded", async (open) => {
  const page = await open("/knowledge");
  await page.locator(".drop").waitFor();
  await page.evaluate(([name, text]) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([text], name, { type: "text/markdown" }));
    for (const type of ["dragover", "drop"]) document.querySelector("main").dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
  }, ["dropped.md", `# Dropped ${RUN}\n\nThis came by drag and drop.`]);
  await page.locator(".uploads li", { hasText: "dropped.md" }).getByText("Added").waitFor();
});

await check("a server without documents shows the three first steps", async (open) => {
  const page = await open("about:blank", { url: "", bypassCSP: true });
  await page.route(/\/v1\/documents(\?|$)/, (route) => route.fulfill({ json: { data: [], total: 0, skipped: [] } }));
  await page.goto(`${base}/knowledge`);
  await page.locator(".guide li").nth(2).getByText("/widget.js").waitFor();
  await accessible(page);
  const chooser = page.waitForEvent("filechooser");
  await page.locator(".guide").getByRole("button", { name: "Upload files" }).click();
  assert.ok((await chooser).isMultiple());
});

await check("an upload that fails says why and can be tried again", async (open) => {
  const page = await open("/knowledge", { expected: [/ERR_FAILED/] });
  await page.route("**/v1/documents/files*", (route) => route.abort());
  await page.locator("input[type=file]").setInputFiles([file("again.md", `# Again ${RUN}\n\nThe second attempt works.`)]);
  const upload = page.locator(".uploads li", { hasText: "again.md" });
  await upload.getByText("The server cannot be reached").waitFor();
  await page.unroute("**/v1/documents/files*");
  await upload.getByRole("button", { name: "Try again" }).click();
  await upload.getByText("Added").waitFor();
});

await check("a document that was uploaded is found by the retriever and answered from", async (open) => {
  const page = await open("/knowledge?tab=search");
  await page.getByLabel("Question").fill(QUESTION);
  await page.getByRole("button", { name: "Search", exact: true }).click();
  const first = page.locator(".passage").first();
  await first.getByText("47 pounds").waitFor();
  for (const score of ["Fused", "Dense", "Lexical"]) assert.match(await first.locator(".scores div", { hasText: score }).textContent(), /\d/);
  await page.getByRole("button", { name: "Lexical" }).click();
  assert.equal(await page.getByRole("button", { name: "Lexical" }).getAttribute("aria-pressed"), "true");
  const answer = await api("POST", "/v1/ask", { question: QUESTION });
  assert.match(answer.answer, /47/);
});

await check("a document is edited and answered from at once", async (open) => {
  const page = await open("/knowledge");
  await find(page, TITLE);
  await row(page, TITLE).getByRole("link", { name: `Edit “${TITLE}”` }).click();
  await page.getByLabel("Text", { exact: true }).fill(article(58));
  await page.getByRole("button", { name: "Save" }).click();
  await page.locator(".document-text", { hasText: "58 pounds" }).waitFor();
  const answer = await api("POST", "/v1/ask", { question: QUESTION });
  assert.match(answer.answer, /58/);
});

await check("a draft outlives a reload, and Cancel drops it", async (open) => {
  const page = await open("/knowledge?new=1");
  await page.getByLabel("Title").fill(`Draft ${RUN}`);
  await page.reload();
  await page.getByText("This is your draft").waitFor();
  assert.equal(await page.getByLabel("Title").inputValue(), `Draft ${RUN}`);
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("link", { name: "Write an article" }).click();
  assert.equal(await page.getByLabel("Title").inputValue(), "");
});

await check("a document is deleted only once it is confirmed", async (open) => {
  const page = await open("/knowledge");
  await find(page, `Dropped ${RUN}`);
  const remove = row(page, `Dropped ${RUN}`).getByRole("button", { name: /Delete/ });
  await remove.click();
  await page.locator("dialog").getByRole("button", { name: "Cancel" }).click();
  assert.equal(await row(page, `Dropped ${RUN}`).count(), 1);
  await remove.click();
  await page.locator("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("No document has").waitFor();
});

await check("a question without an answer becomes an article", async (open) => {
  const question = `Which opera do the choirs of Atlantis sing in x${RUN}y?`;
  const asked = await api("POST", "/v1/ask", { question, session: await waiting(null) });
  await api("POST", `/v1/sessions/${asked.session}/messages`, { role: "agent", text: `The ${RUN} airship is repaired in Ashcombe.` });
  assert.equal(asked.outcome, "no_answer");
  const page = await open("/knowledge?tab=unanswered");
  await page.locator(".questions li", { hasText: RUN }).getByRole("button", { name: "Write the article" }).click();
  await page.getByText("A customer asked in vain").waitFor();
  assert.match(await page.getByLabel("Title").inputValue(), new RegExp(RUN));
  assert.match(await page.getByLabel("Text", { exact: true }).inputValue(), /repaired in Ashcombe/);
  await page.getByRole("button", { name: "Save" }).click();
  await page.locator(".passage", { hasText: "repaired in Ashcombe" }).waitFor();
});

await check("an agent takes over, replies, sees the customer's words arrive, and resolves", async (open) => {
  const customer = `${HOSTILE} ${RUN}`;
  const session = await waiting(customer);
  const page = await open("/inbox");
  await page.locator(".conversation", { hasText: customer }).click();
  await page.getByRole("heading", { name: customer }).waitFor();
  await page.getByRole("button", { name: "Take over" }).click();
  await page.locator(".thread").getByText("With a person", { exact: true }).waitFor();
  await page.getByLabel("Reply to the customer").fill("Hello, this is Kim.");
  await page.keyboard.press("Control+Enter");
  await page.locator(".message.agent", { hasText: "this is Kim" }).waitFor();
  await api("POST", `/v1/sessions/${session}/messages`, { role: "customer", text: "Thank you <b>Kim</b>" });
  await page.locator(".message.customer", { hasText: "Thank you <b>Kim</b>" }).waitFor();
  assert.equal(await page.locator(".message", { hasText: "this is Kim" }).count(), 1, "a reply is shown once, though it also comes as an event");
  await page.getByRole("button", { name: "Resolve", exact: true }).click();
  await page.locator(".thread").getByText("Resolved", { exact: true }).waitFor();
  const stored = await api("GET", `/v1/sessions/${session}`);
  assert.equal(stored.status, "resolved");
  assert.ok(stored.messages.some((message) => message.role === "agent" && message.text === "Hello, this is Kim."));
  assert.equal(await page.evaluate(() => window.hacked), undefined);
});

await check("the keyboard alone opens a conversation, takes it over, replies and resolves; focus is never lost", async (open) => {
  const customer = `keys ${RUN}`;
  const session = await waiting(customer);
  const page = await open("/inbox");
  await page.locator(".conversation", { hasText: customer }).waitFor();
  const tabTo = async (name) => {
    const arrived = () => page.evaluate((text) => document.activeElement.textContent.includes(text), name);
    for (let step = 0; step < 60 && !(await arrived()); step += 1) await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
  };
  const focused = (selector) => page.waitForFunction((s) => document.activeElement?.matches(s), selector);
  await page.locator(".conversation-list input").focus();
  await tabTo(customer);
  await focused(".thread h2");
  await tabTo("Take over");
  await focused(".composer textarea");
  await page.keyboard.type("By the keyboard.");
  await page.keyboard.press("Control+Enter");
  await page.locator(".message.agent", { hasText: "By the keyboard." }).waitFor();
  for (let step = 0; step < 20 && (await page.evaluate(() => document.activeElement.textContent)) !== "Resolve"; step += 1) await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  await page.locator(".thread").getByText("Resolved", { exact: true }).waitFor();
  await focused(".thread-head button");
  assert.equal((await api("GET", `/v1/sessions/${session}`)).status, "resolved");
});

await check("paging and deleting keep the focus in the list", async (open) => {
  const { total } = await api("GET", "/v1/documents?limit=1");
  if (total <= 25) return;
  const page = await open("/knowledge");
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByText(`26–`).waitFor();
  await page.waitForFunction(() => document.activeElement.matches(".documents"));
  await page.getByRole("button", { name: "Previous" }).click();
  await page.getByText("1–25 of").waitFor();
});

await check("a reply is suggested from the articles", async (open) => {
  const { session } = await api("POST", "/v1/ask", { question: QUESTION });
  await api("POST", "/v1/ask", { question: "I want to talk to a person", session });
  const page = await open(`/inbox?session=${session}`);
  await page.locator(".suggestion li", { hasText: "58 pounds" }).getByRole("button", { name: "Use as reply" }).click();
  assert.match(await page.getByLabel("Reply to the customer").inputValue(), /58 pounds/);
});

await check("a conversation that begins to wait appears in the list by itself", async (open) => {
  const page = await open("/inbox");
  await page.locator(".conversation-list").waitFor();
  await waiting(`late ${RUN}`);
  await page.locator(".conversation", { hasText: `late ${RUN}` }).waitFor({ timeout: 15_000 });
});

await check("the dashboard's figures agree with the server and open what they count", async (open) => {
  const page = await open("/dashboard?days=1");
  const figure = (name) => page.locator(".figure", { has: page.getByText(name, { exact: true }) });
  await figure("Questions").waitFor();
  const { now } = await api("GET", `/v1/dashboard?from=${new Date(Date.now() - 86400e3).toISOString()}`);
  assert.equal(await figure("Questions").locator(".figure-value").textContent(), now.asked.toLocaleString("en"));
  await figure("Without an answer").click();
  await page.locator(".details tbody tr", { hasText: RUN }).first().waitFor();
  await figure("Conversations").click();
  await page.locator(".details tbody a").first().click();
  await page.waitForURL(/\/inbox\?/);
  await page.locator(".message").first().waitFor();
});

await check("a range of days is kept in the address, and the CSV is saved", async (open) => {
  const page = await open("/dashboard");
  await page.getByLabel("From").fill("2026-01-01");
  await page.getByLabel("To", { exact: true }).fill("2026-01-31");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.waitForURL(/from=2026-01-01&to=2026-01-31/);
  await page.reload();
  assert.equal(await page.getByLabel("To", { exact: true }).inputValue(), "2026-01-31");
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "CSV" }).click();
  assert.equal((await saved).suggestedFilename(), "dashboard.csv");
});

await check("a range that cannot be read falls back to seven days", async (open) => {
  const page = await open("/dashboard");
  const days = await page.evaluate(async () => {
    const { periodOf } = await import("/assets/views/dashboard/period.js");
    const length = (search) => {
      const { from, to } = periodOf(new URLSearchParams(search));
      return (new Date(to) - new Date(from)) / 86400e3;
    };
    return ["", "days=30", "days=4", "from=2026-01-31&to=2026-01-01", "from=nonsense&to=2026-01-01", "from=2026-01-01&to=2026-01-01", "from=2026-01-01&to=2026-01-31"].map(length);
  });
  assert.deepEqual(days, [7, 30, 7, 7, 7, 1, 31]);
});

await check("the desk fits 320 px in every language (WCAG reflow)", async (open) => {
  for (const locale of ["en-US", "de-DE", "es-ES", "fr-FR"]) {
    for (const path of ["/knowledge", "/knowledge?tab=search&question=delivery", "/knowledge?new=1", "/inbox", "/dashboard", "/settings"]) {
      const page = await open(path, { width: 320, height: 640, locale });
      await page.locator("main h1").waitFor();
      await page.waitForTimeout(300);
      const [needed, room] = await page.evaluate(() => [document.querySelector("main").scrollWidth, document.querySelector("main").clientWidth]);
      assert.ok(needed <= room, `${locale} ${path}: ${needed} px`);
    }
  }
});

await check("nothing jumps while the desk's views load", async (open) => {
  for (const path of ["/knowledge", "/knowledge?tab=unanswered", "/inbox", "/dashboard", "/settings"]) {
    const page = await open(path, { script: { run: watchShift } });
    await page.locator("main h1").waitFor();
    await page.waitForTimeout(500);
    const shift = await page.evaluate(() => window.shift);
    assert.ok(shift < 0.05, `${path}: layout shift ${shift}`);
  }
});

function watchShift() {
  window.shift = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.shift += entry.hadRecentInput ? 0 : entry.value))).observe({ type: "layout-shift", buffered: true });
}

const thread = await waiting(`axe ${RUN}`);
await accessibleView("knowledge", "/knowledge", (page) => page.locator("tbody tr").first().waitFor());
await accessibleView("knowledge-search", "/knowledge?tab=search&question=What+does+delivery+cost", (page) => page.locator(".passage").first().waitFor());
await accessibleView("knowledge-unanswered", "/knowledge?tab=unanswered");
await accessibleView("knowledge-skipped", "/knowledge?tab=skipped");
await accessibleView("knowledge-editor", "/knowledge?new=1", (page) => page.getByText("Metadata", { exact: true }).click());
await accessibleView("inbox", "/inbox", (page) => page.locator(".conversation-list").waitFor());
await accessibleView("inbox-thread", `/inbox?session=${thread}`, (page) => page.locator(".message").first().waitFor());
await accessibleView("dashboard", "/dashboard", async (page) => {
  await page.locator(".figure").first().click();
  await page.getByText("Show as a table").click();
});
await accessibleView("settings", "/settings", (page) => page.locator(".view-settings section").first().waitFor());

// From here on the server has keys.
await check("keys are made, shown once, used, refused when wrong, and revoked", async (open) => {
  const page = await open("/settings", { expected: [/401|403/] });
  const make = async (name, role) => {
    await page.getByLabel("Name", { exact: true }).fill(name);
    await page.getByLabel("Role", { exact: true }).selectOption(role);
    await page.getByRole("button", { name: "Make a key" }).click();
    await page.locator("main").getByText(`This is the key “${name}”`).waitFor();
    return page.locator(".secret").textContent();
  };
  const use = async (value) => {
    await page.getByLabel("Key", { exact: true }).fill(value);
    await page.getByRole("button", { name: "Use this key" }).click();
  };
  // The first key is used by the page at once, since the server asks for one from now on.
  if (!key) await make(`admin ${RUN}`, "admin");
  await page.getByText("Your key has the role admin.").waitFor();
  const client = await make(`client ${RUN}`, "client");
  await use("hearth_wrong");
  await page.locator("[role=alert]", { hasText: "does not accept" }).waitFor();
  await row(page, `client ${RUN}`).getByRole("button", { name: /Revoke/ }).click();
  await page.locator("dialog").getByRole("button", { name: "Revoke" }).click();
  await row(page, `client ${RUN}`).getByText("Revoked").waitFor();
  await use(client);
  await page.locator("[role=alert]", { hasText: "does not accept" }).waitFor();
});

await check("without its key the page says so in words and still shows the settings", async (open) => {
  const page = await open("/settings", { expected: [/401/], script: { run: () => sessionStorage.clear() } });
  await page.getByText("The server asks for a key.").waitFor();
  await page.getByLabel("Key", { exact: true }).waitFor();
});

await finish();
