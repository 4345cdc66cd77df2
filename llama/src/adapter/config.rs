//! `adapter_config.json` under PEFT's field names.

use engine::{LoraConfig, LoraWeights};
use serde_json::{Map, Value, json};

use super::ranks::Pattern;
use super::whole;

/// What the file says, `lora.target_modules` left empty until [`Targets::resolve`].
#[derive(Debug)]
pub(super) struct PeftConfig {
    pub lora: LoraConfig,
    pub targets: Targets,
    /// The layers that have an adapter, if not all: `layers_to_transform`.
    pub some_layers: Option<Vec<u64>>,
    pub base_model: Option<String>,
    /// Ranks of their own.
    pub ranks: Pattern,
    /// `lora_alpha`s of their own.
    pub alphas: Pattern,
}

/// `target_modules` as written: PEFT takes a list of name endings or one regular expression.
#[derive(Debug, PartialEq)]
pub(super) enum Targets {
    Names(Vec<String>),
    Pattern,
}

/// Fields of LoRA variants that the engine does not have; each must be null, false or empty. (`fan_in_fan_out` is for
/// layers that a Llama model does not have; PEFT sets it to false for its linear ones.)
const UNSUPPORTED: &[&str] = &[
    "alora_invocation_tokens",
    "arrow_config",
    "corda_config",
    "kasa_config",
    "layer_replication",
    "lora_bias",
    "megatron_config",
    "monteclora_config",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_qalora",
    "velora_config",
];

/// Initialisations that leave the base's weights as they are. The others (PiSSA, OLoRA, LoftQ, …)
/// change them, so their adapters fit a base that is not the published one.
const PLAIN_INITS: &[&str] = &["gaussian", "eva", "orthogonal"];

pub(super) fn fields(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))
}

pub(super) fn parse(fields: &Map<String, Value>) -> Result<PeftConfig, String> {
    let get = |name: &str| fields.get(name).unwrap_or(&Value::Null);

    match get("peft_type") {
        Value::String(kind) if kind == "LORA" => {}
        other => return Err(format!("peft_type is {other}; only \"LORA\" is supported")),
    }
    match get("task_type") {
        Value::Null => {}
        Value::String(task) if task == "CAUSAL_LM" => {}
        other => return Err(format!("task_type is {other}; only \"CAUSAL_LM\" is supported")),
    }
    // Biases that were trained are tensors of the file, where they are refused; most models have none to train.
    match get("bias") {
        Value::Null => {}
        Value::String(bias) if ["none", "all", "lora_only"].contains(&bias.as_str()) => {}
        other => return Err(format!("bias is {other}; \"none\", \"all\" or \"lora_only\" is wanted")),
    }
    match get("init_lora_weights") {
        Value::Null | Value::Bool(_) => {}
        Value::String(init) if PLAIN_INITS.contains(&init.as_str()) => {}
        other => return Err(format!("init_lora_weights is {other}, which needs a changed base model")),
    }
    for name in UNSUPPORTED {
        let unset = match get(name) {
            Value::Null | Value::Bool(false) => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(items) => items.is_empty(),
            _ => false,
        };
        if !unset {
            return Err(format!("{name} is {}; this variant of LoRA is not supported", get(name)));
        }
    }

    let r = match get("r").as_u64().and_then(|r| usize::try_from(r).ok()) {
        Some(r) if r > 0 => r,
        _ => return Err(format!("r is {}; a positive whole number is wanted", get("r"))),
    };
    let lora_alpha = match get("lora_alpha").as_f64() {
        Some(alpha) if (alpha as f32).is_finite() => alpha as f32,
        _ => return Err(format!("lora_alpha is {}; a number is wanted", get("lora_alpha"))),
    };
    let lora_dropout = match get("lora_dropout") {
        Value::Null => 0.0,
        value => match value.as_f64() {
            Some(dropout) if (0.0..1.0).contains(&dropout) => dropout as f32,
            _ => return Err(format!("lora_dropout is {value}; a number from 0 to below 1 is wanted")),
        },
    };
    let flag = |name: &str| match get(name) {
        Value::Null => Ok(false),
        Value::Bool(value) => Ok(*value),
        other => Err(format!("{name} is {other}; true or false is wanted")),
    };
    // PEFT saves these whole; what equals the base's does no harm.
    let modules = match get("modules_to_save") {
        Value::Null => &[],
        Value::Array(modules) => modules.as_slice(),
        other => return Err(format!("modules_to_save is {other}; a list of names is wanted")),
    };
    if !modules.iter().all(|module| module.as_str().is_some_and(whole::is_comparable)) {
        return Err(format!(
            "modules_to_save is {}; only embed_tokens and lm_head, equal to the base's, are supported",
            get("modules_to_save")
        ));
    }
    Ok(PeftConfig {
        lora: LoraConfig {
            r,
            lora_alpha,
            lora_dropout,
            target_modules: Vec::new(),
            use_rslora: flag("use_rslora")?,
            use_dora: flag("use_dora")?,
        },
        targets: Targets::parse(get("target_modules"))?,
        some_layers: layers(get("layers_to_transform"))?,
        base_model: get("base_model_name_or_path").as_str().map(str::to_owned),
        ranks: Pattern::parse("rank_pattern", get("rank_pattern"))?,
        alphas: Pattern::parse("alpha_pattern", get("alpha_pattern"))?,
    })
}

/// Layers by number: one, a list, or none named.
fn layers(value: &Value) -> Result<Option<Vec<u64>>, String> {
    let wrong = || format!("layers_to_transform is {value}; numbers of layers are wanted");
    match value {
        Value::Null => Ok(None),
        Value::Number(one) => Ok(Some(vec![one.as_u64().ok_or_else(wrong)?])),
        Value::Array(all) => {
            let all: Option<Vec<u64>> = all.iter().map(Value::as_u64).collect();
            all.ok_or_else(wrong).map(Some)
        }
        _ => Err(wrong()),
    }
}

impl Targets {
    fn parse(value: &Value) -> Result<Self, String> {
        let wanted = || format!("target_modules is {value}; a list of names or a pattern is wanted");
        match value {
            Value::String(_) => Ok(Self::Pattern),
            Value::Array(names) if !names.is_empty() => names
                .iter()
                .map(|name| name.as_str().map(str::to_owned).ok_or_else(wanted))
                .collect::<Result<_, _>>()
                .map(Self::Names),
            _ => Err(wanted()),
        }
    }

    /// The names (`q_proj`) of the projections that `weights` cover: the weights are what was trained, and
    /// a list must agree with them. Of a pattern, or of `some_layers`, each projection's whole name.
    pub(super) fn resolve(
        &self,
        weights: &[LoraWeights],
        some_layers: Option<&[u64]>,
    ) -> Result<Vec<String>, String> {
        let named = |module: &str, name: &str| {
            module.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        // PEFT accepts a list as long as one of its names matches a module, so the list may name more than was trained.
        // Only modules with weights were trained, and each of them must be on the list.
        if let Self::Names(names) = self
            && let Some(w) = weights.iter().find(|w| !names.iter().any(|name| named(&w.module, name)))
        {
            return Err(format!("weights for {}, which target_modules does not name", w.module));
        }
        let layer = |module: &str| module.split('.').find_map(|part| part.parse::<u64>().ok());
        let other = |layers: &&[u64]| {
            weights.iter().find(|w| layer(&w.module).is_none_or(|layer| !layers.contains(&layer)))
        };
        if let Some(w) = some_layers.as_ref().and_then(other) {
            return Err(format!("weights for {}, whose layer layers_to_transform does not name", w.module));
        }
        if some_layers.is_some() || *self == Self::Pattern {
            return Ok(weights.iter().map(|pair| pair.module.clone()).collect());
        }
        let mut names: Vec<String> = Vec::new();
        for pair in weights {
            let name = pair.module.rsplit('.').next().unwrap_or(&pair.module);
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// The fields that PEFT has had since its first LoRA, so that old and new releases read the file.
pub(super) fn render(config: &LoraConfig, base_model: Option<&str>) -> String {
    let fields = json!({
        "alpha_pattern": {},
        "auto_mapping": null,
        "base_model_name_or_path": base_model,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "layers_pattern": null,
        "layers_to_transform": null,
        "lora_alpha": number(config.lora_alpha),
        "lora_dropout": number(config.lora_dropout),
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": config.r,
        "rank_pattern": {},
        "revision": null,
        "target_modules": config.target_modules,
        "task_type": "CAUSAL_LM",
        "use_dora": config.use_dora,
        "use_rslora": config.use_rslora,
    });
    format!("{fields:#}\n")
}

/// 16 as `16` and 0.05 as `0.05`: PEFT declares lora_alpha whole, and f32 digits would show in JSON.
fn number(value: f32) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e9 {
        return json!(value as i64);
    }
    value.to_string().parse::<f64>().map_or(Value::Null, |value| json!(value))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;

    use super::*;

    fn config() -> LoraConfig {
        LoraConfig {
            r: 8,
            lora_alpha: 16.0,
            lora_dropout: 0.05,
            target_modules: vec!["q_proj".into(), "v_proj".into()],
            ..LoraConfig::default()
        }
    }

    fn parse(text: &str) -> Result<PeftConfig, String> {
        super::parse(&fields(text)?)
    }

    fn with(field: &str, value: Value) -> String {
        let mut fields: Value = serde_json::from_str(&render(&config(), None)).unwrap();
        fields[field] = value;
        fields.to_string()
    }

    #[test]
    fn rendered_and_parsed_are_the_same() {
        let text = render(&config(), Some("m"));
        assert!(text.contains("\"lora_alpha\": 16,") && text.contains("\"lora_dropout\": 0.05,"), "{text}");
        let parsed = parse(&text).unwrap();
        assert_eq!(parsed.lora, LoraConfig { target_modules: vec![], ..config() });
        assert_eq!(parsed.targets, Targets::Names(config().target_modules));
        assert_eq!(parsed.base_model.as_deref(), Some("m"));
    }

    #[test]
    fn variants_survive_the_file() {
        for (use_rslora, use_dora) in [(true, false), (false, true), (true, true)] {
            let variant = LoraConfig { use_rslora, use_dora, ..config() };
            let parsed = parse(&render(&variant, None)).unwrap().lora;
            assert_eq!(parsed, LoraConfig { target_modules: vec![], ..variant });
        }
    }

    #[test]
    fn a_field_that_we_do_not_support_is_named() {
        let cases = [
            ("peft_type", json!("IA3")),
            ("task_type", json!("SEQ_CLS")),
            ("bias", json!("some")),
            ("init_lora_weights", json!("pissa")),
            ("use_dora", json!(1)),
            ("use_qalora", json!(true)),
            ("use_rslora", json!("yes")),
            ("modules_to_save", json!(["score"])),
            ("modules_to_save", json!("lm_head")),
            ("layers_to_transform", json!("3")),
            ("layers_to_transform", json!([0, -1])),
            ("rank_pattern", json!([4])),
            ("alpha_pattern", json!(4)),
            ("r", json!(0)),
            ("r", json!(-8)),
            ("r", json!("8")),
            ("lora_alpha", json!(null)),
            ("lora_dropout", json!(1.0)),
            ("target_modules", json!(null)),
            ("target_modules", json!([1])),
        ];
        for (field, value) in cases {
            let error = parse(&with(field, value.clone())).unwrap_err();
            assert!(error.starts_with(&format!("{field} is {value}")), "{error}");
        }
        for field in ["rank_pattern", "alpha_pattern"] {
            let error = parse(&with(field, json!({"q_proj": "4"}))).unwrap_err();
            assert!(error.contains(&format!("{field} gives `q_proj` \"4\"; a number")), "{error}");
        }
        assert!(parse("[]").unwrap_err().contains("JSON"));
        assert!(parse("{").unwrap_err().contains("JSON"));
    }

    #[test]
    fn fields_that_do_not_matter_are_let_through() {
        for (field, value) in [
            ("init_lora_weights", json!("gaussian")),
            ("modules_to_save", json!([])),
            ("modules_to_save", json!(["lm_head", "model.embed_tokens"])),
            ("fan_in_fan_out", json!(true)),
            ("bias", json!("lora_only")),
            ("task_type", json!(null)),
            ("some_future_field", json!(3)),
            ("rank_pattern", json!({"up_proj": 8})),
            ("alpha_pattern", json!({"up_proj": 16})),
            ("layers_to_transform", json!([0, 1])),
        ] {
            parse(&with(field, value)).unwrap();
        }
    }

    #[test]
    fn names_come_from_the_weights() {
        let device = engine::device::parse(engine::device::AVAILABLE[0]).unwrap();
        let weights = ["model.layers.0.self_attn.v_proj", "model.layers.0.self_attn.q_proj"].map(|module| {
            LoraWeights {
                module: module.into(),
                a: Tensor::zeros([1, 1], &device),
                b: Tensor::zeros([1, 1], &device),
                magnitude: None,
            }
        });
        let names = |names: &[&str]| Targets::Names(names.iter().map(|&name| name.into()).collect());
        let resolved = |targets: &Targets| targets.resolve(&weights, None);
        assert_eq!(resolved(&names(&["self_attn.q_proj", "v_proj"])).unwrap(), ["q_proj", "v_proj"]);
        assert_eq!(
            resolved(&names(&["q_proj", "v_proj", "w1"])).unwrap(),
            ["q_proj", "v_proj"],
            "a wish list"
        );
        assert!(resolved(&names(&["q_proj"])).unwrap_err().contains("v_proj"));
        assert!(resolved(&names(&["proj"])).is_err(), "a name is whole components");

        let whole = ["model.layers.0.self_attn.v_proj", "model.layers.0.self_attn.q_proj"];
        assert_eq!(resolved(&Targets::Pattern).unwrap(), whole);
        let both = names(&["q_proj", "v_proj"]);
        assert_eq!(both.resolve(&weights, Some(&[3, 0])).unwrap(), whole);
        assert!(both.resolve(&weights, Some(&[1])).unwrap_err().contains("whose layer layers_to_transform"));
    }
}
