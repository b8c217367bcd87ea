//! What a thread writes down, an interval at a time.

use bellwether_stats::Histogram;

/// Ways in which a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Failure {
    /// No connection: refused, unreachable, no such host.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// No answer within the timeout, counted from the intended send.
    Timeout,
    /// The target closed or reset the connection before the answer was whole.
    Closed,
    /// What came is no HTTP response.
    Malformed,
    /// The head of the response has no end.
    HeadTooLong,
    /// The generator has no file descriptor or port left for a connection.
    Local,
}

impl Failure {
    pub const ALL: [Self; 7] = [
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Closed,
        Self::Malformed,
        Self::HeadTooLong,
        Self::Local,
    ];

    /// The word in the results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::HeadTooLong => "head_too_long",
            Self::Local => "local",
        }
    }
}

/// Results of one kind of request.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// From the intended send to the end of the answer. A request that failed counts with the timeout, or longer if it
    /// took longer.
    pub latency: Histogram,
    /// From the real send to the end of the answer; answered requests only.
    pub service: Histogram,
    /// Answers by status, in the order in which they first came.
    pub statuses: Vec<(u16, u64)>,
    pub failures: [u64; Failure::ALL.len()],
    /// Answers whose status was not expected.
    pub unexpected: u64,
}

/// What one thread saw in one interval.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Which interval, from 0.
    pub interval: usize,
    /// One for each name under which the scenario counts.
    pub tallies: Vec<Tally>,
    /// How late arrivals were taken up.
    pub lateness: Histogram,
    pub load: Load,
}

/// What the generator did, apart from the answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Requests that became due.
    pub due: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Most requests that waited for a connection at a time.
    pub queue_max: u64,
    /// The longest that one waited for a connection, in ns.
    pub queue_age_max: u64,
    /// Most requests under way at a time.
    pub in_flight_max: u64,
    /// Connections opened.
    pub connects: u64,
    /// Requests sent again because the target had closed an idle connection.
    pub resent: u64,
    /// Requests whose time was over before there was a connection for them.
    pub unsent: u64,
    /// Flows that ended early because a request failed.
    pub broken_flows: u64,
    /// Time in which the thread should have run and did not, in ns.
    pub paused: u64,
    /// The longest of these, in ns, and when it ended (ns from the start).
    pub pause_max: u64,
    pub pause_at: u64,
    /// Time in which the rate limit held requests back (closed model), in ns.
    pub held_back: u64,
}

// === impl Tally ===

impl Tally {
    /// An answer.
    pub fn answer(&mut self, status: u16, good: bool, latency_ns: u64, service_ns: u64) {
        self.latency.record_micros(micros(latency_ns));
        self.service.record_micros(micros(service_ns));
        self.unexpected += u64::from(!good);
        match self.statuses.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += 1,
            None => self.statuses.push((status, 1)),
        }
    }

    /// A request without an answer: a sample too, or the worst would be missing from the percentiles.
    pub fn failure(&mut self, failure: Failure, latency_ns: u64) {
        self.latency.record_micros(micros(latency_ns));
        self.failures[failure as usize] += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
        for (status, count) in &other.statuses {
            match self.statuses.iter_mut().find(|(known, _)| known == status) {
                Some((_, sum)) => *sum += count,
                None => self.statuses.push((*status, *count)),
            }
        }
        for (sum, count) in self.failures.iter_mut().zip(other.failures) {
            *sum += count;
        }
        self.unexpected += other.unexpected;
    }

    pub fn failed(&self) -> u64 {
        self.failures.iter().sum()
    }

    pub fn answered(&self) -> u64 {
        self.service.count()
    }

    fn clear(&mut self) {
        self.latency.clear();
        self.service.clear();
        self.statuses.clear();
        self.failures = Default::default();
        self.unexpected = 0;
    }
}

/// Nearest whole microseconds.
fn micros(nanos: u64) -> u64 {
    nanos.saturating_add(500) / 1000
}

// === impl Record ===

impl Record {
    /// An empty one for so many names.
    pub fn new(groups: usize) -> Self {
        Self {
            tallies: vec![Tally::default(); groups],
            ..Self::default()
        }
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.tallies.iter_mut().for_each(Tally::clear);
        self.lateness.clear();
        self.load = Load::default();
    }

    /// Adds what another thread saw, or the same in another interval.
    pub fn merge(&mut self, other: &Self) {
        for (sum, tally) in self.tallies.iter_mut().zip(&other.tallies) {
            sum.merge(tally);
        }
        self.lateness.merge(&other.lateness);
        self.load.merge(&other.load);
    }

    /// All kinds of requests together.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        for tally in &self.tallies {
            total.merge(tally);
        }
        total
    }
}

impl Load {
    pub fn merge(&mut self, other: &Self) {
        self.due += other.due;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.queue_max = self.queue_max.max(other.queue_max);
        self.queue_age_max = self.queue_age_max.max(other.queue_age_max);
        self.in_flight_max = self.in_flight_max.max(other.in_flight_max);
        self.connects += other.connects;
        self.resent += other.resent;
        self.unsent += other.unsent;
        self.broken_flows += other.broken_flows;
        self.paused += other.paused;
        if other.pause_max > self.pause_max {
            self.pause_max = other.pause_max;
            self.pause_at = other.pause_at;
        }
        self.held_back += other.held_back;
    }
}
