//! Keys of a rule that Prometheus does not have: `resolve_expr` and `absent_by`.

use std::time::Duration;

use bellwether_model::duration::format_duration;
use bellwether_model::labels::is_classic_label_name;
use bellwether_promql::{Expr, parse};
use bellwether_yaml::{MapReader, Node, Reader};

use super::Reading;
use crate::rules::Resolve;

/// How long labels that were seen are looked for when the rule does not say.
const SEEN_WITHIN: Duration = Duration::from_hours(24);

impl Reading<'_, '_> {
    /// `resolve_expr: rate(errors[5m]) < 0.01`.
    pub(super) fn resolve(&mut self, node: &Node) -> Option<Resolve> {
        let (expr, text) = self.expr(node)?;
        let subject = match expr.unwrap_parens() {
            Expr::Binary(binary) if binary.op.is_comparison() && !binary.return_bool => {
                binary.lhs.clone()
            }
            _ => {
                self.problems.push(
                    node.error("resolve_expr is not a comparison")
                        .with_hint("write when the alert is over, as in `my_ratio < 0.01`"),
                );
                return None;
            }
        };
        Some(Resolve {
            expr,
            subject,
            text,
        })
    }

    /// `absent_by: [instance]`, or `absent_by: {labels: [instance], within: 6h}`: the rule's expression becomes one that
    /// gives each combination of these labels that `expr` had within the time and does not have now. It is plain PromQL,
    /// so that nothing has to be remembered: a restart or a replay sees the same.
    pub(super) fn absent_by(&mut self, node: &Node, expr: Expr) -> Option<Expr> {
        let (labels, within) = if node.as_map().is_some() {
            let mut map = MapReader::new(node, "absent_by", self.problems);
            let labels = map.texts("labels");
            let within = map.duration("within").unwrap_or(SEEN_WITHIN);
            map.finish();
            (labels, within)
        } else {
            let labels = Reader::new(self.problems)
                .list(node, "absent_by")
                .iter()
                .filter_map(|item| item.as_text().map(str::to_owned))
                .collect();
            (labels, SEEN_WITHIN)
        };
        let bad = labels.iter().find(|label| !is_classic_label_name(label));
        if labels.is_empty() || bad.is_some() || within.is_zero() {
            self.problems.push(
                node.error(match bad {
                    Some(label) => format!("absent_by: {label:?} is not a label name"),
                    None if within.is_zero() => "absent_by: within is 0".to_owned(),
                    None => "absent_by names no label".to_owned(),
                })
                .with_hint(
                    "write `absent_by: [instance]`: these labels tell apart what can be gone",
                ),
            );
            return None;
        }
        let window = format_duration(within);
        let seen = match expr.unwrap_parens() {
            Expr::Vector(selector) if selector.offset.is_none() && selector.at.is_none() => {
                format!("{expr}[{window}]")
            }
            _ => format!("({expr})[{window}:]"),
        };
        let by = labels.join(", ");
        let text =
            format!("group by ({by}) (present_over_time({seen})) unless group by ({by}) ({expr})");
        match parse(&text, &self.options.parser) {
            Ok(expr) => Some(expr),
            Err(error) => {
                self.problems.push(node.error(format!(
                    "absent_by does not fit this expr: {}",
                    error.message
                )));
                None
            }
        }
    }
}
