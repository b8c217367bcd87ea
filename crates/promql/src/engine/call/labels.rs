//! Functions that change or compare labels, and sorting.

use std::cmp::Ordering;

use bellwether_model::labels::METRIC_NAME;
use bellwether_model::matcher::anchored;

use crate::ast::{CallExpr, Expr, StringLiteral};
use crate::engine::eval::{Context, Evaluated, Sink};
use crate::engine::series::{Grid, Series, merge_same_labels};
use crate::error::QueryError;

fn string(arg: &Expr) -> Evaluated<&StringLiteral> {
    match arg.unwrap_parens() {
        Expr::String(literal) => Ok(literal),
        _ => Err(QueryError::execution("expected a string literal")),
    }
}

fn valid_name(literal: &StringLiteral) -> bool {
    !literal.value.is_empty() && literal.invalid_utf8.is_none()
}

/// Replaces `$1`, `${1}`, `$name` and `$$` as Go's `Regexp.Expand` does.
fn expand(template: &str, captures: &regex::Captures<'_>) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (name, after) = match rest.strip_prefix('{') {
            Some(inner) => match inner.find('}') {
                Some(end) if is_name(&inner[..end]) => (&inner[..end], &inner[end + 1..]),
                _ => ("", rest),
            },
            None => {
                let end = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        if name.is_empty() {
            out.push('$');
            continue;
        }
        let group = if name.bytes().all(|b| b.is_ascii_digit()) {
            name.parse().ok().and_then(|index| captures.get(index))
        } else {
            captures.name(name)
        };
        if let Some(group) = group {
            out.push_str(group.as_str());
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn chunks(text: &str) -> Vec<(bool, &str)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest
            .find(|c: char| c.is_ascii_digit() != digits)
            .unwrap_or(rest.len());
        parts.push((digits, &rest[..end]));
        rest = &rest[end..];
    }
    parts
}

/// Natural order: runs of digits compare as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    for (left, right) in chunks(a).into_iter().zip(chunks(b)) {
        let order = if left.0 && right.0 {
            let (l, r) = (
                left.1.trim_start_matches('0'),
                right.1.trim_start_matches('0'),
            );
            l.len()
                .cmp(&r.len())
                .then_with(|| l.cmp(r))
                .then_with(|| left.1.len().cmp(&right.1.len()))
        } else {
            left.1.cmp(right.1)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

fn set_label(series: &mut Series, name: &str, value: &str) {
    series.labels = series.labels.with(name, value);
    if name == METRIC_NAME {
        series.drop_name = false;
    }
}

impl Context<'_> {
    pub(super) fn label_replace(
        &self,
        call: &CallExpr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let [vector, target, replacement, source, pattern] = call.args.as_slice() else {
            return Err(QueryError::execution("label_replace() takes 5 arguments"));
        };
        let target = string(target)?;
        let (replacement, source) = (string(replacement)?, string(source)?);
        let pattern = string(pattern)?;
        let regex = anchored(&pattern.value).map_err(|_| {
            QueryError::execution(format!(
                "invalid regular expression in label_replace(): {}",
                pattern.value
            ))
        })?;
        if !valid_name(target) {
            return Err(QueryError::execution(format!(
                "invalid destination label name in label_replace(): {}",
                target.value
            )));
        }
        let mut all = self.eval(vector, grid)?;
        self.release_all(&all);
        for series in &mut all {
            let value = series.labels.get(&source.value);
            if let Some(captures) = regex.captures(value) {
                let value = expand(&replacement.value, &captures);
                set_label(series, &target.value, &value);
            }
        }
        for series in merge_same_labels(all)? {
            sink(series)?;
        }
        Ok(())
    }

    pub(super) fn label_join(
        &self,
        call: &CallExpr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let target = string(&call.args[1])?;
        let separator = string(&call.args[2])?;
        let mut sources = Vec::new();
        for arg in &call.args[3..] {
            let source = string(arg)?;
            if !valid_name(source) {
                return Err(QueryError::execution(format!(
                    "invalid source label name in label_join(): {}",
                    source.value
                )));
            }
            sources.push(&*source.value);
        }
        if !valid_name(target) {
            return Err(QueryError::execution(format!(
                "invalid destination label name in label_join(): {}",
                target.value
            )));
        }
        let mut all = self.eval(&call.args[0], grid)?;
        self.release_all(&all);
        for series in &mut all {
            let values: Vec<&str> = sources.iter().map(|name| series.labels.get(name)).collect();
            let value = values.join(&separator.value);
            set_label(series, &target.value, &value);
        }
        for series in merge_same_labels(all)? {
            sink(series)?;
        }
        Ok(())
    }

    pub(super) fn sort_by_value(
        &self,
        call: &CallExpr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let mut all = self.eval(&call.args[0], grid)?;
        self.release_all(&all);
        for series in &mut all {
            series.histograms.clear();
        }
        all.retain(|series| !series.is_empty());
        if grid.is_instant() {
            let descending = call.function.name == "sort_desc";
            all.sort_by(|a, b| {
                let (a, b) = (a.floats[0], b.floats[0]);
                match (a.is_nan(), b.is_nan()) {
                    (true, true) => Ordering::Equal,
                    (true, false) => Ordering::Greater,
                    (false, true) => Ordering::Less,
                    (false, false) if descending => b.total_cmp(&a),
                    (false, false) => a.total_cmp(&b),
                }
            });
        }
        for series in all {
            sink(series)?;
        }
        Ok(())
    }

    pub(super) fn sort_by_label(
        &self,
        call: &CallExpr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let mut names = Vec::new();
        for arg in &call.args[1..] {
            names.push(&*string(arg)?.value);
        }
        let mut all = self.eval(&call.args[0], grid)?;
        self.release_all(&all);
        let descending = call.function.name == "sort_by_label_desc";
        all.sort_by(|a, b| {
            let mut order = names
                .iter()
                .map(|name| natural(a.labels.get(name), b.labels.get(name)))
                .find(|order| *order != Ordering::Equal)
                .unwrap_or_else(|| a.labels.cmp(&b.labels));
            if descending {
                order = order.reverse();
            }
            order
        });
        for series in all {
            sink(series)?;
        }
        Ok(())
    }
}
