use super::answer::{format_float, push_time};
use super::params::{parse_form, parse_step, parse_time};
use super::unescape_name;

#[test]
fn numbers_and_times_have_prometheus_form() {
    for (value, text) in [
        (1.0, "1"),
        (0.1, "0.1"),
        (1e6, "1000000"),
        (1e21, "1e+21"),
        (1e-7, "1e-07"),
        (-0.0, "-0"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
        (1.5e300, "1.5e+300"),
    ] {
        assert_eq!(format_float(value), text);
    }
    let mut out = String::new();
    push_time(&mut out, 1_435_781_430_781);
    push_time(&mut out, -1_005);
    assert_eq!(out, "1435781430.781-1.005");
    assert_eq!(parse_time("1435781430.781"), Some(1_435_781_430_781));
    assert_eq!(
        parse_time("2015-07-01T20:10:30.781Z"),
        Some(1_435_781_430_781)
    );
    assert_eq!(parse_step("1m"), Some(60_000));
    assert_eq!(parse_step("0.5"), Some(500));
}

#[test]
fn forms_and_escaped_names_are_read() {
    let form = parse_form(b"query=a%2Bb+c&match%5B%5D=%7Bx%3D%22y%22%7D&bad=%zz");
    assert_eq!(form[0], ("query".to_owned(), "a+b c".to_owned()));
    assert_eq!(form[1], ("match[]".to_owned(), "{x=\"y\"}".to_owned()));
    assert_eq!(form[2].1, "%zz");
    assert_eq!(unescape_name("http_2e_status__code"), "http.status_code");
}
