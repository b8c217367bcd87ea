//! In which order rules are evaluated over a range, from when on, and which of them tick by tick.
//!
//! A rule that reads what another records comes after it. Rules that cannot be told apart so (they read themselves, each
//! other, or a later rule of their group, whose newest sample they must not see yet) are evaluated as the live engine
//! does it, slot by slot; so are those whose meaning depends on the slot (`@ end()`, `limit`, the value in a label).

use std::collections::BTreeMap;

use bellwether_judge::replay::{AlertLabels, Ticks};
use bellwether_judge::{EngineSettings, GroupConfig, RuleConfig, RuleKind};
use bellwether_model::labels::{ALERT_NAME, METRIC_NAME};
use bellwether_model::matcher::Matcher;
use bellwether_promql::{Expr, SelectorNeed};

use crate::history::{Hidden, SYNTHETIC};

/// Rules of one group that are evaluated together by ranges.
const TOGETHER_MAX: usize = 64;

/// One rule and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) group: usize,
    pub(crate) rule: usize,
    pub(crate) config: &'a RuleConfig,
}

/// When a group is evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    /// The slots.
    pub(crate) ticks: Ticks,
    pub(crate) interval: i64,
    pub(crate) query_offset: i64,
}

/// A stage in the making: rules for ranges by group, and batches for the live engine.
type Stage = (BTreeMap<usize, Vec<usize>>, Vec<Batch>);

/// Rules that are evaluated together.
#[derive(Clone, Debug)]
pub(crate) enum Batch {
    /// By ranges; all of one group. Places in [`Order::rules`].
    Ranged { group: usize, rules: Vec<usize> },
    /// By the live engine.
    Stepped { rules: Vec<usize> },
}

/// The whole order.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pub(crate) rules: Vec<Place<'a>>,
    /// By group.
    pub(crate) slots: Vec<Slots>,
    /// Batches of one stage read only what earlier stages gave.
    pub(crate) stages: Vec<Vec<Batch>>,
    pub(crate) hidden: Hidden,
    /// How long before a slot recorded series are read, by metric, in milliseconds.
    pub(crate) reach: BTreeMap<String, i64>,
}

/// The range of a backtest; milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// How long before `from` alerts are evaluated, so that those that fire at its start are known.
    pub(crate) warmup: i64,
    /// Which of the phases, and how many there are: slots are moved by that share of their interval.
    pub(crate) phase: (usize, usize),
    pub(crate) lookback: i64,
}

struct Reads {
    needs: Vec<SelectorNeed>,
}

// === reading ===

/// Every expression that an evaluation of the rule asks.
pub(crate) fn expressions(rule: &RuleConfig) -> Vec<&Expr> {
    let mut all = vec![&rule.expr];
    if let Some(resolve) = &rule.resolve {
        all.push(&resolve.subject);
        all.push(&resolve.expr);
    }
    all
}

/// Whether an expression means something else in a range than at its steps one by one.
fn depends_on_range(expr: &Expr) -> bool {
    let text = expr.to_string();
    ["start()", "end()", "step()", "range()"]
        .iter()
        .any(|word| text.contains(word))
}

fn may_give(rule: &RuleConfig, matchers: &[Matcher]) -> bool {
    let fits = |name: &str, metric: &str| {
        matchers.iter().all(|matcher| match &*matcher.name {
            METRIC_NAME => matcher.matches(metric),
            ALERT_NAME if rule.kind == RuleKind::Alerting => matcher.matches(name),
            label => rule
                .labels
                .iter()
                .find(|(known, _)| known == label)
                .is_none_or(|(_, text)| text.is_template() || matcher.matches(text.as_str())),
        })
    };
    match rule.kind {
        RuleKind::Recording => fits("", &rule.name),
        RuleKind::Alerting => SYNTHETIC.iter().any(|metric| fits(&rule.name, metric)),
    }
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 {
        a.abs()
    } else {
        greatest_common_divisor(b, a % b)
    }
}

// === impl Order ===

impl<'a> Order<'a> {
    pub(crate) fn new(groups: &'a [GroupConfig], settings: &EngineSettings, span: Span) -> Self {
        let rules: Vec<Place<'a>> = groups
            .iter()
            .enumerate()
            .flat_map(|(group, config)| {
                let rules = config.rules.iter().enumerate();
                rules.map(move |(rule, config)| Place {
                    group,
                    rule,
                    config,
                })
            })
            .collect();
        let reads: Vec<Reads> = rules
            .iter()
            .map(|place| Reads {
                needs: expressions(place.config)
                    .into_iter()
                    .flat_map(|expr| expr.selectors(0, 0, span.lookback))
                    .collect(),
            })
            .collect();
        let depends = dependencies(&rules, &reads);
        let timing: Vec<(i64, i64, i64)> = groups
            .iter()
            .map(|group| {
                let interval = group.interval_ms(settings);
                let shift = interval * span.phase.0 as i64 / span.phase.1.max(1) as i64;
                let first = group.first_slot(settings, 0) + shift;
                (interval, first % interval, group.query_offset_ms(settings))
            })
            .collect();
        let mut edges = depends.clone();
        for (reader, givers) in depends.iter().enumerate() {
            for giver in givers {
                if sees_too_much(&rules, &timing, reader, *giver) {
                    edges[*giver].push(reader);
                }
            }
        }
        let components = components(&edges);
        let wanted = wanted(&rules, &depends);
        let (starts, reach) = starts(&rules, &reads, &depends, &timing, span, &components);
        let slots = timing
            .iter()
            .enumerate()
            .map(|(group, (interval, offset, query_offset))| {
                let own = rules.iter().zip(&starts).zip(&wanted);
                let from = own
                    .filter(|((place, _), wanted)| place.group == group && **wanted)
                    .map(|((_, start), _)| *start)
                    .min()
                    .unwrap_or(span.from);
                let first = from + (offset - from).rem_euclid(*interval);
                let len = usize::try_from((span.to - first).div_euclid(*interval) + 1).unwrap_or(0);
                Slots {
                    ticks: Ticks::Even {
                        first,
                        interval: *interval,
                        len,
                    },
                    interval: *interval,
                    query_offset: *query_offset,
                }
            })
            .collect();
        let read: Vec<bool> = (0..rules.len())
            .map(|rule| depends.iter().any(|givers| givers.contains(&rule)))
            .collect();
        let stepped = |rule: usize| {
            let Place { group, config, .. } = rules[rule];
            let alerting = config.kind == RuleKind::Alerting;
            groups[group].limit > 0
                || (alerting && (read[rule] || AlertLabels::new(config, settings).vary()))
                || expressions(config).into_iter().any(depends_on_range)
        };
        let stages = stages(&rules, &edges, &components, &wanted, &stepped);
        let mut hidden = Hidden::default();
        for place in &rules {
            let name = place.config.name.clone();
            match place.config.kind {
                RuleKind::Recording => hidden.metrics.insert(name),
                RuleKind::Alerting => hidden.alerts.insert(name),
            };
        }
        Self {
            rules,
            slots,
            stages,
            hidden,
            reach,
        }
    }

    /// The first slot of all.
    pub(crate) fn begin(&self) -> i64 {
        let firsts = self.slots.iter().filter(|slots| !slots.ticks.is_empty());
        firsts.map(|slots| slots.ticks.time(0)).min().unwrap_or(0)
    }
}

/// For each rule the rules whose results it may read.
fn dependencies(rules: &[Place<'_>], reads: &[Reads]) -> Vec<Vec<usize>> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, place) in rules.iter().enumerate() {
        match place.config.kind {
            RuleKind::Recording => by_name.entry(&place.config.name).or_default().push(index),
            RuleKind::Alerting => {
                for metric in SYNTHETIC {
                    by_name.entry(metric).or_default().push(index);
                }
            }
        }
    }
    reads
        .iter()
        .map(|reads| {
            let mut found: Vec<usize> = Vec::new();
            for need in &reads.needs {
                let candidates: Vec<usize> = match crate::history::name_of(&need.matchers) {
                    Some(name) => by_name.get(name).cloned().unwrap_or_default(),
                    None => (0..rules.len()).collect(),
                };
                found.extend(
                    candidates
                        .into_iter()
                        .filter(|giver| may_give(rules[*giver].config, &need.matchers)),
                );
            }
            found.sort_unstable();
            found.dedup();
            found
        })
        .collect()
}

/// Whether a range evaluation would show `reader` samples of `giver` that are not there yet when it is live.
fn sees_too_much(
    rules: &[Place<'_>],
    timing: &[(i64, i64, i64)],
    reader: usize,
    giver: usize,
) -> bool {
    let (reads, gives) = (&rules[reader], &rules[giver]);
    if reads.group == gives.group {
        return reads.rule <= gives.rule;
    }
    let (interval_r, offset_r, query_r) = timing[reads.group];
    let (interval_g, offset_g, query_g) = timing[gives.group];
    if query_g > query_r {
        return true;
    }
    let common = greatest_common_divisor(interval_r, interval_g).max(1);
    let meet = (offset_r - query_r - offset_g + query_g).rem_euclid(common) == 0;
    meet && reads.group < gives.group
}

/// Rules that an alert needs, and alerts.
fn wanted(rules: &[Place<'_>], depends: &[Vec<usize>]) -> Vec<bool> {
    let mut wanted = vec![false; rules.len()];
    let mut open: Vec<usize> = (0..rules.len())
        .filter(|rule| rules[*rule].config.kind == RuleKind::Alerting)
        .collect();
    while let Some(rule) = open.pop() {
        if !std::mem::replace(&mut wanted[rule], true) {
            open.extend(&depends[rule]);
        }
    }
    wanted
}

/// From when on each rule must be evaluated, and how far back recorded metrics are read.
fn starts(
    rules: &[Place<'_>],
    reads: &[Reads],
    depends: &[Vec<usize>],
    timing: &[(i64, i64, i64)],
    span: Span,
    components: &[Vec<usize>],
) -> (Vec<i64>, BTreeMap<String, i64>) {
    let mut reach: BTreeMap<String, i64> = BTreeMap::new();
    let mut starts: Vec<i64> = rules
        .iter()
        .map(|place| match place.config.kind {
            RuleKind::Alerting => span.from - span.warmup,
            RuleKind::Recording => span.to,
        })
        .collect();
    // Components come dependencies first, so readers are last.
    for component in components.iter().rev() {
        // A cycle has its warm-up from the one of its rules that begins first.
        if let Some(first) = component.iter().map(|rule| starts[*rule]).min() {
            for rule in component {
                starts[*rule] = first;
            }
        }
        for reader in component {
            for giver in depends[*reader]
                .iter()
                .filter(|giver| !component.contains(giver))
            {
                let back = reads[*reader]
                    .needs
                    .iter()
                    .filter(|need| may_give(rules[*giver].config, &need.matchers))
                    .map(|need| -need.min)
                    .max()
                    .unwrap_or(0)
                    .max(0);
                let (interval, _, offset) = timing[rules[*giver].group];
                let begin = starts[*reader]
                    .saturating_sub(back)
                    .saturating_sub(interval + offset);
                starts[*giver] = starts[*giver].min(begin);
            }
        }
    }
    for (reader, reads) in reads.iter().enumerate() {
        for need in &reads.needs {
            for giver in &depends[reader] {
                if may_give(rules[*giver].config, &need.matchers) {
                    let names: &[&str] = match rules[*giver].config.kind {
                        RuleKind::Recording => &[&rules[*giver].config.name],
                        RuleKind::Alerting => &SYNTHETIC,
                    };
                    let (interval, _, offset) = timing[rules[reader].group];
                    for name in names {
                        let back = reach.entry((*name).to_owned()).or_default();
                        *back = (*back).max(-need.min + interval + offset);
                    }
                }
            }
        }
    }
    (starts, reach)
}

/// Strongly connected components, dependencies first (Tarjan 1972, without recursion).
fn components(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let mut number = vec![NEW; edges.len()];
    let mut low = vec![0; edges.len()];
    let mut on_stack = vec![false; edges.len()];
    let (mut stack, mut next, mut all) = (Vec::new(), 0, Vec::new());
    for root in 0..edges.len() {
        if number[root] != NEW {
            continue;
        }
        let mut work = vec![(root, 0)];
        while let Some((node, place)) = work.pop() {
            if place == 0 {
                number[node] = next;
                low[node] = next;
                next += 1;
                stack.push(node);
                on_stack[node] = true;
            }
            if let Some(target) = edges[node].get(place).copied() {
                work.push((node, place + 1));
                if number[target] == NEW {
                    work.push((target, 0));
                } else if on_stack[target] {
                    low[node] = low[node].min(number[target]);
                }
                continue;
            }
            if low[node] == number[node] {
                let at = stack.iter().rposition(|n| *n == node).unwrap_or(0);
                let mut component = stack.split_off(at);
                for member in &component {
                    on_stack[*member] = false;
                }
                component.sort_unstable();
                all.push(component);
            }
            if let Some((parent, _)) = work.last() {
                low[*parent] = low[*parent].min(low[node]);
            }
        }
    }
    all
}

fn stages(
    rules: &[Place<'_>],
    edges: &[Vec<usize>],
    components: &[Vec<usize>],
    wanted: &[bool],
    stepped: &dyn Fn(usize) -> bool,
) -> Vec<Vec<Batch>> {
    let mut level = vec![0_usize; rules.len()];
    let mut stages: Vec<Stage> = Vec::new();
    for component in components {
        let below = component.iter().flat_map(|rule| &edges[*rule]);
        let own = below
            .filter(|rule| !component.contains(rule))
            .map(|rule| level[*rule] + 1)
            .max()
            .unwrap_or(0);
        for rule in component {
            level[*rule] = own;
        }
        let mut needed: Vec<usize> = component.clone();
        needed.retain(|rule| wanted[*rule]);
        if needed.is_empty() {
            continue;
        }
        if stages.len() <= own {
            stages.resize_with(own + 1, Default::default);
        }
        let alone = component.len() == 1 && !edges[component[0]].contains(&component[0]);
        if alone && !stepped(component[0]) {
            let group = rules[component[0]].group;
            stages[own].0.entry(group).or_default().push(component[0]);
        } else {
            stages[own].1.push(Batch::Stepped { rules: needed });
        }
    }
    stages
        .into_iter()
        .map(|(ranged, mut batches)| {
            for (group, mut rules) in ranged {
                rules.sort_unstable();
                batches.extend(rules.chunks(TOGETHER_MAX).map(|rules| Batch::Ranged {
                    group,
                    rules: rules.to_vec(),
                }));
            }
            batches
        })
        .collect()
}
