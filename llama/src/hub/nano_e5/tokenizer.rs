//! The `tokenizer.json` of XLM-RoBERTa's vocabulary.

use serde_json::{Value, json};

use super::layout::Vocabulary;

/// A sentencepiece unigram model: text is normalized, cut at spaces, and each word cut into the likeliest pieces.
pub(super) fn json(vocabulary: &Vocabulary) -> Value {
    let Vocabulary { pieces, start, end, padding, unknown } = vocabulary;
    let piece = |id: usize| pieces.get(id).map_or("", |(piece, _)| piece.as_str());
    let added = |id: &usize| {
        json!({
            "id": id, "content": piece(*id), "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    };
    let added = [start, padding, end, unknown].map(added);
    let special = |id: usize| json!({ "SpecialToken": { "id": piece(id), "type_id": 0 } });
    let text = |name: &str| json!({ "Sequence": { "id": name, "type_id": 0 } });
    let named =
        |id: usize| (piece(id).to_string(), json!({ "id": piece(id), "ids": [id], "tokens": [piece(id)] }));
    let named = serde_json::Map::from_iter([named(*start), named(*end)]);
    let spaces =
        json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true });
    let scored: Vec<Value> = pieces.iter().map(|(piece, score)| json!([piece, f64::from(*score)])).collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Nmt" },
            { "type": "NFKC" },
            { "type": "Replace", "pattern": { "Regex": " {2,}" }, "content": " " },
        ] },
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [{ "type": "WhitespaceSplit" }, spaces] },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special(*start), text("A"), special(*end)],
            "pair": [special(*start), text("A"), special(*end), special(*end), text("B"), special(*end)],
            "special_tokens": named,
        },
        "decoder": spaces,
        "model": {
            "type": "Unigram",
            "unk_id": unknown,
            "vocab": scored,
            "byte_fallback": false,
        },
    })
}
