/** Saves what the server sends as a file. A plain link would not carry the key. */
import { request } from "./api.js";
import { h } from "./dom.js";

/**
 * @param {string} path
 * @param {string} name of the file
 * @param {object} [query]
 */
export async function download(path, name, query) {
  const response = await request("GET", path, { query });
  const address = URL.createObjectURL(await response.blob());
  const link = h("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  // The browser has taken the data once the click is through; the address can go a little later.
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
