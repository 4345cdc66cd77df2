//! Names of files that people send: what of them can be taken.

use std::path::Path;

use crate::RagError;

/// Most bytes of a file's name, as most file systems have it.
const MAX_NAME: usize = 255;

/// The file's own name in `name`, which a browser may send with the folders that it stood in, or an attacker with
/// others. Control characters are refused: they would be written to logs and shown to people.
///
/// # Errors
/// If there is none, it is too long, or has control characters.
pub(super) fn of_file(name: &str) -> Result<String, RagError> {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    let refused = |reason: &str| Err(RagError::file(Path::new(&shown), reason));
    let own = name.rsplit(['/', '\\']).next().unwrap_or_default().trim().trim_start_matches('.');
    if own.is_empty() {
        return refused("is no file's name");
    }
    if own.contains(char::is_control) {
        return refused("has control characters in its name");
    }
    if own.len() > MAX_NAME {
        return refused("has a name of more than 255 bytes");
    }
    Ok(own.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_path_the_files_own_name_counts() {
        for (name, own) in [
            ("handbook.md", "handbook.md"),
            ("../../etc/passwd.txt", "passwd.txt"),
            ("C:\\Users\\me\\Preise 2026.xlsx", "Preise 2026.xlsx"),
            ("/a.md", "a.md"),
            ("..a.md", "a.md"),
            (" ü.md ", "ü.md"),
        ] {
            assert_eq!(of_file(name).unwrap(), own);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = format!("{}.md", "a".repeat(300));
        for name in ["", " ", "..", "a/..", "a/", "a\0.md", "a\n.md", "\u{1b}[31m.md", long.as_str()] {
            let error = of_file(name).unwrap_err().to_string();
            assert!(error.contains("name") && error.len() < 200, "{error}");
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }
}
