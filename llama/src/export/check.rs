//! Checks a written model before it gets its name, by opening it again: it must encode prompts to the same tokens and
//! describe the same model.

use std::path::Path;

use engine::{LlamaConfig, RopeScaling};

use crate::error::LlamaError;
use crate::files::gguf::Gguf;
use crate::model::checkpoint::Checkpoint;
use crate::model::config;
use crate::text::chat_template::{ChatTemplate, Message};
use crate::text::tokenizer::Tokenizer;

/// Texts that tokenizers cut differently: spaces and line ends in all places, digits, scripts, bytes.
const PROBES: [&str; 10] = [
    "Where is my order?",
    " a leading space, two  spaces, a trailing one ",
    "line\nline\r\n\n\ttab\n",
    "It's 3.14159, 1,000,000 or 2026-11-27; call +49 (0)30 12345.",
    "don't WE'LL  X's",
    "Größe: 180 cm für 12,50 €",
    "注文はどこですか。 ที่ไหน أين طلبي",
    "👩‍👩‍👧 naïve café", // composed: GGUF has no field for a normalization to NFC
    "<|im_start|> <s> [INST] are not control tokens here",
    "\u{a0}\u{2028}\u{feff}\u{0}",
];

/// Most tokens of a prompt that a written model is asked.
const LONGEST: usize = 64;

/// What a model's files say about it, apart from its tensors.
pub(super) struct ModelDescription {
    config: LlamaConfig,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
}

impl ModelDescription {
    /// The description of the model that is exported.
    pub fn source(checkpoint: &Checkpoint, folder: &Path, tokenizer: Tokenizer) -> Result<Self, LlamaError> {
        let [bos, eos] = spelled(&tokenizer);
        let template = match checkpoint.gguf() {
            Some(gguf) => ChatTemplate::from_gguf(gguf, &bos, &eos),
            None => ChatTemplate::from_dir(folder, &bos, &eos),
        };
        let template = template.map_err(|error| LlamaError::file(folder, error.to_string()))?;
        Ok(Self { config: checkpoint.config().clone(), tokenizer, template })
    }

    /// The same with the prompts that an adapter was trained on.
    pub fn with_template(self, source: &str) -> Result<Self, LlamaError> {
        let [bos, eos] = spelled(&self.tokenizer);
        let template = ChatTemplate::new(source, &bos, &eos)
            .map_err(|error| LlamaError::file(Path::new("chat_template.jinja"), error.to_string()))?;
        Ok(Self { template: Some(template), ..self })
    }

    /// The GGUF file `path`, which may not have its name yet.
    pub fn gguf(path: &Path) -> Result<Self, LlamaError> {
        let gguf = Gguf::open(path)?;
        let refused = |error: &dyn std::fmt::Display| LlamaError::file(path, error.to_string());
        let tokenizer = Tokenizer::from_gguf(&gguf).map_err(|error| refused(&error))?;
        let [bos, eos] = spelled(&tokenizer);
        let template = ChatTemplate::from_gguf(&gguf, &bos, &eos).map_err(|error| refused(&error))?;
        let (_, config) = config::from_gguf(&gguf)?;
        Ok(Self { config, tokenizer, template })
    }

    /// The model's folder `path`, which may not have its name yet.
    pub fn folder(path: &Path) -> Result<Self, LlamaError> {
        let checkpoint = Checkpoint::open(path)?;
        let tokenizer =
            Tokenizer::from_dir(path).map_err(|error| LlamaError::file(path, error.to_string()))?;
        Self::source(&checkpoint, path, tokenizer)
    }

    /// What the model is asked, in tokens: a text, a bare word, and a conversation if it has a template. What one
    /// of them has no tokens for is left out.
    pub fn prompts(&self) -> Vec<Vec<u32>> {
        let rows = self.config.vocab_size;
        let asked = [Message::new("user", PROBES[0])];
        let conversation = self
            .template
            .as_ref()
            .and_then(|template| self.tokenizer.encode_chat(&template.clone().at(0), &asked, true).ok());
        let texts = [PROBES[0], "The"].into_iter().filter_map(|text| self.tokenizer.encode_prompt(text).ok());
        texts
            .chain(conversation)
            .map(|tokens| tokens.into_iter().take(LONGEST).collect::<Vec<u32>>())
            .filter(|tokens| !tokens.is_empty() && tokens.iter().all(|&token| (token as usize) < rows))
            .collect()
    }

    /// Checks that `written` is the same model: its shape, what it makes of the probes, of every control token
    /// within a text and of a conversation, and what ends its answers. (Rotary scalings may be written in another
    /// form with the same numbers; they are not compared here.)
    pub fn check_same(&self, written: &Self) -> Result<(), String> {
        let plain = |config: &LlamaConfig| LlamaConfig { rope_scaling: RopeScaling::None, ..config.clone() };
        if plain(&self.config) != plain(&written.config) {
            return Err(format!(
                "it would describe another model: {:?}, not {:?}",
                written.config, self.config
            ));
        }
        let (ours, theirs) = (&self.tokenizer, &written.tokenizer);
        let same = |text: &str, ids: [Vec<u32>; 2]| match ids[0] == ids[1] {
            true => Ok(()),
            false => {
                let at = ids[0].iter().zip(&ids[1]).take_while(|(a, b)| a == b).count();
                let spelled = |tokenizer: &Tokenizer, ids: &[u32]| {
                    let id = ids.get(at).and_then(|id| tokenizer.id_to_token(*id));
                    id.map_or_else(|| "its end".into(), |token| format!("`{token}`"))
                };
                Err(format!(
                    "this form has no place for what its tokenizer does: {text:?} would be read with {} as token {}, \
                     not {}",
                    spelled(theirs, &ids[1]),
                    at + 1,
                    spelled(ours, &ids[0])
                ))
            }
        };
        let refused = |error: crate::text::tokenizer::TokenizerError| error.to_string();
        for text in PROBES {
            // A text that neither can encode is no difference.
            let [a, b] = [ours, theirs].map(|tokenizer| tokenizer.encode_prompt(text).unwrap_or_default());
            same(text, [a, b])?;
        }
        for (_, token) in ours.control_tokens() {
            let text = format!("a{token}b {token} c");
            let encoded = |tokenizer: &Tokenizer| tokenizer.encode_with_control(&text).map_err(refused);
            same(&text, [encoded(ours)?, encoded(theirs)?])?;
        }
        // Added tokens that a person may write: what surrounds them counts as well.
        for (_, token) in ours.added().into_iter().filter(|(id, _)| !ours.is_control(*id)) {
            let text = format!("My {token}number {token} and x{token}");
            same(
                &text,
                [ours.encode_prompt(&text).map_err(refused)?, theirs.encode_prompt(&text).map_err(refused)?],
            )?;
        }
        let ends = |tokenizer: &Tokenizer| {
            tokenizer.eos().iter().copied().collect::<std::collections::BTreeSet<_>>()
        };
        if ends(ours) != ends(theirs) {
            return Err(format!(
                "its answers would end with the tokens {:?}, not {:?}",
                theirs.eos(),
                ours.eos()
            ));
        }
        if let (Some(a), Some(b)) = (&self.template, &written.template) {
            let asked = [Message::new("user", "Where is my order?\n")];
            let of = |template: &ChatTemplate, tokenizer: &Tokenizer| {
                tokenizer.encode_chat(&template.clone().at(0), &asked, true).unwrap_or_default()
            };
            same("a conversation", [of(a, ours), of(b, theirs)])?;
        } else if self.template.is_some() != written.template.is_some() {
            return Err("its chat template would be lost".into());
        }
        Ok(())
    }
}

/// How the tokens that begin and end a text are spelled.
fn spelled(tokenizer: &Tokenizer) -> [String; 2] {
    [tokenizer.bos(), tokenizer.eos().first().copied()]
        .map(|id| id.and_then(|id| tokenizer.id_to_token(id)).unwrap_or_default())
}
