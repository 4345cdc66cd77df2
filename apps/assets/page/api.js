/** Talks to the server: JSON calls, uploads with progress, and event streams read over `fetch`. */
import { tab } from "./storage.js";

const KEY = "hearth.key";

/** The key this browser tab sends, or null. */
export const key = () => tab.get(KEY);

/** Keeps the key for this tab; null forgets it. */
export function setKey(value) {
  if (value) tab.set(KEY, value);
  else tab.remove(KEY);
}

/**
 * What went wrong with a call. `kind` is "network" (no answer at all), "timeout", "stopped" (by the person),
 * or "server" (an error with a status); `message` is the server's own where it sent one.
 */
export class ApiError extends Error {
  constructor(kind, message, details = {}) {
    super(message);
    this.name = "ApiError";
    this.kind = kind;
    Object.assign(this, { status: 0, type: null, param: null, code: null, retryAfter: null, body: null }, details);
  }
}

/** The error of a call in the reader's words. @param {Function} t the translator of `i18n.js` */
export function errorText(error, t) {
  if (!(error instanceof ApiError)) return t("error.unknown", { message: error?.message ?? String(error) });
  if (error.kind !== "server") return t(`error.${error.kind}`);
  const message = error.message || `HTTP ${error.status}`;
  if (error.status === 401) return t(key() ? "error.wrong_key" : "error.no_key");
  if (error.status === 403) return t("error.forbidden");
  if (error.status === 429) return error.retryAfter ? t("error.busy_for", { seconds: error.retryAfter }) : t("error.busy");
  if (error.status === 503) return t("error.overloaded", { message });
  return error.status >= 500 ? t("error.server", { message }) : message;
}

/** The request's address with `query`, whose empty values are left out. */
export function address(path, query) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

function headers(more = {}) {
  return { ...(key() ? { authorization: `Bearer ${key()}` } : {}), ...more };
}

/**
 * One request; resolves with the response once its status is good.
 *
 * @param {string} method
 * @param {string} path
 * @param {{query?: object, body?: any, headers?: object, signal?: AbortSignal, timeout?: number}} [options]
 *   a body that is no Blob is sent as JSON; `timeout` in milliseconds covers the time until the headers
 */
export async function request(method, path, options = {}) {
  const { query, body, signal, timeout } = options;
  const raw = body instanceof Blob;
  const type = body === undefined ? {} : { "content-type": raw ? body.type || "application/octet-stream" : "application/json" };
  const late = new AbortController();
  const clock = timeout ? setTimeout(() => late.abort(), timeout) : null;
  const stop = () => late.abort();
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted) stop();
  let response;
  try {
    response = await fetch(address(path, query), {
      method,
      headers: headers({ ...type, ...options.headers }),
      body: body === undefined || raw ? body : JSON.stringify(body),
      signal: signal ? late.signal : timeout ? late.signal : undefined,
    });
  } catch (error) {
    throw broken(error, signal, late.signal);
  } finally {
    clearTimeout(clock);
  }
  if (!response.ok) throw refused(response.status, await response.text().catch(() => ""), response.headers.get("retry-after"));
  return response;
}

/** Tells a stop by the person, a time-out and a lost connection apart. */
function broken(error, stopped, late) {
  if (error instanceof ApiError) return error;
  if (stopped?.aborted) return new ApiError("stopped", "stopped");
  if (late?.aborted) return new ApiError("timeout", "timeout");
  return new ApiError("network", error?.message ?? "network");
}

function refused(status, text, retryAfter) {
  let error = {};
  let body = text;
  try {
    body = JSON.parse(text);
    error = body.error ?? {};
  } catch {
    // A proxy between us and the server may answer with HTML: the status says enough.
  }
  const { type = null, param = null, code = null } = error;
  return new ApiError("server", error.message ?? "", { status, type, param, code, retryAfter, body });
}

async function json(method, path, options) {
  const response = await request(method, path, options);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** `get(path, {query, signal})` and so on resolve with the parsed body and reject with an `ApiError`. */
export const get = (path, options) => json("GET", path, options);
export const post = (path, body, options) => json("POST", path, { ...options, body });
export const put = (path, body, options) => json("PUT", path, { ...options, body });
export const remove = (path, options) => json("DELETE", path, options);

/**
 * Sends one file as the raw body. `fetch` tells nothing about progress, so this is an XMLHttpRequest.
 *
 * @param {string} path
 * @param {File} file
 * @param {{query?: object, onProgress?: (share: number) => void, signal?: AbortSignal}} [options]
 * @returns {Promise<object>} the parsed body
 */
export function upload(path, file, { query, onProgress, signal } = {}) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open("POST", address(path, query));
    for (const [name, value] of Object.entries(headers({ "content-type": "application/octet-stream" }))) call.setRequestHeader(name, value);
    call.upload.onprogress = (event) => event.lengthComputable && onProgress?.(event.loaded / event.total);
    call.onerror = () => reject(new ApiError("network", "network"));
    call.onabort = () => reject(new ApiError("stopped", "stopped"));
    call.onload = () => {
      if (call.status >= 200 && call.status < 300) resolve(call.responseText ? JSON.parse(call.responseText) : null);
      else reject(refused(call.status, call.responseText, call.getResponseHeader("retry-after")));
    };
    signal?.addEventListener("abort", () => call.abort(), { once: true });
    call.send(file);
  });
}

/**
 * Server-sent events over `fetch`: unlike EventSource this sends the key, and a POST body.
 *
 * @param {string} path
 * @param {{method?: string, body?: object, query?: object, lastEventId?: string, signal?: AbortSignal, timeout?: number}} [options]
 * @yields {{id: string|null, event: string, data: any}} `data` is parsed JSON, or the text where it is none ("[DONE]")
 */
export async function* events(path, { method = "GET", body, query, lastEventId, signal, timeout } = {}) {
  const resume = lastEventId ? { "last-event-id": lastEventId } : {};
  const response = await request(method, path, { body, query, signal, timeout, headers: { accept: "text/event-stream", ...resume } });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  // What has already arrived would still be read after an abort; a stop is meant at once.
  const stop = () => reader.cancel().catch(() => {});
  signal?.addEventListener("abort", stop, { once: true });
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (signal?.aborted) throw new ApiError("stopped", "stopped");
      if (done) return;
      const blocks = (rest + value).split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event) yield event;
      }
    }
  } catch (error) {
    throw broken(error, signal);
  } finally {
    signal?.removeEventListener("abort", stop);
    stop();
  }
}

/** One block of an event stream; null for a comment, which only keeps the connection alive. */
export function parseEvent(block) {
  const event = { id: null, event: "message", data: null };
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (name === "data") data.push(value);
    else if (name === "id" || name === "event") event[name] = value;
  }
  if (!data.length) return null;
  const text = data.join("\n");
  try {
    event.data = JSON.parse(text);
  } catch {
    event.data = text;
  }
  return event;
}
