//! A run from its plan to its report: threads, records, end.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};

use crate::check;
use crate::collect::{Collector, Finished, ThreadUse};
use crate::http2;
use crate::plan::{Plan, Protocol};
use crate::record::{Record, Tally};
use crate::report::Report;
use crate::request::Prepared;
use crate::stream::TlsStart;
use crate::tls::{self, TlsError};
use crate::worker::{Shared, Worker};

/// Why a run cannot take place.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("start a thread of the generator: {0}")]
    Start(io::Error),
    #[error("a thread of the generator failed: {0}")]
    Thread(io::Error),
    #[error("write the histogram log: {0}")]
    Log(io::Error),
}

/// What a run tells while it goes on.
#[derive(Debug)]
pub struct Progress<'p> {
    /// The newest interval that is finished.
    pub newest: &'p Finished,
    /// Everything since the start.
    pub so_far: &'p Tally,
    pub elapsed: Duration,
}

/// Ends a run early; what was measured is reported.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Makes the requests of a plan and reports. `watch` is told every finished interval.
pub fn run(
    plan: Plan,
    stop: &Stop,
    encode: bool,
    mut watch: impl FnMut(&Progress<'_>),
) -> Result<Report, RunError> {
    let plan = Arc::new(plan);
    let clock = SystemClock::new();
    let started = clock.now();
    let shared = Arc::new(Shared {
        prepared: plan
            .scenario
            .endpoints
            .iter()
            .map(|endpoint| Prepared::new(endpoint, &plan.host))
            .collect(),
        tls: tls_start(&plan)?,
        plan: Arc::clone(&plan),
        clock,
        start: AtomicU64::new(0),
        stop: stop.0.clone(),
    });
    let (to, from) = channel();
    let ready = Arc::new(Barrier::new(plan.threads + 1));
    let mut spares = Vec::new();
    let mut threads = Vec::new();
    for part in 0..plan.threads {
        let (spare_to, spare) = channel();
        spares.push(spare_to);
        let (shared, to, ready) = (Arc::clone(&shared), to.clone(), Arc::clone(&ready));
        let thread = std::thread::Builder::new()
            .name(format!("load-{part}"))
            .spawn(move || {
                let result = match shared.plan.protocol {
                    Protocol::Http1 => Worker::new(Arc::clone(&shared), part, to, spare)
                        .and_then(|mut worker| worker.prepare().map(|()| worker))
                        .map(|worker| -> Box<dyn FnOnce() -> io::Result<()>> {
                            Box::new(move || worker.run())
                        }),
                    Protocol::Http2 => http2::prepare(Arc::clone(&shared), part, to),
                };
                // Twice: all are ready, then the start is set.
                ready.wait();
                ready.wait();
                let before = usage();
                let began = shared.clock.monotonic();
                result?()?;
                let after = usage();
                Ok(ThreadUse {
                    cpu_ns: after.0 - before.0,
                    waited_ns: after.1 - before.1,
                    wall_ns: shared.clock.monotonic().saturating_sub(began).as_nanos() as u64,
                })
            })
            .map_err(RunError::Start)?;
        threads.push(thread);
    }
    drop(to);
    ready.wait();
    let start = clock.monotonic();
    shared
        .start
        .store(start.as_nanos() as u64, Ordering::Release);
    ready.wait();

    let mut collector = Collector::new(Arc::clone(&plan), encode);
    let mut show = |collector: &Collector, finished: &[Finished]| {
        for newest in finished {
            watch(&Progress {
                newest,
                so_far: collector.so_far(),
                elapsed: clock.monotonic().saturating_sub(start),
            });
        }
    };
    loop {
        match from.recv_timeout(Duration::from_hours(1)) {
            Ok(record) => {
                let finished = collector.take(&record);
                show(&collector, &finished);
                give_back(&spares, record);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let ended = clock.monotonic().saturating_sub(start);
    let mut used = Vec::new();
    for thread in threads {
        let result = thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        used.push(result.map_err(RunError::Thread)?);
    }
    let finished = collector.finish_all();
    show(&collector, &finished);
    let mut report = collector.report(&used, ended.as_nanos() as u64);
    report.started = started.to_string();
    if stop.is_stopped() {
        report.warnings.push(format!(
            "stopped after {:.1} s of {:.1} s",
            ended.as_secs_f64(),
            plan.duration.as_secs_f64()
        ));
    }
    check::judge(&mut report);
    Ok(report)
}

fn tls_start(plan: &Plan) -> Result<Option<TlsStart>, TlsError> {
    if !plan.tls {
        return Ok(None);
    }
    let protocols: &[&str] = match plan.protocol {
        Protocol::Http1 => &["http/1.1"],
        Protocol::Http2 => &["h2"],
    };
    Ok(Some(TlsStart {
        config: tls::config(&plan.tls_options, protocols)?,
        name: tls::server_name(&plan.server_name)?,
    }))
}

/// A record's memory is used again by one of the threads.
fn give_back(spares: &[std::sync::mpsc::Sender<Box<Record>>], mut record: Box<Record>) {
    record.clear();
    let at = record.interval % spares.len().max(1);
    if let Some(spare) = spares.get(at) {
        // The thread may have ended.
        drop(spare.send(record));
    }
}

/// Processor time of this thread and the time that it waited for a processor, in ns.
fn usage() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let mut numbers = text
        .split_ascii_whitespace()
        .map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
