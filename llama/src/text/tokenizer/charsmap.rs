//! Sentencepiece's compiled character replacements, checked before they are used.
//!
//! The layout is a little-endian `u32` with the length of a double-array trie, the trie as `u32` units,
//! then the replacements, each ended by a zero byte. The crate that walks it trusts every offset, so a
//! damaged file would end the program at the first text.

/// Checks that no walk leaves the trie and that every leaf points at the start of a replacement.
///
/// # Errors
/// If one would not.
pub(super) fn validate(charsmap: &[u8]) -> Result<(), String> {
    let damaged = || "`precompiled_charsmap` is damaged".to_string();
    let (length, rest) = charsmap.split_at_checked(4).ok_or_else(damaged)?;
    let length = u32::from_le_bytes(length.try_into().map_err(|_| damaged())?) as usize;
    let (trie, replacements) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let replacements = std::str::from_utf8(replacements).map_err(|_| damaged())?;
    let (units, remainder) = trie.as_chunks::<4>();
    if units.is_empty() || !remainder.is_empty() {
        return Err(damaged());
    }
    let units: Vec<usize> = units.iter().map(|unit| u32::from_le_bytes(*unit) as usize).collect();

    let mut seen = vec![false; units.len()];
    let mut open = vec![0usize];
    while let Some(node) = open.pop() {
        let unit = *units.get(node).ok_or_else(damaged)?;
        if std::mem::replace(seen.get_mut(node).ok_or_else(damaged)?, true) {
            continue;
        }
        let children = node ^ offset(unit);
        if node != 0 && has_leaf(unit) {
            let leaf = units.get(children).ok_or_else(damaged)?;
            if !replacements.is_char_boundary(leaf & 0x7fff_ffff) {
                return Err(damaged());
            }
        }
        for byte in 1..=0xffusize {
            let child = children ^ byte;
            if label(*units.get(child).ok_or_else(damaged)?) == byte {
                open.push(child);
            }
        }
    }
    Ok(())
}

fn has_leaf(unit: usize) -> bool {
    (unit >> 8) & 1 == 1
}

fn label(unit: usize) -> usize {
    unit & ((1 << 31) | 0xff)
}

fn offset(unit: usize) -> usize {
    (unit >> 10) << ((unit & (1 << 9)) >> 6)
}

#[cfg(test)]
mod tests {
    use super::validate;

    /// A trie of `units`, and the replacements.
    fn charsmap(units: &[u32], replacements: &str) -> Vec<u8> {
        let mut bytes = u32::try_from(units.len() * 4).unwrap().to_le_bytes().to_vec();
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend(replacements.bytes());
        bytes
    }

    /// A trie that replaces `a` by the text at `at`: the root's children start at 256, and those of `a`
    /// at 512, where its leaf is.
    fn a_becomes(at: u32) -> Vec<u32> {
        let mut units = vec![0; 768];
        units[0] = 256 << 10;
        units[256 ^ 97] = 97 | 1 << 8 | (256 ^ 97 ^ 512) << 10;
        units[512] = at;
        units
    }

    #[test]
    fn a_walk_that_leaves_the_file_is_an_error() {
        assert_eq!(validate(&charsmap(&[0; 256], "")), Ok(()));
        assert_eq!(validate(&charsmap(&a_becomes(0), "x\0")), Ok(()));
        for damaged in [
            Vec::new(),
            vec![9, 0, 0, 0],
            charsmap(&[], ""),
            charsmap(&[0; 255], ""),
            charsmap(&[u32::MAX; 256], ""),
            charsmap(&a_becomes(9), "x\0"),
        ] {
            assert!(validate(&damaged).is_err());
        }
    }
}
