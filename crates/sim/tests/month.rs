//! Months of the loop with crashes.

use bellwether_sim::{Month, run_month};

#[test]
fn a_month_with_crashes_holds_every_invariant() {
    for seed in 1..=3 {
        let report = run_month(Month { seed, days: 30 });
        println!("{}", report.summary());
        assert!(
            report.violations.is_empty(),
            "{}\n{:#?}",
            report.repro("(this one)"),
            report.violations
        );
        assert!(report.figures.crashes > 10 && report.figures.of("page_sent") > 20);
    }
}

#[test]
fn one_seed_is_one_history() {
    let one = run_month(Month { seed: 7, days: 5 });
    let two = run_month(Month { seed: 7, days: 5 });
    assert!(one.log == two.log, "the logs differ");
    let other = run_month(Month { seed: 8, days: 5 });
    assert_ne!(one.hash, other.hash);
}
