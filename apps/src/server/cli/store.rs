//! Arguments of what the server remembers.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};

use crate::store::{self, Durability, StoreOptions};

/// What the server remembers, and where.
#[derive(Debug, Args)]
pub struct StoreArgs {
    #[command(flatten)]
    pub file: StoreFile,
    /// Keep e-mail addresses and phone, card and account numbers in what is stored; without it they are replaced
    #[arg(long)]
    pub keep_personal_data: bool,
    /// Wait for the disk at each commit, so that not even a power cut loses an answer (about 4 ms each)
    #[arg(long)]
    pub sync: bool,
    /// Delete conversations after so many days [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_days: Option<u32>,
}

impl StoreArgs {
    /// How the store is opened.
    pub fn options(&self) -> StoreOptions {
        let durability = if self.sync { Durability::PowerLoss } else { Durability::ProcessKill };
        StoreOptions { redact: !self.keep_personal_data, durability, ..StoreOptions::default() }
    }
}

/// The store's file.
#[derive(Debug, Args)]
pub struct StoreFile {
    /// Where conversations, feedback, keys and changed documents are kept; `none` forgets them with the process
    /// [default: hearth/server.db in the platform's folder for data]
    #[arg(long, value_name = "FILE|none", env = "HEARTH_STORE")]
    pub store: Option<String>,
}

impl StoreFile {
    /// The file, whose folder is made if it is not there; nothing for `none`.
    ///
    /// # Errors
    /// If the platform has no folder for data, or it cannot be made.
    pub fn path(&self) -> anyhow::Result<Option<PathBuf>> {
        let path = match self.store.as_deref() {
            Some("none") => return Ok(None),
            Some(path) => PathBuf::from(path),
            None => data_folder()
                .context("there is no folder for data; name a file with --store")?
                .join("server.db"),
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).with_context(|| format!("--store: {}", folder.display()))?;
        }
        Ok(Some(path))
    }
}

/// Where programs keep what must not be lost.
fn data_folder() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || of("HOME");
    let folder = if cfg!(target_os = "macos") {
        home()?.join("Library/Application Support")
    } else if cfg!(windows) {
        of("APPDATA")?
    } else {
        of("XDG_DATA_HOME")
            .filter(|folder| folder.is_absolute())
            .or_else(|| Some(home()?.join(".local/share")))?
    };
    Some(folder.join("hearth"))
}

/// Arguments of `keys`.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(flatten)]
    pub file: StoreFile,
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key, which is printed this once
    Add {
        /// Whose it is
        #[arg(long)]
        name: String,
        /// What it may: clients ask; agents also read conversations and edit the knowledge; admins also make keys,
        /// export and delete
        #[arg(long, value_enum, default_value = "client")]
        role: KeyRole,
        /// Requests that it may make in a minute
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        requests_per_minute: Option<u32>,
        /// Tokens that it may use in a minute
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        tokens_per_minute: Option<u32>,
    },
    /// List keys: id, role, name, state
    List,
    /// Revoke a key
    Revoke {
        /// Its id, as `list` prints it
        id: String,
    },
}

/// What a key may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyRole {
    /// Asks.
    Client,
    /// Reads conversations, edits the knowledge.
    Agent,
    /// Makes keys, exports, deletes.
    Admin,
}

impl From<KeyRole> for store::Role {
    fn from(role: KeyRole) -> Self {
        match role {
            KeyRole::Client => store::Role::Client,
            KeyRole::Agent => store::Role::Agent,
            KeyRole::Admin => store::Role::Admin,
        }
    }
}
