//! Which model an adapter was trained on.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::Adapter;
use crate::model::checkpoint::Checkpoint;

/// The part of the trainer's record that is read: it lies beside an adapter, or in the folder above the checkpoints of
/// a run.
const RUN_FILE: &str = "run.json";

impl Adapter {
    /// A warning if the adapter in the folder `dir` was trained on another model than that in the file or folder
    /// `model`, as far as its run says: shapes alone do not tell a model from its fine-tunes. `None` if it was not, or
    /// if nothing is known. It is no error, since the same weights may be in another form.
    pub fn warn_of_other_base(dir: &Path, model: &Path) -> Option<String> {
        let run = [Some(dir), dir.parent()].into_iter().flatten().find_map(|folder| {
            let text = fs::read_to_string(folder.join(RUN_FILE)).ok()?;
            serde_json::from_str::<Value>(&text).ok()
        })?;
        let here = Checkpoint::open(model).ok()?.fingerprint().ok()?;
        warning(&run, &here, dir, model)
    }
}

/// The warning for an adapter in `dir` of the run `run` that is attached to `model`, whose fingerprint is `here`.
fn warning(run: &Value, here: &str, dir: &Path, model: &Path) -> Option<String> {
    let trained_on = run.get("model_fingerprint")?.as_str()?;
    let short = |fingerprint: &str| fingerprint.chars().take(8).collect::<String>();
    (trained_on != here).then(|| {
        format!(
            "the adapter {} was trained on {} (fingerprint {}…), not on {} ({}…); unless these are the same weights in \
             another form, it will not do what it learned",
            dir.display(),
            run.get("model").and_then(Value::as_str).unwrap_or("another model"),
            short(trained_on),
            model.display(),
            short(here)
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_adapter_of_another_model_is_told() {
        let said = |run: Value| warning(&run, "0123456789", "run".as_ref(), "b.gguf".as_ref());
        assert_eq!(said(json!({})), None, "nothing is known");
        assert_eq!(said(json!({"model": "a", "model_fingerprint": "0123456789"})), None);
        let warning = said(json!({"model": "a", "model_fingerprint": "abcdef012345"})).unwrap();
        assert!(
            warning.contains("was trained on a (fingerprint abcdef01…), not on b.gguf (01234567…)"),
            "{warning}"
        );
    }
}
