//! What is written is opened again, and goes if it would be read otherwise.

use super::*;
use crate::export::probe::Sums;
use crate::export::source::Encoded;

/// Changes a file of JSON.
fn edit(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let mut json = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut json);
    fs::write(path, json.to_string()).unwrap();
}

#[test]
fn a_tokenizer_that_the_form_has_no_place_for_is_refused() {
    let dir = workshop();
    let path = |name: &str| dir.path().join(name);
    let tokenizer = path("model/tokenizer.json");
    let original = fs::read(&tokenizer).unwrap();
    for (flag, lost) in [("lstrip", true), ("rstrip", true), ("single_word", true), ("special", false)] {
        fs::write(&tokenizer, &original).unwrap();
        edit(&tokenizer, |json| json["added_tokens"][0][flag] = json!(lost));
        let before = names_in(dir.path());
        let written = open(&path("model")).write_gguf(&path("new.gguf"), Recipe::F16, &mut quiet());
        if flag == "special" {
            // A token that a person may write: GGUF has a type for it.
            written.unwrap();
            fs::remove_file(path("new.gguf")).unwrap();
        } else {
            let error = written.unwrap_err().to_string();
            assert!(
                error
                    .contains("new.gguf: is not written: this form has no place for what its tokenizer does"),
                "{flag}: {error}"
            );
        }
        assert_eq!(names_in(dir.path()), before, "{flag}: nothing is left");
        // The folder has the tokenizer's own file.
        open(&path("model")).write_folder(&path("folder"), None, &mut quiet()).unwrap();
        fs::remove_dir_all(path("folder")).unwrap();
    }
}

#[test]
fn an_added_token_within_words_is_probed() {
    let dir = workshop();
    let path = |name: &str| dir.path().join(name);
    edit(&path("model/tokenizer.json"), |json| {
        let mut token = json["added_tokens"][0].clone();
        for (field, value) in [
            ("id", json!(259)),
            ("content", json!("[ORDER]")),
            ("special", json!(false)),
            ("rstrip", json!(true)),
        ] {
            token[field] = value;
        }
        json["added_tokens"].as_array_mut().unwrap().push(token);
    });
    let error = open(&path("model")).write_gguf(&path("new.gguf"), Recipe::F16, &mut quiet()).unwrap_err();
    assert!(
        error.to_string().contains("\"My [ORDER]number [ORDER] and x[ORDER]\" would be read with"),
        "{error}"
    );
    assert!(!path("new.gguf").exists());
}

/// The sums of a model's tensors as its folder has them.
fn sums(export: &Export, rounded: bool) -> Sums {
    let mut sums = Sums::default();
    for (name, shape) in export.source.tensors() {
        let Encoded { bytes, .. } = export.source.encoded(&name, &shape, Storage::Float(Float::F32)).unwrap();
        sums.note(&name, &Encoded { bytes, rounded });
    }
    sums
}

#[test]
fn other_tensors_than_were_written_are_found() {
    let dir = workshop();
    let path = |name: &str| dir.path().join(name);
    write_model(&path("other"), |name, values| {
        if name.ends_with("1.mlp.up_proj.weight") {
            values.swap(3, 4);
        }
    });
    let (model, other) = (open(&path("model")), open(&path("other")));
    let sums = sums(&model, false);
    sums.check(&model.source.checkpoint).unwrap();
    let error = sums.check(&other.source.checkpoint).unwrap_err().to_string();
    assert!(error.contains("`model.layers.1.mlp.up_proj.weight` is read otherwise"), "{error}");
}

#[test]
fn another_first_token_is_found() {
    let dir = workshop();
    let path = |name: &str| dir.path().join(name);
    for name in ["turned", "negative"] {
        write_model(&path(name), |tensor, values| {
            if name == "negative" && tensor == "lm_head.weight" {
                values.iter_mut().for_each(|value| *value = -*value);
            }
        });
    }
    edit(&path("turned/config.json"), |json| {
        json["rope_theta"] = json!(1.5);
        json["rms_norm_eps"] = json!(0.5);
    });
    let model = open(&path("model"));
    let prompts = vec![vec![70, 71, 72, 73, 74, 75], vec![80, 90, 100, 110], vec![5, 4, 3, 2, 1, 0, 9, 8]];
    for (written, rounded, found) in [
        ("model", false, false),
        ("model", true, false),
        ("turned", false, true),
        ("turned", true, true),
        ("negative", false, true),
        // The tensors are the other's own: their sums tell.
        ("negative", true, false),
    ] {
        let checked = sums(&model, rounded).check_answers(
            &model.source,
            &open(&path(written)).source.checkpoint,
            &prompts,
        );
        assert_eq!(checked.is_err(), found, "{written} {rounded}: {checked:?}");
        if let Err(error) = checked {
            assert!(error.contains("its answer to a probe would begin with the token"), "{error}");
        }
    }
}

#[test]
fn a_model_that_overflows_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    write_model(&path("model"), |name, values| {
        if name.contains("mlp.") {
            values.iter_mut().for_each(|value| *value *= 1e18);
        }
    });
    let written = open(&path("model")).write_folder(&path("new"), None, &mut quiet());
    let error = written.unwrap_err().to_string();
    assert!(error.contains("new: is not written: its answer to a probe is no finite number"), "{error}");
    assert_eq!(names_in(dir.path()), ["model"]);
}

#[test]
fn a_tied_head_of_its_own_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    for (same, output) in [(true, "first"), (false, "second")] {
        write_model(&model, |name, values| {
            if name == "model.embed_tokens.weight" || same && name == "lm_head.weight" {
                values.iter_mut().zip(0..).for_each(|(value, at): (_, i32)| *value = (at as f32 * 0.3).sin());
            }
        });
        edit(&model.join("config.json"), |json| json["tie_word_embeddings"] = json!(true));
        let written = open(&model).write_folder(&dir.path().join(output), None, &mut quiet());
        match written {
            Ok(()) => assert!(same),
            Err(error) => {
                assert!(
                    !same && error.to_string().contains("`lm_head.weight` differs from the embedding table"),
                    "{error}"
                );
            }
        }
    }
}
