//! The bytes that a single token writes.

use super::Tokenizer;

impl Tokenizer {
    /// The bytes that a token writes, which may be part of a character; those of its spelling for a control token.
    /// Empty for an id that the vocabulary does not have.
    ///
    /// A space at the start of a sentencepiece token is there, though a text that begins with the token has none.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        let Some(token) = self.id_to_token(id) else { return Vec::new() };
        if self.is_control(id) || self.inner.model.get_added_tokens_decoder().contains_key(&id) {
            return token.into_bytes();
        }
        // Of a byte-level vocabulary a space is a token of its own, under GPT-2's name for it.
        if self.token_to_id("Ġ").is_some() {
            let mut bytes = Vec::with_capacity(token.len());
            for letter in token.chars() {
                match byte_of(letter) {
                    Some(byte) => bytes.push(byte),
                    None => bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
                }
            }
            return bytes;
        }
        let hex = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => vec![byte],
            None => token.replace('▁', " ").into_bytes(),
        }
    }
}

/// The byte that GPT-2's alphabet writes as `letter`: printable Latin-1 stands for itself, the other bytes follow
/// from U+0100 on.
fn byte_of(letter: char) -> Option<u8> {
    let is_printable = |byte: &u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(letter) {
        code @ 0..0x100 => u8::try_from(code).ok().filter(is_printable),
        code => (0..=u8::MAX).filter(|byte| !is_printable(byte)).nth((code - 0x100) as usize),
    }
}

#[cfg(test)]
mod tests {
    use crate::generate::fake::letters;

    #[test]
    fn every_byte_of_a_byte_level_vocabulary() {
        for byte in 0..=u8::MAX {
            assert_eq!(letters().token_bytes(byte.into()), [byte]);
        }
        assert_eq!(letters().token_bytes(256), b"<|im_end|>");
        assert_eq!(letters().token_bytes(999), b"");
    }
}
