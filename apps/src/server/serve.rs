//! `server serve`.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use llama::{AdapterChoice, Scheduler};
use tokio::sync::watch;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::cli::{ServeArgs, StoreArgs};
use crate::http::auth::Gate;
use crate::http::cors::Origins;
use crate::http::headers::Framing;
use crate::http::limits::RateLimits;
use crate::http::listener::{Listener, ListenerOptions};
use crate::http::metrics::Metrics;
use crate::http::shutdown::Shutdown;
use crate::http::{Edge, loading, local};
use crate::key_ring::KeyRing;
use crate::knowledge::Settings;
use crate::load::{self, Loaded};
use crate::models::ServedModel;
use crate::routes::app;
use crate::state::{AppState, Parts, Shared};
use crate::store::{Store, StoreError, Timestamp};

/// Time between checks that the model's thread still runs.
const WATCH: Duration = Duration::from_millis(200);

/// Time between looks for conversations that are older than they may become.
const PURGE: Duration = Duration::from_secs(60 * 60);

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
    let log = arguments.http.log_format.layer();
    tracing_subscriber::registry().with(profile).with(log.with_filter(filter)).init();

    // What is quickly known to be wrong first: the address, the store, small files. Loading the model takes long.
    let settings = Settings::read(&arguments.knowledge)?;
    let store = open_store(&arguments.store)?;
    let keys = KeyRing::new(store.clone());
    local::check_host(arguments.http.host, keys.as_ref())?;
    let listener = listen(SocketAddr::new(arguments.http.host, arguments.http.port))?;

    let edge = Edge {
        gate: Gate::new(keys, arguments.http.host, RateLimits::new(arguments.http.requests_per_minute)),
        origins: Origins::new(arguments.http.allow_origin.clone()),
        framing: Framing::new(&arguments.http.allow_origin),
        metrics: Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"), arguments.model.reference())?),
        time_limit: Duration::from_secs(arguments.http.timeout),
    };
    let options = ListenerOptions { connections: arguments.http.connections, ..ListenerOptions::default() };
    let shutdown = Shutdown::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (routes, app_of) = watch::channel(edge.wrap(loading()));
    let address = listener.local_addr()?;
    let serving = {
        let _runtime = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        eprintln!("http://{address} answers 503 until all is loaded");
        runtime.spawn(follow_signals(shutdown.clone()));
        let (shutdown, metrics) = (shutdown.clone(), edge.metrics.clone());
        runtime.spawn(Listener { app: app_of, options, shutdown, metrics }.serve(listener))
    };
    let loaded = load(arguments, settings, store, &edge, &shutdown);
    let state = match loaded {
        Ok(state) => state,
        Err(error) => {
            runtime.shutdown_background();
            return Err(error);
        }
    };
    let _loading = routes.send_replace(edge.wrap(app(state.clone())));
    eprintln!("{}", state.summary());
    eprintln!("listening on http://{address}");
    if let Some(days) = arguments.store.keep_days {
        runtime.spawn(purge(state.store.clone(), Duration::from_secs(u64::from(days) * 24 * 60 * 60)));
    }
    let served = runtime.block_on(async {
        tokio::select! {
            cut = serving => match cut.context("the server failed")? {
                0 => Ok(()),
                cut => {
                    tracing::warn!("{cut} connections were cut");
                    Ok(())
                }
            },
            // End the process, so that a supervisor restarts it; it would not restart one that still listens.
            () = model_stopped(&state) => {
                anyhow::bail!("the model has stopped after a fault of its own; start the server again")
            }
        }
    });
    runtime.shutdown_background(); // drops answers that outlasted the grace period
    served
}

/// Opens the store that the command line names.
fn open_store(arguments: &StoreArgs) -> anyhow::Result<Store> {
    let options = arguments.options();
    let Some(path) = arguments.file.path()? else { return Ok(Store::in_memory_with(options)?) };
    match Store::open_with(&path, options) {
        Err(error @ StoreError::InUse { .. }) => {
            anyhow::bail!("{error}; give this one a file of its own with --store FILE, or --store none")
        }
        opened => Ok(opened?),
    }
}

/// Loads the model and the knowledge base.
fn load(
    arguments: &ServeArgs,
    settings: Option<Settings>,
    store: Store,
    edge: &Edge,
    shutdown: &Shutdown,
) -> anyhow::Result<Shared> {
    let Loaded { name, adapter, model, prompts } =
        load::model(&arguments.model, arguments.knowledge.is_own())?;
    prompts.check()?;
    let device = engine::device::parse(&arguments.model.device)?;
    let file = arguments.store.file.path()?;
    let knowledge =
        settings.map(|settings| settings.open(&device, file.as_deref())).transpose()?.map(Arc::new);
    let scheduler = Scheduler::start(model, prompts.tokenizer.clone(), arguments.model.limits())
        .context("no thread for the model")?;
    let (metrics, shutdown) = (edge.metrics.clone(), shutdown.clone());
    let limits = edge.gate.limits().clone();
    let parts = Parts { model: name, prompts, scheduler, knowledge, store, metrics, limits, shutdown };
    let mut state = AppState::new(parts);
    // The adapter that the model was loaded with answers under the model's name, and under its own.
    state.adapters.extend(adapter.map(|name| ServedModel {
        name,
        adapter: AdapterChoice::Default,
        prompts: state.prompts.clone(),
    }));
    state.settings = arguments.requests.settings();
    Ok(Arc::new(state))
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

async fn follow_signals(shutdown: Shutdown) {
    if let Err(error) = shutdown.follow_signals().await {
        tracing::error!("signals to stop are not heard: {error}");
    }
}

/// Waits until the model's thread has ended, as it does when it panics. A thread cannot be awaited, so
/// this looks now and then.
async fn model_stopped(state: &Shared) {
    while state.scheduler.is_running() {
        tokio::time::sleep(WATCH).await;
    }
}

/// Deletes conversations that are older than `age`, now and from time to time.
async fn purge(store: Store, age: Duration) {
    loop {
        match store.purge(Timestamp::now().before(age)).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!("{count} turns and conversations were older than --keep-days and are gone")
            }
            Err(error) => tracing::error!("old conversations could not be deleted: {error}"),
        }
        tokio::time::sleep(PURGE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::model_stopped;
    use crate::testing::{FATAL, server};

    #[tokio::test]
    async fn a_server_whose_model_has_stopped_says_so_and_ends() {
        let server = server();
        assert_eq!(server.get("/health").await.0, 200);
        let _answer = server.submit(FATAL);
        model_stopped(&server.state()).await;
        let (status, body) = server.get("/health").await;
        assert_eq!(status, 503);
        assert!(body["error"]["message"].as_str().unwrap().contains("the model has stopped"), "{body}");
        assert_eq!(server.request("GET", "/health/live", &[]).await.status(), 200);
    }
}
