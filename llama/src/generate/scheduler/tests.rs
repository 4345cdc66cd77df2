use super::*;
use crate::generate::fake::{Fake, letters};
use crate::generate::iterator::generate;
use crate::generate::request::FinishReason;
use crate::generate::sampling::Sampling;

fn start(model: Fake, limits: Limits) -> Scheduler {
    Scheduler::start(model, letters(), limits).unwrap()
}

fn ask(question: &str) -> Request {
    Request::new(letters().encode(&format!("{question}\n"), false).unwrap(), 100)
}

fn text(tokens: impl Iterator<Item = Result<Token, GenerateError>>) -> String {
    tokens.map(|token| token.unwrap().text).collect()
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
    let stats = scheduler.stats();
    assert_eq!((stats.running, stats.waiting), (1, 2));
    let refused = scheduler.stream(ask("4")).unwrap_err();
    assert_eq!(scheduler.stats().waiting, 2);
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
fn a_panic_of_one_request_leaves_the_others_alone() {
    let (scheduler, open) =
        gated(Fake { bomb: Some(u32::from(b'!')), ..Fake::saying("Hello.") }, Limits::default());
    let mut good = scheduler.stream(ask("good")).unwrap();
    open.send(()).unwrap();
    assert_eq!(good.next().unwrap().unwrap().text, "H");
    let mut bad = scheduler.stream(ask("bad!")).unwrap();
    let other = scheduler.stream(ask("other")).unwrap();
    drop(open);
    let error = bad.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the model panicked on this request: a bomb went off");
    assert!(bad.next().is_none());
    assert_eq!(text(good), "ello.");
    assert_eq!(text(other), "Hello.");
    assert!(scheduler.is_running());
    assert_eq!(text(scheduler.stream(ask("later")).unwrap()), "Hello.");
}

#[test]
fn a_callback_that_panics_ends_its_own_request_only() {
    let scheduler = start(Fake::saying("Hello."), Limits::default());
    let ticket = scheduler.submit(ask("bad"), |_| panic!("the client is broken")).unwrap();
    assert_eq!(text(scheduler.stream(ask("good")).unwrap()), "Hello.");
    drop(ticket);
    assert_eq!(text(scheduler.stream(ask("later")).unwrap()), "Hello.");
}

#[test]
fn what_is_copied_from_the_prompt_takes_fewer_steps_and_stays_the_same() {
    let script = "The lamp is on the table. The lamp is off.";
    let steps = |speculate| {
        let mut model = Fake::saying(script);
        let prompt = letters().encode(&format!("{script}\n"), false).unwrap();
        let request = Request { speculate, ..Request::new(prompt, 100) };
        let tokens = generate(&mut model, &letters(), request).unwrap();
        assert_eq!(text(tokens), script);
        model.steps.len()
    };
    let (guessing, plain) = (steps(true), steps(false));
    assert_eq!(plain, script.len() + 1);
    assert!(guessing < plain / 2, "{guessing} steps of {plain}");
}

#[test]
fn guesses_end_with_the_answer() {
    let script = "abcdefghijabcdefghij";
    for max_tokens in 1..=script.len() {
        let prompt = letters().encode(&format!("{script}\n"), false).unwrap();
        let tokens = |speculate| {
            let request =
                Request { speculate, stop: vec!["jab".into()], ..Request::new(prompt.clone(), max_tokens) };
            let mut model = Fake { context_length: 38, ..Fake::saying(script) };
            let tokens = generate(&mut model, &letters(), request).unwrap();
            tokens.map(Result::unwrap).collect::<Vec<_>>()
        };
        assert_eq!(tokens(true), tokens(false), "{max_tokens}");
    }
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
