/** What people write and do in a session, as it happens: the replies of an agent and the session's status. */
import { pause } from "./turn.js";

const LONGEST_PAUSE = 30_000;

/**
 * Listens until `signal` is aborted, and connects again when the connection is lost.
 *
 * @param {object} api
 * @param {string} session
 * @param {{onMessage: Function, onStatus: Function, onSession: Function}} listeners
 *   `onSession` gets the whole session after each connect, which is what happened while nobody listened,
 *   and whether its status is the latest known
 * @param {AbortSignal} signal
 */
export async function listen(api, session, { onMessage, onStatus, onSession }, signal) {
  const path = `/v1/sessions/${encodeURIComponent(session)}`;
  let wait = 1000;
  while (!signal.aborted) {
    try {
      const stream = api.events(`${path}/events`, { signal });
      const first = stream.next();
      let told = false;
      // The stream first, then the session: a reply that falls between the two arrives twice and is shown once.
      // A status that the stream tells is newer than the one in the session that was asked for before.
      api.get(path, { signal }).then((whole) => onSession(whole, !told), () => {});
      for (let step = await first; !step.done; step = await stream.next()) {
        wait = 1000;
        const { event, data } = step.value;
        if (event === "message") onMessage(data);
        else if (event === "status") {
          told = true;
          onStatus(data);
        }
      }
    } catch (error) {
      if (error.kind === "stopped" || (error.status >= 400 && error.status < 500 && error.status !== 429)) return;
    }
    try {
      await pause(wait, signal);
    } catch {
      return;
    }
    wait = Math.min(wait * 2, LONGEST_PAUSE);
  }
}
