//! Pages against missed incidents.

use std::collections::BTreeMap;

use bellwether_judge::replay::Episode;
use bellwether_model::Labels;
use bellwether_page::config::RouteNode;

use super::Point;
use crate::incidents::Incident;
use crate::run::Backtest;
use crate::score::EARLY_MS;

/// Groups of alerts as the pager's routes make them.
pub(super) struct Groups<'a> {
    /// By series: its groups, and the incidents that its labels fit.
    of: Vec<(Vec<usize>, Vec<bool>)>,
    /// Waits of each group in milliseconds: first, between, again.
    waits: Vec<(i64, i64, i64)>,
    incidents: &'a [Incident],
    span: (i64, i64),
}

impl<'a> Groups<'a> {
    pub(super) fn new(labels: &[&Labels], with: &Backtest<'a>) -> Self {
        let mut ids: BTreeMap<(usize, Labels), usize> = BTreeMap::new();
        let mut waits = Vec::new();
        let routes = &with.routing.config.routes;
        let incidents = with.incidents.unwrap_or_default();
        let of = labels
            .iter()
            .map(|labels| {
                let mut posted = with.settings.external_labels.to_builder();
                for label in *labels {
                    posted.set(&label.name, &label.value);
                }
                let posted = posted.build();
                let groups = routes
                    .matching(&posted)
                    .into_iter()
                    .filter(|node| with.routing.pages(&routes.nodes[*node], &posted))
                    .map(|node| {
                        let route = &routes.nodes[node];
                        *ids.entry((node, route.group_labels(&posted)))
                            .or_insert_with(|| {
                                waits.push(waits_of(route));
                                waits.len() - 1
                            })
                    })
                    .collect();
                let fits = incidents
                    .iter()
                    .map(|incident| {
                        let mut wanted = incident.labels.iter();
                        wanted.all(|label| posted.get(&label.name) == &*label.value)
                    })
                    .collect();
                (groups, fits)
            })
            .collect();
        Self {
            of,
            waits,
            incidents,
            span: (with.from, with.to),
        }
    }

    /// Pages of a set of lives, and the incidents they are about: a group's first page waits, alerts that join share the
    /// next one, a group that stays is told of again.
    pub(super) fn count(&self, firing: &[(usize, Episode)]) -> Point {
        let inside = |at: i64| (self.span.0..=self.span.1).contains(&at);
        let mut by_group: Vec<Vec<(i64, i64, usize)>> = vec![Vec::new(); self.waits.len()];
        let mut firings = 0;
        for (series, life) in firing {
            let Some(from) = life.fired_at else { continue };
            firings += usize::from(inside(from));
            let to = life.ended_at.unwrap_or(i64::MAX);
            for group in &self.of[*series].0 {
                by_group[*group].push((from, to, *series));
            }
        }
        let mut caught = vec![false; self.incidents.len()];
        let mut pages = 0;
        for (lives, waits) in by_group.iter_mut().zip(&self.waits) {
            lives.sort_unstable();
            pages += self.count_group(lives, *waits, &mut caught);
        }
        let caught = caught.into_iter().filter(|caught| *caught).count();
        Point {
            threshold: 0.0,
            hold_s: 0.0,
            firings,
            pages,
            caught,
            missed: self.incidents.len() - caught,
        }
    }

    fn count_group(
        &self,
        lives: &[(i64, i64, usize)],
        (wait, interval, repeat): (i64, i64, i64),
        caught: &mut [bool],
    ) -> usize {
        let mut pages = 0;
        let mut next = 0;
        while let Some((start, ..)) = lives.get(next) {
            // The group lives from flush to flush until nobody is left in it.
            let (mut flush, mut told, mut end) = (start + wait, None::<i64>, i64::MIN);
            loop {
                let joined = next;
                while let Some((from, to, _)) = lives.get(next).filter(|life| life.0 <= flush) {
                    debug_assert!(*from <= flush);
                    end = end.max(*to);
                    next += 1;
                }
                let fresh = lives[joined..next].iter().any(|life| life.1 > flush);
                let again = told.is_some_and(|told| flush - told > repeat) && end > flush;
                if fresh || again {
                    told = Some(flush);
                    if (self.span.0..=self.span.1).contains(&flush) {
                        pages += 1;
                        self.mark(&lives[..next], flush, caught);
                    }
                }
                if end <= flush || flush > self.span.1 {
                    break;
                }
                // Straight to the next flush at which something can happen.
                let joins = lives.get(next).map_or(i64::MAX, |life| life.0);
                let repeats = told.map_or(i64::MAX, |told| told + repeat + 1);
                let due = joins.min(repeats).min(end).max(flush + 1);
                let steps = (due - flush).div_euclid(interval)
                    + i64::from((due - flush).rem_euclid(interval) != 0);
                flush += steps.max(1) * interval;
            }
            while lives
                .get(next)
                .is_some_and(|life| life.1 <= flush && life.0 <= flush)
            {
                next += 1;
            }
        }
        pages
    }

    fn mark(&self, lives: &[(i64, i64, usize)], at: i64, caught: &mut [bool]) {
        for (index, incident) in self.incidents.iter().enumerate() {
            let range = incident.start.as_millisecond() - EARLY_MS..=incident.end.as_millisecond();
            if !caught[index] && range.contains(&at) {
                let firing = lives
                    .iter()
                    .rev()
                    .filter(|life| life.0 <= at && life.1 > at);
                caught[index] = firing.into_iter().any(|life| self.of[life.2].1[index]);
            }
        }
    }
}

fn waits_of(route: &RouteNode) -> (i64, i64, i64) {
    let ms =
        |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4);
    (
        ms(route.group_wait),
        ms(route.group_interval).max(1),
        ms(route.repeat_interval),
    )
}

/// Combinations that no other beats in both pages and missed incidents, by pages; of equals the first.
pub(super) fn frontier(points: &[Point]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|index| (points[*index].pages, points[*index].missed, *index));
    let mut best = usize::MAX;
    order.retain(|index| {
        let better = points[*index].missed < best;
        if better {
            best = points[*index].missed;
        }
        better
    });
    order
}

/// The point of the curve farthest below the line between its ends (Satopää et al. 2011, "Finding a Kneedle"). `None`: the
/// curve is a point.
pub(super) fn knee(points: &[Point], frontier: &[usize]) -> Option<usize> {
    let (first, last) = (frontier.first()?, frontier.last()?);
    let (x0, y0) = (points[*first].pages as f64, points[*first].missed as f64);
    let (x1, y1) = (points[*last].pages as f64, points[*last].missed as f64);
    if x1 <= x0 || y0 <= y1 {
        return Some(*first);
    }
    let distance = |index: &usize| {
        let x = (points[*index].pages as f64 - x0) / (x1 - x0);
        let y = (points[*index].missed as f64 - y1) / (y0 - y1);
        1.0 - x - y
    };
    // Of equally far ones the one with more incidents.
    frontier
        .iter()
        .max_by(|a, b| distance(a).total_cmp(&distance(b)))
        .copied()
}

/// The same for pages over thresholds.
pub(super) fn bend(points: &[Point], own: &[usize]) -> Option<usize> {
    let most = own.iter().map(|index| points[*index].pages).max()?.max(1) as f64;
    let falls = points[*own.first()?].pages >= points[*own.last()?].pages;
    let last = (own.len() - 1).max(1) as f64;
    let distance = |(place, index): &(usize, usize)| {
        let x = *place as f64 / last;
        1.0 - if falls { x } else { 1.0 - x } - points[*index].pages as f64 / most
    };
    own.iter()
        .copied()
        .enumerate()
        .max_by(|a, b| distance(a).total_cmp(&distance(b)))
        .map(|(_, index)| index)
}

/// At most so many, ends included, evenly spread.
pub(super) fn thinned(all: &[usize], max: usize) -> Vec<usize> {
    if all.len() <= max || max < 2 {
        return all.to_vec();
    }
    (0..max)
        .map(|step| all[step * (all.len() - 1) / (max - 1)])
        .collect()
}
