//! `server serve`.

use std::io::{self, IsTerminal};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use llama::Scheduler;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::cli::ServeArgs;
use crate::load::{self, Loaded};
use crate::routes::app;
use crate::state::{AppState, Shared};

/// How long answers under way may take after the signal to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Time between checks that the model's thread still runs.
const WATCH: Duration = Duration::from_millis(200);

/// Loads everything and answers requests until a signal to stop.
///
/// # Errors
/// If the address cannot be listened on, something cannot be loaded, or the model's thread ends.
pub fn run(arguments: &ServeArgs) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    #[cfg(feature = "profile")]
    let (profile, _flush) = crate::profile::layer()?.unzip();
    #[cfg(not(feature = "profile"))]
    let profile = None::<tracing_subscriber::layer::Identity>;
    let log = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(profile).with(log.with_filter(filter)).init();

    // Bind first: loading the model takes long, and a port in use should be reported before.
    let listener = listen(SocketAddr::new(arguments.host, arguments.port))?;
    let Loaded { name, model, prompts } = load::model(&arguments.model)?;
    prompts.check()?;
    let device = engine::device::parse(&arguments.model.device)?;
    let search = load::knowledge(arguments.knowledge.as_deref(), arguments.strict, &device)?;
    let scheduler = Scheduler::start(model, prompts.tokenizer.clone(), arguments.model.limits())
        .context("no thread for the model")?;
    let state = Arc::new(AppState::new(name, prompts, scheduler, search));

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(listener, state));
    runtime.shutdown_background(); // drops answers that outlasted the grace period
    served
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("{address} is in use by another program; choose another with --port")
        }
        _ => anyhow::anyhow!("cannot listen on {address}: {error}"),
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(listener: TcpListener, state: Shared) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        signal().await;
        tracing::info!("stopping");
        stop.send(true).ok();
    });
    let mut stopping = stopped.clone();
    let server = axum::serve(listener, app(state.clone())).with_graceful_shutdown(async move {
        stopping.wait_for(|&stop| stop).await.ok();
    });
    eprintln!("listening on http://{address}");
    tokio::select! {
        served = server => served.context("the server failed"),
        // End the process, so that a supervisor restarts it; it would not restart one that still listens.
        () = model_stopped(&state) => {
            anyhow::bail!("the model has stopped after a fault of its own; start the server again")
        }
        () = async {
            stopped.wait_for(|&stop| stop).await.ok();
            tokio::time::sleep(GRACE).await;
        } => Ok(()),
    }
}

/// Waits until the model's thread has ended, as it does when it panics. A thread cannot be awaited, so
/// this looks now and then.
async fn model_stopped(state: &Shared) {
    while state.scheduler.is_running() {
        tokio::time::sleep(WATCH).await;
    }
}

/// Waits for Ctrl-C or, where there is one, SIGTERM.
async fn signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{SocketAddr, listen, serve};
    use crate::testing::{FATAL, server};

    #[tokio::test]
    async fn a_server_whose_model_has_stopped_ends_with_an_error() {
        let server = server();
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let serving = tokio::spawn(serve(listener, server.state()));
        assert_eq!(server.get("/health").await.0, 200);
        let _answer = server.submit(FATAL);
        let error = serving.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("the model has stopped"), "{error}");
        let (status, body) = server.get("/health").await;
        assert_eq!(status, 503);
        assert!(body["error"]["message"].as_str().unwrap().contains("the model has stopped"), "{body}");
    }
}
