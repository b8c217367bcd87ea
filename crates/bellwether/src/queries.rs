//! Queries off the event loop: limited in number, in time, and stopped when nobody waits for them any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bellwether_env::Clock;
use bellwether_model::series::SeriesSource;
use bellwether_promql::{Engine, Expr, Interruption, Query, QueryError, QueryResult};
use tokio::sync::Semaphore;

/// Queries that run at the same time; more wait for their turn within their own timeout.
const CONCURRENT: usize = 20;
/// Time a query may take when it does not say.
pub const TIMEOUT: Duration = Duration::from_mins(2);

/// The query engine over a source, for async callers.
pub struct Queries {
    engine: Engine,
    source: Arc<dyn SeriesSource>,
    clock: Arc<dyn Clock>,
    permits: Arc<Semaphore>,
    timeout: Duration,
    /// Queries answered, and the time they took in microseconds.
    pub answered: AtomicU64,
    pub busy_us: AtomicU64,
}

/// Times of a query in milliseconds; `step` is `None` for an instant query at `start`.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub start: i64,
    pub end: i64,
    pub step: Option<i64>,
}

/// Says that nobody waits any more, when its holder is dropped.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// === impl Times ===

impl Times {
    /// One moment.
    pub fn at(time: i64) -> Self {
        Self {
            start: time,
            end: time,
            step: None,
        }
    }
}

// === impl Queries ===

impl Queries {
    /// Queries of `source`.
    pub fn new(engine: Engine, source: Arc<dyn SeriesSource>, clock: Arc<dyn Clock>) -> Self {
        Self {
            engine,
            source,
            clock,
            permits: Arc::new(Semaphore::new(CONCURRENT)),
            timeout: TIMEOUT,
            answered: AtomicU64::new(0),
            busy_us: AtomicU64::new(0),
        }
    }

    /// With other limits: the longest time of a query, and how many run at once.
    #[must_use]
    pub fn with_limits(mut self, timeout: Duration, concurrent: usize) -> Self {
        self.timeout = timeout;
        self.permits = Arc::new(Semaphore::new(concurrent.max(1)));
        self
    }

    /// The engine, for its options and parser.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What is queried.
    pub fn source(&self) -> &Arc<dyn SeriesSource> {
        &self.source
    }

    /// Evaluates an expression.
    pub async fn run(
        &self,
        expr: Expr,
        times: Times,
        timeout: Duration,
    ) -> Result<QueryResult, QueryError> {
        self.run_with(self.engine.clone(), expr, times, timeout)
            .await
    }

    /// Evaluates an expression with an engine of other options.
    pub async fn run_with(
        &self,
        engine: Engine,
        expr: Expr,
        times: Times,
        timeout: Duration,
    ) -> Result<QueryResult, QueryError> {
        let timeout = timeout.min(self.timeout);
        let begun = self.clock.monotonic();
        let gone = Gone(Arc::new(AtomicBool::new(false)));
        let source = Arc::clone(&self.source);
        let (clock, stop) = (Arc::clone(&self.clock), Arc::clone(&gone.0));
        let result = self
            .off_loop(timeout, move || {
                let interrupt = move || {
                    if stop.load(Ordering::Relaxed) {
                        return Some(Interruption::Canceled);
                    }
                    (clock.monotonic().saturating_sub(begun) > timeout)
                        .then_some(Interruption::Timeout)
                };
                let Times { start, end, step } = times;
                engine.run(
                    &*source,
                    &Query {
                        expr: &expr,
                        start,
                        end,
                        step,
                    },
                    &interrupt,
                )
            })
            .await?;
        let took = self.clock.monotonic().saturating_sub(begun);
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.busy_us
            .fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        drop(gone);
        result
    }

    /// Parses and evaluates at one moment.
    pub async fn instant(&self, query: &str, time: i64) -> Result<QueryResult, QueryError> {
        let expr = self.engine.parse(query)?;
        self.run(expr, Times::at(time), TIMEOUT).await
    }

    /// Something slow on the source, with the same limits as a query.
    pub async fn off_loop<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, QueryError> {
        let waiting = Arc::clone(&self.permits).acquire_owned();
        let permit = tokio::time::timeout(timeout, waiting)
            .await
            .map_err(|_| QueryError::Timeout)?;
        let permit = permit.map_err(|_| QueryError::Canceled)?;
        let task = tokio::task::spawn_blocking(move || {
            let answer = work();
            drop(permit);
            answer
        });
        task.await
            .map_err(|error| QueryError::Execution(format!("query ended abnormally: {error}")))
    }
}
