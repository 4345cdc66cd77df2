/** One answer as a stream of events that outlives a lost connection. */
import { ApiError } from "../../api.js";

/** Milliseconds before each new attempt; after the last the error is shown. */
const PAUSES = [300, 1000, 2000, 4000, 8000, 15000];

/** How long the server may take until it begins to answer. */
const BEGIN_WITHIN = 60_000;

/**
 * Asks, and yields the events of the answer until it is done.
 *
 * @param {object} api
 * @param {object} body of `POST /v1/ask`
 * @param {AbortSignal} signal
 * @yields {{id: string|null, event: "start"|"sentence"|"done", data: object}}
 */
export function ask(api, body, signal) {
  return lasting(api, null, signal, () => api.events("/v1/ask", { method: "POST", body: { ...body, stream: true }, signal, timeout: BEGIN_WITHIN }));
}

/** The events of an answer that was asked for before, from its start: what a reload needs. */
export function follow(api, turn, signal) {
  return lasting(api, turn, signal, () => resume(api, turn, null, signal));
}

function resume(api, turn, lastEventId, signal) {
  return api.events(`/v1/turns/${encodeURIComponent(turn)}/events`, { lastEventId, signal, timeout: BEGIN_WITHIN });
}

async function* lasting(api, turn, signal, open) {
  let last = null;
  let attempt = 0;
  for (;;) {
    try {
      for await (const event of open()) {
        last = event.id ?? last;
        attempt = 0;
        if (event.event === "error") throw failure(event.data);
        if (event.event === "start") turn = event.data.id;
        yield event;
        if (event.event === "done") return;
      }
      throw new ApiError("network", "the stream ended before the answer did");
    } catch (error) {
      // Before the server has named the turn there is nothing to come back to.
      if (error.kind !== "network" || !turn || attempt === PAUSES.length) throw error;
      await pause(PAUSES[attempt], signal);
      attempt += 1;
      open = () => resume(api, turn, last, signal);
    }
  }
}

function failure(data) {
  const { message = "", type = null, param = null, code = null } = data?.error ?? {};
  return new ApiError("server", message, { status: 500, type, param, code, body: data });
}

/** Waits, but not longer than the reader does. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(clock);
      reject(new ApiError("stopped", "stopped"));
    };
    const clock = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}
