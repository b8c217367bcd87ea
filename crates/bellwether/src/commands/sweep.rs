//! `rules sweep`: thresholds and durations of one alert.

use std::process::ExitCode;
use std::time::Duration;

use bellwether_backtest::run::Backtest;
use bellwether_backtest::sweep::{Tries, comparison_of, evaluate};
use bellwether_backtest::text;
use bellwether_env::{Clock, SystemClock};
use bellwether_judge::GroupConfig;
use bellwether_model::duration::parse_duration;
use bellwether_promql::Engine;
use serde_json::json;

use super::backtest::{Given, Refused, cpu_ms, given, read_rules};
use super::say;
use crate::cli::RulesSweep;
use crate::progress::Bar;

/// Thresholds of a range that does not say how many, and durations.
const THRESHOLDS: usize = 100;
const HOLDS: usize = 10;
/// Most of each that can be asked for.
const TRIES_MAX: usize = 10_000;

pub(super) fn run(args: &RulesSweep) -> ExitCode {
    match run_inner(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refused) => refused.exit(),
    }
}

fn run_inner(args: &RulesSweep) -> Result<(), Refused> {
    let clock = SystemClock::new();
    let groups = read_rules(&args.files)?;
    let tries = tries(args, &groups)?;
    let Given {
        history,
        settings,
        threads,
        routing,
        incidents,
        night,
    } = given(&args.history, &args.paging)?;
    let bar = Bar::new("evaluations", 1);
    let promql = Engine::default();
    let with = Backtest {
        source: &*history.source,
        promql: &promql,
        settings: &settings,
        from: history.from,
        to: history.to,
        phases: 1,
        threads,
        routing: &routing,
        incidents: incidents.as_deref(),
        night: &night,
        progress: &bar,
    };
    let refused = |error: bellwether_backtest::sweep::SweepError| Refused::Text(error.to_string());
    let evaluated = evaluate(&groups, &tries, &with).map_err(refused)?;
    let evaluation = clock.monotonic();
    let sweep = evaluated.sweep(&tries, &with).map_err(refused)?;
    bar.clear();
    if args.json {
        say(json!(sweep));
    } else {
        let all = clock.monotonic();
        say(text::sweep(&sweep).trim_end());
        say(format_args!(
            "evaluated once in {:.1} s, {} combinations in {} ms, {:.1} s CPU in all",
            evaluation.as_secs_f64(),
            sweep.points.len(),
            all.saturating_sub(evaluation).as_millis(),
            cpu_ms() as f64 / 1000.0
        ));
    }
    Ok(())
}

/// `a..b`, `a..b:count`, or a list.
fn range<T>(
    text: &str,
    count: usize,
    parse: impl Fn(&str) -> Result<T, String>,
    between: impl Fn(&T, &T, f64) -> T,
) -> Result<Vec<T>, String> {
    let Some((from, to)) = text.split_once("..") else {
        return text.split(',').map(|part| parse(part.trim())).collect();
    };
    let (to, count) = match to.split_once(':') {
        Some((to, count)) => {
            let count = count.trim().parse::<usize>().ok();
            let count = count.filter(|count| (2..=TRIES_MAX).contains(count));
            (
                to,
                count.ok_or_else(|| format!("{text:?}: the count is 2 to {TRIES_MAX}"))?,
            )
        }
        None => (to, count),
    };
    let (from, to) = (parse(from.trim())?, parse(to.trim())?);
    Ok((0..count)
        .map(|step| between(&from, &to, step as f64 / (count - 1) as f64))
        .collect())
}

fn tries(args: &RulesSweep, groups: &[GroupConfig]) -> Result<Tries, Refused> {
    let number = |text: &str| {
        text.parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .ok_or_else(|| format!("{text:?} is not a number"))
    };
    let rules = groups.iter().flat_map(|group| &group.rules);
    let rule = rules.into_iter().find(|rule| rule.name == args.rule);
    let thresholds = match &args.threshold {
        Some(text) => range(text, THRESHOLDS, number, |a, b, share| {
            // Ends are exact.
            if share >= 1.0 {
                *b
            } else {
                (b - a).mul_add(share, *a)
            }
        })
        .map_err(|error| format!("--threshold: {error}"))?,
        None => {
            // From a fourth of the present one to four times as much.
            let now = rule
                .and_then(|rule| comparison_of(&rule.expr))
                .map_or(0.0, |parts| parts.2);
            (0..THRESHOLDS)
                .map(|step| now * 16_f64.powf(step as f64 / (THRESHOLDS - 1) as f64) / 4.0)
                .collect()
        }
    };
    let holds = match &args.hold {
        Some(text) => range(
            text,
            HOLDS,
            |text| parse_duration(text).map_err(|error| error.to_string()),
            |a, b, share| {
                let ms = (b.as_secs_f64() - a.as_secs_f64()).mul_add(share, a.as_secs_f64());
                Duration::from_secs(ms.max(0.0).round() as u64)
            },
        )
        .map_err(|error| format!("--for: {error}"))?,
        None => Vec::new(),
    };
    if thresholds.len() > TRIES_MAX || holds.len() > TRIES_MAX {
        return Err(Refused::Text(format!(
            "more than {TRIES_MAX} values to try"
        )));
    }
    Ok(Tries {
        rule: args.rule.clone(),
        thresholds,
        holds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_lists() {
        let number = |text: &str| text.parse::<f64>().map_err(|error| error.to_string());
        let line = |a: &f64, b: &f64, share: f64| a + (b - a) * share;
        assert_eq!(range("1..2:3", 9, number, line), Ok(vec![1.0, 1.5, 2.0]));
        assert_eq!(range("-1..1", 2, number, line), Ok(vec![-1.0, 1.0]));
        assert_eq!(range("3, 1", 2, number, line), Ok(vec![3.0, 1.0]));
        assert!(range("1..x", 2, number, line).is_err());
        assert!(range("1..2:1", 2, number, line).is_err());
        assert!(range("", 2, number, line).is_err());
    }
}
