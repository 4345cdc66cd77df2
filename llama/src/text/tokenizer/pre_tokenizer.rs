//! How byte-level vocabularies cut a text into words before merging: GGUF's `tokenizer.ggml.pre`.
//!
//! The names and their groups are llama.cpp's (`llama-vocab.cpp`), the expressions those of the
//! models' own tokenizer.json. No merge crosses the border of a word.

use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

/// What a pre-tokenizer's name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PreTokenizer {
    /// Applied one after the other, each within the words that the one before it left.
    splits: &'static [&'static str],
    /// Whether a word that is a token as it stands is taken without merging.
    pub(super) ignore_merges: bool,
    /// Whether the models of this kind start with BOS where the file does not say.
    pub(super) add_bos: bool,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

impl PreTokenizer {
    /// What llama.cpp does with a file that names none: the split that its first BPE models had.
    pub(super) const DEFAULT: Self =
        Self::new(&[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"]);

    /// The names that are written: one for each way of cutting.
    pub(super) const WRITTEN: [&str; 7] =
        ["gpt-2", "smollm", "llama-bpe", "smaug-bpe", "tekken", "gpt-4o", "qwen2"];

    /// The pre-tokenizer of that name, if it is known.
    pub(super) fn named(name: &str) -> Option<Self> {
        let starts_with_bos = |pre: Self| Self { ignore_merges: true, add_bos: true, ..pre };
        Some(match name {
            "default" => Self::DEFAULT,
            "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0"
            | "lfm2" => starts_with_bos(Self::new(&[LLAMA3])),
            "tekken" => starts_with_bos(Self::new(&[TEKKEN])),
            "smaug-bpe" | "dbrx" | "glm4" | "chatglm-bpe" => Self::new(&[LLAMA3]),
            "llama4" | "gpt-4o" | "kanana2" => Self::new(&[GPT4O]),
            "gpt-2" | "phi-2" | "mpt" | "olmo" | "jais" | "gigachat" | "mellum" | "exaone4" | "trillion" => {
                Self::new(&[GPT2])
            }
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" | "minerva-7b"
            | "mellum2" => Self::new(&[r"\p{N}", GPT2]),
            "qwen2" | "deepseek-r1-qwen" | "stablelm2" | "hunyuan" | "megrez" | "solar-open" | "grok-2" => {
                Self::new(&[QWEN2])
            }
            _ => return None,
        })
    }

    const fn new(splits: &'static [&'static str]) -> Self {
        Self { splits, ignore_merges: false, add_bos: false }
    }

    /// The splits, then the spelling of bytes as GPT-2's letters.
    pub(super) fn build(self) -> tokenizers::Result<PreTokenizerWrapper> {
        let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
        for split in self.splits {
            let pattern = SplitPattern::Regex((*split).to_string());
            steps.push(Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?.into());
        }
        steps.push(ByteLevel::new(false, false, false).into());
        Ok(Sequence::new(steps).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

    fn words(name: &str, text: &str) -> Vec<String> {
        let mut split = PreTokenizedString::from(text);
        let pre_tokenizer = PreTokenizer::named(name).unwrap().build().unwrap();
        pre_tokenizer.pre_tokenize(&mut split).unwrap();
        let splits = split.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(word, _, _)| word.to_string()).collect()
    }

    #[test]
    fn each_family_cuts_digits_its_own_way() {
        assert_eq!(words("gpt-2", "in 2024"), ["in", "Ġ2024"]);
        assert_eq!(words("smollm", "in 2024"), ["in", "Ġ", "2", "0", "2", "4"]);
        assert_eq!(words("llama-bpe", "in 2024"), ["in", "Ġ", "202", "4"]);
        assert_eq!(words("qwen2", "in 2024"), ["in", "Ġ", "2", "0", "2", "4"]);
        assert_eq!(words("default", "in 2024"), ["in", "Ġ", "202", "4"]);
    }

    #[test]
    fn tekken_cuts_where_a_capital_starts_a_word() {
        assert_eq!(words("tekken", "HelloWorld ABC"), ["Hello", "World", "ĠABC"]);
        assert_eq!(words("gpt-4o", "it'S Ok"), ["it'S", "ĠOk"]);
        assert_eq!(words("llama3", "it'S ok\n\n x"), ["it", "'S", "Ġok", "ĊĊ", "Ġx"]);
    }

    #[test]
    fn an_unknown_name_is_nobodys() {
        assert_eq!(PreTokenizer::named("martian"), None);
    }
}
