//! SHA-256 of what an index is made from and of its files.

use sha2::{Digest as _, Sha256};

/// SHA-256 of some bytes.
pub(super) type Digest = [u8; 32];

/// The first half of a [`Digest`], by which equal texts are found: among a billion texts two that differ
/// agree in it with a probability of 10⁻²¹.
pub(super) type TextDigest = [u8; 16];

/// Digest of `bytes`.
pub(super) fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

/// Digest of `parts`, each with its length.
pub(super) fn text_digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> TextDigest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let whole: Digest = hasher.finalize().into();
    let mut half = TextDigest::default();
    half.iter_mut().zip(whole).for_each(|(half, byte)| *half = byte);
    half
}

/// A digest while its bytes come.
#[derive(Default)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> Digest {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_one_part_ends_matters() {
        let of = |parts: &[&str]| text_digest(parts.iter().map(|part| part.as_bytes()));
        assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
    }

    #[test]
    fn a_digest_in_pieces_is_that_of_the_whole() {
        let mut hasher = Hasher::default();
        hasher.update(b"a");
        hasher.update(b"bc");
        assert_eq!(hasher.finish(), digest(b"abc"));
    }
}
