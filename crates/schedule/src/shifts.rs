//! From layers and overrides to shifts: one sweep over all instants at which something may change.

use jiff::{SignedDuration, Timestamp};

use crate::turns::{Stretch, stretches};
use crate::{Override, OverrideKind, SHIFTS_MAX, SPAN_DAYS_MAX, Schedule, Shift, ShiftSource};

/// Where somebody comes from, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Layer(usize),
    Override(usize),
}

type OnCall<'a> = (&'a str, Source);

pub(super) fn on_call_at(
    schedule: &Schedule,
    at: Timestamp,
    overrides: &[Override],
) -> Vec<(String, ShiftSource)> {
    let end = at
        .checked_add(SignedDuration::from_secs(1))
        .unwrap_or(Timestamp::MAX);
    let mut found: Vec<(String, ShiftSource)> = shifts(schedule, at, end, overrides)
        .into_iter()
        .filter(|shift| shift.start <= at && at < shift.end)
        .map(|shift| (shift.person, shift.source))
        .collect();
    found.sort();
    found
}

pub(super) fn shifts(
    schedule: &Schedule,
    from: Timestamp,
    to: Timestamp,
    overrides: &[Override],
) -> Vec<Shift> {
    let longest = SignedDuration::from_hours(24 * SPAN_DAYS_MAX);
    let to = to.min(from.checked_add(longest).unwrap_or(Timestamp::MAX));
    if from >= to {
        return Vec::new();
    }
    let layers: Vec<Vec<Stretch<'_>>> = schedule
        .layers
        .iter()
        .map(|layer| stretches(schedule, layer, from, to))
        .collect();
    let mut changes: Vec<&Override> = schedule
        .overrides
        .iter()
        .chain(overrides)
        .filter(|change| change.schedule == schedule.name)
        .filter(|change| change.from < to && change.until > from)
        .collect();
    // `Only` has the last word; otherwise in the order in which they were made.
    changes.sort_by_key(|change| (change.kind == OverrideKind::Only, &change.id));
    let by_layer: Vec<Vec<usize>> = schedule
        .layers
        .iter()
        .map(|layer| {
            (0..changes.len())
                .filter(|index| changes[*index].layer.as_ref() == Some(&layer.name))
                .collect()
        })
        .collect();
    let whole = (0..changes.len())
        .filter(|index| changes[*index].layer.is_none())
        .collect();
    let sweep = Sweep {
        schedule,
        layers: &layers,
        next: vec![0; layers.len()],
        running: vec![Vec::new(); layers.len()],
        changes: &changes,
        by_layer,
        whole,
    };
    sweep.run(&edges(&layers, &changes, from, to))
}

pub(super) fn gaps(
    shifts: &[Shift],
    from: Timestamp,
    to: Timestamp,
) -> Vec<(Timestamp, Timestamp)> {
    let mut gaps = Vec::new();
    let mut covered = from;
    for shift in shifts {
        if shift.start > covered {
            gaps.push((covered, shift.start));
        }
        covered = covered.max(shift.end);
    }
    if covered < to {
        gaps.push((covered, to));
    }
    gaps
}

/// Every instant at which something may change, sorted, each once.
fn edges(
    layers: &[Vec<Stretch<'_>>],
    changes: &[&Override],
    from: Timestamp,
    to: Timestamp,
) -> Vec<Timestamp> {
    let of_layers = layers
        .iter()
        .flatten()
        .flat_map(|stretch| [stretch.start, stretch.end]);
    let of_changes = changes
        .iter()
        .flat_map(|change| [change.from, change.until]);
    let mut edges: Vec<Timestamp> = of_layers
        .chain(of_changes)
        .filter(|at| from < *at && *at < to)
        .chain([from, to])
        .collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// A shift that still goes on.
#[derive(Clone, Copy)]
struct Open<'a> {
    start: Timestamp,
    end: Timestamp,
    who: OnCall<'a>,
}

struct Sweep<'a> {
    schedule: &'a Schedule,
    layers: &'a [Vec<Stretch<'a>>],
    /// First stretch of each layer that has not begun.
    next: Vec<usize>,
    /// Stretches of each layer that have begun and not ended.
    running: Vec<Vec<usize>>,
    changes: &'a [&'a Override],
    by_layer: Vec<Vec<usize>>,
    whole: Vec<usize>,
}

impl<'a> Sweep<'a> {
    fn run(mut self, edges: &[Timestamp]) -> Vec<Shift> {
        let mut done: Vec<Shift> = Vec::new();
        let mut open: Vec<Open<'a>> = Vec::new();
        let mut now: Vec<OnCall<'a>> = Vec::new();
        let mut own: Vec<OnCall<'a>> = Vec::new();
        for pair in edges.windows(2) {
            let (start, end) = (pair[0], pair[1]);
            self.on_call(start, &mut now, &mut own);
            now.sort_unstable();
            now.dedup_by(|a, b| a.0 == b.0);
            let same = open.len() == now.len()
                && open
                    .iter()
                    .zip(&now)
                    .all(|(open, who)| open.who == *who && open.end == start);
            if same {
                for one in &mut open {
                    one.end = end;
                }
                continue;
            }
            let before = std::mem::take(&mut open);
            for who in &now {
                let goes_on = before
                    .iter()
                    .find(|open| open.who == *who && open.end == start);
                let start = goes_on.map_or(start, |open| open.start);
                open.push(Open {
                    start,
                    end,
                    who: *who,
                });
            }
            for old in before {
                let goes_on = old.end == start && now.contains(&old.who);
                if !goes_on {
                    done.push(self.shift(old));
                }
            }
            if done.len() > SHIFTS_MAX {
                break;
            }
        }
        done.extend(open.into_iter().map(|open| self.shift(open)));
        done.sort();
        done
    }

    fn shift(&self, open: Open<'_>) -> Shift {
        Shift {
            start: open.start,
            end: open.end,
            person: open.who.0.to_owned(),
            source: match open.who.1 {
                Source::Layer(index) => {
                    ShiftSource::Layer(self.schedule.layers[index].name.clone())
                }
                Source::Override(index) => ShiftSource::Override(self.changes[index].id.clone()),
            },
        }
    }

    fn on_call(&mut self, at: Timestamp, found: &mut Vec<OnCall<'a>>, own: &mut Vec<OnCall<'a>>) {
        found.clear();
        let mut best: Option<i32> = None;
        for (index, layer) in self.schedule.layers.iter().enumerate() {
            let stretches = &self.layers[index];
            let running = &mut self.running[index];
            running.retain(|one| stretches[*one].end > at);
            while let Some(stretch) = stretches.get(self.next[index])
                && stretch.start <= at
            {
                if stretch.end > at {
                    running.push(self.next[index]);
                }
                self.next[index] += 1;
            }
            own.clear();
            for one in running.iter() {
                let people = stretches[*one].people.iter();
                own.extend(people.map(|person| (person.as_str(), Source::Layer(index))));
            }
            for change in &self.by_layer[index] {
                apply(self.changes, *change, at, own);
            }
            if own.is_empty() || best.is_some_and(|best| best > layer.priority) {
                continue;
            }
            if best.is_none_or(|best| best < layer.priority) {
                found.clear();
                best = Some(layer.priority);
            }
            found.append(own);
        }
        for change in &self.whole {
            apply(self.changes, *change, at, found);
        }
    }
}

fn apply<'a>(
    changes: &'a [&'a Override],
    index: usize,
    at: Timestamp,
    people: &mut Vec<OnCall<'a>>,
) {
    let change = changes[index];
    if at < change.from || change.until <= at {
        return;
    }
    let own = change
        .people
        .iter()
        .map(|person| (person.as_str(), Source::Override(index)));
    match change.kind {
        OverrideKind::Add => people.extend(own),
        OverrideKind::Remove => {
            people.retain(|(person, _)| !change.people.iter().any(|gone| gone == person));
        }
        OverrideKind::Replace => {
            let before = people.len();
            people.retain(|(person, _)| Some(*person) != change.replaces.as_deref());
            if people.len() < before {
                people.extend(own);
            }
        }
        OverrideKind::Only => {
            people.clear();
            people.extend(own);
        }
    }
}
