/**
 * Keeps the page's shell, so that an installed page opens without a connection.
 * The network comes first: a new server never meets an old page. Answers of the API are not kept.
 */
const CACHE = "hearth-shell-1";
const SHELL = ["/", "/assets/base.css", "/assets/shell.css", "/assets/app.js", "/assets/icons.svg", "/assets/icon.svg"];
const PAGES = new Set(["/", "/playground", "/knowledge", "/inbox", "/dashboard", "/settings"]);

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(SHELL)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const old = caches.keys().then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))));
  event.waitUntil(old.then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (url.pathname.startsWith("/assets/")) event.respondWith(networkFirst(request, request));
  else if (request.mode === "navigate" && PAGES.has(url.pathname)) event.respondWith(networkFirst(request, "/"));
});

/** The network's answer, which is kept under `name`; without a network the one kept before. */
async function networkFirst(request, name) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) cache.put(name, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(name);
    if (kept) return kept;
    throw error;
  }
}
