//! Bytes to text, where it is certain which text they are.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Why bytes are no text.
#[derive(Debug, PartialEq)]
pub(super) struct Undecodable {
    /// The line at which that shows, from 1.
    pub line: Option<usize>,
    pub reason: String,
}

/// The text that `bytes` are: in UTF-8, in UTF-16, in the encoding `declared` in them, or in
/// Windows-1252 if nothing speaks against it. No byte is replaced: what does not decode is refused.
pub(super) fn text(bytes: Vec<u8>, declared: Option<&'static Encoding>) -> Result<String, Undecodable> {
    let refused = |reason: &str| Err(Undecodable { line: None, reason: reason.into() });
    if bytes.starts_with(&[0xff, 0xfe, 0, 0]) || bytes.starts_with(&[0, 0, 0xfe, 0xff]) {
        return refused("is in UTF-32; save it as UTF-8");
    }
    if let Some((encoding, mark)) = Encoding::for_bom(&bytes)
        && encoding != UTF_8
    {
        return match decode(encoding, bytes.get(mark..).unwrap_or_default()) {
            Some(text) => Ok(text),
            None => refused(&format!("begins as {} but is not; save it as UTF-8", encoding.name())),
        };
    }
    let bytes = match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => {
            return Ok(text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text));
        }
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    if bytes.contains(&0) {
        return utf16_without_mark(&bytes).map_or_else(|| refused("is binary, not text"), Ok);
    }
    let encoding = declared.or_else(|| is_windows_1252(&bytes).then_some(WINDOWS_1252));
    encoding.and_then(|encoding| decode(encoding, &bytes)).ok_or_else(|| {
        let valid = bytes.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
        let lines = bytes.iter().take(valid).filter(|byte| **byte == b'\n').count();
        let reason = "is not UTF-8, and what else it is in is not certain; save the file as UTF-8";
        Undecodable { line: Some(1 + lines), reason: reason.into() }
    })
}

fn decode(encoding: &'static Encoding, bytes: &[u8]) -> Option<String> {
    encoding.decode_without_bom_handling_and_without_replacement(bytes).map(String::from)
}

/// UTF-16 of mostly Latin text: every other byte is nearly always 0, and the ones between never.
fn utf16_without_mark(bytes: &[u8]) -> Option<String> {
    let zeros = |first: usize| bytes.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    let most = bytes.len() / 2 * 8 / 10;
    match (zeros(0), zeros(1)) {
        (0, odd) if odd >= most => decode(UTF_16LE, bytes),
        (even, 0) if even >= most => decode(UTF_16BE, bytes),
        _ => None,
    }
}

/// Whether `bytes` can only be Windows-1252 (or Latin-1, of which it is an extension): the detector of
/// Firefox takes them for it, no part is UTF-8 beyond ASCII, no byte has no meaning in it, and letters
/// beyond ASCII are as rare as in Western languages.
fn is_windows_1252(bytes: &[u8]) -> bool {
    let meaningless =
        |byte: u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1f | 0x7f | 0x81 | 0x8d | 0x8f | 0x90 | 0x9d);
    if bytes.iter().any(|byte| meaningless(*byte))
        || bytes.utf8_chunks().any(|chunk| !chunk.valid().is_ascii())
    {
        return false;
    }
    let letters = bytes.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    if bytes.iter().filter(|byte| **byte >= 0xc0).count() > letters / 5 {
        return false;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Deny) == WINDOWS_1252
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, mark: bool) -> Vec<u8> {
        let mark = mark.then_some(0xfeff);
        mark.into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn certain_encodings_are_decoded() {
        let cafe = "# Café\n\nOur café opens at 8 and costs 5 €.";
        let windows = WINDOWS_1252.encode(cafe).0.into_owned();
        let big_endian: Vec<u8> =
            [0xfe, 0xff].into_iter().chain(cafe.encode_utf16().flat_map(u16::to_be_bytes)).collect();
        let marked = format!("\u{feff}{cafe}").into_bytes();
        for bytes in [cafe.as_bytes().to_vec(), marked, windows, utf16(cafe, true), big_endian] {
            assert_eq!(text(bytes, None).unwrap(), cafe);
        }
        assert_eq!(text(utf16("Plain words.", false), None).unwrap(), "Plain words.");
        for western in [
            "Où est mon colis ? Il est arrivé à la boutique, où vous pouvez le récupérer.",
            "¿Cuándo llegará mi pedido? Mañana, según el número de seguimiento.",
            "Die Rücksendung ist für größere Stücke über 30 kg kostenlos.",
            "It’s “free” – no café fee.",
        ] {
            assert_eq!(text(WINDOWS_1252.encode(western).0.into_owned(), None).unwrap(), western);
        }
    }

    #[test]
    fn what_is_not_certain_is_refused_with_its_line() {
        let russian =
            encoding_rs::WINDOWS_1251.encode("Возврат товара в течение тридцати дней.").0.into_owned();
        let czech =
            encoding_rs::WINDOWS_1250.encode("Vrácení zboží do třiceti dnů, příště děkujeme.").0.into_owned();
        let japanese = encoding_rs::SHIFT_JIS.encode("返品は三十日以内にお願いします。").0.into_owned();
        let broken = "fine\nCafé ".bytes().chain([0xff, b'x']).collect();
        for (bytes, line) in [(russian, 1), (czech, 1), (japanese, 1), (broken, 2)] {
            let error = text(bytes, None).unwrap_err();
            assert_eq!(error.line, Some(line), "{error:?}");
            assert!(error.reason.contains("save the file as UTF-8"));
        }
        let declared = encoding_rs::WINDOWS_1251.encode("Возврат").0.into_owned();
        assert_eq!(text(declared, Some(encoding_rs::WINDOWS_1251)).unwrap(), "Возврат");
    }

    #[test]
    fn binary_files_are_no_text() {
        for bytes in [b"\x7fELF\x02\x01\x01\0\0\0\0".to_vec(), b"PK\x03\x04\0\0words".to_vec(), vec![0; 9]] {
            assert_eq!(text(bytes, None).unwrap_err().reason, "is binary, not text");
        }
        assert!(text(vec![0xff, 0xfe, 0, 0xd8], None).unwrap_err().reason.contains("UTF-16LE"));
        assert_eq!(text(Vec::new(), None).unwrap(), "");
    }
}
