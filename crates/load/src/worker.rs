//! One thread that makes requests: connections on epoll, nothing allocated per request.
//!
//! Arrivals go to the queue when they are due; a request leaves the queue when a connection is free. It is not tied to
//! a connection that is still being made, so a target that is slow to accept delays nobody who could be served. Time
//! is measured from the intended send, so whatever a request waits for is part of its latency.

mod connection;

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::jobs::{Job, Jobs};
use crate::plan::{Model, Plan};
use crate::record::{Failure, Record};
use crate::request::Prepared;
use crate::stream::TlsStart;
use connection::{Connection, Phase};

/// Timeouts, intervals and the stop flag are looked at this often.
const TICK_NS: u64 = 10_000_000;
/// A thread that comes around so much later than it wanted to has been paused.
const PAUSE_NS: u64 = 20_000_000;
/// Bytes read at a time.
const BUFFER: usize = 64 << 10;
/// Reads of one connection before the others have their turn.
const READS_MAX: usize = 16;
/// Connections beyond the pool that may be new, without an answer yet. Every one that brings its first answer while
/// requests wait allows two more. A target that stands still is so not drowned in connections that its accept queue
/// cannot hold: the kernel drops them, and what is sent on them waits for retransmissions.
const UNPROVEN_MIN: usize = 4;
/// After a connection could not be made although others stand.
const CONNECT_PAUSE_NS: u64 = 10_000_000;
const TIMER: Token = Token(usize::MAX - 1);

/// What all threads of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Arc<Plan>,
    pub(crate) prepared: Vec<Prepared>,
    pub(crate) tls: Option<TlsStart>,
    pub(crate) clock: SystemClock,
    /// Monotonic time of the start, set when every thread is ready.
    pub(crate) start: AtomicU64,
    pub(crate) stop: Arc<AtomicBool>,
}

/// One thread's work.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    jobs: Jobs,
    poll: Poll,
    timer: OwnedFd,
    armed: u64,
    start: u64,
    connections: Vec<Connection>,
    connections_max: usize,
    idle: Vec<usize>,
    vacant: Vec<usize>,
    /// Connections that have more to read although epoll will not say so again.
    unread: VecDeque<usize>,
    queue: VecDeque<Job>,
    open: usize,
    connecting: usize,
    unproven: usize,
    unproven_max: usize,
    /// Proven connections that ended with an answer: so many may be opened in their place.
    credit: usize,
    no_growth_before: u64,
    pool: usize,
    busy: usize,
    next_address: usize,
    buffer: Box<[u8]>,
    record: Box<Record>,
    interval_end: u64,
    to: Sender<Box<Record>>,
    spare: Receiver<Box<Record>>,
    /// Closed: sends left in this tick.
    allowance: u64,
    per_tick: u64,
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        part: usize,
        to: Sender<Box<Record>>,
        spare: Receiver<Box<Record>>,
    ) -> io::Result<Self> {
        let plan = Arc::clone(&shared.plan);
        let parts = plan.threads;
        let poll = Poll::new()?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        let fd = timer.as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&fd), TIMER, Interest::READABLE)?;
        let connections_max = share(plan.connections, part, parts);
        let per_tick = match plan.model {
            Model::Open(_) => u64::MAX,
            Model::Closed => ((plan.rate_max / parts as f64) * TICK_NS as f64 / 1e9)
                .ceil()
                .max(1.0) as u64,
        };
        Ok(Self {
            jobs: Jobs::new(Arc::clone(&plan), part, parts),
            poll,
            timer,
            armed: u64::MAX,
            start: 0,
            connections: Vec::new(),
            connections_max,
            idle: Vec::new(),
            vacant: Vec::new(),
            unread: VecDeque::new(),
            queue: VecDeque::new(),
            open: 0,
            connecting: 0,
            unproven: 0,
            unproven_max: UNPROVEN_MIN,
            credit: 0,
            no_growth_before: 0,
            pool: share(plan.pool.min(plan.connections), part, parts),
            busy: 0,
            next_address: part,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            record: Box::new(Record::new(plan.scenario.groups.len())),
            interval_end: plan.interval().as_nanos() as u64,
            to,
            spare,
            allowance: per_tick,
            per_tick,
            shared,
        })
    }

    fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    /// Nanoseconds since the start.
    fn now(&self) -> u64 {
        (self.shared.clock.monotonic().as_nanos() as u64).saturating_sub(self.start)
    }

    /// Opens the first connections, so that the run does not begin with waiting for them. Gives up after a while: a
    /// target that is not there is found out by the run.
    pub(crate) fn prepare(&mut self) -> io::Result<()> {
        let until = self.now() + self.plan().timeout.as_nanos().min(1_000_000_000) as u64;
        let mut events = Events::with_capacity(128);
        let mut refused = false;
        while self.open < self.pool && !refused {
            refused = self.connect().is_err();
        }
        while self.connecting > 0 && self.now() < until {
            self.poll
                .poll(&mut events, Some(Duration::from_millis(10)))?;
            for event in &events {
                if event.token() != TIMER {
                    self.ready(event.token().0, event.is_read_closed());
                }
            }
        }
        Ok(())
    }

    /// Makes requests until the run is over.
    pub(crate) fn run(mut self) -> io::Result<()> {
        self.start = self.shared.start.load(Ordering::Acquire);
        let mut events = Events::with_capacity(128);
        let mut next_tick = 0;
        if self.plan().model == Model::Closed {
            for _ in 0..self.connections_max {
                let now = self.now();
                self.queue.extend(self.jobs.user(now));
            }
        }
        let mut wanted = self.now();
        loop {
            let now = self.now();
            self.note_pause(wanted, now);
            self.arrive(now);
            if now >= next_tick {
                next_tick = now + TICK_NS;
                self.tick(now);
            }
            self.dispatch();
            if self.is_over() {
                break;
            }
            self.reread();
            let timeout = self.timeout(next_tick)?;
            wanted = self.now() + timeout.as_nanos() as u64;
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => other?,
            }
            for event in &events {
                if event.token() == TIMER {
                    self.armed = u64::MAX;
                } else {
                    self.ready(event.token().0, event.is_read_closed());
                }
            }
        }
        self.hand_over(self.now());
        Ok(())
    }

    fn note_pause(&mut self, wanted: u64, now: u64) {
        let late = now.saturating_sub(wanted);
        if late < PAUSE_NS {
            return;
        }
        let load = &mut self.record.load;
        load.paused += late;
        if late > load.pause_max {
            load.pause_max = late;
            load.pause_at = now;
        }
    }

    /// Takes up what is due.
    fn arrive(&mut self, now: u64) {
        while let Some(job) = self.jobs.take_due(now) {
            self.record.load.due += 1;
            self.record
                .lateness
                .record_micros((now - job.intended) / 1000);
            self.queue.push_back(job);
        }
    }

    /// Sends what waits, as far as there are connections, and opens more when that is too few.
    fn dispatch(&mut self) {
        while !self.queue.is_empty() && self.allowance > 0 {
            let Some(index) = self.idle.pop() else { break };
            if self.connections[index].phase == Phase::Idle
                && let Some(job) = self.queue.pop_front()
            {
                self.send(index, job);
            }
        }
        let load = &mut self.record.load;
        load.queue_max = load.queue_max.max(self.queue.len() as u64);
        if self.queue.is_empty() {
            self.unproven_max = UNPROVEN_MIN;
        } else {
            self.grow();
        }
    }

    /// Opens connections for requests that wait.
    fn grow(&mut self) {
        while self.connecting < self.queue.len()
            && self.open < self.connections_max
            && (self.open < self.pool || self.credit > 0 || self.unproven < self.unproven_max)
        {
            if self.no_growth_before > 0 && self.now() < self.no_growth_before {
                return;
            }
            if let Err(error) = self.connect() {
                self.not_connected(kind_of(&error));
            }
        }
    }

    /// A connection could not be made. The oldest waiting request takes the blame, unless other connections stand that
    /// will take it.
    fn not_connected(&mut self, failure: Failure) {
        let now = self.now();
        let is_alone = self.open == self.connecting;
        if is_alone || self.plan().model == Model::Closed || failure == Failure::Local {
            if let Some(job) = self.queue.pop_front() {
                self.note_wait(job, now);
                self.failed(job, failure);
            }
        } else {
            self.no_growth_before = now + CONNECT_PAUSE_NS;
        }
    }

    /// What is to be done now and then.
    fn tick(&mut self, now: u64) {
        if self.shared.stop.load(Ordering::Relaxed) {
            self.jobs.stop(now);
        }
        if self.per_tick != u64::MAX {
            if self.allowance == 0 && !self.queue.is_empty() {
                self.record.load.held_back += TICK_NS;
            }
            self.allowance = self.per_tick;
        }
        let timeout = self.plan().timeout.as_nanos() as u64;
        while self
            .queue
            .front()
            .is_some_and(|job| job.intended + timeout <= now)
        {
            let Some(job) = self.queue.pop_front() else {
                break;
            };
            self.note_wait(job, now);
            self.record.load.unsent += 1;
            self.failed(job, Failure::Timeout);
        }
        for index in 0..self.connections.len() {
            let connection = &self.connections[index];
            match connection.phase {
                Phase::Busy if connection.job.intended + timeout <= now => {
                    self.fail(index, Failure::Timeout);
                }
                Phase::Connecting | Phase::Handshaking if connection.since + timeout <= now => {
                    self.close(index);
                }
                _ => {}
            }
        }
        if now >= self.interval_end {
            self.hand_over(now);
        }
    }

    fn note_wait(&mut self, job: Job, now: u64) {
        let load = &mut self.record.load;
        load.queue_age_max = load.queue_age_max.max(now.saturating_sub(job.intended));
    }

    /// Gives the interval's record away and begins another.
    fn hand_over(&mut self, now: u64) {
        let length = self.plan().interval().as_nanos() as u64;
        let groups = self.plan().scenario.groups.len();
        let interval = (self.interval_end / length).saturating_sub(1) as usize;
        let next = self
            .spare
            .try_recv()
            .unwrap_or_else(|_| Box::new(Record::new(groups)));
        let mut record = std::mem::replace(&mut self.record, next);
        record.interval = interval;
        // Whoever collects has gone away only when the run is given up.
        drop(self.to.send(record));
        self.interval_end = (now / length + 1) * length;
    }

    fn is_over(&mut self) -> bool {
        self.queue.is_empty() && self.busy == 0 && self.jobs.next_due().is_none()
    }

    /// How long to wait for events; arms the timer when something is due before the next tick.
    fn timeout(&mut self, next_tick: u64) -> io::Result<Duration> {
        let now = self.now();
        if !self.unread.is_empty() {
            return Ok(Duration::ZERO);
        }
        let left = Duration::from_nanos(next_tick.saturating_sub(now));
        let Some(due) = self.jobs.next_due().filter(|due| *due < next_tick) else {
            return Ok(left);
        };
        let wait = due.saturating_sub(now);
        if wait < 2_000 {
            return Ok(Duration::ZERO);
        }
        if self.armed != due {
            let value = Timespec {
                tv_sec: 0,
                tv_nsec: wait as _,
            };
            let spec = Itimerspec {
                it_interval: Timespec::default(),
                it_value: value,
            };
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
            self.armed = due;
        }
        Ok(left)
    }

    /// A request has no answer.
    fn failed(&mut self, job: Job, failure: Failure) {
        let now = self.now();
        let timeout = self.plan().timeout.as_nanos() as u64;
        let endpoint = self.endpoint(job);
        let latency = now.saturating_sub(job.intended).max(timeout);
        let group = self.shared.prepared[endpoint].group;
        self.record.tallies[group].failure(failure, latency);
        let flow = &self.shared.plan.scenario.flows[job.flow as usize];
        self.record.load.broken_flows += u64::from(job.step as usize + 1 < flow.steps.len());
        if let Some(next) = self.jobs.after(job, false, now) {
            self.queue.push_back(next);
        }
    }

    fn endpoint(&self, job: Job) -> usize {
        self.shared.plan.scenario.flows[job.flow as usize].steps[job.step as usize].endpoint
    }
}

/// What one of several threads has of a number.
fn share(all: usize, part: usize, parts: usize) -> usize {
    all / parts + usize::from(part < all % parts)
}

/// The word for an error of a socket.
fn kind_of(error: &io::Error) -> Failure {
    use rustix::io::Errno;
    let local = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::ADDRNOTAVAIL,
        Errno::NOBUFS,
        Errno::NOMEM,
    ];
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(errno) if local.contains(&errno) => Failure::Local,
        _ if error.kind() == io::ErrorKind::InvalidData => Failure::Tls,
        _ => Failure::Connect,
    }
}
