//! The parts of a running server, as its tasks and request handlers share them.
//!
//! Reading: [`App::core`]`.view(|flow| …)` looks at the pager and the runs; [`App::judge`] at the rules;
//! [`App::scrapes`] at the targets; [`App::queries`] evaluates PromQL; [`App::store`] has timeline and deliveries.
//! Changing: [`App::core`]`.send(Input::…)`, answered once it is recorded; [`crate::planning`] for runs.
//! Watching: [`App::live`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bellwether_env::Clock;
use bellwether_model::Problems;
use bellwether_observe::{Jobs, ScrapeManager};
use bellwether_store::Store;
use jiff::Timestamp;
use tokio::sync::broadcast;

use crate::backtests::Backtests;
use crate::config::Config;
use crate::core::Core;
use crate::http::alertmanager::stats::Stats;
use crate::http::auth::Auth;
use crate::http::limits::Limits;
use crate::ingest::Ingest;
use crate::judging::Judge;
use crate::links::Links;
use crate::live::Live;
use crate::queries::Queries;

/// A running server.
pub struct App {
    pub clock: Arc<dyn Clock>,
    pub core: Core,
    pub store: Arc<dyn Store>,
    pub series: Arc<bellwether_series::Store>,
    pub queries: Queries,
    pub ingest: Ingest,
    pub scrapes: ScrapeManager,
    pub judge: Judge,
    pub backtests: Backtests,
    pub auth: Mutex<Auth>,
    /// How much each caller from elsewhere may ask.
    pub limits: Mutex<Limits>,
    pub links: Links,
    pub live: broadcast::Sender<Live>,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Address for links, without a slash at the end.
    pub external_url: String,
    pub data: PathBuf,
    pub retention: Duration,
    /// How long ended silences and the notification log are kept.
    pub page_retention: Duration,
    pub started_at: Timestamp,
    /// What is counted for Alertmanager's metrics.
    pub alertmanager: Stats,
    /// Only the pager runs: `bellwether alertmanager`.
    pub pager_only: bool,
    /// Whoever can reach this server may read, as with an Alertmanager.
    pub open_reads: bool,
    /// Whoever is let in without a token may post alerts and silences.
    pub open_posts: bool,
    /// Path before all others: empty, or `/alertmanager`.
    pub route_prefix: String,
    pub silence_limits: SilenceLimits,
    config: ArcSwap<Config>,
    loaded: Mutex<Loaded>,
}

/// How the last load of the configuration went.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub at: Timestamp,
    /// Whether the last reload worked; if not, what ran before goes on.
    pub ok: bool,
    pub problems: Problems,
}

/// How many silences there may be, and how large one.
#[derive(Clone, Copy, Debug)]
pub struct SilenceLimits {
    pub silences: usize,
    pub bytes: usize,
}

/// What [`App::new`] needs.
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub core: Core,
    pub store: Arc<dyn Store>,
    pub series: Arc<bellwether_series::Store>,
    pub queries: Queries,
    pub ingest: Ingest,
    pub scrapes: ScrapeManager,
    pub judge: Judge,
    pub auth: Auth,
    pub links: Links,
    pub live: broadcast::Sender<Live>,
    pub listen: SocketAddr,
    pub external_url: String,
    pub data: PathBuf,
    pub retention: Duration,
    pub page_retention: Duration,
    pub pager_only: bool,
    pub open_reads: bool,
    pub open_posts: bool,
    pub route_prefix: String,
    pub silence_limits: SilenceLimits,
    pub config: Config,
    pub problems: Problems,
}

/// Spawns a task with a name for the log; a panic in it is logged and ends only that task.
pub fn spawn(name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    let running = tokio::spawn(task);
    tokio::spawn(async move {
        if let Err(error) = running.await
            && error.is_panic()
        {
            tracing::error!(task = name, "a task ended by a fault of ours");
        }
    });
}

// === impl App ===

impl App {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let now = parts.clock.now();
        Self {
            clock: parts.clock,
            core: parts.core,
            store: parts.store,
            series: parts.series,
            queries: parts.queries,
            ingest: parts.ingest,
            scrapes: parts.scrapes,
            judge: parts.judge,
            backtests: Backtests::default(),
            auth: Mutex::new(parts.auth),
            limits: Mutex::default(),
            links: parts.links,
            live: parts.live,
            listen: parts.listen,
            external_url: parts.external_url,
            data: parts.data,
            retention: parts.retention,
            page_retention: parts.page_retention,
            started_at: now,
            alertmanager: Stats::default(),
            pager_only: parts.pager_only,
            open_reads: parts.open_reads,
            open_posts: parts.open_posts,
            route_prefix: parts.route_prefix,
            silence_limits: parts.silence_limits,
            config: ArcSwap::from_pointee(parts.config),
            loaded: Mutex::new(Loaded {
                at: now,
                ok: true,
                problems: parts.problems,
            }),
        }
    }

    /// The configuration in use.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// How the last load went.
    pub fn loaded(&self) -> Loaded {
        self.loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether the last reload worked.
    pub fn reload_ok(&self) -> bool {
        self.loaded().ok
    }

    /// When the configuration in use was loaded.
    pub fn config_loaded_at(&self) -> Timestamp {
        self.loaded().at
    }

    /// Reads the file again. With an error in it nothing changes, and the problems say why.
    pub async fn reload(&self) -> Result<Problems, Problems> {
        let config = self.config();
        let (file, pager_only) = (config.file.clone(), self.pager_only);
        let mode = config.page.matcher_mode;
        drop(config);
        let read = move || match &file {
            Some(file) if pager_only => Config::load_alertmanager(file, mode),
            Some(file) => Config::load(file),
            None => {
                let (config, problems) = Config::without_file();
                (Some(config), problems)
            }
        };
        let (config, problems) = tokio::task::spawn_blocking(read).await.unwrap_or_default();
        let usable = config.filter(|_| !problems.has_errors());
        {
            let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            loaded.ok = usable.is_some();
            loaded.problems = problems.clone();
            if usable.is_some() {
                loaded.at = self.clock.now();
            }
        }
        let Some(config) = usable else {
            tracing::warn!("the configuration has errors and was not taken over:\n{problems}");
            return Err(problems);
        };
        self.apply(Arc::new(config)).await;
        tracing::info!("configuration reloaded");
        Ok(problems)
    }

    /// Makes the configuration it was built with the one in use.
    pub async fn apply_loaded(&self) {
        self.apply(self.config()).await;
    }

    /// Makes a configuration the one in use: the same path at start and at each reload.
    async fn apply(&self, config: Arc<Config>) {
        self.config.store(Arc::clone(&config));
        if !self.pager_only {
            self.scrapes.apply(self.jobs(&config));
            self.judge
                .configure(config.groups(), &config.globals, &self.external_url);
        }
        self.core
            .configure(|flow| flow.set_run_settings(config.runs.clone()));
        let mut page = config.page_here(&self.external_url);
        page.retention = self.page_retention;
        let pages = config
            .runbooks
            .iter()
            .map(|page| bellwether_act::PageFacts::of(page));
        let pages = bellwether_act::RunEvent::Pages(pages.collect());
        drop(self.core.send(bellwether_flow::Input::Run(pages)).await);
        let event = bellwether_page::PagerEvent::Reconfigure(Arc::new(page));
        if self
            .core
            .send(bellwether_flow::Input::Page(event))
            .await
            .is_err()
        {
            tracing::debug!("stopping: the new configuration reaches nobody");
        }
    }

    fn jobs(&self, config: &Config) -> Jobs {
        use bellwether_observe::{CollectorConfig, FindOptions, ScrapeConfig};
        let interval = config.globals.scrape_interval.min(Duration::from_secs(15));
        let mut scrapes = config.scrapes.clone();
        if !scrapes.iter().any(|job| job.job_name == "bellwether") {
            let targets = vec![self.listen.to_string()];
            scrapes.push(ScrapeConfig {
                scrape_interval: interval,
                scrape_timeout: interval,
                ..ScrapeConfig::with_targets("bellwether", &config.globals, targets)
            });
        }
        let collectors = if config.host {
            vec![
                CollectorConfig::host(interval),
                CollectorConfig::processes(interval),
            ]
        } else {
            Vec::new()
        };
        let find = config.find_services.then(|| FindOptions {
            skip_ports: [self.listen.port()].into(),
            interval,
            ..FindOptions::default()
        });
        Jobs {
            scrapes,
            probes: config.probes.clone(),
            collectors,
            find,
        }
    }
}
