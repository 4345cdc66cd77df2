//! The parts of a tokenizer, the same from every kind of file, and how they are put together.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokenizers::normalizers::replace::Replace;
use tokenizers::normalizers::utils::Sequence;
use tokenizers::processors::template::{SpecialToken, TemplateProcessing};
use tokenizers::{AddedToken, NormalizerWrapper};

use super::companions::Companions;
use super::pieces::{PieceKind, added_tokens, added_vocabulary, unused};
use super::sentencepiece::SentencePiece;
use super::{Inner, SHIELD, Tokenizer};

/// Control tokens that end an answer, by the names that models give them. Checkpoints often name only
/// one of those they use. The list is llama.cpp's.
pub(super) const END_OF_GENERATION: [&str; 12] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "</s>",
    "<EOT>",
    "[EOS]",
    "<｜end▁of▁sentence｜>",
];

/// Whether a token is a control token by its spelling, whatever a file says. Some files call such tokens
/// text or user-defined, and a person could then type them. The rule is that of llama.cpp's converter.
pub(super) fn is_control_name(token: &str) -> bool {
    let within = |open, close| token.starts_with(open) && token.ends_with(close) && token.len() > 4;
    within("<|", "|>") || within("<｜", "｜>") || END_OF_GENERATION.contains(&token)
}

/// A tokenizer before it is put together.
pub(super) struct TokenizerParts {
    pub(super) model: tokenizers::Tokenizer,
    /// The tokens that are matched in a text as a whole.
    pub(super) added: Vec<(u32, AddedToken)>,
    /// The normalizer that runs before the `normalized` ones of them are looked for.
    pub(super) piece_normalizer: Option<NormalizerWrapper>,
    pub(super) bos: Option<u32>,
    pub(super) eos: Vec<u32>,
    /// The control token that stands for text the model cannot write.
    pub(super) unknown: Option<u32>,
    /// Ids whose pieces stand for no text: rows that pad the embedding table.
    pub(super) unused: BTreeSet<u32>,
    pub(super) warnings: Vec<String>,
}

impl TokenizerParts {
    /// The parts of a sentencepiece model, without BOS and EOS around a text.
    pub(super) fn sentencepiece(model: &SentencePiece) -> Result<Self, String> {
        let unknown = model.pieces.iter().position(|piece| piece.kind == PieceKind::Unknown);
        Ok(Self {
            model: model.build()?,
            added: added_tokens(&model.pieces),
            piece_normalizer: model.piece_normalizer()?,
            bos: model.bos,
            eos: model.eos.into_iter().collect(),
            unknown: unknown.and_then(|id| u32::try_from(id).ok()),
            unused: unused(&model.pieces),
            warnings: Vec::new(),
        })
    }

    /// Adds the tokens that the files beside a tokenizer.json name and it lacks, as transformers does.
    ///
    /// # Errors
    /// If they call a token otherwise, or give one an id that is not the next.
    pub(super) fn add(&mut self, companions: &Companions) -> Result<(), String> {
        for (id, token) in &companions.added {
            let content = &token.content;
            let listed = self.added.iter().find(|(_, known)| known.content == *content).map(|(id, _)| *id);
            let told = |is: String| Err(format!("`added_tokens_decoder` calls token {id} `{content}`, {is}"));
            match (listed.or_else(|| self.model.token_to_id(content)), self.text(*id)) {
                (Some(known), _) if known != *id => {
                    return told(format!("which is token {known} in tokenizer.json"));
                }
                (Some(_), _) if listed.is_some() => {}
                (Some(_), _) => self.added.push((*id, token.clone())),
                (None, Some(other)) => return told(format!("which is `{other}` in tokenizer.json")),
                (None, None) => {
                    let ids =
                        self.model.get_vocab(false).into_values().chain(self.added.iter().map(|(id, _)| *id));
                    let last = ids.max().unwrap_or(0);
                    if *id != last + 1 {
                        return told(format!("and tokenizer.json ends with {last}"));
                    }
                    self.added.push((*id, token.clone()));
                }
            }
        }
        Ok(())
    }

    /// Takes over what the files beside the tokenizer say. Ids that the vocabulary does not have are
    /// left out: a configuration may be of a model with a larger one.
    pub(super) fn heed(&mut self, companions: &Companions) {
        let added = &self.added;
        let id = |text: &str| {
            let added = added.iter().find(|(_, token)| token.content == text).map(|(id, _)| *id);
            added.or_else(|| self.model.token_to_id(text))
        };
        let known = |id: &u32| self.text(*id).is_some();
        let bos = companions.bos.as_ref().and_then(|name| name.id(id)).filter(known);
        let eos: Vec<u32> = companions.eos.iter().filter_map(|name| name.id(id)).filter(known).collect();
        self.bos = bos.or(self.bos);
        if !eos.is_empty() {
            self.eos = eos;
        }
    }

    /// Makes `encode` put BOS before and EOS after a text.
    ///
    /// # Errors
    /// If there is no such token.
    pub(super) fn surround(&mut self, bos: bool, eos: bool) -> Result<(), String> {
        let mut template = String::from("$A");
        let mut tokens = Vec::new();
        if bos {
            let id = self.bos.ok_or("BOS is to be added, but there is no BOS token")?;
            template.insert_str(0, "bos ");
            tokens.push(("bos", id));
        }
        if eos {
            let id = *self.eos.first().ok_or("EOS is to be added, but there is no EOS token")?;
            template.push_str(" eos");
            tokens.push(("eos", id));
        }
        // "bos" and "eos" are names within the template; the ids are what a text gets.
        let tokens: Vec<SpecialToken> = tokens.into_iter().map(SpecialToken::from).collect();
        let template = TemplateProcessing::builder()
            .try_single(template.as_str())
            .and_then(|builder| builder.special_tokens(tokens).build().map_err(|error| error.to_string()))?;
        self.model.with_post_processor(Some(template));
        Ok(())
    }

    /// Adds a token that ends a generation.
    pub(super) fn end_of_generation(&mut self, ids: impl Iterator<Item = u32>) {
        self.eos.extend(ids);
    }

    /// Puts the tokenizer together.
    pub(super) fn finish(mut self) -> Result<Tokenizer, String> {
        let described = |error: tokenizers::Error| error.to_string();
        let special = || self.added.iter().filter(|(_, token)| token.special);
        let ends = special().filter(|(_, token)| END_OF_GENERATION.contains(&token.content.as_str()));
        let ends: Vec<u32> = ends.map(|(id, _)| *id).collect();
        let control = special().map(|(id, token)| (*id, token.content.clone())).collect();
        self.eos.extend(ends);
        let mut seen = std::collections::HashSet::new();
        self.eos.retain(|id| seen.insert(*id));

        // The file's truncation and padding are dropped: lengths are up to the caller.
        self.model.with_padding(None).with_truncation(None).map_err(described)?;
        let with_control = added_vocabulary(self.added, self.piece_normalizer.as_ref()).map_err(described)?;
        let mut without_control = with_control.clone();
        without_control.set_encode_special_tokens(true);
        self.model.with_added_vocabulary(without_control);

        let unshield = Replace::new(SHIELD.to_string(), "").map_err(described)?;
        let mut normalizers: Vec<NormalizerWrapper> = vec![unshield.into()];
        normalizers.extend(self.model.get_normalizer().cloned());
        Ok(Tokenizer {
            inner: Arc::new(Inner {
                model: self.model,
                with_control,
                unshield: Sequence::new(normalizers).into(),
                control,
                bos: self.bos,
                eos: self.eos,
                unknown: self.unknown,
                unused: self.unused,
                warnings: self.warnings,
            }),
        })
    }

    fn text(&self, id: u32) -> Option<String> {
        let added = self.added.iter().find(|(added, _)| *added == id);
        added.map(|(_, token)| token.content.clone()).or_else(|| self.model.id_to_token(id))
    }
}
