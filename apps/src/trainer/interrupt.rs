//! Ctrl-C ends a run early instead of losing it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::ctrl_c;

/// A flag that the first Ctrl-C raises; the second ends the program.
pub fn raised_by_ctrl_c() -> io::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let flag = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&flag);
    thread::spawn(move || {
        runtime.block_on(async {
            if ctrl_c().await.is_ok() {
                raised.store(true, Ordering::Relaxed);
                eprintln!("finishing this step, then saving; Ctrl-C again to stop at once");
            }
            if ctrl_c().await.is_ok() {
                std::process::exit(130); // what a shell reports for SIGINT
            }
        });
    });
    Ok(flag)
}
