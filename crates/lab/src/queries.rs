//! Query budgets: how many statements one request costs, and whether that grows with the data (N+1).
//!
//! Statement counters are read before and after a number of requests; each statement's calls per request follow. The same
//! for a small and a large input: a statement whose calls per request grow with the input is asked once for each row.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Calls of each statement so far; the key is the statement with its constants replaced.
pub type Counters = BTreeMap<String, u64>;

/// What was measured at one size of the input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizeMeasured {
    /// How many rows, items or whatever the input is counted in.
    pub size: f64,
    pub requests: u64,
    pub before: Counters,
    pub after: Counters,
}

/// One statement's share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatementCost {
    pub statement: String,
    pub per_request_small: f64,
    pub per_request_large: f64,
    /// Calls that one more item costs.
    pub per_item: f64,
    pub is_n_plus_one: bool,
}

/// The result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryReport {
    pub version: u32,
    pub small: SizeMeasured,
    pub large: SizeMeasured,
    pub budget: Option<f64>,
    pub per_request_small: f64,
    pub per_request_large: f64,
    pub is_over_budget: bool,
    pub has_n_plus_one: bool,
    /// The most costly first.
    pub statements: Vec<StatementCost>,
}

/// A statement that is called this much more often for each further item is called once for each (or for each second).
const PER_ITEM_MIN: f64 = 0.5;

/// Judges two sizes. The budget is for the large one: calls of all statements per request.
pub fn judge(small: SizeMeasured, large: SizeMeasured, budget: Option<f64>) -> QueryReport {
    let (a, b) = (per_request(&small), per_request(&large));
    let grown = large.size - small.size;
    let mut statements: Vec<StatementCost> = a
        .keys()
        .chain(b.keys())
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .map(|statement| {
            let of = |side: &BTreeMap<String, f64>| side.get(statement).copied().unwrap_or(0.0);
            let per_item = if grown > 0.0 {
                (of(&b) - of(&a)) / grown
            } else {
                0.0
            };
            StatementCost {
                statement: statement.clone(),
                per_request_small: of(&a),
                per_request_large: of(&b),
                per_item,
                is_n_plus_one: per_item >= PER_ITEM_MIN,
            }
        })
        .collect();
    statements.sort_by(|x, y| y.per_request_large.total_cmp(&x.per_request_large));
    let (sum_small, sum_large): (f64, f64) = (a.values().sum(), b.values().sum());
    QueryReport {
        version: 1,
        budget,
        per_request_small: sum_small,
        per_request_large: sum_large,
        is_over_budget: budget.is_some_and(|budget| sum_large > budget),
        has_n_plus_one: statements.iter().any(|statement| statement.is_n_plus_one),
        statements,
        small,
        large,
    }
}

/// Calls per request of each statement that was called at all. A counter that fell was reset: its value counts.
fn per_request(measured: &SizeMeasured) -> BTreeMap<String, f64> {
    let requests = measured.requests.max(1) as f64;
    measured
        .after
        .iter()
        .filter_map(|(statement, after)| {
            let before = measured.before.get(statement).copied().unwrap_or(0);
            let calls = if *after >= before {
                after - before
            } else {
                *after
            };
            (calls > 0).then(|| (statement.clone(), calls as f64 / requests))
        })
        .collect()
}

impl QueryReport {
    /// Whether it passes: within the budget, and no statement grows with the input.
    pub fn passes(&self) -> bool {
        !self.is_over_budget && !self.has_n_plus_one
    }

    /// The result as text.
    pub fn text(&self) -> String {
        use crate::samples::digits;
        let mut rows =
            vec![["per request, small", "large", "per item", "", "statement"].map(str::to_owned)];
        for cost in self.statements.iter().take(20) {
            let shown: String = cost
                .statement
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .chars()
                .take(100)
                .collect();
            rows.push([
                digits(cost.per_request_small),
                digits(cost.per_request_large),
                digits((cost.per_item * 1000.0).round() / 1000.0),
                if cost.is_n_plus_one {
                    "✗ N+1".to_owned()
                } else {
                    String::new()
                },
                shown,
            ]);
        }
        let mut out = crate::text::table(&rows);
        let budget = self.budget.map_or("no budget".to_owned(), |budget| {
            format!("budget {}", digits(budget))
        });
        out.push_str(&format!(
            "{} queries per request at {} items, {} at {}; {budget}\n",
            digits(self.per_request_small),
            digits(self.small.size),
            digits(self.per_request_large),
            digits(self.large.size),
        ));
        let mut faults = Vec::new();
        if self.is_over_budget {
            faults.push("over budget");
        }
        if self.has_n_plus_one {
            faults.push("N+1: a statement is called once for each item");
        }
        out.push_str(&if faults.is_empty() {
            "good\n".to_owned()
        } else {
            format!("failed: {}\n", faults.join("; "))
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(size: f64, requests: u64, calls: &[(&str, u64)]) -> SizeMeasured {
        SizeMeasured {
            size,
            requests,
            before: [("select orders".to_owned(), 7)].into(),
            after: calls.iter().map(|(s, n)| ((*s).to_owned(), *n)).collect(),
        }
    }

    #[test]
    fn a_query_for_each_row_is_found_and_a_join_is_not() {
        let faulty = judge(
            measured(10.0, 5, &[("select orders", 12), ("select customer", 50)]),
            measured(100.0, 5, &[("select orders", 12), ("select customer", 500)]),
            Some(20.0),
        );
        assert!(!faulty.passes() && faulty.is_over_budget && faulty.has_n_plus_one);
        insta::assert_snapshot!(faulty.text(), @r#"
        per request, small  large  per item         statement
        10                  100    1         ✗ N+1  select customer
        1                   1      0                select orders
        11 queries per request at 10 items, 101 at 100; budget 20
        failed: over budget; N+1: a statement is called once for each item
        "#);
        let joined = judge(
            measured(10.0, 5, &[("select orders", 12)]),
            measured(100.0, 5, &[("select orders", 12)]),
            Some(20.0),
        );
        assert!(joined.passes());
        insta::assert_snapshot!(joined.text(), @r#"
        per request, small  large  per item    statement
        1                   1      0           select orders
        1 queries per request at 10 items, 1 at 100; budget 20
        good
        "#);
    }

    #[test]
    fn a_reset_of_the_counters_is_no_negative_count() {
        let report = judge(
            measured(1.0, 1, &[("select orders", 3)]),
            measured(2.0, 1, &[("select orders", 3)]),
            None,
        );
        assert_eq!(report.per_request_large, 3.0);
    }
}
