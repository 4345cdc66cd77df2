//! Runs that are stopped, killed and gone on with, on a model of two small layers.
#![cfg(unix)]

mod small_model;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use small_model::write_model;

/// Longer than any of these runs takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// Everything that a resumed run could get wrong: epochs in another order each, dropout, micro-batches, a
/// learning rate that depends on the step, evaluations that choose the best.
const RUN: &str = "train --model model --data rows.csv --max-steps 40 --batch-size 2 --grad-accum 2 --lr 0.02 \
                   --validation-split 0.25 --lora-dropout 0.1 --lr-scheduler cosine --warmup-ratio 0.1 \
                   --eval-steps 6 --save-steps 4";

fn workshop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_model(&folder.path().join("model"));
    let mut text = String::from("instruction,response\n");
    for (question, answer) in
        [("Open today?", "Yes."), ("Cats?", "No."), ("Refunds?", "Yes."), ("Hats?", "No.")]
    {
        text += &format!("{question},{answer}\n{question} #2,{answer}\n{question} #3,{answer}\n");
    }
    fs::write(folder.path().join("rows.csv"), text).unwrap();
    folder
}

fn command(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command.current_dir(folder).args(arguments.split_whitespace());
    command
}

fn trainer(folder: &Path, arguments: &str) -> Output {
    command(folder, arguments).output().unwrap()
}

/// What a run that ends well says.
fn told(output: &Output) -> (String, String) {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8(text.clone()).unwrap());
    assert!(output.status.success(), "{stderr}");
    (stdout, stderr)
}

/// The one line of a failure.
fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr.clone()).unwrap().lines().last().unwrap().to_owned()
}

/// Starts a run and waits until it has written step `step` to its metrics.
fn start_and_wait(folder: &Path, arguments: &str, output: &str, step: usize) -> Child {
    let mut command = command(folder, arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let wanted = format!("\"step\":{step},\"loss\"");
    let started = Instant::now();
    while !fs::read_to_string(folder.join(output).join("metrics.jsonl"))
        .is_ok_and(|text| text.contains(&wanted))
    {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before step {step}");
        assert!(started.elapsed() < DEADLINE, "no step {step}");
        thread::sleep(Duration::from_millis(1));
    }
    child
}

fn bytes(folder: &Path, path: &str) -> Vec<u8> {
    fs::read(folder.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What a run leaves: its adapter and its metrics.
fn result(folder: &Path, output: &str) -> [Vec<u8>; 2] {
    ["adapter_model.safetensors", "metrics.jsonl"].map(|name| bytes(folder, &format!("{output}/{name}")))
}

fn checkpoints(folder: &Path, output: &str) -> Vec<u64> {
    let names = fs::read_dir(folder.join(output)).unwrap().map(|entry| entry.unwrap().file_name());
    let steps = names.filter_map(|name| name.to_str()?.strip_prefix("checkpoint-")?.parse().ok());
    let mut steps: Vec<u64> = steps.collect();
    steps.sort_unstable();
    steps
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_as_one_that_never_stopped() {
    let folder = workshop();
    let folder = folder.path();
    told(&trainer(folder, &format!("{RUN} --output whole")));
    let run = format!("{RUN} --output killed --resume");
    // Before the first checkpoint, between two, and on an evaluation.
    for step in [2, 7, 14, 24] {
        let mut child = start_and_wait(folder, &run, "killed", step);
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "it was killed at work");
    }
    let (_, stderr) = told(&trainer(folder, &run));
    let after: u64 =
        stderr.split("going on after step ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    assert!((4..40).contains(&after), "{stderr}");
    assert!(result(folder, "killed") == result(folder, "whole"), "adapter or metrics differ");
    let steps = String::from_utf8(bytes(folder, "killed/metrics.jsonl")).unwrap();
    assert_eq!(steps.lines().filter(|line| line.contains("\"loss\"")).count(), 40, "no line twice");
}

#[test]
fn a_signal_saves_a_checkpoint_and_says_how_to_go_on() {
    let folder = workshop();
    let folder = folder.path();
    told(&trainer(folder, &format!("{RUN} --output whole")));
    let run = format!("{RUN} --output stopped");
    for (signal, step, status, run) in
        [("-INT", 1, 130, run.clone()), ("-TERM", 9, 143, format!("{run} --resume"))]
    {
        let child = start_and_wait(folder, &run, "stopped", step);
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(status));
        let stdout = String::from_utf8(output.stdout).unwrap();
        let last = *checkpoints(folder, "stopped").last().unwrap();
        assert!(stdout.contains(&format!("stopped after step {last} of 40\n")), "{stdout}");
        assert!(stdout.contains(&format!("checkpoint saved in stopped/checkpoint-{last}")), "{stdout}");
        let go_on = stdout.lines().last().unwrap();
        assert!(go_on.starts_with("go on with: ") && go_on.ends_with("--output stopped --resume"), "{go_on}");
        assert!(!folder.join("stopped/adapter_config.json").exists(), "the run has no result yet");
    }
    let again = error(&trainer(folder, &run));
    assert!(again.contains("--output stopped: it holds a run that stopped after step"), "{again}");
    told(&trainer(folder, &format!("{run} --resume")));
    assert!(result(folder, "stopped") == result(folder, "whole"), "adapter or metrics differ");
}

#[test]
fn a_run_goes_on_with_the_time_that_it_began_at() {
    let folder = workshop();
    let folder = folder.path();
    // Seconds stand for days.
    let template = "{{ strftime_now('%S') }}{% for m in messages %}{{ m.role }}:{{ m.content }}\
                    {% if m.role == 'assistant' %}</s>{% endif %}{% endfor %}";
    fs::write(folder.join("model/chat_template.jinja"), template).unwrap();
    let run = "train --model model --data rows.csv --prompt-format chat --max-steps 4 --batch-size 2 --grad-accum 1 \
               --validation-split 0 --save-steps 2 --output run";
    told(&trainer(folder, run));
    let whole = result(folder, "run");
    fs::remove_file(folder.join("run/adapter_config.json")).unwrap();
    fs::remove_dir_all(folder.join("run/checkpoint-4")).unwrap();
    thread::sleep(Duration::from_millis(1100));
    let (_, stderr) = told(&trainer(folder, &format!("{run} --resume")));
    assert!(stderr.contains("going on after step 2"), "{stderr}");
    assert!(result(folder, "run") == whole, "adapter or metrics differ");
}

#[test]
fn another_run_is_not_gone_on_with() {
    let folder = workshop();
    let folder = folder.path();
    let run = "train --model model --data rows.csv --batch-size 2 --grad-accum 1 --output run";
    told(&trainer(folder, &format!("{run} --max-steps 3 --save-steps 2 --validation-split 0")));
    let before = result(folder, "run");
    write_model(&folder.join("other"));
    let mut weights = bytes(folder, "other/model.safetensors");
    *weights.last_mut().unwrap() ^= 1;
    fs::write(folder.join("other/model.safetensors"), weights).unwrap();
    let rows = String::from_utf8(bytes(folder, "rows.csv")).unwrap();
    fs::write(folder.join("other.csv"), rows.replacen("Yes.", "Yes!", 1)).unwrap();
    let resume = format!("{run} --resume --max-steps 5 --validation-split 0");
    for (arguments, reason) in [
        (
            resume.replace("--model model", "--model other"),
            "--model \"other\" is not the model that run was begun with",
        ),
        (
            resume.replace("rows.csv", "other.csv"),
            "the rows of --data \"other.csv\" are not those that run was begun",
        ),
        (format!("{resume} --lr 0.1"), "--lr is 0.1, but run was begun with 0.0002"),
        (format!("{resume} --seed 1"), "--seed is 1, but run was begun with 42"),
        (
            format!("{resume} --target-modules q_proj"),
            "--target-modules is [\"q_proj\"], but run was begun with",
        ),
        (format!("{resume} --base f32"), "--base is \"f32\", but run was begun with \"nf4\""),
    ] {
        let error = error(&trainer(folder, &arguments));
        assert!(error.starts_with("error: --resume: ") && error.contains(reason), "{error}");
        assert!(result(folder, "run") == before, "{arguments}: nothing is changed");
    }
    // The learning rate is constant, so a longer run is the same run so far.
    let (_, stderr) = told(&trainer(folder, &resume));
    assert!(stderr.contains("going on after step 3"), "{stderr}");
    told(&trainer(folder, &format!("{run}-whole --max-steps 5 --validation-split 0")));
    assert!(result(folder, "run") == result(folder, "run-whole"));
}

#[test]
fn the_best_adapter_is_kept_and_a_run_that_gets_worse_stops() {
    let folder = workshop();
    let folder = folder.path();
    // Far too fast: the rows held back are soon predicted worse and worse.
    let run = "train --model model --data rows.csv --max-steps 60 --batch-size 4 --grad-accum 1 --lr 0.15 \
               --validation-split 0.25 --eval-steps 2 --early-stopping-patience 3 --save-steps 1 --output run";
    let (stdout, _) = told(&trainer(folder, run));
    assert!(stdout.contains("stopped early after step "), "{stdout}");

    let metrics = String::from_utf8(bytes(folder, "run/metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let evaluations = lines.filter_map(|line| Some((line["eval_loss"].as_f64()?, line["step"].as_u64()?)));
    let evaluations: Vec<(f64, u64)> = evaluations.filter(|(_, step)| *step > 0).collect();
    let (_, best) = evaluations.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    let (_, last) = *evaluations.last().unwrap();
    assert_eq!(last, best + 3 * 2, "three evaluations were no better");
    assert_eq!(checkpoints(folder, "run"), [best, last - 1, last], "the best and the last two");
    assert!(stdout.contains(&format!("adapter saved in run, the best one, of step {best}\n")), "{stdout}");

    let weights = |path: &str| bytes(folder, &format!("{path}/adapter_model.safetensors"));
    assert!(weights("run") == weights(&format!("run/checkpoint-{best}")));
    assert!(weights("run") != weights(&format!("run/checkpoint-{last}")));
    let measure = "train --model model --data rows.csv --init-adapter run --max-steps 1 --validation-split 0.25 --output m";
    told(&trainer(folder, measure));
    let again = String::from_utf8(bytes(folder, "m/metrics.jsonl")).unwrap();
    let before: Value = serde_json::from_str(again.lines().next().unwrap()).unwrap();
    let lowest = evaluations.iter().find(|(_, step)| *step == best).unwrap().0;
    assert!((before["eval_loss"].as_f64().unwrap() - lowest).abs() < 1e-5, "{before} {lowest}");
}

#[test]
fn a_full_disk_takes_no_checkpoint_away() {
    let folder = workshop();
    let folder = folder.path();
    let run = "train --model model --data rows.csv --batch-size 4 --grad-accum 1 --validation-split 0 --save-steps 2 \
               --max-steps 8 --lora-dropout 0.1 --output";
    told(&trainer(folder, &format!("{run} whole")));
    let mut child = start_and_wait(folder, &format!("{run} full"), "full", 3);
    child.kill().unwrap();
    child.wait().unwrap();
    let before = checkpoints(folder, "full");
    assert!(before.contains(&2), "{before:?}");

    // No file may be longer than 16 KiB: the adapter fits, the moments of the optimizer do not.
    let size = bytes(folder, "whole/adapter_model.safetensors").len();
    assert!((8192..16384).contains(&size), "{size}");
    let script = format!("trap '' XFSZ; ulimit -f 16; exec \"$0\" {run} full --resume");
    let mut limited = Command::new("bash");
    limited.current_dir(folder).args(["-c", &script, env!("CARGO_BIN_EXE_trainer")]);
    let error = error(&limited.output().unwrap());
    assert!(
        error.contains("is kept, --resume goes on from there") && error.contains("File too large"),
        "{error}"
    );
    assert_eq!(checkpoints(folder, "full"), before);
    let hidden = fs::read_dir(folder.join("full")).unwrap();
    let hidden =
        hidden.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0, "nothing half-written is left");
    told(&trainer(folder, &format!("{run} full --resume")));
    assert!(result(folder, "full") == result(folder, "whole"));
}

#[test]
fn a_run_leaves_a_folder_that_explains_it() {
    let folder = workshop();
    let folder = folder.path();
    let run = "train --model model --data rows.csv --max-steps 4 --batch-size 2 --grad-accum 1 --lr 0.02 \
               --validation-split 0.25 --eval-steps 2 --lr-scheduler linear --output run";
    told(&trainer(folder, run));
    let text = |name: &str| String::from_utf8(bytes(folder, &format!("run/{name}"))).unwrap();
    assert!(!folder.join("run/config.json").exists(), "an adapter is no model");

    let settings: Value = serde_json::from_str(&text("run.json")).unwrap();
    for (field, value) in [
        ("lr_scheduler", json!("linear")),
        ("max_steps", json!(4)),
        ("base", json!("nf4")),
        ("seed", json!(42)),
        ("lora_dropout", json!(0.05)),
    ] {
        assert_eq!(settings[field], value, "{field}");
    }
    let card = text("README.md");
    assert!(card.starts_with("---\nbase_model: \"model\"\nlibrary_name: peft\n"), "{card}");
    assert!(
        card.contains("| learning rate | 0.02, linear |")
            && card.contains("| base | model, weights as nf4 |"),
        "{card}"
    );

    let page = text("report.html");
    for part in [
        "Loss over steps",
        "Learning rate over steps",
        "Gradient norm over steps",
        "rows held back",
        "<td>linear</td>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<polyline").count(), 4, "two losses, a learning rate, a norm");
    assert!(page.contains("<th>Tuned</th>"), "{page}");
    let asked = ["Open today?", "Cats?", "Refunds?", "Hats?"];
    assert!(asked.iter().any(|question| page.contains(&format!("<td class=\"text\">{question}"))), "{page}");
    assert!(!page.contains("src=") && !page.contains("href="), "the page needs nothing but itself");
    assert_eq!(fs::read_dir(folder.join("run/runs")).unwrap().count(), 1);
}

#[test]
fn a_dry_run_says_what_it_would_take_and_writes_nothing() {
    let folder = workshop();
    let folder = folder.path();
    let run = "train --model model --data rows.csv --epochs 2 --batch-size 2 --grad-accum 2 --validation-split 0.25 \
               --eval-steps 2 --output run";
    let (stdout, _) = told(&trainer(folder, &format!("{run} --dry-run")));
    // Two layers of q_proj [64, 64] and v_proj [32, 64], rank 8.
    for part in [
        "adapter 3,584 trainable parameters",
        "steps   6: 2.0 passes over 9 examples in 2 of 2 rows a step",
        "MiB at the peak, as estimated: process ",
        "trial   the largest micro-batch, 2 rows of ",
        "with 4 evaluations",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    assert!(!folder.join("run").exists());

    told(&trainer(folder, run));
    let steps = String::from_utf8(bytes(folder, "run/metrics.jsonl")).unwrap();
    let evaluations = steps.lines().filter(|line| line.contains("eval_loss")).count();
    assert_eq!((steps.lines().count() - evaluations, evaluations), (6, 4), "as it said");
}
