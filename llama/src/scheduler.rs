//! Many requests, one model: continuous batching.
//!
//! The model lives on its own thread; requests reach it through a bounded queue. Each step computes, in
//! one ragged batch, the next token of every answer under way and a chunk of the prompts that came
//! after, so that a new request starts without waiting for the others to end, and a long prompt does
//! not stop them.
//!
//! ```text
//! submit → queue → admit → [ step: plan → model → advance → deliver ]* → done
//!            │       ▲                 │
//!       Overloaded   └── set back ─────┘ when the cache is full: the youngest answer gives its blocks
//!                                        up, waits, and is computed again from its tokens
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError, TrySendError};
use std::thread::{self, JoinHandle};

use engine::EngineError;

use crate::generate::{Answer, GenerateError, PREFILL_TOKENS, Request, Token, longest_sequence};
use crate::language_model::{Chunk, LanguageModel};
use crate::tokenizer::Tokenizer;

/// How much the scheduler takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Answers computed side by side.
    pub running: usize,
    /// Requests that wait beside them; more are refused.
    pub queue: usize,
    /// Prompt tokens per step.
    pub prefill_tokens: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { running: 32, queue: 64, prefill_tokens: PREFILL_TOKENS }
    }
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The queue is full.
    #[error("overloaded: {queue} requests are waiting already; try again later")]
    Overloaded {
        /// Length of the queue.
        queue: usize,
    },
    /// It can never be answered.
    #[error(transparent)]
    Invalid(#[from] GenerateError),
    /// The model's thread has ended.
    #[error("the model has stopped")]
    Stopped,
}

/// Keeps a request alive: when it is dropped, the answer is given up at the next step.
#[derive(Debug)]
#[must_use = "dropping the ticket cancels the request"]
pub struct Ticket(Arc<AtomicBool>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Deliver = Box<dyn FnMut(Result<Token, GenerateError>) + Send>;

/// A request on its way to the model's thread.
struct Job {
    request: Request,
    deliver: Deliver,
    cancelled: Arc<AtomicBool>,
}

/// The model's thread, seen from outside. When it is dropped, the thread ends with its last answer.
#[derive(Debug)]
pub struct Scheduler {
    queue: SyncSender<Job>,
    thread: JoinHandle<()>,
    limits: Limits,
    context_length: usize,
    vocab_size: usize,
}

impl Scheduler {
    /// Moves `model` to a thread of its own.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start<M>(model: M, tokenizer: Tokenizer, limits: Limits) -> std::io::Result<Self>
    where
        M: LanguageModel + Send + 'static,
    {
        let limits =
            Limits { running: limits.running.max(1), prefill_tokens: limits.prefill_tokens.max(1), ..limits };
        let (queue, jobs) = mpsc::sync_channel(limits.queue);
        let context_length = longest_sequence(&model);
        let vocab_size = model.vocab_size();
        let thread = thread::Builder::new().name("model".into()).spawn(move || {
            let (running, waiting) = (Vec::new(), VecDeque::new());
            Worker { model, tokenizer, limits, context_length, running, waiting }.run(&jobs);
        })?;
        Ok(Self { queue, thread, limits, context_length, vocab_size })
    }

    /// Tokens of prompt and answer that fit into the model's context and the cache.
    pub fn context_length(&self) -> usize {
        self.context_length
    }

    /// Whether the model's thread runs.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Hands a request over. `deliver` is called on the model's thread with each token, and after one
    /// with a [`finish`](Token::finish), or an error, never again; it must not block.
    ///
    /// # Errors
    /// If the queue is full or the request can never be answered.
    pub fn submit<F>(&self, request: Request, deliver: F) -> Result<Ticket, SubmitError>
    where
        F: FnMut(Result<Token, GenerateError>) + Send + 'static,
    {
        request.validate(self.context_length, self.vocab_size)?;
        let cancelled = Arc::new(AtomicBool::new(false));
        let ticket = Ticket(cancelled.clone());
        match self.queue.try_send(Job { request, deliver: Box::new(deliver), cancelled }) {
            Ok(()) => Ok(ticket),
            Err(TrySendError::Full(_)) => Err(SubmitError::Overloaded { queue: self.limits.queue }),
            Err(TrySendError::Disconnected(_)) => Err(SubmitError::Stopped),
        }
    }

    /// Hands a request over and returns its tokens as an iterator, which waits for each.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn stream(&self, request: Request) -> Result<TokenStream, SubmitError> {
        let (sender, tokens) = mpsc::channel();
        let ticket = self.submit(request, move |token| {
            sender.send(token).ok(); // a receiver that is gone dropped its ticket too
        })?;
        Ok(TokenStream { tokens, finished: false, _ticket: ticket })
    }
}

/// The tokens of one request, as they come. Dropping it cancels the request.
#[derive(Debug)]
pub struct TokenStream {
    tokens: Receiver<Result<Token, GenerateError>>,
    finished: bool,
    _ticket: Ticket,
}

impl Iterator for TokenStream {
    type Item = Result<Token, GenerateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let token = self.tokens.recv().unwrap_or(Err(GenerateError::Stopped));
        self.finished = token.as_ref().map_or(true, |token| token.finish.is_some());
        Some(token)
    }
}

/// A request that the model holds no sequence for.
struct Waiting {
    answer: Answer,
    deliver: Deliver,
    cancelled: Arc<AtomicBool>,
}

impl Waiting {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// A request that the model holds a sequence for.
struct Running<S> {
    request: Waiting,
    sequence: S,
    /// Tokens whose past the model holds.
    cached: usize,
    /// Tokens that this step computes after them.
    planned: usize,
}

impl<S: Copy> Running<S> {
    /// The tokens that the step needs: those planned, or from the start.
    fn tokens(&self, from: usize) -> &[u32] {
        self.request.answer.tokens().get(from..self.cached + self.planned).unwrap_or_default()
    }

    /// Tokens that are not computed yet.
    fn left(&self) -> usize {
        self.request.answer.tokens().len() - self.cached
    }

    /// Whether the step reaches the last token and so gives the next one.
    fn output(&self) -> bool {
        self.planned == self.left()
    }

    /// Takes in the step's logits, if it gave any; false if that ended the answer.
    fn settle(&mut self, logits: Option<&[f32]>) -> bool {
        self.cached += std::mem::take(&mut self.planned);
        let Some(logits) = logits else { return true };
        let token = self.request.answer.advance(logits);
        let goes_on = matches!(&token, Ok(token) if token.finish.is_none());
        (self.request.deliver)(token);
        goes_on
    }

    /// Computes the step again from the start of a new sequence, alone.
    fn recompute<M>(&mut self, model: &mut M, prefill_tokens: usize) -> Result<Vec<f32>, EngineError>
    where
        M: LanguageModel<Sequence = S>,
    {
        model.close(self.sequence);
        self.sequence = model.open();
        let mut logits = Vec::new();
        let mut pieces = self.tokens(0).chunks(prefill_tokens).peekable();
        while let Some(tokens) = pieces.next() {
            let output = self.output() && pieces.peek().is_none();
            logits = model.step(&[Chunk { sequence: self.sequence, tokens, output }])?;
        }
        Ok(logits)
    }
}

/// What the model's thread works with.
struct Worker<M: LanguageModel> {
    model: M,
    tokenizer: Tokenizer,
    limits: Limits,
    context_length: usize,
    /// Oldest first.
    running: Vec<Running<M::Sequence>>,
    /// Set back, or next in line and without room. Oldest first.
    waiting: VecDeque<Waiting>,
}

impl<M: LanguageModel> Worker<M> {
    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            self.drop_cancelled();
            if !self.admit(jobs) {
                return;
            }
            self.plan();
            self.step();
        }
    }

    fn drop_cancelled(&mut self) {
        for gone in self.running.extract_if(.., |running| running.request.is_cancelled()) {
            self.model.close(gone.sequence);
        }
        self.waiting.retain(|waiting| !waiting.is_cancelled());
    }

    /// Starts the requests that there is room for. With nothing else to do it waits for one; false if
    /// none will come.
    fn admit(&mut self, jobs: &Receiver<Job>) -> bool {
        while self.running.len() < self.limits.running {
            if self.waiting.is_empty() {
                let idle = self.running.is_empty();
                let job = if idle { jobs.recv().map_err(TryRecvError::from) } else { jobs.try_recv() };
                match job {
                    Ok(job) => self.accept(job),
                    Err(TryRecvError::Empty) => return true,
                    Err(TryRecvError::Disconnected) => return !idle,
                }
            }
            match self.waiting.pop_front() {
                Some(next) if self.has_room(&next) => {
                    let sequence = self.model.open();
                    self.running.push(Running { request: next, sequence, cached: 0, planned: 0 });
                }
                Some(next) => {
                    self.waiting.push_front(next);
                    return true;
                }
                None => {} // the job was cancelled in the queue
            }
        }
        true
    }

    fn accept(&mut self, Job { request, mut deliver, cancelled }: Job) {
        match Answer::new(request, &self.tokenizer, self.context_length, self.model.vocab_size()) {
            Ok(answer) => {
                let waiting = Waiting { answer, deliver, cancelled };
                if !waiting.is_cancelled() {
                    self.waiting.push_back(waiting);
                }
            }
            Err(error) => deliver(Err(error)),
        }
    }

    /// Whether the cache has blocks for all of a request's tokens and one more, after those that the
    /// running ones still need for theirs.
    fn has_room(&self, next: &Waiting) -> bool {
        let blocks = |positions| self.model.blocks_for(positions);
        let promised: usize =
            self.running.iter().map(|r| blocks(r.cached + r.left()) - blocks(r.cached)).sum();
        self.running.is_empty()
            || blocks(next.answer.tokens().len() + 1) + promised <= self.model.free_blocks()
    }

    /// Decides what the next step computes. The oldest come first; where blocks are short the youngest
    /// is set back, so that the oldest always gets on.
    fn plan(&mut self) {
        let mut prefill = self.limits.prefill_tokens;
        let mut planned_blocks = 0;
        let mut index = 0;
        while let Some(running) = self.running.get(index) {
            let left = running.left();
            let planned = if left == 1 { 1 } else { left.min(prefill) };
            let blocks =
                self.model.blocks_for(running.cached + planned) - self.model.blocks_for(running.cached);
            if planned_blocks + blocks > self.model.free_blocks() && self.running.len() > 1 {
                self.set_back_youngest();
                continue;
            }
            planned_blocks += blocks;
            if left > 1 {
                prefill -= planned;
            }
            self.running[index].planned = planned;
            index += 1;
        }
    }

    fn set_back_youngest(&mut self) {
        if let Some(youngest) = self.running.pop() {
            self.model.close(youngest.sequence);
            self.waiting.push_front(youngest.request);
        }
    }

    fn step(&mut self) {
        let planned: Vec<_> = self.running.iter().filter(|running| running.planned > 0).collect();
        let chunks: Vec<_> = planned
            .iter()
            .map(|r| Chunk { sequence: r.sequence, tokens: r.tokens(r.cached), output: r.output() })
            .collect();
        if chunks.is_empty() {
            return;
        }
        let logits = self.model.step(&chunks);
        let Self { model, running, limits, .. } = self;
        let ended: Vec<_> = match logits {
            Ok(logits) => {
                let mut rows = logits.chunks_exact(model.vocab_size().max(1));
                let settle = |running: &mut Running<M::Sequence>| {
                    let row = running.output().then(|| rows.next().unwrap_or_default());
                    running.planned > 0 && !running.settle(row)
                };
                running.extract_if(.., settle).collect()
            }
            // One of them is at fault: each alone, so that only that one fails.
            Err(_) => {
                let settle = |running: &mut Running<M::Sequence>| {
                    if running.planned == 0 {
                        return false;
                    }
                    let output = running.output();
                    match running.recompute(model, limits.prefill_tokens) {
                        Ok(logits) => !running.settle(output.then_some(&logits)),
                        Err(error) => {
                            (running.request.deliver)(Err(error.into()));
                            true
                        }
                    }
                };
                running.extract_if(.., settle).collect()
            }
        };
        for running in ended {
            model.close(running.sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, letters};
    use crate::generate::FinishReason;
    use crate::sampler::Sampling;

    fn start(model: Fake, limits: Limits) -> Scheduler {
        Scheduler::start(model, letters(), limits).unwrap()
    }

    fn ask(question: &str) -> Request {
        Request::new(letters().encode(&format!("{question}\n"), false).unwrap(), 100)
    }

    fn text(stream: TokenStream) -> String {
        stream.map(|token| token.unwrap().text).collect()
    }

    #[test]
    fn one_request_is_answered() {
        let scheduler = start(Fake::saying("Hello."), Limits::default());
        let tokens: Vec<Token> = scheduler.stream(ask("Hi?")).unwrap().map(Result::unwrap).collect();
        assert_eq!(tokens.len(), 7);
        assert_eq!(tokens[6].finish, Some(FinishReason::Stop));
    }

    #[test]
    fn many_requests_are_answered_side_by_side() {
        let scheduler = start(Fake::saying("Hello."), Limits { running: 3, ..Limits::default() });
        let streams: Vec<_> = (0..10).map(|i| scheduler.stream(ask(&format!("{i}"))).unwrap()).collect();
        for stream in streams {
            assert_eq!(text(stream), "Hello.");
        }
    }

    /// A fake whose steps the test lets pass one by one, and the queue of its scheduler.
    fn gated(model: Fake, limits: Limits) -> (Scheduler, mpsc::Sender<()>) {
        let (open, gate) = mpsc::channel();
        (start(Fake { gate: Some(gate), ..model }, limits), open)
    }

    #[test]
    fn a_full_queue_refuses() {
        let limits = Limits { running: 1, queue: 2, ..Limits::default() };
        let (scheduler, open) = gated(Fake::saying("Hi"), limits);
        let mut first = scheduler.stream(ask("1")).unwrap();
        open.send(()).unwrap();
        first.next().unwrap().unwrap(); // so the queue is empty again
        let waiting = [scheduler.stream(ask("2")).unwrap(), scheduler.stream(ask("3")).unwrap()];
        let refused = scheduler.stream(ask("4")).unwrap_err();
        assert_eq!(refused.to_string(), "overloaded: 2 requests are waiting already; try again later");
        drop(open);
        assert_eq!(text(first), "i");
        assert_eq!(waiting.map(text), ["Hi", "Hi"]);
    }

    #[test]
    fn a_long_prompt_does_not_stop_answers_under_way() {
        let (scheduler, open) =
            gated(Fake::saying("abcdefgh"), Limits { prefill_tokens: 16, ..Limits::default() });
        let mut first = scheduler.stream(ask("short")).unwrap();
        open.send(()).unwrap();
        assert_eq!(first.next().unwrap().unwrap().text, "a");
        let mut second = scheduler.stream(ask(&"long".repeat(10))).unwrap();
        // The model waits in the second step, planned before the long prompt came. The long one then
        // takes three steps, 16 + 16 + 9 tokens, and each gives the short one its next letter.
        for letter in ["b", "c", "d", "e"] {
            open.send(()).unwrap();
            assert_eq!(first.next().unwrap().unwrap().text, letter);
        }
        assert_eq!(second.next().unwrap().unwrap().text, "a");
    }

    #[test]
    fn a_dropped_stream_makes_room() {
        let limits = Limits { running: 1, ..Limits::default() };
        let (scheduler, open) = gated(Fake::saying(&"long".repeat(200)), limits);
        let mut first = scheduler.stream(Request { max_tokens: 900, ..ask("1") }).unwrap();
        open.send(()).unwrap();
        first.next().unwrap().unwrap();
        drop(first);
        let second = scheduler.stream(Request { max_tokens: 2, ..ask("2") }).unwrap();
        // One step for the first, already under way, and two for the second; not 900.
        (0..3).for_each(|_| open.send(()).unwrap());
        assert_eq!(text(second), "lo");
    }

    #[test]
    fn where_blocks_are_short_answers_wait_and_stay_the_same() {
        // Each needs 3 + 25 tokens, 7 blocks of 4; 9 are there: two start, one is set back.
        let script = "abcdefghijklmnopqrstuvwx";
        let scheduler = start(Fake { blocks: 9, ..Fake::saying(script) }, Limits::default());
        let streams: Vec<_> = (0..5).map(|i| scheduler.stream(ask(&format!("{i}?"))).unwrap()).collect();
        for stream in streams {
            assert_eq!(text(stream), script);
        }
    }

    #[test]
    fn requests_that_never_fit_are_refused_at_once() {
        let scheduler = start(Fake { blocks: 5, ..Fake::saying("x") }, Limits::default());
        assert_eq!(scheduler.context_length(), 20);
        let refused = scheduler.stream(ask(&"long".repeat(5))).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the prompt has 21 tokens and leaves no room for an answer in a context of 20"
        );
    }

    #[test]
    fn an_error_of_one_request_leaves_the_others_alone() {
        let (scheduler, open) =
            gated(Fake { poison: Some(u32::from(b'!')), ..Fake::saying("Hello.") }, Limits::default());
        let mut good = scheduler.stream(ask("good")).unwrap();
        open.send(()).unwrap();
        assert_eq!(good.next().unwrap().unwrap().text, "H");
        let mut bad = scheduler.stream(ask("bad!")).unwrap();
        let other = scheduler.stream(ask("other")).unwrap();
        drop(open);
        assert!(matches!(bad.next(), Some(Err(GenerateError::Engine(_)))));
        assert!(bad.next().is_none());
        assert_eq!(text(good), "ello.");
        assert_eq!(text(other), "Hello.");
        assert_eq!(text(scheduler.stream(ask("later")).unwrap()), "Hello.");
    }

    #[test]
    fn each_request_samples_for_itself() {
        let scheduler = start(Fake { flat: true, ..Fake::saying("") }, Limits::default());
        let ids = |stream: TokenStream| stream.map(|token| token.unwrap().id).collect::<Vec<_>>();
        let request = |seed| {
            let sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
            Request { sampling, ignore_eos: true, max_tokens: 12, ..ask("x") }
        };
        let alone = ids(scheduler.stream(request(1)).unwrap());
        let streams = [1, 2, 1].map(|seed| scheduler.stream(request(seed)).unwrap());
        let [one, two, again] = streams.map(ids);
        assert_eq!(one, alone);
        assert_eq!(again, alone);
        assert_ne!(two, alone);
    }

    #[test]
    fn answers_under_way_are_finished_after_the_scheduler_is_dropped() {
        let scheduler = start(Fake::saying("Hello."), Limits::default());
        let stream = scheduler.stream(ask("Hi?")).unwrap();
        drop(scheduler);
        assert_eq!(text(stream), "Hello.");
    }
}
