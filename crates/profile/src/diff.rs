//! How two profiles differ, function by function.
//!
//! For each function: a of N samples (or per N requests) against b of M. Under no difference a follows a binomial
//! distribution of a+b draws with probability N/(N+M): an exact test (Przyborowski & Wilenski, 1940). The p-values of
//! all functions are corrected by Benjamini & Hochberg (1995), so that among the coloured frames about one in twenty is
//! coloured by chance.
//!
//! Divided by requests, a function that costs more in itself is told from one whose share grew because others shrank.

use serde::{Deserialize, Serialize};

use bellwether_stats::special::binomial_cdf;

use crate::stacks::Stacks;

/// Part of the functions called different that may be so by chance.
const FALSE_DISCOVERIES: f64 = 0.05;

/// What differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// By p-value, the strongest first.
    pub frames: Vec<FrameDifference>,
    /// What samples were divided by.
    pub before: f64,
    pub after: f64,
}

/// One function in both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FrameDifference {
    pub name: String,
    /// Samples in which it is on the stack.
    pub before: u64,
    pub after: u64,
    /// (after / M) / (before / N); infinite for a new one.
    pub ratio: f64,
    pub p: f64,
    pub significant: bool,
}

/// Compares; samples are divided by requests where both numbers are given, else by all samples.
pub fn diff(before: &Stacks, after: &Stacks, requests: Option<(f64, f64)>) -> Difference {
    let (n, m) = requests.unwrap_or((before.total() as f64, after.total() as f64));
    let share = n / (n + m);
    let (old, new) = (before.inclusive(), after.inclusive());
    let mut names: Vec<&str> = old.keys().chain(new.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let mut frames: Vec<FrameDifference> = names
        .into_iter()
        .map(|name| {
            let a = old.get(name).copied().unwrap_or(0);
            let b = new.get(name).copied().unwrap_or(0);
            FrameDifference {
                name: name.to_owned(),
                before: a,
                after: b,
                ratio: (b as f64 / m) / (a as f64 / n),
                p: two_sided(a, a + b, share),
                significant: false,
            }
        })
        .collect();
    frames.sort_by(|a, b| a.p.total_cmp(&b.p).then_with(|| a.name.cmp(&b.name)));
    let all = frames.len() as f64;
    let passing = frames
        .iter()
        .enumerate()
        .filter(|(rank, frame)| frame.p <= FALSE_DISCOVERIES * (*rank as f64 + 1.0) / all)
        .map(|(rank, _)| rank + 1)
        .max()
        .unwrap_or(0);
    for frame in frames.iter_mut().take(passing) {
        frame.significant = true;
    }
    Difference {
        frames,
        before: n,
        after: m,
    }
}

/// Twice the smaller tail.
fn two_sided(a: u64, all: u64, share: f64) -> f64 {
    if all == 0 || !(0.0..1.0).contains(&share) {
        return 1.0;
    }
    let below = binomial_cdf(a as i64, all, share);
    let above = 1.0 - binomial_cdf(a as i64 - 1, all, share);
    (2.0 * below.min(above)).clamp(0.0, 1.0)
}

impl Difference {
    /// The frame of a name.
    pub fn of(&self, name: &str) -> Option<&FrameDifference> {
        self.frames.iter().find(|frame| frame.name == name)
    }
}

#[cfg(test)]
mod tests {
    use bellwether_stats::random::Random;

    use super::*;

    #[test]
    fn only_what_differs_is_significant() {
        let before = Stacks::parse("main;a 500\nmain;b 500\n").unwrap();
        let after = Stacks::parse("main;a 505\nmain;b 500\nmain;c 200\n").unwrap();
        // For the same number of requests: c is new, a and b cost what they did.
        let found = diff(&before, &after, Some((1000.0, 1000.0)));
        let significant: Vec<&str> = found
            .frames
            .iter()
            .filter(|frame| frame.significant)
            .map(|frame| frame.name.as_str())
            .collect();
        assert_eq!(significant, ["c", "main"]);
        // By share, a and b seem to shrink: that is what dividing by requests is for.
        assert!(diff(&before, &after, None).of("b").unwrap().ratio < 0.9);
        assert!(found.of("c").unwrap().ratio.is_infinite());
    }

    #[test]
    fn the_exact_test_agrees_with_published_values() {
        // 7 of 10 at one half: two-sided 0.34375.
        assert!((two_sided(7, 10, 0.5) - 0.343_75).abs() < 1e-9);
        assert!((two_sided(0, 10, 0.5) - 2.0 / 1024.0).abs() < 1e-12);
        assert_eq!(two_sided(0, 0, 0.5), 1.0);
    }

    #[test]
    fn equal_programs_show_hardly_any_difference() {
        let mut random = Random::new(3);
        let mut runs_with_any = 0;
        for _ in 0..100 {
            let mut draw = || {
                let mut stacks = Stacks::default();
                for _ in 0..1000 {
                    stacks.add(&[format!("f{}", random.below(40))], 1);
                }
                stacks
            };
            let (a, b) = (draw(), draw());
            let any = diff(&a, &b, None)
                .frames
                .iter()
                .any(|frame| frame.significant);
            runs_with_any += u32::from(any);
        }
        assert!(runs_with_any <= 8, "{runs_with_any}");
    }
}
