//! What is asked of the target: flows of requests with weights and pauses.

mod read;
mod template;

pub use read::{ScenarioFile, header, read_scenario};
pub use template::{Filled, Template};

use std::time::Duration;

use bellwether_stats::random::Random;

/// Requests that a scenario may have; a replay has one for each line of the log that differs.
pub const ENDPOINTS_MAX: usize = 200_000;
/// Lines of the results.
pub const GROUPS_MAX: usize = 100;

/// What is asked of the target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scenario {
    pub flows: Vec<Flow>,
    /// Names under which results are counted.
    pub groups: Vec<String>,
    /// Every request, by the index that steps have.
    pub endpoints: Vec<Endpoint>,
}

/// Requests that one user makes one after another.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    pub name: String,
    /// How often it is taken, relative to the others'.
    pub weight: f64,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Index of the request.
    pub endpoint: usize,
    /// Time that the user takes before the next step, evenly between the two.
    pub think: (Duration, Duration),
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Index of the name under which its results are counted.
    pub group: usize,
    pub method: http::Method,
    /// Path and query.
    pub path: Template,
    pub headers: Vec<(String, Template)>,
    pub body: Option<Template>,
    /// Statuses that are as they should be; by default below 400.
    pub expect: Expect,
}

impl Endpoint {
    /// A request for a path, as it stands.
    pub fn get(path: &str) -> Self {
        Self {
            group: 0,
            method: http::Method::GET,
            path: Template::plain(path),
            headers: Vec::new(),
            body: None,
            expect: Expect::Below400,
        }
    }
}

/// Which statuses are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    Below400,
    OneOf(Vec<(u16, u16)>),
}

impl Expect {
    pub fn accepts(&self, status: u16) -> bool {
        match self {
            Self::Below400 => status < 400,
            Self::OneOf(ranges) => ranges
                .iter()
                .any(|(low, high)| (*low..=*high).contains(&status)),
        }
    }
}

// === impl Scenario ===

impl Scenario {
    /// One request, again and again.
    pub fn single(name: String, endpoint: Endpoint) -> Self {
        Self {
            flows: vec![Flow::of_one(name.clone(), 0)],
            groups: vec![name],
            endpoints: vec![Endpoint {
                group: 0,
                ..endpoint
            }],
        }
    }

    /// Index of the name, made if there is room; the last name takes what there is no room for.
    pub fn group(&mut self, name: &str) -> usize {
        const OTHERS: &str = "others";
        if let Some(known) = self.groups.iter().position(|known| known == name) {
            return known;
        }
        let full = self.groups.len() + 1 >= GROUPS_MAX;
        if full && self.groups.last().is_some_and(|last| last == OTHERS) {
            return self.groups.len() - 1;
        }
        let name = if full { OTHERS } else { name };
        self.groups.push(name.to_owned());
        self.groups.len() - 1
    }

    /// A flow, by the weights.
    pub fn pick(&self, random: &mut Random) -> usize {
        if self.flows.len() == 1 {
            return 0;
        }
        let all: f64 = self.flows.iter().map(|flow| flow.weight).sum();
        let mut left = random.uniform() * all;
        for (index, flow) in self.flows.iter().enumerate() {
            left -= flow.weight;
            if left < 0.0 {
                return index;
            }
        }
        self.flows.len() - 1
    }
}

impl Flow {
    /// A flow of one request.
    pub fn of_one(name: String, endpoint: usize) -> Self {
        Self {
            name,
            weight: 1.0,
            steps: vec![Step {
                endpoint,
                think: (Duration::ZERO, Duration::ZERO),
            }],
        }
    }
}

impl Step {
    /// How long the user thinks this time, in nanoseconds.
    pub fn think_nanos(&self, random: &mut Random) -> u64 {
        let (low, high) = (
            self.think.0.as_nanos() as u64,
            self.think.1.as_nanos() as u64,
        );
        if high <= low {
            return low;
        }
        low + (random.uniform() * (high - low + 1) as f64) as u64
    }
}
