//! The trainer's command line on a model of two small layers.

mod small_model;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use small_model::write_model;

fn write_rows(path: &Path) {
    let mut text = String::from("instruction,response,context\n");
    for (question, answer) in
        [("Open today?", "Yes."), ("Any cats?", "No."), ("Refunds?", "Yes."), ("Hats?", "No.")]
    {
        text += &format!("{question},{answer},\n{question} #2,{answer},We say {answer}\n");
    }
    fs::write(path, text).unwrap();
}

/// Runs the trainer in `folder`, which holds `model` and `rows.csv`.
fn trainer(folder: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trainer"))
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .output()
        .unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line of a failure.
fn error(output: &Output) -> String {
    assert!(!output.status.success());
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    stderr.lines().last().unwrap().to_owned()
}

fn workshop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_model(&folder.path().join("model"));
    write_rows(&folder.path().join("rows.csv"));
    folder
}

#[test]
fn training_lowers_perplexity_and_leaves_an_adapter() {
    let folder = workshop();
    let run = "train --model model --data rows.csv --max-steps 6 --batch-size 2 --grad-accum 1 --lr 0.05 \
               --validation-split 0.25 --lora-dropout 0 --output";
    let output = printed(&trainer(folder.path(), &format!("{run} first")));
    let last = output.lines().last().unwrap();
    let (before, after) = last.strip_prefix("validation perplexity ").unwrap().split_once(" → ").unwrap();
    assert!(after.parse::<f64>().unwrap() < before.parse::<f64>().unwrap(), "{last}");

    let first = folder.path().join("first");
    let metrics = fs::read_to_string(first.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 8, "six steps, and an evaluation before and after");
    let summary: Value = serde_json::from_slice(&fs::read(first.join("training.json")).unwrap()).unwrap();
    assert_eq!(
        summary["rows"],
        json!({
            "train": 6, "validation": 2, "test": 0, "blank": 0, "skipped": 0, "truncated": 0, "dropped": 0,
            "distinct_questions": 4, "distinct_pairs": 4, "leaked": 0,
        })
    );
    assert!(first.join("chat_template.jinja").exists());

    printed(&trainer(folder.path(), &format!("{run} second")));
    let weights = |name: &str| fs::read(folder.path().join(name).join("adapter_model.safetensors")).unwrap();
    assert!(weights("first") == weights("second"), "the seed decides everything");

    let measure = "perplexity --model model --file rows.csv --context 32 --json --exact";
    let perplexity = |arguments: &str| -> Value {
        serde_json::from_str(&printed(&trainer(folder.path(), arguments))).unwrap()
    };
    let (base, adapted) = (perplexity(measure), perplexity(&format!("{measure} --adapter first")));
    assert!(adapted["nll"].as_f64() < base["nll"].as_f64(), "{adapted} {base}");
    assert_eq!(base["tokens"], adapted["tokens"]);
}

#[test]
fn an_adapter_can_be_trained_further() {
    let folder = workshop();
    let run = "train --model model --data rows.csv --max-steps 1 --base keep --output";
    printed(&trainer(folder.path(), &format!("{run} first --lora-r 2 --target-modules q_proj,o_proj")));
    printed(&trainer(folder.path(), &format!("{run} second --init-adapter first --lora-dropout 0.2")));
    let config = fs::read(folder.path().join("second/adapter_config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["r"], 2);
    assert_eq!(config["target_modules"], json!(["o_proj", "q_proj"]));
    assert_eq!(config["lora_dropout"], 0.2);
}

#[test]
fn all_linear_with_rank_stabilised_scaling_is_recorded() {
    let folder = workshop();
    let run = "train --model model --data rows.csv --max-steps 2 --lora-r 4 --target-modules all-linear \
               --use-rslora --output adapter";
    printed(&trainer(folder.path(), run));
    let config = fs::read(folder.path().join("adapter/adapter_config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    let names = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"];
    assert_eq!((&config["target_modules"], &config["use_rslora"]), (&json!(names), &json!(true)));
    let measure = "perplexity --model model --file rows.csv --context 32 --adapter adapter";
    printed(&trainer(folder.path(), measure));
}

/// A chat template that this model's characters write.
const TURNS: &str = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}";

#[test]
fn conversations_are_trained_on_and_what_is_wrong_with_them_is_listed() {
    let folder = workshop();
    let chat = |question: &str| {
        json!({"messages": [
            {"role": "user", "content": question}, {"role": "assistant", "content": "Which?"},
            {"role": "user", "content": "All"}, {"role": "assistant", "content": "Yes."},
        ]})
    };
    let mut lines: Vec<String> = (0..8).map(|row| chat(["Hats?", "Cats?"][row % 2]).to_string()).collect();
    lines.insert(2, "{\"messages\": [".into());
    fs::write(folder.path().join("chats.jsonl"), lines.join("\n")).unwrap();

    let run = |arguments: &str, format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
        command.current_dir(folder.path()).args(
            "train --model model --data chats.jsonl --max-steps 1 --validation-split 0 --test-split 0.5"
                .split(' '),
        );
        command.args(arguments.split_whitespace()).args(["--prompt-format", format]).output().unwrap()
    };
    assert!(error(&run("", TURNS)).starts_with("error: chats.jsonl:3: no JSON object"));
    let plain = error(&run("--skip-bad-rows", "plain"));
    assert!(plain.contains("--data chats.jsonl: no row is left"), "{plain}");
    let chat = error(&run("--skip-bad-rows", "chat"));
    assert!(chat.contains("--prompt-format: the model has no chat template"), "{chat}");

    let output = run("--skip-bad-rows --split random", TURNS);
    printed(&output);
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    for line in [
        "4 rows to train on, 0 held back, 4 set aside",
        "8 rows hold 2 distinct pairs",
        "this random split leaks",
        "chats.jsonl:3: no JSON object",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let adapter = folder.path().join("adapter");
    assert_eq!(fs::read_to_string(adapter.join("chat_template.jinja")).unwrap(), TURNS);
    assert_eq!(fs::read_to_string(adapter.join("test.jsonl")).unwrap().lines().count(), 4);
}

/// Mean loss of a model, or of one with an adapter, on the sample rows.
fn nll(folder: &Path, model: &str) -> f64 {
    let measure = format!("perplexity --file rows.csv --context 32 --json --exact --model {model}");
    let report: Value = serde_json::from_str(&printed(&trainer(folder, &measure))).unwrap();
    report["nll"].as_f64().unwrap()
}

#[test]
fn a_merged_model_predicts_as_its_base_and_adapter() {
    let folder = workshop();
    let run = "train --model model --data rows.csv --max-steps 6 --lr 0.05 --base keep --output adapter";
    printed(&trainer(folder.path(), run));
    let nll = |model: &str| nll(folder.path(), model);
    let (base, adapted) = (nll("model"), nll("model --adapter adapter"));
    assert!(adapted < base - 0.1, "{adapted} {base}");

    // What 8 and 4 bits lose is little beside what was learned.
    for (command, model, tolerance) in [
        ("merge --model model --adapter adapter --output merged", "merged", 1e-5),
        ("merge --model model --adapter adapter --output half --dtype f16", "half", 1e-3),
        ("export --model model --adapter adapter --output f16.gguf --type F16", "f16.gguf", 1e-3),
        ("export --model model --adapter adapter --output q8_0.gguf --type q8_0", "q8_0.gguf", 0.01),
        ("quantize --model merged --output q4_k_m.gguf --type Q4_K_M", "q4_k_m.gguf", 0.05),
        ("quantize --model f16.gguf --output nf4 --type NF4", "nf4", 0.05),
    ] {
        let output = printed(&trainer(folder.path(), command));
        assert!(output.contains(&format!("written to {model} (")), "{output}");
        let exported = nll(model);
        assert!((exported - adapted).abs() < tolerance, "{command}: {exported}, {adapted}");
    }
}

#[test]
fn dora_is_trained_served_from_its_files_and_merged() {
    let folder = workshop();
    let run =
        "train --model model --data rows.csv --max-steps 6 --lr 0.05 --use-dora --base nf4 --output adapter";
    printed(&trainer(folder.path(), run));
    let more = "train --model model --data rows.csv --max-steps 1 --init-adapter adapter --output more";
    printed(&trainer(folder.path(), more));
    let nll = |model: &str| nll(folder.path(), model);
    let (base, adapted) = (nll("model"), nll("model --adapter adapter"));
    assert!(adapted < base - 0.1, "{adapted} {base}");
    printed(&trainer(folder.path(), "merge --model model --adapter adapter --output merged"));
    let merged = nll("merged");
    assert!((merged - adapted).abs() < 1e-5, "{merged} {adapted}");
}

#[test]
fn what_is_wrong_is_one_line_and_leaves_nothing() {
    let folder = workshop();
    fs::write(folder.path().join("columns.csv"), "question,answer\nA,B\n").unwrap();
    fs::write(folder.path().join("long.csv"), format!("instruction,response\n{},B\n", "A".repeat(300)))
        .unwrap();
    fs::write(folder.path().join("short.txt"), "Hi").unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for (arguments, reason) in [
        ("train --data missing.csv --model model", "missing.csv"),
        ("train --data columns.csv --model model", "columns.csv: there is no column `instruction`"),
        ("train --data rows.csv --model missing", "missing"),
        ("train --data rows.csv --model model --output file", "--output file: it is a file"),
        ("train --data rows.csv --model model --output model", "--output model: it holds other files"),
        ("train --data rows.csv --model model --target-modules q_proj,query", "no projection `query`"),
        ("train --data rows.csv --model model --init-adapter missing", "missing: there is no such folder"),
        ("train --data rows.csv --model model --max-length 9", "no row is left to train on"),
        ("train --data rows.csv --model model --device tpu", "`tpu`"),
        ("eval --model model --data missing.csv", "missing.csv"),
        ("eval --model model --data rows.csv --adapter file", "file: is a file; an adapter is a folder"),
        ("eval --model model --data rows.csv --html missing/a.html", "--html missing/a.html"),
        ("eval --model model --data long.csv", "no question fits"),
        ("perplexity --model model --file missing.txt", "missing.txt"),
        ("merge --model model --adapter missing --output new", "missing: there is no such folder"),
        ("quantize --model model --output model --type NF4", "model: is not empty; name a new folder"),
        ("quantize --model model --output file/new.gguf --type F16", "file/new.gguf: Not a directory"),
        ("perplexity --model model --file short.txt --context 64", "less than one window"),
        ("perplexity --model model --file short.txt", "at most 256 tokens"),
        (
            "perplexity --model model --file rows.csv --context 64 --adapter file",
            "file: is a file; an adapter is a folder",
        ),
    ] {
        let error = error(&trainer(folder.path(), arguments));
        assert!(error.starts_with("error: ") && error.contains(reason), "{arguments}: {error}");
        assert!(!folder.path().join("adapter").exists(), "{arguments}");
    }
}

#[test]
fn an_adapter_is_compared_with_its_base() {
    let folder = workshop();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("learn.csv", "instruction,response\nOpen?,Yes.\nCats?,Yes.\nHats?,Yes.\n");
    write(
        "ask.csv",
        "instruction,response,intent\nOpen?,Yes.,hours\nDogs <b>?,No.,pets\nCats?,Yes.,pets\n,,\n",
    );
    let train = "train --model model --data learn.csv --max-steps 60 --grad-accum 1 --lr 0.02 --lora-dropout 0 \
                 --target-modules q_proj,v_proj,down_proj --validation-split 0 --output adapter";
    printed(&trainer(folder.path(), train));

    let eval = "eval --model model --data ask.csv --max-tokens 8 --adapter adapter";
    let report: Value =
        serde_json::from_str(&printed(&trainer(folder.path(), &format!("{eval} --json --html report.html"))))
            .unwrap();
    assert_eq!(report["rows"], json!({ "scored": 3, "blank": 1, "truncated": 0, "dropped": 0 }));
    let score = |model: &str, group: &str, name: &str| {
        let scores = &report["scores"][model];
        let scores = if group == "all" { &scores["overall"] } else { &scores["categories"][group] };
        scores[name].as_f64().unwrap()
    };
    assert!(score("adapter", "all", "perplexity") < score("base", "all", "perplexity"), "{report}");
    // It has learned to say yes, and to stop there, whatever the question.
    for answer in report["answers"].as_array().unwrap() {
        assert_eq!(answer["adapter"]["text"], "Yes.");
        assert_ne!(answer["base"]["text"], "Yes.");
    }
    assert_eq!(score("adapter", "all", "exact_match"), 2.0 / 3.0);
    assert_eq!((score("adapter", "hours", "rougeL"), score("adapter", "pets", "rougeL")), (1.0, 0.5));
    assert_eq!((score("base", "all", "exact_match"), score("base", "pets", "rows")), (0.0, 2.0));

    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("Dogs &lt;b&gt;?") && page.contains("<td>pets</td><td>adapter</td>"), "{page}");
    assert!(!page.contains("src=") && !page.contains("href="), "the page needs nothing but itself");

    let table = printed(&trainer(folder.path(), &format!("{eval} --limit 1")));
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..4], ["category", "model", "rows", "perplexity"]);
    let models: Vec<_> = lines[1..5].iter().map(|line| (line[0], line[1], line[2])).collect();
    assert_eq!(
        models,
        [("all", "base", "1"), ("all", "adapter", "1"), ("hours", "base", "1"), ("hours", "adapter", "1")]
    );
    assert_eq!(table.lines().nth(5), Some("blank rows left out: 1"));
}

#[test]
fn questions_are_put_as_the_adapter_learned_them() {
    let folder = workshop();
    let train = |format: &str, output: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
        command.current_dir(folder.path()).args(
            "train --model model --data rows.csv --max-steps 60 --grad-accum 1 --lr 0.02 --lora-dropout 0 \
             --target-modules all-linear --base keep --validation-split 0"
                .split_whitespace(),
        );
        printed(&command.args(["--output", output, "--prompt-format", format]).output().unwrap());
    };
    let perplexity = |adapter: &str| {
        let eval = format!("eval --model model --data rows.csv --limit 2 --max-tokens 2 --json {adapter}");
        let report: Value = serde_json::from_str(&printed(&trainer(folder.path(), &eval))).unwrap();
        assert_eq!(report["rows"]["scored"], 2);
        let scores = &report["scores"];
        ["base", "adapter"].map(|model| scores[model]["overall"]["perplexity"].as_f64())
    };
    let [plain, _] = perplexity("");
    for (format, output) in [("Q:{instruction};", "pair"), (TURNS, "turns")] {
        train(format, output);
        let [base, adapter] = perplexity(&format!("--adapter {output}"));
        assert_ne!(base, plain, "{format}: the base is asked in the adapter's form too");
        assert!(adapter.unwrap() < base.unwrap() / 4.0, "{format}: {base:?} {adapter:?}");
    }
}

/// The path that an environment variable holds.
fn variable(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    if path.is_none() {
        println!("skipped: {name} is not set");
    }
    path
}

#[test]
fn perplexity_is_that_of_the_reference() {
    let (Some(data), Some(model)) = (variable("CONFORMANCE_DATA"), variable("SMOLLM2_GGUF")) else { return };
    let measure = |exact: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
        command.args(["perplexity", "--json", "--model"]).arg(&model).args(exact);
        let output = command.arg("--file").arg(data.join("perplexity/seed.txt")).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        println!("{exact:?}: {report}");
        assert_eq!(report["tokens"], 8 * 255);
        report["perplexity"].as_f64().unwrap()
    };
    // transformers in f32, to 0.1 %.
    let exact = measure(&["--exact"]);
    assert!((exact / 2.8693 - 1.0).abs() < 1e-3, "{exact}");
    // llama-perplexity with activations in 8 bits, and half a percent.
    let integer = measure(&[]);
    assert!(integer <= 1.005 * 2.8795, "{integer}");
}
