//! The templates that rows are made from, and which of them are held out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::draw::Draw;
use super::parse::parse;
use super::talk::Talk;
use super::template::{Template, TemplateError};

/// The file of small talk, beside the articles.
pub const TALK: &str = "_talk.txt";

/// All templates and the talk.
#[derive(Debug, Clone, Default)]
pub struct Library {
    /// The templates, in the order of their files.
    pub templates: Vec<Template>,
    /// Small talk, refusals and injections.
    pub talk: Talk,
}

impl Library {
    /// Reads `.txt` files, and folders of them; `shipped_talk` is used where no `_talk.txt` is among them. What
    /// cannot be read is listed.
    ///
    /// # Errors
    /// If a file cannot be opened, or there is none.
    pub fn open(paths: &[PathBuf], shipped_talk: &Path) -> Result<(Self, Vec<TemplateError>)> {
        let (mut library, mut errors, mut talk) = (Self::default(), Vec::new(), None);
        for path in paths {
            for file in text_files(path)? {
                if file.file_name().is_some_and(|name| name == TALK) {
                    talk = Some(file);
                    continue;
                }
                let source = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
                let (templates, wrong) = parse(&file.display().to_string(), &source);
                library.templates.extend(templates);
                errors.extend(wrong);
            }
        }
        if library.templates.is_empty() && errors.is_empty() {
            bail!("there is no article in {}", list(paths));
        }
        let talk = talk.unwrap_or_else(|| shipped_talk.to_owned());
        let source = fs::read_to_string(&talk).with_context(|| talk.display().to_string())?;
        match Talk::parse(&talk.display().to_string(), &source) {
            Ok(talk) => library.talk = talk,
            Err(error) => errors.push(error),
        }
        Ok((library, errors))
    }

    /// Numbers of the templates to learn from, and of those held out: `share` of every kind of business, at
    /// least one of each if `share` is not 0 and there are two.
    pub fn split(&self, share: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
        let (mut learned, mut held_out) = (Vec::new(), Vec::new());
        let mut draw = Draw::new(seed ^ 0x68656c64);
        let mut businesses: Vec<&str> =
            self.templates.iter().map(|template| template.business.as_str()).collect();
        businesses.sort_unstable();
        businesses.dedup();
        for business in businesses {
            let mut numbers: Vec<usize> = (0..self.templates.len())
                .filter(|number| self.templates[*number].business == business)
                .collect();
            draw.shuffle(&mut numbers);
            let count = (numbers.len() as f64 * share).round() as usize;
            let least = usize::from(share > 0.0 && numbers.len() > 1);
            let rest = numbers.split_off(count.max(least).min(numbers.len()));
            held_out.extend(numbers);
            learned.extend(rest);
        }
        learned.sort_unstable();
        held_out.sort_unstable();
        (learned, held_out)
    }
}

fn text_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        let file = entry.with_context(|| path.display().to_string())?.path();
        if file.extension().is_some_and(|extension| extension == "txt") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_articles_of_every_business_are_held_out() {
        let source: String = (0..10).map(|number| format!("= t{number} | T\n*a S.\n! a S.\n")).collect();
        let templates = ["a.txt", "b.txt"].iter().flat_map(|file| parse(file, &source).0).collect();
        let library = Library { templates, ..Library::default() };
        let (learned, held_out) = library.split(0.2, 1);
        assert_eq!((learned.len(), held_out.len()), (16, 4));
        assert_eq!(held_out.iter().filter(|number| **number < 10).count(), 2);
        assert!(learned.iter().all(|number| !held_out.contains(number)));
        assert_ne!(library.split(0.2, 2), (learned, held_out));
        assert!(library.split(0.0, 1).1.is_empty());
    }
}
