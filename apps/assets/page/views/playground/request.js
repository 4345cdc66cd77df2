/** A request to one of the two OpenAI endpoints, and what its stream or its body says. */

/** The endpoints by the form's choice. */
export const PATHS = { chat: "/v1/chat/completions", completions: "/v1/completions" };

/**
 * The body of a request.
 *
 * @param {"chat"|"completions"} endpoint
 * @param {{model: string, system: string, prompt: string, parameters: object, more: object}} form
 *   `more` are fields written as JSON; they win
 */
export function requestBody(endpoint, { model, system, prompt, parameters, more }) {
  const { logprobs, top_logprobs: top, ...rest } = parameters;
  const asked = endpoint === "chat"
    ? { messages: [...(system ? [{ role: "system", content: system }] : []), { role: "user", content: prompt }], ...(logprobs ? { logprobs, top_logprobs: top } : {}) }
    : { prompt: system ? `${system}\n\n${prompt}` : prompt, ...(logprobs ? { logprobs: top } : {}) };
  const usage = rest.stream ? { stream_options: { include_usage: true } } : {};
  return { ...(model ? { model } : {}), ...asked, ...rest, ...usage, ...more };
}

/** What has come of a request so far. */
export class Outcome {
  constructor() {
    this.started = performance.now();
    this.first = null;
    this.ended = null;
    this.choices = [];
    this.usage = null;
    this.model = null;
    this.raw = [];
  }

  /** Takes one chunk of a stream, or a whole body. */
  take(data) {
    this.raw.push(data);
    if (!data || typeof data !== "object") return;
    this.model = data.model ?? this.model;
    this.usage = data.usage ?? this.usage;
    for (const choice of data.choices ?? []) {
      const own = (this.choices[choice.index ?? 0] ??= { text: "", tokens: [], finish: null });
      const text = choice.delta?.content ?? choice.message?.content ?? choice.text ?? "";
      if (text) this.first ??= performance.now();
      own.text += text;
      own.tokens.push(...tokens(choice.logprobs));
      own.finish = choice.finish_reason ?? own.finish;
    }
  }

  end() {
    this.ended = performance.now();
  }

  /** Milliseconds, and tokens in a second after the first. */
  figures() {
    const until = this.ended ?? performance.now();
    const written = this.usage?.completion_tokens ?? null;
    const seconds = this.first ? (until - this.first) / 1000 : 0;
    return { first: this.first && this.first - this.started, total: until - this.started, rate: written > 1 && seconds > 0 ? (written - 1) / seconds : null };
  }
}

/** Log-probabilities in either form of the API, as `{token, logprob, top: [{token, logprob}]}`. */
export function tokens(logprobs) {
  if (!logprobs) return [];
  if (logprobs.content) return logprobs.content.map(({ token, logprob, top_logprobs: top }) => ({ token, logprob, top: top ?? [] }));
  return (logprobs.tokens ?? []).map((token, index) => ({
    token,
    logprob: logprobs.token_logprobs?.[index] ?? null,
    top: Object.entries(logprobs.top_logprobs?.[index] ?? {}).map(([other, logprob]) => ({ token: other, logprob })),
  }));
}

/**
 * Runs a request to its end, whatever it is, and reports to `onChange` as it goes.
 *
 * @returns {Promise<Outcome>}
 */
export async function run(api, path, body, { signal, timeout, outcome, onChange }) {
  const late = new AbortController();
  const clock = setTimeout(() => late.abort(), timeout);
  const both = AbortSignal.any([signal, late.signal]);
  try {
    if (body.stream) {
      for await (const { event, data } of api.events(path, { method: "POST", body, signal: both })) {
        if (data === "[DONE]") break;
        outcome.take(data);
        if (event === "error" || data?.error) throw new api.ApiError("server", data.error?.message ?? "", { status: 500, body: data, ...data.error });
        onChange();
      }
    } else {
      outcome.take(await api.post(path, body, { signal: both }));
    }
  } catch (error) {
    if (late.signal.aborted && !signal.aborted) throw new api.ApiError("timeout", "timeout");
    throw error;
  } finally {
    clearTimeout(clock);
    outcome.end();
    onChange();
  }
  return outcome;
}
