use proptest::prelude::*;

use super::*;

#[test]
fn clopper_pearson_of_published_examples() {
    // R: binom.test(7, 20)$conf.int
    let interval = clopper_pearson(7, 20, 0.95);
    assert!((interval.low - 0.1539092).abs() < 1e-6);
    assert!((interval.high - 0.5921885).abs() < 1e-6);
    // The rule of three, exactly: 1 - 0.025^(1/n).
    let none = clopper_pearson(0, 100, 0.95);
    assert_eq!(none.low, 0.0);
    assert!((none.high - (1.0 - 0.025f64.powf(0.01))).abs() < 1e-9);
    assert_eq!(clopper_pearson(5, 5, 0.95).high, 1.0);
}

#[test]
fn two_rates_as_r_compares_them() {
    // R: poisson.test(c(11, 6 + 8 + 7), c(800, 1083 + 1050 + 878)): p = 0.07967, ratio 1.971488, [0.8584, 4.2773]
    // (R adds up the more likely tables; twice the smaller tail is a little more.)
    let (a, b) = (
        Rate {
            events: 21,
            exposure: 3011.0,
        },
        Rate {
            events: 11,
            exposure: 800.0,
        },
    );
    let p = conditional_binomial_p(a, b);
    assert!((0.0797..0.13).contains(&p), "{p}");
    let finding = compare_rates(a, b, 0.0, Better::Lower, 0.95);
    assert!(
        (finding.interval.low.exp() - 0.85843).abs() < 1e-4,
        "{finding:?}"
    );
    assert!(
        (finding.interval.high.exp() - 4.2772).abs() < 1e-3,
        "{finding:?}"
    );
    assert_eq!(finding.verdict, Verdict::CannotTell);
}

#[test]
fn no_errors_before_and_some_after_is_worse() {
    let (a, b) = (
        Rate {
            events: 0,
            exposure: 1000.0,
        },
        Rate {
            events: 9,
            exposure: 1000.0,
        },
    );
    let finding = compare_rates(a, b, 0.1, Better::Lower, 0.95);
    assert_eq!(finding.verdict, Verdict::Worse);
    assert!((finding.evidence.p() - 2.0 * 0.5f64.powi(9)).abs() < 1e-9);
    let nothing = Rate {
        events: 0,
        exposure: 1.0,
    };
    assert_eq!(
        compare_rates(nothing, nothing, 0.1, Better::Lower, 0.95).verdict,
        Verdict::CannotTell
    );
}

proptest! {
    #[test]
    fn p_is_that_of_the_summed_terms(x in 0u64..20, y in 0u64..20, share in 0.1f64..0.9) {
        let (a, b) = (Rate { events: x, exposure: 1.0 - share }, Rate { events: y, exposure: share });
        let n = x + y;
        let term = |k: u64| {
            let choose = (0..k).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
            choose * share.powi(k as i32) * (1.0 - share).powi((n - k) as i32)
        };
        let low: f64 = (0..=y).map(term).sum();
        let high: f64 = (y..=n).map(term).sum();
        let slow = (2.0 * low.min(high)).min(1.0);
        prop_assert!((conditional_binomial_p(a, b) - slow).abs() < 1e-9);
    }
}
