//! Text to token ids and back, from a tokenizer.json, a sentencepiece model or a GGUF's vocabulary.
//!
//! All three become a [`tokenizers::Tokenizer`] with the same pipeline; what differs is who wrote the
//! lists. **Control tokens**, such as `<|im_end|>`, are never read from a person's text:
//! [`Tokenizer::encode`] writes their spelling with ordinary tokens. Only a chat template may write
//! them, and [`Tokenizer::encode_chat`] keeps what it writes and what a message contains apart.

mod byte_level;
mod charsmap;
mod companions;
mod gguf_vocab;
mod json;
mod parts;
mod pieces;
mod pre_tokenizer;
mod save;
mod sentencepiece;
mod stream;
mod token_bytes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokenizers::{AddedVocabulary, Encoding, Model, NormalizerWrapper, OffsetType, PreTokenizer};

use crate::files::gguf::Gguf;
use crate::text::chat_template::{ChatTemplate, Message, TemplateError};
use crate::text::prompt::{has_sections, shield_sections};

use companions::Companions;
use gguf_vocab::GgufVocab;
use parts::TokenizerParts;
use sentencepiece::{Prefix, SentencePiece};
pub use stream::DecodeStream;

/// Inserted into the spelling of a control token so that it is encoded as text. Unicode reserves this code point: no
/// text has it.
const SHIELD: char = '\u{fdd0}';

/// Turns text into token ids and back. Cloning is cheap: clones share the vocabulary.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

struct Inner {
    /// Writes the spelling of a control token as text.
    model: tokenizers::Tokenizer,
    /// Finds control tokens too.
    with_control: AddedVocabulary,
    /// Removes the shields, then does what the model does.
    unshield: NormalizerWrapper,
    control: BTreeMap<u32, String>,
    bos: Option<u32>,
    eos: Vec<u32>,
    unknown: Option<u32>,
    unused: BTreeSet<u32>,
    warnings: Vec<String>,
}

/// Why there is no tokenizer, or no ids for a text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A file that cannot be read, or is not what it should be.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A text that the tokenizer cannot write.
    #[error("the text cannot be tokenized: {reason}")]
    Text {
        /// Why.
        reason: String,
    },
    /// A conversation that the chat template refuses.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl TokenizerError {
    fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File { path: path.to_path_buf(), reason: reason.into() }
    }

    fn text(error: impl fmt::Display) -> Self {
        Self::Text { reason: error.to_string() }
    }
}

impl Tokenizer {
    /// Reads a tokenizer.json, which does not say which tokens begin and end a text: see
    /// [`from_dir`](Self::from_dir).
    ///
    /// # Errors
    /// If the file is no tokenizer.json.
    pub fn from_file(path: &Path) -> Result<Self, TokenizerError> {
        Self::finish(json::open(path)?, path)
    }

    /// Reads a sentencepiece `tokenizer.model` of type BPE or unigram.
    ///
    /// A text starts with BOS, as Llama's and Mistral's do, unless the model has none.
    ///
    /// # Errors
    /// If the file is no such model.
    pub fn from_sentencepiece(path: &Path) -> Result<Self, TokenizerError> {
        Self::finish(open_sentencepiece(path, &Companions::default())?, path)
    }

    /// Takes the vocabulary that a GGUF carries. See [`warnings`](Self::warnings).
    ///
    /// # Errors
    /// If there is none, or one of another kind than sentencepiece and byte-level BPE, or if its lists
    /// contradict each other.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, TokenizerError> {
        let parts = GgufVocab::read(gguf).and_then(GgufVocab::build);
        let parts = parts.map_err(|reason| TokenizerError::file(gguf.path(), reason))?;
        Self::finish(parts, gguf.path())
    }

    /// Reads the tokenizer of a model's folder: tokenizer.json or, where there is none,
    /// tokenizer.model, and the files beside it that name the tokens which begin and end a text.
    ///
    /// # Errors
    /// If there is neither, or one of the files is not what it should be.
    pub fn from_dir(folder: &Path) -> Result<Self, TokenizerError> {
        let companions = Companions::read(folder)?;
        let (json, sentencepiece) = (folder.join("tokenizer.json"), folder.join("tokenizer.model"));
        if json.exists() {
            let mut parts = json::open(&json)?;
            parts.add(&companions).map_err(|reason| TokenizerError::file(folder, reason))?;
            parts.heed(&companions);
            if companions.is_llama && (companions.add_bos.is_some() || companions.add_eos.is_some()) {
                let (bos, eos) = (companions.add_bos.unwrap_or(true), companions.add_eos.unwrap_or(false));
                parts.surround(bos, eos).map_err(|reason| TokenizerError::file(&json, reason))?;
            }
            Self::finish(parts, &json)
        } else if sentencepiece.exists() {
            Self::finish(open_sentencepiece(&sentencepiece, &companions)?, &sentencepiece)
        } else {
            Err(TokenizerError::file(folder, "has neither a tokenizer.json nor a tokenizer.model"))
        }
    }

    fn finish(parts: TokenizerParts, path: &Path) -> Result<Self, TokenizerError> {
        parts.finish().map_err(|reason| TokenizerError::file(path, reason))
    }

    /// The ids of `text`, with BOS and EOS around it if `add_special` and if the model's texts have
    /// them. Control tokens in it are text.
    ///
    /// # Errors
    /// If the tokenizer cannot write the text.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TokenizerError> {
        let model = &self.inner.model;
        let mut encoding = model.encode_fast(text, false).map_err(TokenizerError::text)?;
        // No known tokenizer gets here; if one did, its user could write control tokens.
        let may_come_from_text = |id: &u32| self.inner.unknown == Some(*id) || !self.is_control(*id);
        if let Some(id) = encoding.get_ids().iter().find(|id| !may_come_from_text(id)) {
            let token = self.id_to_token(*id).unwrap_or_default();
            return Err(TokenizerError::text(format!("it spells the control token `{token}`")));
        }
        if add_special {
            encoding = model.post_process(encoding, None, true).map_err(TokenizerError::text)?;
        }
        Ok(encoding.get_ids().to_vec())
    }

    /// The ids of a text that a chat template or a program wrote: control tokens in it are control
    /// tokens. Nothing is put around it.
    ///
    /// # Errors
    /// If the tokenizer cannot write the text.
    pub fn encode_with_control(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Ok(self.encode_controlled(text, OffsetType::None)?.get_ids().to_vec())
    }

    /// [`encode_with_control`](Self::encode_with_control), and the bytes of `text` that each token
    /// writes. Tokens that write one character together have all of its bytes.
    ///
    /// # Errors
    /// If the tokenizer cannot write the text.
    pub fn encode_with_spans(&self, text: &str) -> Result<(Vec<u32>, Vec<Range<usize>>), TokenizerError> {
        let encoding = self.encode_controlled(text, OffsetType::Byte)?;
        let spans = encoding.get_offsets().iter().map(|&(start, end)| start..end).collect();
        Ok((encoding.get_ids().to_vec(), spans))
    }

    fn encode_controlled(&self, text: &str, offsets: OffsetType) -> Result<Encoding, TokenizerError> {
        let Inner { model, with_control, unshield, .. } = &*self.inner;
        let mut words = with_control.extract_and_normalize(Some(unshield), text);
        if let Some(pre_tokenizer) = model.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut words).map_err(TokenizerError::text)?;
        }
        model.get_model().tokenize_in_pretokenized(&mut words, None).map_err(TokenizerError::text)?;
        words.into_encoding(None, 0, offsets).map_err(TokenizerError::text)
    }

    /// The ids of a conversation as `template` writes it, a system message that it does not take before the first
    /// question. Control tokens that the messages contain are text, and so are the marks of sections where the
    /// template has such.
    ///
    /// # Errors
    /// If the template refuses the conversation or the tokenizer cannot write it.
    pub fn encode_chat(
        &self,
        template: &ChatTemplate,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, TokenizerError> {
        let messages = template.fitted(messages);
        let has_sections = has_sections(template.source());
        let shielded = messages.iter().map(|message| Message {
            role: self.shield(&message.role),
            content: match has_sections {
                true => self.shield(&shield_sections(&message.content)),
                false => self.shield(&message.content),
            },
        });
        let messages: Vec<Message> = shielded.collect();
        self.encode_with_control(&template.render(&messages, add_generation_prompt)?)
    }

    /// `text` with every control token in it made unrecognizable to
    /// [`encode_with_control`](Self::encode_with_control), which gives the ids of the text as it was.
    pub fn shield(&self, text: &str) -> String {
        let mut text = text.replace(SHIELD, "");
        for token in self.inner.control.values() {
            if !text.contains(token.as_str()) {
                continue;
            }
            let mut letters = token.chars();
            // A token of one letter has no place for a shield within it, so the letter is left out.
            let first = letters.next().filter(|_| !letters.as_str().is_empty());
            let shielded: String = first.into_iter().chain([SHIELD]).chain(letters).collect();
            text = text.replace(token.as_str(), &shielded);
        }
        text
    }

    /// The text of `ids`; without the control tokens if `skip_special`. Ids that the vocabulary does
    /// not have or does not use are left out, and bytes that are no character become U+FFFD.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let Inner { model, unused, .. } = &*self.inner;
        if unused.is_empty() {
            return model.decode(ids, skip_special).unwrap_or_default();
        }
        let used: Vec<u32> = ids.iter().copied().filter(|id| !unused.contains(id)).collect();
        model.decode(&used, skip_special).unwrap_or_default()
    }

    /// Decodes ids one at a time, as the start of a text.
    pub fn stream(&self) -> DecodeStream {
        DecodeStream::new(self.clone(), &[])
    }

    /// Decodes ids one at a time, as the continuation of `context`, whose text is not given again. So
    /// the space between it and the first word is kept.
    pub fn stream_after(&self, context: &[u32]) -> DecodeStream {
        DecodeStream::new(self.clone(), context)
    }

    /// The token that begins a text, if the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.inner.bos
    }

    /// The ids of a text that goes on: as [`encode`](Self::encode) with what the model's texts begin with, and
    /// without what they end with. A prompt is such a text, as an answer follows it.
    ///
    /// # Errors
    /// If the tokenizer cannot write the text.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let (mut ids, _) = self.surroundings()?;
        ids.extend(self.encode(text, false)?);
        Ok(ids)
    }

    /// The ids of a prompt that a program wrote: as [`encode_prompt`](Self::encode_prompt), with control tokens as
    /// in [`encode_with_control`](Self::encode_with_control). What the model's texts begin with comes first if
    /// `add_special` and if the text does not begin so already.
    ///
    /// # Errors
    /// If the tokenizer cannot write the text.
    pub fn encode_program_prompt(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TokenizerError> {
        let ids = self.encode_with_control(text)?;
        let (before, _) = self.surroundings()?;
        if !add_special || ids.starts_with(&before) {
            return Ok(ids);
        }
        Ok(before.into_iter().chain(ids).collect())
    }

    /// [`bos`](Self::bos), if the model's texts start with it.
    ///
    /// # Errors
    /// If the tokenizer cannot write a text.
    pub fn leading_bos(&self) -> Result<Option<u32>, TokenizerError> {
        let (before, _) = self.surroundings()?;
        Ok(self.bos().filter(|bos| before.first() == Some(bos)))
    }

    /// What the model's whole texts have before and after them. They are told apart by a letter between them: BOS
    /// and EOS may be one token.
    pub(crate) fn surroundings(&self) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
        let (bare, around) = (self.encode("x", false)?, self.encode("x", true)?);
        let places = around.len().saturating_sub(bare.len());
        let at = (0..=places).find(|at| around[*at..].starts_with(&bare));
        let at =
            at.ok_or_else(|| TokenizerError::text("the post-processor changes the text's own tokens"))?;
        Ok((around[..at].to_vec(), around[at + bare.len()..].to_vec()))
    }

    /// All tokens that end a generation, the one that ends a text first.
    pub fn eos(&self) -> &[u32] {
        &self.inner.eos
    }

    /// The control tokens with their spelling.
    pub(crate) fn control_tokens(&self) -> impl Iterator<Item = (u32, &str)> {
        self.inner.control.iter().map(|(id, token)| (*id, token.as_str()))
    }

    /// Whether `id` is a control token.
    pub fn is_control(&self, id: u32) -> bool {
        self.inner.control.contains_key(&id)
    }

    /// How many tokens there are. A model may have more outputs than that.
    pub fn vocab_size(&self) -> usize {
        self.inner.model.get_vocab_size(true)
    }

    /// The id of a token as the vocabulary spells it.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.model.token_to_id(token)
    }

    /// How the vocabulary spells a token.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.model.id_to_token(id)
    }

    /// Oddities of the file that are no reason to refuse it, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.inner.warnings
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { bos, eos, .. } = &*self.inner;
        let mut debug = f.debug_struct("Tokenizer");
        debug.field("vocab_size", &self.vocab_size()).field("bos", bos).field("eos", eos).finish()
    }
}

fn open_sentencepiece(path: &Path, companions: &Companions) -> Result<TokenizerParts, TokenizerError> {
    let open = || {
        let mut sentencepiece = SentencePiece::open(path)?;
        if companions.legacy == Some(false) {
            sentencepiece.prefix = Prefix::Text;
        }
        if let Some(adds) = companions.add_prefix_space {
            sentencepiece.dummy_prefix = adds;
        }
        // The pieces come first; what follows them was added after the training.
        let trained = sentencepiece.pieces.len();
        let mut parts = TokenizerParts::sentencepiece(&sentencepiece)?;
        for (id, token) in &companions.added {
            match sentencepiece.pieces.get(*id as usize) {
                None => parts.added.push((*id, token.clone())),
                Some(piece) if piece.text == token.content => {}
                Some(piece) => {
                    return Err(format!(
                        "`added_tokens_decoder` calls token {id} `{}`, which is `{}` in its {trained} pieces",
                        token.content, piece.text
                    ));
                }
            }
        }
        parts.heed(companions);
        let bos = companions.add_bos.unwrap_or(parts.bos.is_some());
        parts.surround(bos, companions.add_eos.unwrap_or(false))?;
        Ok(parts)
    };
    open().map_err(|reason: String| TokenizerError::file(path, reason))
}

#[cfg(test)]
mod tests;
