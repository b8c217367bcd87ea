//! Operators between two vectors: series are matched once, by signature, not at each step.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_model::Labels;
use bellwether_model::labels::METRIC_NAME;

use super::element::{Element, apply};
use crate::ast::{BinaryExpr, BinaryOp, Cardinality, Expr, VectorMatching};
use crate::engine::eval::{Context, Evaluated, Sink};
use crate::engine::series::{ABSENT, Collector, Grid, Sample, Series, without_name};
use crate::error::QueryError;

/// The labels on which series match.
fn signature(labels: &Labels, matching: &VectorMatching) -> Labels {
    let named = |name: &str| matching.labels.iter().any(|label| label == name);
    if matching.on {
        labels.retain(named)
    } else {
        labels.retain(|name| name != METRIC_NAME && !named(name))
    }
}

/// Both sides with the number of each series' signature.
struct Sides {
    left: Vec<Series>,
    right: Vec<Series>,
    left_signature: Vec<usize>,
    right_signature: Vec<usize>,
    signatures: usize,
}

impl Sides {
    fn new(left: Vec<Series>, right: Vec<Series>, matching: &VectorMatching) -> Self {
        let mut index: BTreeMap<Labels, usize> = BTreeMap::new();
        let mut number = |series: &Series| {
            let next = index.len();
            *index
                .entry(signature(&series.labels, matching))
                .or_insert(next)
        };
        let left_signature: Vec<usize> = left.iter().map(&mut number).collect();
        let right_signature: Vec<usize> = right.iter().map(&mut number).collect();
        Self {
            left,
            right,
            left_signature,
            right_signature,
            signatures: index.len(),
        }
    }
}

/// Whether evaluating may fail because of the data, so that it must be evaluated even if nothing needs the result.
fn may_fail(expr: &Expr) -> bool {
    let mut may = false;
    expr.walk(&mut |node| {
        may |= match node {
            Expr::Binary(e) => e.matching.is_some() && !e.op.is_set(),
            Expr::Call(e) => matches!(
                e.function.name,
                "info" | "label_replace" | "label_join" | "double_exponential_smoothing"
            ),
            Expr::Aggregate(e) => e.op == crate::ast::AggregateOp::CountValues,
            _ => false,
        };
    });
    may
}

impl Context<'_> {
    pub(super) fn stream_vectors(
        &self,
        binary: &BinaryExpr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let default = VectorMatching::default();
        let matching = binary.matching.as_ref().unwrap_or(&default);
        let left = self.eval(&binary.lhs, grid)?;
        let prunes = matches!(binary.op, BinaryOp::And | BinaryOp::Unless);
        if left.is_empty() && prunes && !may_fail(&binary.rhs) {
            return Ok(());
        }
        let right = self.eval(&binary.rhs, grid)?;
        self.release_all(&left);
        self.release_all(&right);
        let sides = Sides::new(left, right, matching);
        if binary.op.is_set() {
            return self.set_operator(binary.op, sides, grid, sink);
        }
        if matching.card == Cardinality::OneToMany {
            let swapped = Sides {
                left: sides.right,
                right: sides.left,
                left_signature: sides.right_signature,
                right_signature: sides.left_signature,
                signatures: sides.signatures,
            };
            return self.match_vectors(binary, matching, &swapped, grid, sink);
        }
        self.match_vectors(binary, matching, &sides, grid, sink)
    }

    fn set_operator(
        &self,
        op: BinaryOp,
        sides: Sides,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        // Which signatures the deciding side has at each step.
        let (deciding, numbers) = if op == BinaryOp::Or {
            (&sides.left, &sides.left_signature)
        } else {
            (&sides.right, &sides.right_signature)
        };
        let mut present = vec![false; sides.signatures * grid.len];
        for (series, number) in deciding.iter().zip(numbers) {
            for step in 0..grid.len {
                present[number * grid.len + step] |= series.has(step);
            }
        }
        let masked = |mut series: Series, number: usize, wanted: bool| {
            for step in 0..grid.len {
                if present[number * grid.len + step] != wanted {
                    series.floats[step] = ABSENT;
                    if let Some(slot) = series.histograms.get_mut(step) {
                        *slot = None;
                    }
                }
            }
            series
        };
        let mut results = Vec::new();
        match op {
            BinaryOp::Or => {
                results.extend(sides.left.iter().cloned());
                for (series, number) in sides.right.into_iter().zip(&sides.right_signature) {
                    results.push(masked(series, *number, false));
                }
            }
            _ => {
                for (series, number) in sides.left.into_iter().zip(&sides.left_signature) {
                    results.push(masked(series, *number, op == BinaryOp::And));
                }
            }
        }
        results.retain(|series| !series.is_empty());
        if op == BinaryOp::Or && !(grid.is_instant() && self.delayed()) {
            // A series of the right side may continue one of the left.
            results = crate::engine::series::merge_same_labels(results)?;
        }
        for series in results {
            sink(series)?;
        }
        Ok(())
    }

    /// Arithmetic and comparisons. The right side is the "one" side.
    fn match_vectors(
        &self,
        binary: &BinaryExpr,
        matching: &VectorMatching,
        sides: &Sides,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let mut out = Collector::new(grid.len, self.delayed());
        let mut results: BTreeMap<(usize, usize), Labels> = BTreeMap::new();
        let (swapped, fill_right, fill_left) = if matching.card == Cardinality::OneToMany {
            (true, matching.fill_left, matching.fill_right)
        } else {
            (false, matching.fill_right, matching.fill_left)
        };
        if !swapped
            && fill_left.is_none()
            && fill_right.is_none()
            && self.match_pairs(binary, matching, sides, grid, sink)?
        {
            return Ok(());
        }
        let mut right_at: Vec<Option<usize>> = vec![None; sides.signatures];
        let mut matched: Vec<Option<BTreeSet<Labels>>> = vec![None; sides.signatures];
        for step in 0..grid.len {
            if step % 256 == 0 {
                self.check_interrupt()?;
            }
            right_at.fill(None);
            matched.fill(None);
            for (index, series) in sides.right.iter().enumerate() {
                if !series.has(step) {
                    continue;
                }
                let slot = &mut right_at[sides.right_signature[index]];
                if let Some(other) = *slot {
                    let fills = fill_left.is_some() || fill_right.is_some();
                    if !fills && !sides.left.iter().any(|series| series.has(step)) {
                        // Nothing can match: upstream does not look for repeats then.
                        break;
                    }
                    return Err(duplicate(matching, series, &sides.right[other]));
                }
                *slot = Some(index);
            }
            let mut pair = |left: Option<usize>, right: Option<usize>, number: usize| {
                let sample = |side: &[Series], index: Option<usize>, fill: Option<f64>| match index
                {
                    Some(index) => side[index].get(step),
                    None => fill.map(Sample::Float),
                };
                let (Some(l), Some(r)) = (
                    sample(&sides.left, left, fill_left),
                    sample(&sides.right, right, fill_right),
                ) else {
                    return Ok(());
                };
                let (first, second) = if swapped { (&r, &l) } else { (&l, &r) };
                let result = apply(self, binary, Element::of(first), Element::of(second));
                let Some((value, keep)) = result else {
                    return Ok(());
                };
                let key = (left.unwrap_or(usize::MAX), right.unwrap_or(usize::MAX));
                let labels = results.entry(key).or_insert_with(|| {
                    let of = |side: &[Series], index: Option<usize>, other: &Series| match index {
                        Some(index) => side[index].labels.clone(),
                        None => filled(&other.labels, matching),
                    };
                    let some = left.map(|i| &sides.left[i]);
                    let some = some.or(right.map(|i| &sides.right[i]));
                    let other = some.expect("one side is there");
                    self.result_labels(
                        binary,
                        matching,
                        &of(&sides.left, left, other),
                        &of(&sides.right, right, other),
                    )
                });
                // Since 3.11 a pair that the comparison drops counts as a match too.
                note_match(matching, &mut matched[number], labels)?;
                if !keep && !binary.return_bool {
                    return Ok(());
                }
                let value = if binary.return_bool {
                    Sample::Float(if keep { 1.0 } else { 0.0 })
                } else {
                    value
                };
                out.add(labels, binary.return_bool, step, value)
            };
            for (index, series) in sides.left.iter().enumerate() {
                if series.has(step) {
                    let number = sides.left_signature[index];
                    pair(Some(index), right_at[number], number)?;
                }
            }
            if fill_left.is_some() {
                let left_here: BTreeSet<usize> = sides
                    .left
                    .iter()
                    .zip(&sides.left_signature)
                    .filter(|(series, _)| series.has(step))
                    .map(|(_, number)| *number)
                    .collect();
                for (number, right) in right_at.iter().enumerate() {
                    if right.is_some() && !left_here.contains(&number) {
                        pair(None, *right, number)?;
                    }
                }
            }
        }
        for series in out.finish() {
            sink(series)?;
        }
        Ok(())
    }

    /// The common case, on whole arrays: no signature twice on either side. Says whether it was that.
    fn match_pairs(
        &self,
        binary: &BinaryExpr,
        matching: &VectorMatching,
        sides: &Sides,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<bool> {
        let mut left: Vec<Option<usize>> = vec![None; sides.signatures];
        let mut right: Vec<Option<usize>> = vec![None; sides.signatures];
        for (slots, numbers) in [
            (&mut left, &sides.left_signature),
            (&mut right, &sides.right_signature),
        ] {
            for (index, number) in numbers.iter().enumerate() {
                if slots[*number].replace(index).is_some() {
                    return Ok(false);
                }
            }
        }
        let mut pairs = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, number) in sides.left_signature.iter().enumerate() {
            let Some(other) = right[*number] else {
                continue;
            };
            let (l, r) = (&sides.left[index], &sides.right[other]);
            let labels = self.result_labels(binary, matching, &l.labels, &r.labels);
            if !seen.insert(labels.clone()) {
                return Ok(false);
            }
            pairs.push((index, other, labels));
        }
        for (index, other, labels) in pairs {
            let (l, r) = (&sides.left[index], &sides.right[other]);
            let mut series = Series::new(labels, grid.len);
            series.drop_name = binary.return_bool;
            for step in 0..grid.len {
                let (Some(a), Some(b)) = (l.get(step), r.get(step)) else {
                    continue;
                };
                let result = apply(self, binary, Element::of(&a), Element::of(&b));
                match result {
                    Some((_, keep)) if binary.return_bool => {
                        series.floats[step] = if keep { 1.0 } else { 0.0 };
                    }
                    Some((value, true)) => series.set(step, value),
                    _ => {}
                }
            }
            if !series.is_empty() {
                sink(series)?;
            }
        }
        Ok(true)
    }

    fn result_labels(
        &self,
        binary: &BinaryExpr,
        matching: &VectorMatching,
        many: &Labels,
        one: &Labels,
    ) -> Labels {
        let mut labels = if binary.op.changes_schema() {
            without_name(many)
        } else {
            many.clone()
        };
        if matching.card == Cardinality::OneToOne {
            let named = |name: &str| matching.labels.iter().any(|label| label == name);
            labels = labels.retain(|name| named(name) == matching.on);
        }
        if !matching.include.is_empty() {
            let mut builder = labels.to_builder();
            for name in &matching.include {
                builder.set(name, one.get(name));
            }
            labels = builder.build();
        }
        if binary.return_bool && !self.delayed() {
            labels = without_name(&labels);
        }
        labels
    }
}

/// Labels of a side that is filled in.
fn filled(other: &Labels, matching: &VectorMatching) -> Labels {
    signature(other, matching)
}

fn note_match(
    matching: &VectorMatching,
    matched: &mut Option<BTreeSet<Labels>>,
    labels: &Labels,
) -> Evaluated<()> {
    if matching.card == Cardinality::OneToOne {
        if matched.is_some() {
            return Err(QueryError::execution(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
            ));
        }
        *matched = Some(BTreeSet::new());
        return Ok(());
    }
    if !matched.get_or_insert_default().insert(labels.clone()) {
        return Err(QueryError::execution(
            "multiple matches for labels: grouping labels must ensure unique matches",
        ));
    }
    Ok(())
}

fn duplicate(matching: &VectorMatching, one: &Series, other: &Series) -> QueryError {
    let side = if matching.card == Cardinality::OneToMany {
        "left"
    } else {
        "right"
    };
    QueryError::execution(format!(
        "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
        braces(&signature(&one.labels, matching)),
        braces(&one.labels),
        braces(&other.labels)
    ))
}

/// All labels in braces, the name too, as Go prints label sets.
pub(crate) fn braces(labels: &Labels) -> String {
    let mut text = String::from("{");
    for (index, label) in labels.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        if bellwether_model::labels::is_classic_label_name(&label.name) {
            text.push_str(&label.name);
        } else {
            text.push_str(&format!("{:?}", label.name));
        }
        text.push('=');
        bellwether_model::labels::write_quoted(&mut text, &label.value)
            .expect("writing to a string does not fail");
    }
    text.push('}');
    text
}
