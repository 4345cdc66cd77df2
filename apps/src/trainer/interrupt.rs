//! Ctrl-C and SIGTERM end a run early instead of losing it.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

/// A signal to stop, with the signal's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt = 2,
    /// SIGTERM: `kill`, a service manager, a batch system at the end of its time.
    Terminate = 15,
}

impl Signal {
    /// The exit status that shells give a program ended by the signal, so that a script does not take an unfinished run
    /// for a finished one.
    fn status(self) -> u8 {
        128 + self as u8
    }
}

impl From<Signal> for ExitCode {
    fn from(signal: Signal) -> Self {
        Self::from(signal.status())
    }
}

/// Remembers the first signal; the second ends the program.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicU8>);

impl Interrupt {
    /// Begins to listen.
    pub fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = {
            let _runtime = runtime.enter();
            listener::Signals::new()?
        };
        let raised = Arc::new(AtomicU8::new(0));
        let interrupt = Self(Arc::clone(&raised));
        thread::spawn(move || {
            runtime.block_on(async {
                raised.store(signals.next().await as u8, Ordering::Relaxed);
                eprintln!("finishing this step, then saving a checkpoint; once more to stop at once");
                std::process::exit(signals.next().await.status().into());
            });
        });
        Ok(interrupt)
    }

    /// The signal that came, if one has.
    pub fn raised(&self) -> Option<Signal> {
        let number = self.0.load(Ordering::Relaxed);
        [Signal::Interrupt, Signal::Terminate].into_iter().find(|&signal| signal as u8 == number)
    }
}

#[cfg(unix)]
mod listener {
    use std::io;

    use tokio::signal::unix::{self, SignalKind};

    use super::Signal;

    pub struct Signals {
        interrupt: unix::Signal,
        terminate: unix::Signal,
    }

    impl Signals {
        pub fn new() -> io::Result<Self> {
            Ok(Self {
                interrupt: unix::signal(SignalKind::interrupt())?,
                terminate: unix::signal(SignalKind::terminate())?,
            })
        }

        pub async fn next(&mut self) -> Signal {
            tokio::select! {
                _ = self.interrupt.recv() => Signal::Interrupt,
                _ = self.terminate.recv() => Signal::Terminate,
            }
        }
    }
}

#[cfg(not(unix))]
mod listener {
    use std::{future, io};

    use super::Signal;

    pub struct Signals;

    impl Signals {
        pub fn new() -> io::Result<Self> {
            Ok(Self)
        }

        pub async fn next(&mut self) -> Signal {
            match tokio::signal::ctrl_c().await {
                Ok(()) => Signal::Interrupt,
                Err(_) => future::pending().await, // no signal can come
            }
        }
    }
}
