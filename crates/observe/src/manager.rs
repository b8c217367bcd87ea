//! The manager: owns every task that scrapes, probes or discovers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_env::Clock;
use bellwether_model::Labels;
use bellwether_model::series::SampleSink;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::collect::CollectorConfig;
use crate::config::{Discovery, ScrapeConfig, TargetGroup};
use crate::discovery::{FILE_POLL, FileDiscovery, fetch_groups};
use crate::find::{FindOptions, FoundService, Watch, find_services};
use crate::http::build_client;
use crate::probe::ProbeConfig;
use crate::scrape::{self, Command, HttpSource, Shared, TargetSpec};
use crate::target::{DroppedTarget, MetricMetadata, Targets};

mod pool;

use pool::{PROBE_JOB, Resolved, TargetKey, collector_target, probe_target, resolve};

/// Dropped targets that are kept per pool for display.
pub const DROPPED_MAX: usize = 200;
/// How often loopback is looked at for services.
const FIND_EVERY: Duration = Duration::from_mins(1);
/// How long [`ScrapeManager::shutdown`] waits for tasks to end by themselves.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);

/// All that is to be watched.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    pub scrapes: Vec<ScrapeConfig>,
    pub probes: Vec<ProbeConfig>,
    pub collectors: Vec<CollectorConfig>,
    /// Watch what [`find_services`] finds, looked for again every minute.
    pub find: Option<FindOptions>,
}

/// Runs the jobs and knows how they are doing. Cheap to share behind an `Arc`.
pub struct ScrapeManager(Arc<Inner>);

struct Inner {
    sink: Arc<dyn SampleSink>,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stopped: bool,
    pools: BTreeMap<String, Pool>,
    tasks: JoinSet<()>,
    find: Option<(FindOptions, AbortHandle)>,
    found: Vec<FoundService>,
}

/// A scrape config (or the probes, or a collector) and its targets.
#[derive(Default)]
struct Pool {
    config: Option<Arc<ScrapeConfig>>,
    source: Option<Result<Arc<HttpSource>, String>>,
    /// Came from the service finder.
    found: bool,
    /// Grows with each configuration, so that a late answer of an old discovery is not taken.
    generation: u64,
    discoverers: Vec<AbortHandle>,
    /// Last answer of each discovery section.
    groups: Vec<Vec<TargetGroup>>,
    discovery_errors: BTreeMap<usize, String>,
    targets: BTreeMap<TargetKey, Running>,
    resolved: Resolved,
}

struct Running {
    command: watch::Sender<Command>,
    shared: Arc<Shared>,
}

// === impl ScrapeManager ===

impl ScrapeManager {
    /// A manager without jobs. Tasks run on the tokio runtime this is called in (it panics outside of one).
    pub fn new(sink: Arc<dyn SampleSink>, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            sink,
            clock,
            runtime: Handle::current(),
            state: Mutex::default(),
        };
        Self(Arc::new(inner))
    }

    /// Makes `jobs` what is watched, at start and at each reload: unchanged targets keep running, removed ones stop
    /// and their series are marked stale.
    pub fn apply(&self, jobs: Jobs) {
        let Jobs {
            scrapes,
            probes,
            collectors,
            find,
        } = jobs;
        let mut state = self.0.lock();
        if state.stopped {
            return;
        }
        while state.tasks.try_join_next().is_some() {}
        let mut wanted: Vec<String> = scrapes
            .iter()
            .map(|config| config.job_name.clone())
            .collect();
        for config in scrapes {
            self.0.apply_scrape(&mut state, config, false);
        }
        let probes: Vec<TargetSpec> = probes.iter().map(probe_target).collect();
        if !probes.is_empty() {
            wanted.push(PROBE_JOB.to_owned());
            self.0.apply_specs(&mut state, PROBE_JOB, probes, false);
        }
        for config in &collectors {
            wanted.push(config.job.clone());
            self.0.apply_specs(
                &mut state,
                &config.job,
                vec![collector_target(config)],
                false,
            );
        }
        state.drop_pools(|name, pool| {
            wanted.iter().any(|job| job == name) || (pool.found && find.is_some())
        });
        self.0.apply_find(&mut state, find);
    }

    /// All targets and how they are doing.
    pub fn targets(&self) -> Targets {
        let state = self.0.lock();
        let mut targets = Targets::default();
        for (name, pool) in &state.pools {
            for running in pool.targets.values() {
                let status = running
                    .shared
                    .status
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                targets.active.extend(status.clone());
            }
            targets
                .dropped
                .extend(pool.resolved.dropped.iter().map(|labels| DroppedTarget {
                    scrape_pool: name.clone(),
                    discovered_labels: labels.clone(),
                }));
            if pool.resolved.dropped_count > 0 {
                targets
                    .dropped_counts
                    .push((name.clone(), pool.resolved.dropped_count));
            }
            let errors = pool.discovery_errors.values().chain(&pool.resolved.errors);
            targets
                .discovery_errors
                .extend(errors.map(|error| (name.clone(), error.clone())));
        }
        targets
    }

    /// What targets say about their metrics, by metric name and then by target.
    pub fn metadata(&self) -> Vec<MetricMetadata> {
        let state = self.0.lock();
        let mut all = Vec::new();
        for pool in state.pools.values() {
            for ((labels, _), running) in &pool.targets {
                let metadata = running
                    .shared
                    .metadata
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                all.extend(metadata.iter().map(|(metric, metadata)| MetricMetadata {
                    metric: metric.clone(),
                    metadata: metadata.clone(),
                    target: labels.clone(),
                }));
            }
        }
        all.sort_by(|a, b| (&a.metric, &a.target).cmp(&(&b.metric, &b.target)));
        all
    }

    /// The services found on loopback at the last look.
    pub fn found(&self) -> Vec<FoundService> {
        self.0.lock().found.clone()
    }

    /// Stops every task and waits for them. Series are not marked stale: the next start goes on with them.
    pub async fn shutdown(&self) {
        let mut tasks = {
            let mut state = self.0.lock();
            state.stopped = true;
            if let Some((_, finder)) = state.find.take() {
                finder.abort();
            }
            for pool in std::mem::take(&mut state.pools).into_values() {
                for discoverer in &pool.discoverers {
                    discoverer.abort();
                }
                for running in pool.targets.values() {
                    running.command.send_replace(Command::Stop);
                }
            }
            std::mem::take(&mut state.tasks)
        };
        let ended = tokio::time::timeout(SHUTDOWN_WAIT, async {
            while tasks.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            tasks.shutdown().await;
        }
    }
}

impl Drop for ScrapeManager {
    fn drop(&mut self) {
        // Discovery tasks hold the inner state; without the manager nobody could end them.
        let mut state = self.0.lock();
        state.stopped = true;
        state.tasks.abort_all();
    }
}

// === impl Inner ===

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts or changes a scrape config.
    fn apply_scrape(self: &Arc<Self>, state: &mut State, config: ScrapeConfig, found: bool) {
        let State { pools, tasks, .. } = state;
        let pool = pools.entry(config.job_name.clone()).or_default();
        pool.found = found;
        if pool.config.as_deref() == Some(&config) {
            return;
        }
        let config = Arc::new(config);
        let source = build_client(&config.http, config.enable_compression).map(|client| {
            Arc::new(HttpSource {
                client,
                http: config.http.clone(),
                protocols: config.protocols.clone(),
                fallback: config.fallback_protocol,
                body_limit: config.limits.body_size,
            })
        });
        let same_discovery = pool
            .config
            .as_ref()
            .is_some_and(|old| old.discovery == config.discovery);
        pool.source = Some(source.map_err(|error| error.to_string()));
        pool.config = Some(Arc::clone(&config));
        if !same_discovery {
            pool.generation += 1;
            pool.discovery_errors.clear();
            pool.groups = vec![Vec::new(); config.discovery.len()];
            for discoverer in pool.discoverers.drain(..) {
                discoverer.abort();
            }
            for (index, discovery) in config.discovery.iter().enumerate() {
                let generation = pool.generation;
                let task = match discovery.clone() {
                    Discovery::Static(groups) => {
                        pool.groups[index] = groups;
                        continue;
                    }
                    Discovery::File { patterns, .. } => {
                        // The first look is taken here, so that the targets are there at once.
                        let mut files = FileDiscovery::default();
                        files.refresh(&patterns);
                        pool.groups[index] = files.groups();
                        set_error(&mut pool.discovery_errors, index, files.errors.join("; "));
                        let (inner, job) = (Arc::clone(self), config.job_name.clone());
                        tasks.spawn_on(
                            watch_files(inner, job, generation, index, patterns, files),
                            &self.runtime,
                        )
                    }
                    Discovery::Http { url, refresh, http } => {
                        let (inner, job) = (Arc::clone(self), config.job_name.clone());
                        tasks.spawn_on(
                            watch_url(inner, job, generation, index, url, refresh, *http),
                            &self.runtime,
                        )
                    }
                };
                pool.discoverers.push(task);
            }
        }
        self.sync(pool, tasks);
    }

    /// Starts or changes a pool whose targets are known.
    fn apply_specs(
        self: &Arc<Self>,
        state: &mut State,
        name: &str,
        specs: Vec<TargetSpec>,
        found: bool,
    ) {
        let State { pools, tasks, .. } = state;
        let pool = pools.entry(name.to_owned()).or_default();
        pool.found = found;
        pool.resolved = Resolved {
            active: specs
                .into_iter()
                .map(|spec| ((spec.rules.target.clone(), spec.url.clone()), spec))
                .collect(),
            ..Resolved::default()
        };
        self.run_targets(pool, tasks);
    }

    /// Takes the answer of a discovery.
    fn discovered(
        self: &Arc<Self>,
        job: &str,
        generation: u64,
        index: usize,
        groups: Option<Vec<TargetGroup>>,
        error: String,
    ) {
        let mut state = self.lock();
        if state.stopped {
            return;
        }
        let State { pools, tasks, .. } = &mut *state;
        let Some(pool) = pools
            .get_mut(job)
            .filter(|pool| pool.generation == generation)
        else {
            return;
        };
        if !error.is_empty() {
            tracing::warn!(
                job,
                error,
                "discovery failed; the targets it found before stay"
            );
        }
        set_error(&mut pool.discovery_errors, index, error);
        if let Some(groups) = groups.filter(|groups| pool.groups.get(index) != Some(groups)) {
            pool.groups[index] = groups;
            self.sync(pool, tasks);
        }
    }

    fn sync(self: &Arc<Self>, pool: &mut Pool, tasks: &mut JoinSet<()>) {
        let (Some(config), Some(source)) = (&pool.config, &pool.source) else {
            return;
        };
        pool.resolved = resolve(config, source, &pool.groups.concat());
        self.run_targets(pool, tasks);
    }

    /// Makes what runs equal to what is resolved.
    fn run_targets(self: &Arc<Self>, pool: &mut Pool, tasks: &mut JoinSet<()>) {
        let resolved = std::mem::take(&mut pool.resolved.active);
        pool.targets.retain(|key, running| {
            let keep = resolved.contains_key(key);
            if !keep {
                running.command.send_replace(Command::Remove);
            }
            keep
        });
        for (key, spec) in resolved {
            let spec = Arc::new(spec);
            if let Some(running) = pool.targets.get(&key) {
                running.command.send_replace(Command::Run(spec));
                continue;
            }
            let shared = Arc::new(Shared {
                status: Mutex::new(Some(spec.status())),
                metadata: Mutex::default(),
            });
            let (command, commands) = watch::channel(Command::Run(spec));
            let task = scrape::run(
                commands,
                Arc::clone(&shared),
                Arc::clone(&self.sink),
                Arc::clone(&self.clock),
            );
            tasks.spawn_on(task, &self.runtime);
            pool.targets.insert(key, Running { command, shared });
        }
    }

    fn apply_find(self: &Arc<Self>, state: &mut State, find: Option<FindOptions>) {
        if state.find.as_ref().map(|(options, _)| options) == find.as_ref() {
            return;
        }
        if let Some((_, finder)) = state.find.take() {
            finder.abort();
        }
        match find {
            None => state.found.clear(),
            Some(options) => {
                let inner = Arc::clone(self);
                let task = {
                    let options = options.clone();
                    async move {
                        loop {
                            let found = find_services(&options).await;
                            inner.take_found(found);
                            tokio::time::sleep(FIND_EVERY).await;
                        }
                    }
                };
                let handle = state.tasks.spawn_on(task, &self.runtime);
                state.find = Some((options, handle));
            }
        }
    }

    /// Watches what was found. A service that is not found any more stays watched: that it is gone is what matters.
    fn take_found(self: &Arc<Self>, found: Vec<FoundService>) {
        let mut state = self.lock();
        if state.stopped {
            return;
        }
        for service in found {
            let job = match &service.watch {
                Watch::Scrape(config) => config.job_name.clone(),
                Watch::Collector(config) => config.job.clone(),
            };
            // What is configured goes before what is found.
            if state.pools.get(&job).is_some_and(|pool| !pool.found) {
                continue;
            }
            match &service.watch {
                Watch::Scrape(config) => self.apply_scrape(&mut state, (**config).clone(), true),
                Watch::Collector(config) => {
                    self.apply_specs(&mut state, &job, vec![collector_target(config)], true);
                }
            }
            match state
                .found
                .iter_mut()
                .find(|known| known.address == service.address)
            {
                Some(known) => *known = service,
                None => {
                    tracing::info!(service = service.name, address = %service.address, "found a service on this host");
                    state.found.push(service);
                }
            }
        }
        while state.tasks.try_join_next().is_some() {}
    }
}

impl State {
    fn drop_pools(&mut self, keep: impl Fn(&str, &Pool) -> bool) {
        self.pools.retain(|name, pool| {
            let kept = keep(name, pool);
            if !kept {
                for discoverer in &pool.discoverers {
                    discoverer.abort();
                }
                for running in pool.targets.values() {
                    running.command.send_replace(Command::Remove);
                }
            }
            kept
        });
    }
}

fn set_error(errors: &mut BTreeMap<usize, String>, index: usize, error: String) {
    if error.is_empty() {
        errors.remove(&index);
    } else {
        errors.insert(index, error);
    }
}

async fn watch_files(
    inner: Arc<Inner>,
    job: String,
    generation: u64,
    index: usize,
    patterns: Vec<std::path::PathBuf>,
    mut files: FileDiscovery,
) {
    loop {
        tokio::time::sleep(FILE_POLL).await;
        let looked = tokio::task::spawn_blocking({
            let patterns = patterns.clone();
            move || {
                let changed = files.refresh(&patterns);
                (files, changed)
            }
        });
        let Ok((back, changed)) = looked.await else {
            return;
        };
        files = back;
        if changed {
            inner.discovered(
                &job,
                generation,
                index,
                Some(files.groups()),
                files.errors.join("; "),
            );
        }
    }
}

async fn watch_url(
    inner: Arc<Inner>,
    job: String,
    generation: u64,
    index: usize,
    url: String,
    refresh: Duration,
    http: crate::http::HttpConfig,
) {
    loop {
        let asked = tokio::time::timeout(
            refresh.max(Duration::from_secs(5)),
            fetch_groups(&url, &http, refresh),
        )
        .await;
        let asked = asked.unwrap_or_else(|_| Err("timeout".to_owned()));
        match asked {
            Ok(groups) => inner.discovered(&job, generation, index, Some(groups), String::new()),
            Err(error) => {
                inner.discovered(&job, generation, index, None, format!("{url}: {error}"));
            }
        }
        tokio::time::sleep(refresh).await;
    }
}

/// Labels under which a probe's series are stored, for rules that are made with a probe.
pub fn probe_labels(config: &ProbeConfig) -> Labels {
    probe_target(config).rules.target.clone()
}

#[cfg(test)]
mod tests;
