//! `bellwether serve`: builds every part in start-up order. This function is the whole program.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bellwether_connect::exec::Executor;
use bellwether_connect::terminal::Terminal;
use bellwether_env::{Clock, SystemClock};
use bellwether_flow::{Flow, Input};
use bellwether_judge::engine::ALERT_RULE;
use bellwether_model::series::SeriesSource;
use bellwether_model::state::Record;
use bellwether_model::{Problems, Secret};
use bellwether_observe::ScrapeManager;
use bellwether_page::matchers::Mode;
use bellwether_promql::{Engine, EngineOptions, ParserOptions};
use bellwether_store::{PostgresStore, SqliteStore, Store};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{broadcast, mpsc};

use crate::app::{App, Parts, SilenceLimits, spawn};
use crate::cli;
use crate::config::Config;
use crate::core::{self, Core, Effects, pause};
use crate::http::auth::{API_TOKEN, Auth, SESSION, Scope, USER};
use crate::ingest::Ingest;
use crate::judging::{self, Judge};
use crate::links::{Links, SIGNING_KEY};
use crate::live::Live;
use crate::outbox::{self, Outbox};
use crate::queries::Queries;
use crate::steps::{FromQueries, Performer};
use crate::{http, planning};

/// File in the data folder that says where the running server is.
pub const SERVER_FILE: &str = "server.json";
/// File in the data folder with the token of whoever may read it: the machine's owner.
pub const TOKEN_FILE: &str = "admin.token";
/// Name of that token.
const LOCAL_TOKEN: &str = "local";
/// Silences that there may be at most, ended ones included.
const SILENCES_MAX: usize = 100_000;
const SYNC_EVERY: Duration = Duration::from_secs(1);
const LOOK_AT_TARGETS_EVERY: Duration = Duration::from_secs(2);
const MAINTAIN_EVERY: Duration = Duration::from_mins(1);

/// Why the server does not start. The text is for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}\nhint: {1}")]
    Hint(String, &'static str),
    #[error("the configuration has errors:\n{0}")]
    Config(Problems),
}

fn hint(text: impl Into<String>, hint: &'static str) -> StartError {
    StartError::Hint(text.into(), hint)
}

/// What to serve, however it was asked for.
pub struct Setup {
    /// Whatever is not said below; its `config` and `listen` are not looked at.
    pub args: cli::Serve,
    pub source: Source,
    /// At least one.
    pub listen: Vec<SocketAddr>,
    /// How long ended silences and the notification log are kept.
    pub page_retention: Duration,
    /// Without a token, alerts and silences may be posted over loopback.
    pub open_posts: bool,
    /// Path before all others.
    pub route_prefix: String,
    pub silence_limits: SilenceLimits,
}

/// Where the configuration comes from.
pub enum Source {
    /// Everything runs.
    Ours(Option<PathBuf>),
    /// Only the pager runs, as an Alertmanager.
    Alertmanager(PathBuf, Mode),
}

impl Source {
    fn load(&self) -> (Option<Config>, Problems) {
        match self {
            Self::Ours(Some(file)) => Config::load(file),
            Self::Ours(None) => {
                let (config, problems) = Config::without_file();
                (Some(config), problems)
            }
            Self::Alertmanager(file, mode) => Config::load_alertmanager(file, *mode),
        }
    }
}

/// Runs the server until it is told to stop.
pub async fn run(args: cli::Serve) -> Result<ExitCode, StartError> {
    refuse_open_listening(&args)?;
    run_with(Setup {
        source: Source::Ours(args.config.clone()),
        listen: vec![args.listen],
        page_retention: bellwether_page::config::RETENTION,
        open_posts: !args.require_token,
        route_prefix: String::new(),
        silence_limits: SilenceLimits {
            silences: SILENCES_MAX,
            bytes: usize::MAX,
        },
        args,
    })
    .await
}

/// Builds every part in start-up order, and stops them in the end.
pub async fn run_with(setup: Setup) -> Result<ExitCode, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let pager_only = matches!(setup.source, Source::Alertmanager(..));
    let args = &setup.args;
    let (config, problems) = load_config(&setup.source)?;
    let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
    for listen in &setup.listen {
        let (listener, address) = bind(*listen).await?;
        listeners.push(listener);
        addresses.push(address);
    }
    let listen = addresses[0];
    let external_url = args
        .external_url
        .clone()
        .unwrap_or_else(|| format!("http://{listen}"));
    let external_url = external_url.trim_end_matches('/').to_owned();

    std::fs::create_dir_all(&args.data).map_err(|error| {
        hint(
            format!("make {}: {error}", args.data.display()),
            "name another folder with --data",
        )
    })?;
    let _journal = crate::local::lock_journal(&args.data).map_err(|error| {
        let text = error.to_string();
        hint(
            text.lines().next().unwrap_or_default(),
            "is another server using this data folder?",
        )
    })?;
    let series = Arc::new(open_series(args)?);
    let store = open_store(args).await?;

    let records = load_records(&*store).await?;
    let now = clock.now();
    let mut page = config.page_here(&external_url);
    page.retention = setup.page_retention;
    let (flow, unreadable) = Flow::restore(Arc::new(page), config.runs.clone(), &records, now);
    if !unreadable.0.is_empty() {
        tracing::error!("some state could not be read and was left aside:\n{unreadable}");
    }
    let mut auth = Auth::restore(&records);
    let (links, key_batch) = Links::restore(&of_kind(&records, SIGNING_KEY.0));
    let (token_batch, token_note) = local_token(&args.data, &mut auth, clock.now());
    let setup_ticket = auth.open_setup(now);

    // Asked before anything steps: what opens from now on asks for itself, and must not be planned twice.
    let waiting = flow.wanted(now);
    let (core, inbox) = Core::new(flow);
    let (live, _) = broadcast::channel(1_024);
    let (deliveries, to_perform) = mpsc::unbounded_channel();
    let (wanted, to_plan) = mpsc::unbounded_channel();
    let (judge, rule_commands) = Judge::new();
    let engine = Engine::new(EngineOptions {
        delayed_name_removal: false,
        subquery_step_ms: config.globals.evaluation_interval.as_millis() as i64,
        samples_max: args.query_max_samples,
        parser: if args.promql_experimental {
            ParserOptions::experimental()
        } else {
            ParserOptions::default()
        },
        ..EngineOptions::default()
    });
    let app = Arc::new(App::new(Parts {
        clock: Arc::clone(&clock),
        core: core.clone(),
        store: Arc::clone(&store),
        series: Arc::clone(&series),
        queries: Queries::new(engine, queried(args, &series)?, Arc::clone(&clock))
            .with_limits(args.query_timeout, args.query_concurrency),
        ingest: Ingest::new(Arc::clone(&series), args.accept_remote_write),
        scrapes: ScrapeManager::new(Arc::clone(&series) as _, Arc::clone(&clock)),
        judge,
        auth,
        links,
        live: live.clone(),
        listen,
        external_url: external_url.clone(),
        data: args.data.clone(),
        retention: args.retention,
        page_retention: setup.page_retention,
        pager_only,
        open_reads: pager_only,
        open_posts: setup.open_posts,
        route_prefix: setup.route_prefix.clone(),
        silence_limits: setup.silence_limits,
        config,
        problems,
    }));

    let effects = Effects {
        deliveries,
        wanted: wanted.clone(),
        live,
    };
    spawn(
        "core",
        core::run(core, inbox, Arc::clone(&store), clock, effects),
    );
    let mut first = key_batch;
    first.append(token_batch);
    if app.core.send(Input::Record(first)).await.is_err() {
        return Err(hint(
            "the core stopped at once",
            "this is a fault of ours; the log says more",
        ));
    }
    let executor = Executor::new(args.data.join("spool"), supervisor());
    let outbox = Outbox::new(
        Arc::clone(&app),
        Terminal::new(Box::new(std::io::stdout())),
        performer(&app, executor),
    );
    spawn("outbox", outbox::run(Arc::clone(&outbox), to_perform));
    spawn("planning", planning::run(Arc::clone(&app), to_plan));
    if !pager_only {
        spawn_judging(&app, rule_commands, &records);
    }
    let found = outbox::recover(&outbox)
        .await
        .map_err(|error| hint(error.to_string(), "is the state database sound?"))?;
    if found > 0 {
        tracing::info!(deliveries = found, "took up what was under way before");
    }
    for work in waiting {
        drop(wanted.send(work));
    }
    app.apply_loaded().await;
    spawn("maintenance", maintain(Arc::clone(&app)));
    spawn("news of targets", watch_targets(Arc::clone(&app)));
    if let Ok(hangups) = signal(SignalKind::hangup()) {
        spawn(
            "reload on SIGHUP",
            reload_on_hangup(Arc::clone(&app), hangups),
        );
    }

    let stop = stop_signal();
    announce(&app, setup_ticket.as_deref(), &token_note, &addresses);
    let served = http::serve(listeners, Arc::clone(&app), stop).await;
    if pager_only {
        tracing::info!("Received SIGTERM, exiting gracefully...");
    } else {
        tracing::info!("stopping");
    }
    app.scrapes.shutdown().await;
    if let Err(error) = series.sync() {
        tracing::error!(%error, "the last samples could not be synced");
    }
    drop(std::fs::remove_file(args.data.join(SERVER_FILE)));
    match served {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(hint(format!("serve: {error}"), "the log says more")),
    }
}

fn spawn_judging(app: &Arc<App>, commands: judging::Commands, records: &[Record]) {
    let stored = of_kind(records, ALERT_RULE.0);
    spawn("judging", judging::run(Arc::clone(app), commands, stored));
}

/// Deny by default: beyond loopback there must be TLS before us, and somebody must have said so.
fn refuse_open_listening(args: &cli::Serve) -> Result<(), StartError> {
    if args.listen.ip().is_loopback() || args.behind_tls_proxy {
        return Ok(());
    }
    Err(hint(
        format!("refusing to listen on {} without TLS", args.listen),
        "listen on 127.0.0.1 behind a proxy that has TLS, or say --behind-tls-proxy when one is before this address",
    ))
}

fn load_config(source: &Source) -> Result<(Config, Problems), StartError> {
    let (config, problems) = source.load();
    match config.filter(|_| !problems.has_errors()) {
        Some(config) => {
            if !problems.0.is_empty() {
                tracing::warn!("about the configuration:\n{problems}");
            }
            Ok((config, problems))
        }
        None => Err(StartError::Config(problems)),
    }
}

async fn bind(listen: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let taken = |error: std::io::Error| {
        hint(
            format!("listen on {listen}: {error}"),
            "another program has this port: stop it, or name another with --listen",
        )
    };
    let listener = TcpListener::bind(listen).await.map_err(taken)?;
    let address = listener.local_addr().map_err(taken)?;
    Ok((listener, address))
}

fn open_series(args: &cli::Serve) -> Result<bellwether_series::Store, StartError> {
    let options = bellwether_series::Options {
        retention: args.retention,
        retention_bytes: args.retention_size,
        out_of_order_window: args.out_of_order,
        max_series: args.max_series,
        durability: if args.fsync_each {
            bellwether_series::Durability::EachAppend
        } else {
            bellwether_series::Options::default().durability
        },
        ..bellwether_series::Options::default()
    };
    let (store, report) = bellwether_series::Store::open(&args.data.join("series"), options)
        .map_err(|error| {
            hint(
                error.to_string(),
                "is another server using this data folder?",
            )
        })?;
    for damage in &report.damage {
        tracing::warn!("samples: {damage:?}");
    }
    Ok(store)
}

/// What queries see: our own samples and, when one is named, another server's.
fn queried(
    args: &cli::Serve,
    own: &Arc<bellwether_series::Store>,
) -> Result<Arc<dyn SeriesSource>, StartError> {
    let own = Arc::clone(own) as Arc<dyn SeriesSource>;
    let Some(address) = &args.series else {
        return Ok(own);
    };
    let token = args.series_token.clone().map(Secret::new);
    let remote = crate::fetch::remote_source(address, token)
        .map_err(|error| hint(error, "name the server with --series http://host:port"))?;
    Ok(Arc::new(bellwether_series::MergedSource::new(vec![
        own,
        Arc::new(remote),
    ])))
}

async fn open_store(args: &cli::Serve) -> Result<Arc<dyn Store>, StartError> {
    let url = args
        .state
        .clone()
        .or_else(|| bellwether_env::vars::STATE.get());
    match url {
        Some(url) => {
            let store = PostgresStore::connect(&url).await.map_err(|error| {
                hint(
                    error.to_string(),
                    "is the address of --state right, and the database up?",
                )
            })?;
            Ok(Arc::new(store))
        }
        None => {
            let store = SqliteStore::open(&args.data.join("state.sqlite")).map_err(|error| {
                hint(
                    error.to_string(),
                    "is the data folder writable, and the disk not full?",
                )
            })?;
            Ok(Arc::new(store))
        }
    }
}

async fn load_records(store: &dyn Store) -> Result<Vec<Record>, StartError> {
    let mut kinds = bellwether_flow::kinds();
    kinds.extend([USER, SESSION, API_TOKEN, SIGNING_KEY, ALERT_RULE]);
    let mut records = Vec::new();
    for kind in kinds {
        let loaded = store.load(kind).await;
        records.extend(
            loaded.map_err(|error| hint(error.to_string(), "is the state database sound?"))?,
        );
    }
    Ok(records)
}

/// Performs steps, with our own samples for queries and open pages to hear the output.
fn performer(app: &Arc<App>, executor: Executor) -> Performer {
    let (live, configured) = (app.live.clone(), Arc::clone(app));
    Performer {
        executor,
        clock: Arc::clone(&app.clock),
        ask: Arc::new(FromQueries(Arc::clone(app))),
        listener: Arc::new(move |run, step, _, bytes| {
            drop(live.send(Live::Output {
                run: run.to_owned(),
                step: step.to_owned(),
                text: String::from_utf8_lossy(bytes).into_owned(),
            }));
        }),
        connections: Arc::new(move || configured.config().connections.clone()),
    }
}

fn of_kind(records: &[Record], kind: &str) -> Vec<Record> {
    records
        .iter()
        .filter(|record| record.kind == kind)
        .cloned()
        .collect()
}

/// How a shell step's supervisor is started: this program with its hidden command.
pub(crate) fn supervisor() -> Vec<String> {
    let program = std::env::current_exe()
        .map_or_else(|_| "bellwether".to_owned(), |p| p.display().to_string());
    vec![program, cli::SUPERVISE.to_owned()]
}

/// The token for the command line of whoever owns the data folder; made anew when its file is gone.
fn local_token(
    data: &Path,
    auth: &mut Auth,
    now: jiff::Timestamp,
) -> (bellwether_model::Batch, String) {
    let file = data.join(TOKEN_FILE);
    let known = std::fs::read_to_string(&file).ok();
    if known.is_some_and(|token| auth.identify(None, Some(token.trim()), now).is_some()) {
        return (bellwether_model::Batch::default(), String::new());
    }
    let mut batch = auth.revoke_token(LOCAL_TOKEN);
    let scopes = vec![Scope::Read, Scope::Respond, Scope::Run, Scope::Admin];
    let (token, issued) = auth.issue_token(LOCAL_TOKEN, scopes, now);
    batch.append(issued);
    drop(std::fs::remove_file(&file));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
        .and_then(|mut file| writeln!(file, "{}", token.expose()));
    let note = match written {
        Ok(()) => String::new(),
        Err(error) => format!(
            "the command line has no token: {} cannot be written: {error}",
            file.display()
        ),
    };
    (batch, note)
}

/// Syncs samples each second, and every minute compacts and drops what is too old.
async fn maintain(app: Arc<App>) {
    let mut since_maintenance = Duration::ZERO;
    let mut failing = false;
    loop {
        pause(SYNC_EVERY).await;
        since_maintenance += SYNC_EVERY;
        let maintain = since_maintenance >= MAINTAIN_EVERY;
        let (series, now) = (Arc::clone(&app.series), app.clock.now());
        let work = move || {
            let synced = series.sync();
            (synced, maintain.then(|| series.maintain(now)))
        };
        let Ok((synced, maintained)) = tokio::task::spawn_blocking(work).await else {
            continue;
        };
        match synced {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "samples cannot be written; reading, judging and paging go on");
            }
            Err(_) => {}
        }
        if let Some(report) = maintained {
            since_maintenance = Duration::ZERO;
            tracing::debug!(?report, "maintenance of samples");
        }
    }
}

/// Tells open pages when a target comes, goes, or changes its health.
async fn watch_targets(app: Arc<App>) {
    let look = || {
        let targets = app.scrapes.targets().active.into_iter();
        let mut all: Vec<_> = targets
            .map(|target| (target.scrape_pool, target.scrape_url, target.health))
            .collect();
        all.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        all
    };
    let mut before = look();
    loop {
        pause(LOOK_AT_TARGETS_EVERY).await;
        let now = look();
        if now != before {
            let topics = std::iter::once("targets".to_owned()).collect();
            drop(app.live.send(Live::Changed(topics)));
            before = now;
        }
    }
}

async fn reload_on_hangup(app: Arc<App>, mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        // The outcome is in the log and on the status page.
        drop(app.reload().await);
    }
}

/// Listens from now on, not only from when it is waited for: whoever knows the address may send a signal.
fn stop_signal() -> impl Future<Output = ()> {
    let (terminate, interrupt) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

/// Says where the server is: to the terminal, and in the data folder for the command line.
fn announce(app: &App, setup: Option<&str>, note: &str, addresses: &[SocketAddr]) {
    let about = serde_json::json!({
        "address": format!("http://{}{}", app.listen, app.route_prefix),
        "external_url": app.external_url,
        "pid": std::process::id(),
    });
    if let Err(error) = std::fs::write(app.data.join(SERVER_FILE), format!("{about}\n")) {
        tracing::warn!(%error, "the command line will not find this server by itself");
    }
    if app.pager_only {
        for address in addresses {
            tracing::info!(%address, "Listening on");
            tracing::info!(http2 = false, %address, "TLS is disabled.");
        }
        return;
    }
    if !note.is_empty() {
        tracing::warn!("{note}");
    }
    let mut out = std::io::stdout().lock();
    let mut say = |text: std::fmt::Arguments<'_>| drop(writeln!(out, "{text}"));
    say(format_args!(
        "bellwether {} at {}",
        env!("CARGO_PKG_VERSION"),
        app.external_url
    ));
    if let Some(ticket) = setup {
        say(format_args!(
            "set the administrator (once): {}/setup?ticket={ticket}",
            app.external_url
        ));
    }
    let cases = app.core.view(|flow| {
        flow.pager
            .cases()
            .iter()
            .filter(|case| !case.is_resolved())
            .count()
    });
    if cases > 0 {
        say(format_args!(
            "{cases} open cases: bellwether page list --data {}",
            app.data.display()
        ));
    }
}
