//! Which request is next, and when: arrivals, the steps of flows, and users who think.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use bellwether_stats::random::Random;

use crate::arrival::Arrivals;
use crate::plan::{Model, Plan};

/// One request to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Job {
    /// When it should be sent, in ns from the start.
    pub(crate) intended: u64,
    pub(crate) flow: u32,
    pub(crate) step: u32,
    /// The how manieth flow of the run.
    pub(crate) number: u64,
    /// It was sent before, on a connection that the target had closed.
    pub(crate) resent: bool,
}

/// A user of the closed model waits so long after a failure: a target that refuses is not hammered.
const REST_NS: u64 = 10_000_000;

/// Where one thread's requests come from.
#[derive(Debug)]
pub(crate) struct Jobs {
    plan: Arc<Plan>,
    arrivals: Option<std::iter::Peekable<Arrivals>>,
    /// Steps whose user thinks until then.
    thinking: BinaryHeap<Reverse<Job>>,
    random: Random,
    /// Closed: flows begun, and how far their numbers lie apart.
    begun: u64,
    stride: u64,
    first: u64,
    flows_max: u64,
    end: u64,
}

impl Jobs {
    pub(crate) fn new(plan: Arc<Plan>, part: usize, parts: usize) -> Self {
        let arrivals = match &plan.model {
            Model::Open(arrival) => Some(arrival.share(part, parts, plan.seed).peekable()),
            Model::Closed => None,
        };
        let random = Random::new(plan.seed.wrapping_add(0x5bd1_e995 * (part as u64 + 1)));
        let end = plan.duration.as_nanos() as u64;
        let flows_max = plan.requests_max.unwrap_or(u64::MAX);
        Self {
            arrivals,
            thinking: BinaryHeap::new(),
            random,
            begun: 0,
            stride: parts as u64,
            first: part as u64,
            flows_max,
            end,
            plan,
        }
    }

    /// The random numbers of this thread.
    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// When the next one is due that has not been taken.
    pub(crate) fn next_due(&mut self) -> Option<u64> {
        let thinking = self.thinking.peek().map(|Reverse(job)| job.intended);
        let arriving = self.peek_arrival();
        match (thinking, arriving) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn peek_arrival(&mut self) -> Option<u64> {
        let (time, number) = *self.arrivals.as_mut()?.peek()?;
        (time < self.end && number < self.flows_max).then_some(time)
    }

    /// The next one that is due by now.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<Job> {
        let thinking = self.thinking.peek().map(|Reverse(job)| job.intended);
        let arriving = self.peek_arrival();
        let first = match (thinking, arriving) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b)?,
        };
        if first > now {
            return None;
        }
        if thinking == Some(first) {
            return self.thinking.pop().map(|Reverse(job)| job);
        }
        let (intended, number) = self.arrivals.as_mut()?.next()?;
        Some(self.flow(intended, number))
    }

    /// A user of the closed model begins a flow; `None` when the run is at its end.
    pub(crate) fn user(&mut self, now: u64) -> Option<Job> {
        let number = self.begun * self.stride + self.first;
        if now >= self.end || number >= self.flows_max {
            return None;
        }
        self.begun += 1;
        Some(self.flow(now, number))
    }

    fn flow(&mut self, intended: u64, number: u64) -> Job {
        let flow = match &self.plan.order {
            Some(order) => order[(number as usize) % order.len()],
            None => self.plan.scenario.pick(&mut self.random) as u32,
        };
        Job {
            intended,
            flow,
            step: 0,
            number,
            resent: false,
        }
    }

    /// What follows a request: a job that is due now, if any; one that is due later is kept here.
    pub(crate) fn after(&mut self, job: Job, answered: bool, now: u64) -> Option<Job> {
        let plan = Arc::clone(&self.plan);
        let steps = &plan.scenario.flows[job.flow as usize].steps;
        let step = &steps[job.step as usize];
        let is_closed = self.arrivals.is_none();
        let mut pause = step.think_nanos(&mut self.random);
        let next = if answered && (job.step as usize) + 1 < steps.len() {
            (now < self.end).then_some(Job {
                intended: now,
                step: job.step + 1,
                resent: false,
                ..job
            })
        } else if is_closed {
            if !answered {
                pause = pause.max(REST_NS);
            }
            self.user(now)
        } else {
            None
        }?;
        if pause == 0 {
            return Some(next);
        }
        let intended = now + pause;
        if intended < self.end {
            self.thinking.push(Reverse(Job { intended, ..next }));
        }
        None
    }

    /// No more from now on.
    pub(crate) fn stop(&mut self, now: u64) {
        self.end = self.end.min(now);
        self.thinking.clear();
    }
}
