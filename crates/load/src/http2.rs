//! The same by HTTP/2: requests share connections, the library does the protocol.
//!
//! One thread has one runtime; every request under way is a task of it. Costs several times more processor time per
//! request than the HTTP/1.1 path, which the report shows.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use bellwether_env::Clock as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::jobs::{Job, Jobs};
use crate::plan::{Model, Plan};
use crate::record::{Failure, Record};
use crate::scenario::Filled;
use crate::worker::Shared;

/// Intervals and the stop flag are looked at this often.
const TICK_NS: u64 = 10_000_000;
/// A thread that comes around so much later has been paused.
const PAUSE_NS: u64 = 20_000_000;
/// Connections of one thread in the open model: room for 12,800 requests at a time.
const CONNECTIONS_MAX: usize = 128;
/// Requests under way on one connection before another is opened: what servers commonly allow.
const STREAMS: usize = 100;

type Sends = SendRequest<Full<Bytes>>;

/// One connection, with the requests that are under way on it.
struct Slot {
    sends: RefCell<Option<Sends>>,
    streams: Cell<usize>,
    connecting: Cell<bool>,
}

struct Thread {
    shared: Arc<Shared>,
    start: u64,
    record: RefCell<Box<Record>>,
    jobs: RefCell<Jobs>,
    slots: Vec<Slot>,
    /// Closed: requests that follow at once.
    follow: RefCell<VecDeque<Job>>,
    busy: Cell<usize>,
    next_address: Cell<usize>,
    wake: tokio::sync::Notify,
}

/// Sets the thread up; what it gives runs it.
pub(crate) fn prepare(
    shared: Arc<Shared>,
    part: usize,
    to: Sender<Box<Record>>,
) -> io::Result<Box<dyn FnOnce() -> io::Result<()>>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(Box::new(move || {
        let plan = Arc::clone(&shared.plan);
        let share =
            plan.connections / plan.threads + usize::from(part < plan.connections % plan.threads);
        let slots = match plan.model {
            // The model's users are streams: a connection carries many of them.
            Model::Closed => share.div_ceil(STREAMS),
            Model::Open(_) => share.min(CONNECTIONS_MAX),
        };
        let thread = Rc::new(Thread {
            start: shared.start.load(Ordering::Acquire),
            record: RefCell::new(Box::new(Record::new(plan.scenario.groups.len()))),
            jobs: RefCell::new(Jobs::new(Arc::clone(&plan), part, plan.threads)),
            slots: (0..slots.max(1)).map(|_| Slot::default()).collect(),
            follow: RefCell::default(),
            busy: Cell::new(0),
            next_address: Cell::new(part),
            wake: tokio::sync::Notify::new(),
            shared,
        });
        let local = LocalSet::new();
        local.block_on(&runtime, drive(thread, share, to));
        Ok(())
    }))
}

/// Takes up what is due and hands records over until nothing is left.
async fn drive(thread: Rc<Thread>, users: usize, to: Sender<Box<Record>>) {
    let length = thread.plan().interval().as_nanos() as u64;
    let mut interval_end = length;
    if thread.plan().model == Model::Closed {
        for _ in 0..users {
            let job = thread.jobs.borrow_mut().user(thread.now());
            thread.follow.borrow_mut().extend(job);
        }
    }
    loop {
        let now = thread.now();
        if thread.shared.stop.load(Ordering::Relaxed) {
            thread.jobs.borrow_mut().stop(now);
        }
        thread.take_up(now);
        if now >= interval_end {
            thread.hand_over(interval_end / length - 1, &to);
            interval_end = (now / length + 1) * length;
        }
        let due = thread.jobs.borrow_mut().next_due();
        if due.is_none() && thread.busy.get() == 0 && thread.follow.borrow().is_empty() {
            break;
        }
        let wait = due.map_or(TICK_NS, |due| due.saturating_sub(now).min(TICK_NS));
        let wanted = now + wait;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_nanos(wait)) => {}
            () = thread.wake.notified() => {}
        }
        thread.note_pause(wanted);
    }
    thread.hand_over(interval_end / length - 1, &to);
}

/// Marks a slot while its connection is made, also when the request behind it is given up.
struct Connecting<'s>(&'s Cell<bool>);

impl<'s> Connecting<'s> {
    fn new(mark: &'s Cell<bool>) -> Self {
        mark.set(true);
        Self(mark)
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            sends: RefCell::new(None),
            streams: Cell::new(0),
            connecting: Cell::new(false),
        }
    }
}

impl Thread {
    fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    fn now(&self) -> u64 {
        (self.shared.clock.monotonic().as_nanos() as u64).saturating_sub(self.start)
    }

    fn note_pause(&self, wanted: u64) {
        let now = self.now();
        let late = now.saturating_sub(wanted);
        if late >= PAUSE_NS {
            let load = &mut self.record.borrow_mut().load;
            load.paused += late;
            if late > load.pause_max {
                (load.pause_max, load.pause_at) = (late, now);
            }
        }
    }

    fn hand_over(&self, interval: u64, to: &Sender<Box<Record>>) {
        let next = Box::new(Record::new(self.plan().scenario.groups.len()));
        let mut record = self.record.replace(next);
        record.interval = interval as usize;
        // Whoever collects has gone away only when the run is given up.
        drop(to.send(record));
    }

    /// Starts what is due.
    fn take_up(self: &Rc<Self>, now: u64) {
        let is_open = self.plan().model != Model::Closed;
        loop {
            let follow = self.follow.borrow_mut().pop_front();
            let job = match follow {
                Some(job) => job,
                None => match self.jobs.borrow_mut().take_due(now) {
                    Some(job) => job,
                    None => return,
                },
            };
            let mut record = self.record.borrow_mut();
            record.load.due += 1;
            if is_open {
                record
                    .lateness
                    .record_micros(now.saturating_sub(job.intended) / 1000);
            }
            self.busy.set(self.busy.get() + 1);
            record.load.in_flight_max = record.load.in_flight_max.max(self.busy.get() as u64);
            drop(record);
            let thread = Rc::clone(self);
            tokio::task::spawn_local(async move { thread.request(job).await });
        }
    }

    /// One request from its job to its sample.
    async fn request(self: Rc<Self>, job: Job) {
        let timeout = self.plan().timeout.as_nanos() as u64;
        let left = (job.intended + timeout).saturating_sub(self.now());
        let slot = Rc::new(Cell::new(None));
        let work = self.exchange(job, Rc::clone(&slot));
        let result = tokio::time::timeout(Duration::from_nanos(left), work).await;
        if let Some(index) = slot.get() {
            let slot: &Slot = &self.slots[index];
            slot.streams.set(slot.streams.get() - 1);
        }
        let now = self.now();
        let step = &self.plan().scenario.flows[job.flow as usize].steps[job.step as usize];
        let endpoint = &self.plan().scenario.endpoints[step.endpoint];
        let mut record = self.record.borrow_mut();
        let tally = &mut record.tallies[endpoint.group];
        let latency = now.saturating_sub(job.intended);
        let answered = match result.unwrap_or(Err(Failure::Timeout)) {
            Ok((status, sent)) => {
                let good = endpoint.expect.accepts(status);
                tally.answer(status, good, latency, now.saturating_sub(sent));
                true
            }
            Err(failure) => {
                tally.failure(failure, latency.max(timeout));
                false
            }
        };
        drop(record);
        let next = self.jobs.borrow_mut().after(job, answered, now);
        self.follow.borrow_mut().extend(next);
        self.busy.set(self.busy.get() - 1);
        self.wake.notify_one();
    }

    /// Sends the request and reads the answer to its end; status and the time of sending.
    async fn exchange(
        &self,
        job: Job,
        slot: Rc<Cell<Option<usize>>>,
    ) -> Result<(u16, u64), Failure> {
        let request = self.build(job)?;
        let mut sends = self.connection(&slot).await?;
        sends.ready().await.map_err(|_| Failure::Closed)?;
        let sent = self.now();
        let response = match sends.send_request(request).await {
            Ok(response) => response,
            Err(error) if error.is_closed() || error.is_canceled() => return Err(Failure::Closed),
            Err(_) => return Err(Failure::Malformed),
        };
        let status = response.status().as_u16();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Failure::Closed)?;
            let length = frame.data_ref().map_or(0, Bytes::len);
            self.record.borrow_mut().load.bytes_in += length as u64;
        }
        Ok((status, sent))
    }

    fn build(&self, job: Job) -> Result<http::Request<Full<Bytes>>, Failure> {
        let plan = self.plan();
        let step = &plan.scenario.flows[job.flow as usize].steps[job.step as usize];
        let endpoint = &plan.scenario.endpoints[step.endpoint];
        let mut jobs = self.jobs.borrow_mut();
        let mut filled = Filled {
            sequence: job.number,
            random: jobs.random(),
        };
        let mut fill = |template: &crate::scenario::Template| {
            let mut out = Vec::new();
            template.fill(&mut filled, &mut out);
            out
        };
        let scheme = if plan.tls { "https" } else { "http" };
        let path = String::from_utf8(fill(&endpoint.path)).map_err(|_| Failure::Malformed)?;
        let mut request = http::Request::builder()
            .method(endpoint.method.clone())
            .uri(format!("{scheme}://{}{path}", plan.host));
        for (name, value) in &endpoint.headers {
            request = request.header(name, fill(value));
        }
        let body = endpoint.body.as_ref().map(&mut fill).unwrap_or_default();
        self.record.borrow_mut().load.bytes_out += body.len() as u64;
        request
            .body(Full::new(body.into()))
            .map_err(|_| Failure::Malformed)
    }

    /// A connection with room: the least used one, or a new one when all are well used.
    async fn connection(&self, taken: &Cell<Option<usize>>) -> Result<Sends, Failure> {
        let (index, slot) = self
            .slots
            .iter()
            .enumerate()
            .min_by_key(|(index, slot)| {
                let is_open = slot.sends.borrow().is_some() || slot.connecting.get();
                let streams = slot.streams.get();
                // Open ones with room first, then ones that could be opened, then full ones.
                let class = match (is_open, streams < STREAMS) {
                    (true, true) => 0,
                    (false, _) => 1,
                    (true, false) => 2,
                };
                (class, streams, *index)
            })
            .ok_or(Failure::Local)?;
        slot.streams.set(slot.streams.get() + 1);
        taken.set(Some(index));
        loop {
            if let Some(sends) = slot.sends.borrow().as_ref()
                && !sends.is_closed()
            {
                return Ok(sends.clone());
            }
            if slot.connecting.get() {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
            let connecting = Connecting::new(&slot.connecting);
            let opened = self.open().await;
            drop(connecting);
            *slot.sends.borrow_mut() = Some(opened?);
        }
    }

    async fn open(&self) -> Result<Sends, Failure> {
        let addresses = &self.plan().addresses;
        let next = self.next_address.get();
        self.next_address.set(next + 1);
        let connect = TcpStream::connect(addresses[next % addresses.len()]);
        let connect = tokio::time::timeout(self.plan().timeout, connect).await;
        let tcp = connect
            .map_err(|_| Failure::Timeout)?
            .map_err(|_| Failure::Connect)?;
        drop(tcp.set_nodelay(true));
        self.record.borrow_mut().load.connects += 1;
        match &self.shared.tls {
            None => self.shake(TokioIo::new(tcp)).await,
            Some(start) => {
                let connector = tokio_rustls::TlsConnector::from(Arc::clone(&start.config));
                let session = connector
                    .connect(start.name.clone(), tcp)
                    .await
                    .map_err(|_| Failure::Tls)?;
                if session.get_ref().1.alpn_protocol() != Some(b"h2") {
                    return Err(Failure::Tls);
                }
                self.shake(TokioIo::new(session)).await
            }
        }
    }

    async fn shake<T>(&self, io: T) -> Result<Sends, Failure>
    where
        T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let (sends, connection) = handshake(TokioExecutor::new(), io)
            .await
            .map_err(|_| Failure::Malformed)?;
        // Its errors reach the requests.
        drop(tokio::task::spawn_local(async move {
            drop(connection.await);
        }));
        Ok(sends)
    }
}
