//! Renderings of huggingface.js, llama.cpp and Python's jinja2.

use std::collections::BTreeMap;

use llama::{ChatTemplate, Message};
use serde::Deserialize;
use serde_json::Value;

use super::{Tally, json, reference, same};

#[derive(Deserialize)]
struct HuggingFaceCase {
    chat_template: String,
    data: BTreeMap<String, Value>,
    target: String,
}

/// Its case leaves `add_generation_prompt` undefined, which this template takes for true.
/// `ChatTemplate` always defines it, as transformers does.
const PROMPTS_BY_DEFAULT: &str = "ai21labs/AI21-Jamba-Large-1.6";

#[test]
fn templates_of_the_hub_render_as_in_huggingface_js() {
    let Some(path) = reference("chat_templates/hfjs_cases.json") else { return };
    let mut tally = Tally::new("hfjs_cases.json");
    let groups: BTreeMap<String, BTreeMap<String, HuggingFaceCase>> = json(&path);
    for (name, mut case) in groups.into_values().flatten() {
        if name == PROMPTS_BY_DEFAULT {
            case.data.insert("add_generation_prompt".into(), true.into());
        }
        let text = rendered(&case.chat_template, &case.data);
        tally.count(name, text.and_then(|text| same(&text, &case.target)));
    }
    tally.finish(&[]);
}

#[derive(Deserialize)]
struct UnitCase {
    name: String,
    template: String,
    context: BTreeMap<String, Value>,
    expected: String,
}

/// Variables called `if` and `in`: minijinja's parser refuses them, and no template known here has any.
const KEYWORDS_AS_NAMES: &str = "CONTEXT_KEYWORDS";

#[test]
fn jinja_features_render_as_in_python() {
    let Some(path) = reference("chat_templates/jinja_unit_cases.json") else { return };
    let mut tally = Tally::new("jinja_unit_cases.json");
    for case in json::<Vec<UnitCase>>(&path) {
        let text = rendered(&case.template, &case.context);
        tally.count(case.name, text.and_then(|text| same(&text, &case.expected)));
    }
    tally.finish(&[KEYWORDS_AS_NAMES]);
}

#[derive(Deserialize)]
struct LlamaCpp {
    conversation: Vec<Message>,
    add_generation_prompt: bool,
    cases: Vec<LlamaCppCase>,
}

#[derive(Deserialize)]
struct LlamaCppCase {
    name: String,
    template_str: String,
    bos_token: Option<String>,
    eos_token: Option<String>,
    jinja2_output: Option<String>,
}

/// llama.cpp's own expectations come from rewrites of the templates in C++; what Python's jinja2 makes
/// of the templates themselves is the measure.
#[test]
fn llama_cpps_templates_render_as_in_python() {
    let Some(path) = reference("chat_templates/llamacpp_cases.json") else { return };
    let file: LlamaCpp = json(&path);
    let mut tally = Tally::new("llamacpp_cases.json");
    for case in &file.cases {
        let template = ChatTemplate::new(
            &case.template_str,
            case.bos_token.as_deref().unwrap_or_default(),
            case.eos_token.as_deref().unwrap_or_default(),
        );
        let text =
            template.and_then(|template| template.render(&file.conversation, file.add_generation_prompt));
        let outcome = match (&text, &case.jinja2_output) {
            (Ok(text), Some(expected)) => same(text, expected),
            (Ok(text), None) => Err(format!("{text:?}, where Python has none")),
            (Err(error), _) => Err(error.to_string()),
        };
        tally.count(&case.name, outcome);
    }
    tally.finish(&[]);
}

fn rendered(template: &str, variables: &BTreeMap<String, Value>) -> Result<String, String> {
    let template = ChatTemplate::new(template, "", "").map_err(|error| error.to_string())?;
    template.render_with(&[], false, variables).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct Jinja2 {
    context: BTreeMap<String, Value>,
    cases: Vec<Jinja2Case>,
    unsupported: Vec<Unsupported>,
}

#[derive(Deserialize)]
struct Jinja2Case {
    template: String,
    /// None where Jinja2 fails.
    text: Option<String>,
}

#[derive(Deserialize)]
struct Unsupported {
    template: String,
    names: String,
}

fn jinja2() -> Jinja2 {
    serde_json::from_str(include_str!("../fixtures/jinja.json")).unwrap()
}

/// Every filter, test and global of Jinja2 and the methods of Python's `str`, `dict` and `list`; where Python raises an
/// error, there is one here.
#[test]
fn python_in_templates_is_pythons() {
    let Jinja2 { context, cases, .. } = jinja2();
    let mut wrong = Vec::new();
    for case in &cases {
        let text = rendered(&case.template, &context);
        match (&text, &case.text) {
            (Ok(text), Some(expected)) if text == expected => {}
            (Err(_), None) => {}
            _ => wrong.push(format!("{}\n  is {text:?}\n  not {:?}", case.template, case.text)),
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let Jinja2 { context, unsupported, .. } = jinja2();
    for Unsupported { template, names } in unsupported {
        let error = rendered(&template, &context).unwrap_err();
        assert!(error.contains(&names), "{template}: {error}");
    }
}
