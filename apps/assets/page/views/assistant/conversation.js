/** One conversation with the server: asking, going on after a reload, and the people who join it. */
import { errorText } from "../../api.js";
import { ask, follow } from "./turn.js";
import { listen } from "./live.js";
import * as memory from "./memory.js";

export class Conversation {
  /**
   * @param {object} context of the view
   * @param {object} thread
   * @param {{onAnswer: Function, onStatus: Function, onBusy: Function, onDraft: Function, options: () => object}} hooks
   *   `options` gives what is sent with each question (`wording`, `customer`)
   */
  constructor(context, thread, hooks) {
    Object.assign(this, { context, thread, hooks });
    context.signal.addEventListener("abort", () => this.#leave());
    this.session = null;
  }

  #begin(session) {
    this.#leave();
    this.session = session;
    this.status = "open";
    this.agent = null;
    this.edited = false;
    this.running = null;
    this.listening = null;
    memory.setCurrent(session);
    this.hooks.onBusy(false);
    this.hooks.onStatus("open", null);
  }

  /** Stops reading; the server goes on, and what it says is there when the conversation is opened again. */
  #leave() {
    this.running?.abort();
    this.listening?.abort();
  }

  /** Begins a new conversation. @param {Node} head what stands above the first message */
  fresh(head) {
    memory.setPending(null);
    this.#begin(null);
    this.thread.clear(head);
  }

  /** Shows a conversation as the server has it, and goes on with an answer that was still coming. */
  async open(id, head) {
    this.#begin(id);
    this.thread.clear(head);
    const { api, signal } = this.context;
    let session;
    try {
      session = await api.get(`/v1/sessions/${encodeURIComponent(id)}`, { signal });
    } catch (error) {
      if (error.status !== 404) throw error;
      memory.forget(id); // Deleted, or older than the server keeps.
      return this.fresh(head);
    }
    if (this.session !== id) return; // Another one was opened meanwhile.
    const folded = memory.replaced(id);
    this.edited = folded.size > 0;
    for (const message of session.messages) this.#show(message, session, folded);
    this.#setStatus(session);
    this.thread.toEnd();
    this.#listen();
    await this.#goOn(session);
  }

  /** Draws one message of a stored conversation. */
  #show(message, session, folded) {
    const { thread } = this;
    if (message.role === "agent") {
      thread.addAgent(message, session.agent);
    } else if (message.role === "customer") {
      if (message.turn) thread.addQuestion(message.text, { turn: message.turn });
      else thread.addToPerson(message);
    } else if (message.answer) {
      const element = thread.addAnswer();
      element.finish(message.answer, message.feedback);
      this.hooks.onAnswer(message.answer);
      const question = thread.questionOf(element);
      if (question && folded.has(message.turn)) thread.fold(question);
    }
  }

  /** Goes on after a reload. */
  async #goOn(session) {
    const pending = memory.pending();
    const answered = new Set(session.messages.filter((message) => message.role === "assistant").map((message) => message.turn));
    const open = session.messages.findLast((message) => message.role === "customer" && message.turn && !answered.has(message.turn));
    const turn = pending?.session === session.id && pending.turn && !answered.has(pending.turn) ? pending.turn : open?.turn;
    if (!turn) return this.restoreDraft();
    if (open?.turn !== turn) this.thread.addQuestion(pending.question, { turn });
    const question = pending?.turn === turn ? pending.question : open.text;
    await this.#run(question, this.thread.addAnswer(), (signal) => follow(this.context.api, turn, signal), turn);
  }

  /** What was sent and never reached the server goes back to where it was typed. */
  restoreDraft() {
    const pending = memory.pending();
    if (pending && !pending.turn && pending.session === this.session) this.hooks.onDraft(pending.question);
    memory.setPending(null);
  }

  /** Asks the assistant, or writes to the person who has taken the conversation. */
  send(text) {
    return this.status === "taken" ? this.#tellPerson(text) : this.#ask(text);
  }

  async #ask(text) {
    const { thread, session } = this;
    const history = this.edited ? { history: thread.history() } : {};
    const question = thread.addQuestion(text);
    const element = thread.addAnswer();
    thread.toEnd();
    const body = { question: text, ...(session ? { session } : {}), ...history, ...this.hooks.options() };
    await this.#run(text, element, (signal) => ask(this.context.api, body, signal), null, question);
  }

  /** Reads an answer to its end, whatever happens to the connection. */
  async #run(text, element, open, turn, question = null) {
    const { t, announce } = this.context;
    const running = new AbortController();
    this.running = running;
    this.hooks.onBusy(true);
    memory.setPending({ session: this.session, turn, question: text });
    try {
      for await (const { event, data } of open(running.signal)) {
        if (event === "start") this.#started(data, text, question);
        else if (event === "sentence") element.addSentence(data);
        else if (event === "done") {
          element.finish(data);
          this.hooks.onAnswer(data);
          if (data.handoff?.reason === "asked_for_a_person" && this.status === "open") this.#setStatus({ status: "waiting", agent: null });
          announce(`${t("assistant.assistant")}: ${data.answer}`);
        }
      }
      memory.setPending(null);
    } catch (error) {
      if (running.byReader) element.stopped();
      else if (error.kind === "stopped") return; // The view was left: the question stays pending.
      else element.failed(errorText(error, t));
      // A question that never reached the server is kept: a reload offers it again.
      if (running.byReader || memory.pending()?.turn) memory.setPending(null);
    } finally {
      if (this.running === running) {
        this.running = null;
        this.hooks.onBusy(false);
      }
    }
  }

  #started({ id, session }, text, question) {
    const isNew = this.session !== session;
    this.session = session;
    if (question) question.turn = id;
    memory.setCurrent(session);
    memory.remember(session, text);
    memory.setPending({ session, turn: id, question: text });
    if (isNew) this.#listen();
  }

  /** Stops the answer that is coming, at the reader's wish. */
  stop() {
    if (!this.running) return;
    this.running.byReader = true;
    this.running.abort();
  }

  /** Asks another question, or the same once more, in the place of `item` and all that followed it. */
  async replace(item, text) {
    this.stop();
    const turns = this.thread.fold(item);
    this.edited = true;
    if (this.session) memory.addReplaced(this.session, turns);
    await this.#ask(text);
  }

  async #tellPerson(text) {
    const { api, toast, t } = this.context;
    try {
      const message = await api.post(`/v1/sessions/${encodeURIComponent(this.session)}/messages`, { role: "customer", text });
      this.thread.addToPerson(message);
      this.thread.toEnd();
    } catch (error) {
      this.hooks.onDraft(text);
      toast(errorText(error, t), "error");
    }
  }

  /** The customer asks for a person ("waiting") or has been helped ("resolved"). */
  async setStatus(status) {
    const { api, toast, t } = this.context;
    try {
      this.#setStatus(await api.post(`/v1/sessions/${encodeURIComponent(this.session)}/status`, { status }));
    } catch (error) {
      toast(errorText(error, t), "error");
    }
  }

  #setStatus({ status, agent }) {
    if (status === this.status && agent === this.agent) return;
    const { t, announce } = this.context;
    const said = { waiting: "assistant.event_waiting", taken: "assistant.event_taken", resolved: "assistant.event_resolved" }[status];
    Object.assign(this, { status, agent });
    this.hooks.onStatus(status, agent);
    if (!said) return;
    const text = t(said, { name: agent || t("assistant.colleague") });
    this.thread.addEvent(text, status === "resolved" ? "check" : "person");
    announce(text);
  }

  #listen() {
    this.listening?.abort();
    this.listening = new AbortController();
    const { signal } = this.listening;
    const agentSays = (message) => message.role === "agent" && this.#agentSays(message);
    listen(this.context.api, this.session, {
      onMessage: agentSays,
      onStatus: (status) => this.#setStatus(status),
      onSession: (session, isLatest) => {
        if (signal.aborted) return;
        session.messages.forEach(agentSays);
        if (isLatest) this.#setStatus(session);
      },
    }, signal);
  }

  #agentSays(message) {
    if (this.thread.has(message.id)) return;
    this.thread.addAgent(message, this.agent);
    this.context.announce(`${this.agent || this.context.t("assistant.colleague")}: ${message.text}`);
    this.hooks.onAgent?.(message);
  }
}
