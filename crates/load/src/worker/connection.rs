//! What a thread does with its connections.

use std::io;

use mio::Token;

use super::{READS_MAX, Worker, kind_of};
use crate::jobs::Job;
use crate::record::Failure;
use crate::request::render;
use crate::response::{Ended, Fault, Progress, Reading};
use crate::scenario::Filled;
use crate::stream::Stream;

/// One connection, or room for one.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Option<Stream>,
    pub(super) phase: Phase,
    /// What it is busy with.
    pub(super) job: Job,
    /// When the request was sent; when connecting began.
    pub(super) since: u64,
    /// A request that did not go out in one piece.
    out: Vec<u8>,
    out_at: usize,
    reading: Reading,
    served: u64,
    /// It takes the place of a proven one.
    trusted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Vacant,
    Connecting,
    Handshaking,
    Idle,
    Busy,
}

impl Worker {
    /// Begins a connection to the next address.
    pub(super) fn connect(&mut self) -> io::Result<()> {
        let index = self.vacant.pop().unwrap_or(self.connections.len());
        let addresses = &self.shared.plan.addresses;
        let address = addresses[self.next_address % addresses.len()];
        self.next_address += 1;
        let opened = Stream::connect(
            address,
            self.shared.tls.as_ref(),
            self.poll.registry(),
            Token(index),
        );
        if index == self.connections.len() {
            self.connections.push(Connection::vacant());
        }
        let stream = match opened {
            Ok(stream) => stream,
            Err(error) => {
                self.vacant.push(index);
                return Err(error);
            }
        };
        let since = self.now();
        let connection = &mut self.connections[index];
        connection.stream = Some(stream);
        connection.phase = Phase::Connecting;
        connection.since = since;
        connection.served = 0;
        connection.trusted = self.credit > 0;
        self.credit = self.credit.saturating_sub(1);
        self.unproven += usize::from(!connection.trusted);
        self.open += 1;
        self.connecting += 1;
        self.record.load.connects += 1;
        Ok(())
    }

    /// Drops a connection, whatever it does.
    pub(super) fn close(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        match connection.phase {
            Phase::Vacant => return,
            Phase::Connecting | Phase::Handshaking => self.connecting -= 1,
            Phase::Busy => self.busy -= 1,
            Phase::Idle => {}
        }
        self.unproven -= usize::from(connection.is_unproven());
        connection.phase = Phase::Vacant;
        connection.stream = None;
        connection.out.clear();
        connection.out_at = 0;
        self.open -= 1;
        self.vacant.push(index);
    }

    /// Goes on with a connection on which something happened. Told too often, it finds nothing and no harm is done.
    pub(super) fn ready(&mut self, index: usize, read_closed: bool) {
        match self.connections[index].phase {
            Phase::Vacant => {}
            Phase::Connecting | Phase::Handshaking => self.establish(index),
            Phase::Idle | Phase::Busy => {
                if self.connections[index].out_at < self.connections[index].out.len() {
                    self.write_rest(index);
                }
                self.read(index, read_closed);
            }
        }
    }

    fn establish(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let Some(stream) = connection.stream.as_mut() else {
            return;
        };
        if connection.phase == Phase::Connecting {
            match stream.connected() {
                Ok(None) => return,
                Ok(Some(())) => connection.phase = Phase::Handshaking,
                Err(error) => {
                    self.close(index);
                    return self.not_connected(kind_of(&error));
                }
            }
        }
        match stream.handshake() {
            Ok(false) => {}
            Ok(true) => {
                connection.phase = Phase::Idle;
                self.connecting -= 1;
                self.free(index);
            }
            Err(_) => {
                self.close(index);
                self.not_connected(Failure::Tls);
            }
        }
    }

    /// A connection has nothing to do: the next request in the queue, if any.
    fn free(&mut self, index: usize) {
        if self.allowance > 0
            && let Some(job) = self.queue.pop_front()
        {
            self.send(index, job);
        } else {
            self.idle.push(index);
        }
    }

    /// Sends a request on an idle connection.
    pub(super) fn send(&mut self, index: usize, job: Job) {
        let now = self.now();
        self.send_at(index, job, now);
    }

    fn send_at(&mut self, index: usize, job: Job, now: u64) {
        let endpoint = self.endpoint(job);
        self.busy += 1;
        let Self {
            shared,
            connections,
            record,
            jobs,
            ..
        } = self;
        let prepared = &shared.prepared[endpoint];
        let load = &mut record.load;
        load.queue_age_max = load.queue_age_max.max(now.saturating_sub(job.intended));
        load.in_flight_max = load.in_flight_max.max(self.busy as u64);
        if self.per_tick != u64::MAX {
            load.due += u64::from(!job.resent);
            self.allowance = self.allowance.saturating_sub(1);
        }
        let connection = &mut connections[index];
        connection.phase = Phase::Busy;
        connection.job = job;
        connection.since = now;
        connection.reading.begin(prepared.head_only);
        connection.out.clear();
        connection.out_at = 0;
        let Some(stream) = connection.stream.as_mut() else {
            return;
        };
        let bytes = match &prepared.fixed {
            Some(bytes) => bytes.as_slice(),
            None => {
                let mut filled = Filled {
                    sequence: job.number,
                    random: jobs.random(),
                };
                let endpoint = &shared.plan.scenario.endpoints[endpoint];
                let host = &shared.plan.host;
                render(endpoint, host, &mut filled, &mut connection.out);
                connection.out.as_slice()
            }
        };
        let all = bytes.len();
        let written = match stream.write(bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return self.fail(index, Failure::Closed),
        };
        load.bytes_out += written as u64;
        if written == all {
            connection.out.clear();
            return;
        }
        match &prepared.fixed {
            Some(bytes) => connection.out.extend_from_slice(&bytes[written..]),
            None => connection.out_at = written,
        }
        if written > 0 {
            self.write_rest(index);
        }
    }

    fn write_rest(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let Some(stream) = connection.stream.as_mut() else {
            return;
        };
        while connection.out_at < connection.out.len() {
            match stream.write(&connection.out[connection.out_at..]) {
                Ok(count) => {
                    connection.out_at += count;
                    self.record.load.bytes_out += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What the target said before it closed is read first.
                Err(_) => break,
            }
        }
        connection.out.clear();
        connection.out_at = 0;
    }

    /// Reads again what was left for the others' sake.
    pub(super) fn reread(&mut self) {
        for _ in 0..self.unread.len() {
            if let Some(index) = self.unread.pop_front() {
                self.ready(index, true);
            }
        }
    }

    fn read(&mut self, index: usize, read_closed: bool) {
        for _ in 0..READS_MAX {
            let connection = &mut self.connections[index];
            let Some(stream) = connection.stream.as_mut() else {
                return;
            };
            let count = match stream.read(&mut self.buffer) {
                Ok(0) => return self.ended(index),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if stream.flush().is_err() {
                        self.fail(index, Failure::Closed);
                    }
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return self.fail(index, Failure::Closed),
            };
            let is_all = count < self.buffer.len() && stream.short_read_is_all() && !read_closed;
            self.record.load.bytes_in += count as u64;
            if connection.phase != Phase::Busy {
                // Nobody asked: whatever it is, it is the end of this connection (often "408 Request Timeout").
                return self.close(index);
            }
            match connection.reading.feed(&self.buffer[..count]) {
                Ok(Progress::More) => {}
                Ok(Progress::Done(ended)) => {
                    let keep = ended.keep_alive && ended.used == count;
                    self.answered(index, ended, keep);
                    if !keep {
                        return;
                    }
                }
                Err(fault) => return self.fail(index, failure_of(fault)),
            }
            if is_all {
                return;
            }
        }
        self.unread.push_back(index);
    }

    /// The target has closed its side.
    fn ended(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if connection.phase != Phase::Busy {
            return self.close(index);
        }
        match connection.reading.end() {
            Ok(ended) => self.answered(index, ended, false),
            Err(_) => self.fail(index, Failure::Closed),
        }
    }

    fn answered(&mut self, index: usize, ended: Ended, keep: bool) {
        let now = self.now();
        let connection = &mut self.connections[index];
        let (job, since) = (connection.job, connection.since);
        if connection.is_unproven() {
            self.unproven -= 1;
            self.unproven_max += 2;
        }
        connection.served += 1;
        let endpoint = self.endpoint(job);
        let good = self.shared.plan.scenario.endpoints[endpoint]
            .expect
            .accepts(ended.status);
        let group = self.shared.prepared[endpoint].group;
        self.record.tallies[group].answer(
            ended.status,
            good,
            now.saturating_sub(job.intended),
            now.saturating_sub(since),
        );
        let next = self.jobs.after(job, true, now);
        if !keep || !self.connections[index].out.is_empty() {
            self.close(index);
            self.credit += 1;
            self.queue.extend(next);
            return;
        }
        self.busy -= 1;
        self.connections[index].phase = Phase::Idle;
        match next {
            Some(job) if self.queue.is_empty() && self.allowance > 0 => {
                self.send_at(index, job, now);
            }
            next => {
                self.queue.extend(next);
                self.free(index);
            }
        }
    }

    /// A connection failed; so did its request, unless the target had only closed an idle connection.
    pub(super) fn fail(&mut self, index: usize, failure: Failure) {
        let connection = &self.connections[index];
        if connection.phase != Phase::Busy {
            return self.close(index);
        }
        let mut job = connection.job;
        let was_idle = connection.served > 0 && connection.reading.is_untouched();
        self.close(index);
        let may_again = self.shared.prepared[self.endpoint(job)].idempotent;
        if failure == Failure::Closed && was_idle && may_again && !job.resent {
            job.resent = true;
            self.record.load.resent += 1;
            self.queue.push_front(job);
        } else {
            self.failed(job, failure);
        }
    }
}

impl Connection {
    fn is_unproven(&self) -> bool {
        self.served == 0 && !self.trusted
    }

    fn vacant() -> Self {
        Self {
            stream: None,
            phase: Phase::Vacant,
            job: Job {
                intended: 0,
                flow: 0,
                step: 0,
                number: 0,
                resent: false,
            },
            since: 0,
            out: Vec::new(),
            out_at: 0,
            reading: Reading::default(),
            served: 0,
            trusted: false,
        }
    }
}

fn failure_of(fault: Fault) -> Failure {
    match fault {
        Fault::Malformed => Failure::Malformed,
        Fault::HeadTooLong => Failure::HeadTooLong,
        Fault::Truncated => Failure::Closed,
    }
}
