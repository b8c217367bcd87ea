//! Against values of published tables and of R 4.3 (`qnorm`, `pbeta`, `pt`, `pbinom`).

use super::*;

fn near(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance * expected.abs().max(1e-300),
        "{found} is not {expected}"
    );
}

#[test]
fn normal_distribution() {
    near(normal_cdf(1.959963984540054), 0.975, 1e-14);
    near(normal_cdf(-6.0), 9.86587645037698e-10, 1e-12);
    near(normal_quantile(0.975), 1.959963984540054, 1e-14);
    near(normal_quantile(0.001), -3.090232306167813, 1e-13);
    near(normal_quantile(1e-12), -7.034483825301131, 1e-12);
    assert_eq!(normal_quantile(0.5), 0.0);
    assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
    assert!(normal_quantile(f64::NAN).is_nan());
}

#[test]
fn quantile_inverts_the_distribution() {
    for step in 1..1000 {
        let p = f64::from(step) / 1000.0;
        near(normal_cdf(normal_quantile(p)), p, 1e-12);
        near(student_cdf(student_quantile(p, 7.0), 7.0), p, 1e-9);
    }
}

#[test]
fn beta_and_what_follows() {
    near(beta_inc(2.0, 3.0, 0.4), 0.5248, 1e-13);
    near(beta_inc(0.5, 0.5, 0.25), 1.0 / 3.0, 1e-13);
    // Closed form: I_x(a, 1) = x^a, also far out.
    near(beta_inc(5000.0, 1.0, 0.999), 0.999f64.powi(5000), 1e-9);
    near(beta_quantile(0.5248, 2.0, 3.0), 0.4, 1e-12);
    near(student_cdf(2.228138851964939, 10.0), 0.975, 1e-12);
    near(student_quantile(0.975, 1.0), 12.706204736432095, 1e-10);
}

#[test]
fn binomial_is_the_sum_of_its_terms() {
    for (n, p) in [(1, 0.3), (12, 0.5), (40, 0.01), (299, 0.9)] {
        let mut term = (1.0f64 - p).powi(n);
        let mut sum = 0.0;
        for k in 0..=n {
            sum += term;
            let found = binomial_cdf(i64::from(k), n as u64, p);
            assert!(
                (found - sum).abs() < 1e-10,
                "{n} {p} {k}: {found} and {sum}"
            );
            term *= f64::from(n - k) / f64::from(k + 1) * p / (1.0 - p);
        }
    }
    assert_eq!(binomial_cdf(-1, 5, 0.5), 0.0);
}
