//! How long a turn waits for the store. Run with `--ignored --nocapture`.

use std::time::Instant;

use super::answer;
use crate::store::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn begin_and_finish_of_32_turns_at_once() {
    for durability in [Durability::ProcessKill, Durability::PowerLoss] {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions { durability, ..StoreOptions::default() };
        let store = Store::open_with(&folder.path().join("store.db"), options).unwrap();
        let start = Instant::now();
        let tasks = (0..32).map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                // Customers do not ask in step.
                tokio::time::sleep(std::time::Duration::from_millis(task * 15)).await;
                let mut times = Vec::new();
                for number in 0..20 {
                    let question =
                        format!("How do I change the address of order {number}? {}", "word ".repeat(20));
                    let started = Instant::now();
                    let turn = NewTurn { session: SessionOf::New, question, ..NewTurn::default() };
                    let turn = store.begin(turn).await.unwrap();
                    let begun = started.elapsed();
                    // Between the two, a model works: faster than ours does for 32 at once.
                    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                    let answer = answer(&"So it is said here. ".repeat(20), "answered", "a.md");
                    let finishing = Instant::now();
                    turn.finish(Finished { answer, ..Finished::default() }).await.unwrap();
                    times.push((begun + finishing.elapsed()).as_secs_f64() * 1e3);
                }
                times
            })
        });
        let mut times: Vec<f64> =
            futures_util::future::join_all(tasks).await.into_iter().flat_map(Result::unwrap).collect();
        let seconds = start.elapsed().as_secs_f64();
        times.sort_by(f64::total_cmp);
        let at = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1];
        println!(
            "{durability:?}: begin+finish p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms; {:.0} turns/s",
            at(50),
            at(99),
            at(100),
            times.len() as f64 / seconds
        );
        assert!(at(50) < 1000.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn a_deletion_among_20000_turns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&path).unwrap();
    for group in 0..200 {
        let turns = (0..100).map(|number| {
            let store = store.clone();
            async move {
                let customer = Some(format!("c{}", (group + number) % 500));
                let turn = NewTurn { session: SessionOf::New, customer, ..NewTurn::default() };
                let turn = store.begin(turn).await.unwrap();
                let answer = answer(&"So it is said here. ".repeat(50), "answered", "a.md");
                turn.finish(Finished { answer, ..Finished::default() }).await.unwrap();
            }
        });
        futures_util::future::join_all(turns).await;
    }
    let timed = Instant::now();
    let deleted = store.delete_customer("c7").await.unwrap();
    println!("{deleted} conversations deleted in {:?}", timed.elapsed());
    let timed = Instant::now();
    let now = Timestamp::now();
    let week = std::time::Duration::from_secs(7 * 86_400);
    store.dashboard(now.before(week), now.after(week)).await.unwrap();
    println!("dashboard of 20,000 turns in {:?}", timed.elapsed());
    let timed = Instant::now();
    let filter = SessionFilter { query: Some("nowhere".into()), ..SessionFilter::default() };
    assert!(store.sessions(filter).await.unwrap().data.is_empty());
    println!("a text that is nowhere, searched in 20,000 conversations, in {:?}", timed.elapsed());
    drop(store);
    let timed = Instant::now();
    let bytes = std::fs::metadata(&path).unwrap().len();
    drop(Store::open(&path).unwrap());
    println!("opening {} MB in {:?}", bytes >> 20, timed.elapsed());
}
