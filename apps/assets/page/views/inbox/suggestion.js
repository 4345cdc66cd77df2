/** What an agent could reply: the assistant's own grounded answer, else the best passages of a search. */

/** A handoff is asked for in words that say nothing about the matter; the question before it does. */
function matterOf(messages, last) {
  const answers = new Map(messages.filter((message) => message.answer).map((message) => [message.turn, message.answer]));
  const asked = messages.filter((message) => message.role === "customer" && answers.get(message.turn)?.handoff?.reason !== "asked_for_a_person");
  return asked.at(-1) ?? last;
}

/**
 * @param {Array<object>} messages of the session
 * @param {object} last the customer's last message
 * @param {object} api
 * @param {AbortSignal} signal
 * @returns {Promise<{from: "answer"|"search", options: Array<{text: string, title: string, document: string}>}|null>}
 */
export async function suggestionFor(messages, last, api, signal) {
  const matter = matterOf(messages, last);
  const answer = messages.find((message) => message.turn && message.turn === matter.turn && message.answer)?.answer;
  if (answer?.answered) {
    const source = answer.context.find((passage) => passage.number === answer.sentences[0]?.citation) ?? answer.context[0];
    return { from: "answer", options: [{ text: answer.answer, title: source?.title ?? "", document: source?.document ?? "" }] };
  }
  const found = await api.post("/v1/search", { question: matter.text, limit: 3 }, { signal });
  if (!found.data.length) return null;
  return { from: "search", options: found.data.slice(0, 2).map(({ text, title, document }) => ({ text, title, document })) };
}
