//! The files of a knowledge base: every one under its folder, links followed, without going in circles.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use crate::RagError;

/// Every file under `root`, or `root` itself if it is a file, in the order of their paths. What cannot be
/// listed is added to `skipped`.
pub(super) fn list(root: &Path, skipped: &mut Vec<RagError>) -> Result<Vec<PathBuf>, RagError> {
    if !fs::metadata(root).map_err(RagError::io(root))?.is_dir() {
        return Ok(vec![root.to_path_buf()]);
    }
    fs::read_dir(root).map_err(RagError::io(root))?;
    let mut walk = Walk {
        folders: VecDeque::from([root.to_path_buf()]),
        linked_folders: VecDeque::new(),
        files: Vec::new(),
        linked_files: Vec::new(),
        seen: HashSet::new(),
        skipped,
    };
    // What is there itself first, so that a link to it is the one that is left out.
    while let Some(folder) = walk.folders.pop_front().or_else(|| walk.linked_folders.pop_front()) {
        if let Err(error) = walk.enter(&folder) {
            walk.skipped.push(error);
        }
    }
    let mut files = walk.files;
    for path in walk.linked_files {
        match path.canonicalize() {
            Ok(target) => {
                if walk.seen.insert(target) {
                    files.push(path);
                }
            }
            Err(error) => walk.skipped.push(RagError::io(&path)(error)),
        }
    }
    files.sort();
    Ok(files)
}

struct Walk<'a> {
    folders: VecDeque<PathBuf>,
    linked_folders: VecDeque<PathBuf>,
    files: Vec<PathBuf>,
    linked_files: Vec<PathBuf>,
    /// Folders and files without links in their paths.
    seen: HashSet<PathBuf>,
    skipped: &'a mut Vec<RagError>,
}

impl Walk<'_> {
    fn enter(&mut self, folder: &Path) -> Result<(), RagError> {
        let place = folder.canonicalize().map_err(RagError::io(folder))?;
        if !self.seen.insert(place.clone()) {
            return Ok(());
        }
        let mut entries: Vec<_> =
            fs::read_dir(folder).and_then(Iterator::collect::<Result<_, _>>).map_err(RagError::io(folder))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (name, path) = (entry.file_name(), entry.path());
            if name.to_string_lossy().starts_with('.') {
                continue;
            }
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            match fs::metadata(&path) {
                Ok(kind) if kind.is_dir() && is_link => self.linked_folders.push_back(path),
                Ok(kind) if kind.is_dir() => self.folders.push_back(path),
                Ok(kind) if kind.is_file() && is_link => self.linked_files.push(path),
                Ok(kind) if kind.is_file() => {
                    if self.seen.insert(place.join(name)) {
                        self.files.push(path);
                    }
                }
                // Reading a pipe would wait for its other end.
                Ok(_) => self.skipped.push(RagError::file(&path, "is neither a file nor a folder")),
                Err(_) if is_link => {
                    self.skipped.push(RagError::file(&path, "is a link that leads nowhere"));
                }
                Err(error) => self.skipped.push(RagError::io(&path)(error)),
            }
        }
        Ok(())
    }
}

/// The path below `folder` with `/` between its parts, the same on every system.
pub(super) fn relative_name(folder: &Path, path: &Path) -> String {
    let below = path.strip_prefix(folder).ok().filter(|below| below.components().next().is_some());
    let below = below.or_else(|| path.file_name().map(Path::new)).unwrap_or(path);
    let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}
