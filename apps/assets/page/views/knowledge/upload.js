/** Upload of many files, by the file dialog or by dropping them anywhere on the view. */
import { button, h, icon, replace } from "../../dom.js";
import { bytes } from "../../i18n.js";

/** Files sent at once: the server reads one after the other, a second fills the pause between two. */
const AT_ONCE = 2;

/**
 * @param {object} context the view's
 * @param {() => void} changed called when the server has taken a file
 * @returns {{element: HTMLElement, choose: () => void, stop: () => void}}
 */
export function uploader(context, changed) {
  const { t } = context;
  const input = h("input", { type: "file", multiple: true, class: "visually-hidden", tabindex: "-1", "aria-label": t("knowledge.upload.choose") });
  const list = h("ul", { class: "uploads", hidden: true, "aria-label": t("knowledge.upload.list") });
  const chooseButton = button({ label: t("knowledge.upload.choose"), onClick: () => input.click() });
  const zone = h("div", { class: "drop" },
    icon("upload"),
    h("div", { class: "grow" }, h("p", {}, h("strong", {}, t("knowledge.upload.drop"))), h("p", { class: "small soft" }, t("knowledge.upload.kinds"))),
    chooseButton,
    input);
  const stopping = new AbortController();
  const queue = [];
  let running = 0;
  let tally = { added: 0, failed: 0 };

  function add(files) {
    for (const file of files) {
      const row = uploadRow(file, t);
      list.append(row.element);
      queue.push({ file, row });
    }
    list.hidden = !list.children.length;
    next();
  }
  function next() {
    while (running < AT_ONCE && queue.length) {
      running += 1;
      send(queue.shift()).finally(() => {
        running -= 1;
        if (running || queue.length) return next();
        context.announce(t("knowledge.upload.summary", tally));
        tally = { added: 0, failed: 0 };
      });
    }
  }
  async function send({ file, row }) {
    try {
      const result = await context.api.upload("/v1/documents/files", file, { query: { name: file.name }, onProgress: row.progress, signal: stopping.signal });
      tally.added += result.documents.length;
      tally.failed += result.skipped.length;
      row.done(result);
      if (result.documents.length) changed();
    } catch (error) {
      if (stopping.signal.aborted) return;
      tally.failed += 1;
      row.failed(context.api.errorText(error, t), () => {
        add([file]);
        chooseButton.focus(); // the button that was pressed went with its row
      });
    }
  }

  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = ""; // the same file can be chosen again
  });
  acceptDrops(zone, add, stopping.signal);
  return { element: h("section", { class: "stack tight", "aria-label": t("knowledge.upload.name") }, zone, list), choose: () => input.click(), stop: () => stopping.abort() };
}

/** The whole page takes drops: a file that misses the zone would otherwise replace the page. */
function acceptDrops(zone, add, signal) {
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  const on = (name, listener) => document.addEventListener(name, (event) => carriesFiles(event) && listener(event), { signal });
  on("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  on("dragleave", (event) => event.relatedTarget === null && zone.classList.remove("over"));
  on("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    add([...event.dataTransfer.files]);
  });
}

function uploadRow(file, t) {
  const bar = h("progress", { max: "1", value: 0, "aria-label": t("knowledge.upload.progress", { name: file.name }) });
  const note = h("div", { class: "small soft" }, t("knowledge.upload.waiting"));
  const element = h("li", {}, h("div", { class: "row between" }, h("span", {}, file.name), h("span", { class: "small soft" }, bytes(file.size))), bar, note);
  const settle = (...parts) => {
    bar.remove();
    replace(note, parts);
  };
  return {
    element,
    progress(share) {
      bar.value = share;
      // Sent is not yet read: the server splits and embeds the file before it answers.
      note.textContent = t(share < 1 ? "knowledge.upload.sending" : "knowledge.upload.reading");
      if (share === 1) bar.removeAttribute("value");
    },
    done({ documents, skipped }) {
      const added = documents.map((document) => h("p", {}, h("span", { class: "chip good" }, t("knowledge.upload.added")), " ",
        h("a", { href: `/knowledge?document=${encodeURIComponent(document.id)}` }, document.title), ` · ${t("knowledge.passage_count", { n: document.passages })}`));
      const refused = skipped.map((one) => h("p", {}, h("span", { class: "chip warn" }, t("knowledge.upload.skipped")), ` ${one.reason}`));
      settle(added, refused);
    },
    failed(reason, retry) {
      const again = button({ label: t("common.retry"), icon: "redo", kind: "quiet", props: { class: "small" }, onClick: () => {
        element.remove();
        retry();
      } });
      settle(h("p", {}, h("span", { class: "chip bad" }, t("knowledge.upload.failed")), ` ${reason} `, again));
    },
  };
}
