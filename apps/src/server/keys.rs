//! `server keys`: makes, lists and revokes keys without a running server.

use anyhow::Context;

use crate::cli::{KeysArgs, KeysCommand};
use crate::store::{NewKey, Store, StoreError};

/// Does what is asked, and prints it.
///
/// # Errors
/// If the store cannot be opened, as while a server has it, or there is no such key.
pub fn run(arguments: &KeysArgs) -> anyhow::Result<()> {
    let path =
        arguments.file.path()?.context("--store none keeps nothing, and keys must be kept: name a file")?;
    let store = match Store::open(&path) {
        Err(error @ StoreError::InUse { .. }) => {
            anyhow::bail!("{error}; stop the server first, or ask it: POST /v1/keys, or Settings in its page")
        }
        opened => opened?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    match &arguments.command {
        KeysCommand::Add { name, role, requests_per_minute, tokens_per_minute } => {
            let new = NewKey {
                name: name.clone(),
                role: (*role).into(),
                requests_per_minute: *requests_per_minute,
                tokens_per_minute: *tokens_per_minute,
            };
            let (key, secret) = runtime.block_on(store.make_key(new))?;
            eprintln!("key {} of {} ({}); it is shown this once:", key.id, key.name, key.role.name());
            println!("{secret}");
        }
        KeysCommand::List => {
            for key in store.keys() {
                let state = if key.revoked.is_some() { "revoked" } else { "valid" };
                println!("{}\t{}\t{}\t{state}", key.id, key.role.name(), key.name);
            }
        }
        KeysCommand::Revoke { id } => {
            runtime.block_on(store.revoke_key(id))?;
            eprintln!("key {id} is revoked");
        }
    }
    Ok(())
}
