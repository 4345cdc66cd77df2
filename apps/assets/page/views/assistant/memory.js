/**
 * What this browser remembers about its conversations: which there are, which is open, what was asked
 * and not yet answered, and which turns were replaced by an edited question. The conversations themselves
 * are the server's.
 */
import { local, tab } from "../../storage.js";

const LIST = "hearth.conversations";
const CURRENT = "hearth.session";
const PENDING = "hearth.pending";
const REPLACED = "hearth.replaced";
const DRAFT = "hearth.draft";
const MOST = 50;

/** @returns {{id: string, title: string, updated: string}[]} the latest first */
export const conversations = () => local.read(LIST, []);

/** Puts a conversation on top of the list; its title is its first question. */
export function remember(id, title) {
  const known = conversations().find((entry) => entry.id === id);
  const entry = { id, title: known?.title ?? title.slice(0, 120), updated: new Date().toISOString() };
  local.write(LIST, [entry, ...conversations().filter((other) => other.id !== id)].slice(0, MOST));
}

/** Takes a conversation from the list; on the server it stays. */
export function forget(id) {
  local.write(LIST, conversations().filter((entry) => entry.id !== id));
  if (current() === id) setCurrent(null);
}

/** The id of the open conversation, or null for a new one. */
export const current = () => local.get(CURRENT);
export const setCurrent = (id) => (id ? local.set(CURRENT, id) : local.remove(CURRENT));

/** The question that is being answered: `{session, turn, question}`; `turn` is null until the server has named it. */
export const pending = () => local.read(PENDING);
export const setPending = (value) => (value ? local.write(PENDING, value) : local.remove(PENDING));

/** The turns of a session whose question was edited or asked again. */
export const replaced = (session) => new Set(local.read(REPLACED, {})[session] ?? []);

export function addReplaced(session, turns) {
  const all = local.read(REPLACED, {});
  all[session] = [...new Set([...(all[session] ?? []), ...turns])];
  // Only conversations that are still listed are worth the room.
  const listed = new Set(conversations().map((entry) => entry.id));
  local.write(REPLACED, Object.fromEntries(Object.entries(all).filter(([id]) => id === session || listed.has(id))));
}

/** What is typed and not yet sent. */
export const draft = () => tab.get(DRAFT) ?? "";
export const setDraft = (text) => (text ? tab.set(DRAFT, text) : tab.remove(DRAFT));
