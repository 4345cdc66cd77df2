//! Conditions on documents: which of them may be found for a question.

use serde::{Deserialize, Deserializer, Serialize};

use crate::lexical::Language;
use crate::{Date, IndexedDocument};

/// Conditions on a document, all of which must hold. One that lists several values holds if one of them does,
/// one that lists none always.
///
/// ```
/// # use rag::MetadataFilter;
/// let filter: MetadataFilter =
///     serde_json::from_str(r#"{"language": "de", "topic": ["returns", "delivery"], "updated_since": "2024-05-01"}"#)?;
/// assert!(!filter.is_empty());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetadataFilter {
    /// Tags of languages: `de` is met by `de-AT` too. A document that names no language is in the one it seems
    /// to be in.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub language: Vec<String>,
    /// Topics, of which the document has one, in whatever case.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub topic: Vec<String>,
    /// Whom the document is for. One that does not say is for everybody.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// Beginnings of its source, as a folder's name: `handbook/`.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<String>,
    /// The document says that it was updated on this day or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_since: Option<Date>,
}

impl MetadataFilter {
    /// Whether it lets every document through.
    pub fn is_empty(&self) -> bool {
        *self == MetadataFilter::default()
    }

    /// Whether it lets `document` through.
    pub fn allows(&self, document: &IndexedDocument) -> bool {
        let metadata = document.metadata;
        let any = |wanted: &[String], holds: &dyn Fn(&str) -> bool| {
            wanted.is_empty() || wanted.iter().any(|wanted| holds(wanted.trim()))
        };
        let is_listed = |listed: &Option<String>, wanted: &str| {
            let listed = listed.as_deref().unwrap_or_default();
            listed.split([',', ';']).any(|one| one.trim().to_lowercase() == wanted.to_lowercase())
        };
        any(&self.language, &|wanted| match &metadata.language {
            Some(tag) => is_within(tag, wanted),
            None => Language::named(wanted) == Some(document.language),
        }) && any(&self.topic, &|wanted| is_listed(&metadata.topic, wanted))
            && (metadata.audience.is_none()
                || any(&self.audience, &|wanted| is_listed(&metadata.audience, wanted)))
            && any(&self.source, &|wanted| document.source.starts_with(wanted))
            && self
                .updated_since
                .is_none_or(|since| metadata.updated.as_deref().and_then(Date::parse) >= Some(since))
    }
}

/// Whether the language `tag` is `range` or a variety of it.
///
/// Source: RFC 4647, section 3.3.1, basic filtering.
fn is_within(tag: &str, range: &str) -> bool {
    let plain = |tag: &str| tag.trim().replace('_', "-").to_lowercase();
    let (tag, range) = (plain(tag), plain(range));
    tag.strip_prefix(&range).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// A text or a list of texts. Empty ones, which a form sends for what is not chosen, are left out.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a list of texts")]
    enum Values {
        None(()),
        One(String),
        Many(Vec<String>),
    }
    let mut values = match Values::deserialize(deserializer)? {
        Values::None(()) => Vec::new(),
        Values::One(value) => vec![value],
        Values::Many(values) => values,
    };
    values.retain(|value| !value.trim().is_empty());
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metadata;

    fn filter(json: &str) -> MetadataFilter {
        serde_json::from_str(json).unwrap()
    }

    fn allows(json: &str, metadata: &Metadata) -> bool {
        let language = metadata.language.as_deref().and_then(Language::named).unwrap_or(Language::German);
        let source = "handbook/returns.md";
        filter(json).allows(&IndexedDocument { id: "a", source, metadata, language, chunks: 0..1 })
    }

    #[test]
    fn every_condition_must_hold() {
        let metadata = Metadata {
            topic: Some("Returns, Refunds".into()),
            language: Some("de-AT".into()),
            updated: Some("2024-05-01T10:00:00Z".into()),
            audience: Some("partners".into()),
        };
        for (json, expected) in [
            ("{}", true),
            (r#"{"language": "de"}"#, true),
            (r#"{"language": "DE_at"}"#, true),
            (r#"{"language": "de-CH"}"#, false),
            (r#"{"language": "d"}"#, false),
            (r#"{"language": ["en", "de"]}"#, true),
            (r#"{"topic": "refunds"}"#, true),
            (r#"{"topic": "refund"}"#, false),
            (r#"{"topic": ""}"#, true),
            (r#"{"topic": null}"#, true),
            (r#"{"audience": "customers"}"#, false),
            (r#"{"audience": ["customers", "Partners"]}"#, true),
            (r#"{"source": "handbook/"}"#, true),
            (r#"{"source": "faq/"}"#, false),
            (r#"{"updated_since": "2024-05-01"}"#, true),
            (r#"{"updated_since": "2024-05-02"}"#, false),
            (r#"{"language": "de", "topic": "delivery"}"#, false),
        ] {
            assert_eq!(allows(json, &metadata), expected, "{json}");
        }
    }

    #[test]
    fn a_document_that_says_nothing_is_for_all_of_its_language_and_of_no_date() {
        let metadata = Metadata::default();
        assert!(allows(r#"{"language": "de", "audience": "partners"}"#, &metadata));
        assert!(!allows(r#"{"language": "en"}"#, &metadata));
        assert!(!allows(r#"{"updated_since": "2024-05-01"}"#, &metadata));
        assert!(!allows(r#"{"topic": "returns"}"#, &metadata));
    }

    #[test]
    fn what_is_no_filter_is_named() {
        let error = |json: &str| serde_json::from_str::<MetadataFilter>(json).unwrap_err().to_string();
        assert!(error(r#"{"langauge": "de"}"#).contains("unknown field `langauge`"));
        assert!(error(r#"{"updated_since": "soon"}"#).contains("`soon` is no date"));
        assert!(error(r#"{"topic": 7}"#).contains("expected a text or a list of texts"));
        let json = r#"{"language":["de"],"updated_since":"2024-05-01"}"#;
        assert_eq!(serde_json::to_string(&filter(json)).unwrap(), json);
    }
}
