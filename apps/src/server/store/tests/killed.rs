//! A process that is killed in the middle of its writes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::answer;
use crate::store::*;

/// Names the database of the child process.
const CHILD: &str = "HEARTH_TEST_STORE";
/// How often a child is killed.
const KILLS: usize = 10;

fn child(path: &Path) -> Command {
    let module = module_path!().split_once("::").map_or("", |(_, module)| module);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("{module}::write_until_killed"), "--ignored", "--nocapture"]);
    command.env(CHILD, path).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of the tests below"]
async fn write_until_killed() {
    let path = std::env::var(CHILD).unwrap();
    let store = match Store::open(Path::new(&path)) {
        Ok(store) => store,
        Err(error) => return println!("\nrefused {error}"),
    };
    let tasks = (0..8).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let question = format!("question {task} {number}");
                let turn = NewTurn { session: SessionOf::New, question, ..NewTurn::default() };
                let turn = store.begin(turn).await.unwrap();
                let id = turn.id().to_string();
                println!("\nbegun {id}");
                if number % 3 != 2 {
                    let answer = answer(&"word ".repeat(300), "answered", "a.md");
                    turn.finish(Finished { answer, ..Finished::default() }).await.unwrap();
                    println!("\ndone {id}");
                }
            }
        })
    });
    futures_util::future::join_all(tasks).await;
}

#[tokio::test]
async fn every_acknowledged_turn_outlives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (mut begun, mut done) = (Vec::new(), Vec::new());
    for kill in 0..KILLS {
        let mut process = child(&path).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let enough = done.len() + 40 + 13 * kill;
        let mut note = |line: String, done: &mut Vec<String>| match line.split_once(' ') {
            Some(("begun", id)) => begun.push(id.to_string()),
            Some(("done", id)) => done.push(id.to_string()),
            _ => {}
        };
        while done.len() < enough {
            note(lines.next().expect("the child writes").unwrap(), &mut done);
        }
        process.kill().unwrap(); // SIGKILL
        process.wait().unwrap();
        // What it said before it died counts too; the last line may be cut.
        let whole = |line: &String| line.len() == line.find(' ').unwrap_or_default() + 37;
        lines.map_while(Result::ok).filter(whole).for_each(|line| note(line, &mut done));
    }
    let store = Store::open(&path).unwrap();
    for id in &done {
        assert_eq!(store.turn(id).await.unwrap().state, TurnState::Done, "{id}");
    }
    for id in &begun {
        let state = store.turn(id).await.unwrap().state;
        assert!(matches!(state, TurnState::Done | TurnState::Abandoned), "{id} {state}");
    }
    println!("{KILLS} kills, {} begun, {} done", begun.len(), done.len());
}

#[test]
fn two_processes_do_not_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&path).unwrap();
    let output = child(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("refused ") && said.contains("in use by another process"), "{said}");
    drop(store);
}
