//! `info()`: adds the labels of info metrics with the same `instance` and `job`.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_model::labels::METRIC_NAME;
use bellwether_model::series::is_stale;
use bellwether_model::{Labels, MatchOp, Matcher};

use crate::ast::{At, CallExpr, DurationExpr, Expr, Extent, Span, VectorSelector};
use crate::engine::binary_braces;
use crate::engine::eval::{Context, Evaluated, Sink};
use crate::engine::series::{Collector, Grid, Series};
use crate::error::QueryError;

const TARGET_INFO: &str = "target_info";
/// Labels that tie a series to its info series.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

fn first_selector(expr: &Expr) -> Option<(Option<At>, Option<DurationExpr>)> {
    let mut found = None;
    expr.walk(&mut |node| {
        let selector = match node {
            Expr::Vector(selector) => Some(&**selector),
            Expr::Matrix(matrix) => Some(&matrix.selector),
            _ => None,
        };
        if found.is_none() {
            found = selector.map(|s| (s.at, s.offset.clone()));
        }
    });
    found
}

fn identity(labels: &Labels) -> Labels {
    labels.retain(|name| IDENTIFYING.contains(&name))
}

impl Context<'_> {
    pub(super) fn info(&self, call: &CallExpr, grid: &Grid, sink: &mut Sink<'_>) -> Evaluated<()> {
        let base = self.eval(&call.args[0], grid)?;
        self.release_all(&base);
        let given: &[Matcher] = match call.args.get(1).map(Expr::unwrap_parens) {
            Some(Expr::Vector(selector)) => &selector.matchers,
            _ => &[],
        };
        let (names, data): (Vec<Matcher>, Vec<Matcher>) =
            given.iter().cloned().partition(|m| &*m.name == METRIC_NAME);
        let names = if names.is_empty() {
            vec![Matcher::equal(METRIC_NAME, TARGET_INFO)]
        } else {
            names
        };
        let named = call.args.len() == 1 || given.iter().any(|m| &*m.name == METRIC_NAME);
        let is_info =
            |series: &Series| named && names.iter().all(|m| m.matches(series.labels.metric_name()));
        let enriched: Vec<bool> = base.iter().map(|series| !is_info(series)).collect();
        let infos = self.read_infos(&base, &enriched, &names, &data, call, grid)?;
        let mut by_identity: BTreeMap<Labels, Vec<usize>> = BTreeMap::new();
        for (index, series) in infos.iter().enumerate() {
            let found = by_identity.entry(identity(&series.labels)).or_default();
            found.push(index);
        }
        let must_match = data.iter().any(|m| !m.matches_empty());
        let mut out = Collector::new(grid.len, self.delayed());
        for step in 0..grid.len {
            check_conflicts(&infos, &by_identity, step)?;
            for (series, enriched) in base.iter().zip(&enriched) {
                let Some(sample) = series.get(step) else {
                    continue;
                };
                if !enriched {
                    out.add(&series.labels, series.drop_name, step, sample)?;
                    continue;
                }
                let candidates = by_identity.get(&identity(&series.labels));
                let here = newest(&infos, candidates.map_or(&[][..], Vec::as_slice), step);
                if here.is_empty() && must_match {
                    continue;
                }
                let labels = enrich(&series.labels, &infos, &here, &data)?;
                out.add(&labels, series.drop_name, step, sample)?;
            }
        }
        for series in out.finish() {
            sink(series)?;
        }
        Ok(())
    }

    /// Info series with the times of their samples.
    fn read_infos(
        &self,
        base: &[Series],
        enriched: &[bool],
        names: &[Matcher],
        data: &[Matcher],
        call: &CallExpr,
        grid: &Grid,
    ) -> Evaluated<Vec<Series>> {
        let mut matchers: Vec<Matcher> = names.iter().chain(data).cloned().collect();
        let mut any = false;
        for name in IDENTIFYING {
            let values: BTreeSet<&str> = base
                .iter()
                .zip(enriched)
                .filter(|(_, enriched)| **enriched)
                .map(|(series, _)| series.labels.get(name))
                .filter(|value| !value.is_empty())
                .collect();
            if values.is_empty() {
                continue;
            }
            any = true;
            let escaped: Vec<String> = values.into_iter().map(regex::escape).collect();
            let matcher = Matcher::new(MatchOp::Regex, name, &escaped.join("|"));
            matchers.push(matcher.map_err(|error| QueryError::execution(error.to_string()))?);
        }
        if !any {
            return Ok(Vec::new());
        }
        let (at, offset) = first_selector(&call.args[0]).unwrap_or_default();
        let selector = VectorSelector {
            name: None,
            matchers,
            at,
            offset,
            extent: Extent::Plain,
            labels_only: true,
            span: Span::default(),
        };
        let mut infos = Vec::new();
        self.stream_newest(&selector, grid, true, &mut |series| {
            infos.push(series);
            Ok(())
        })?;
        Ok(infos)
    }
}

/// Two info series of one metric and one identity, equally new, contradict each other.
fn check_conflicts(
    infos: &[Series],
    by_identity: &BTreeMap<Labels, Vec<usize>>,
    step: usize,
) -> Evaluated<()> {
    for indices in by_identity.values() {
        let mut newest: BTreeMap<&str, usize> = BTreeMap::new();
        for index in indices {
            let series = &infos[*index];
            let time = series.floats[step];
            if is_stale(time) {
                continue;
            }
            let name = series.labels.metric_name();
            match newest.get(name) {
                Some(other) if infos[*other].floats[step] == time => {
                    let ms = (time * 1000.0) as i64;
                    return Err(QueryError::execution(format!(
                        "found duplicate series for info metric: existing {} @ {ms}, new {} @ {ms}",
                        binary_braces(&infos[*other].labels),
                        binary_braces(&series.labels)
                    )));
                }
                Some(other) if infos[*other].floats[step] > time => {}
                _ => {
                    newest.insert(name, *index);
                }
            }
        }
    }
    Ok(())
}

/// The newest info series of each metric at a step.
fn newest(infos: &[Series], candidates: &[usize], step: usize) -> Vec<usize> {
    let mut best: BTreeMap<&str, usize> = BTreeMap::new();
    for index in candidates {
        let series = &infos[*index];
        let time = series.floats[step];
        if is_stale(time) {
            continue;
        }
        let slot = best.entry(series.labels.metric_name()).or_insert(*index);
        if infos[*slot].floats[step] < time {
            *slot = *index;
        }
    }
    best.into_values().collect()
}

fn enrich(base: &Labels, infos: &[Series], here: &[usize], data: &[Matcher]) -> Evaluated<Labels> {
    let mut added: BTreeMap<&str, &str> = BTreeMap::new();
    for index in here {
        for label in &infos[*index].labels {
            let wanted = data.is_empty() || data.iter().any(|m| m.name == label.name);
            if &*label.name == METRIC_NAME || !wanted {
                continue;
            }
            if let Some(other) = added.get(&*label.name)
                && **other != *label.value
            {
                return Err(QueryError::execution(format!(
                    "conflicting label: {}",
                    label.name
                )));
            }
            if !base.contains(&label.name) {
                added.insert(&label.name, &label.value);
            }
        }
    }
    let mut builder = base.to_builder();
    for (name, value) in added {
        builder.set(name, value);
    }
    Ok(builder.build())
}
