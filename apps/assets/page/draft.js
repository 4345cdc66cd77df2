/**
 * The draft of an article, kept in this tab until it is saved: a reload loses nothing, and other views can begin one.
 */
import { tab } from "./storage.js";

const DRAFT = "hearth.draft";

/** The draft of a document id, or with null of the article that is not saved yet; null where there is none. */
export function readDraft(id = null) {
  const draft = tab.read(DRAFT);
  return draft?.id === id ? draft : null;
}

/** @param {{id: string|null, title: string, text: string, metadata?: string, question?: string}} draft `question` is what a customer asked in vain */
export function keepDraft(draft) {
  tab.write(DRAFT, draft);
}

export function dropDraft() {
  tab.remove(DRAFT);
}

/**
 * Begins an article from a question that found no answer: the title is the question, the text is what a
 * person answered in one of its conversations, where somebody did.
 *
 * @param {object} api
 * @param {string} question
 * @param {string[]} sessions ids of conversations it was asked in
 */
export async function draftFromQuestion(api, question, sessions) {
  let text = "";
  for (const id of sessions.slice(0, 5)) {
    const session = await api.get(`/v1/sessions/${encodeURIComponent(id)}`).catch(() => null);
    text = session?.messages.findLast((message) => message.role === "agent")?.text ?? "";
    if (text) break;
  }
  keepDraft({ id: null, title: question, text, question });
}
