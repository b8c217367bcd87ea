use super::*;
use crate::pretty;

fn all(query: &str) -> Result<Expr, ParseError> {
    parse(query, &ParserOptions::experimental())
}

#[test]
fn prints_canonically() {
    for (query, printed) in [
        ("1", "1"),
        ("+1", "1"),
        ("-1^2", "-1 ^ 2"),
        ("5m", "5m"),
        ("0x1F", "31"),
        ("1e3", "1000"),
        ("Inf", "+Inf"),
        ("'a\\'b'", "\"a'b\""),
        ("SUM(a) BY (b)", "sum by (b) (a)"),
        ("sum by () (a)", "sum(a)"),
        ("sum without () (a)", "sum without () (a)"),
        (
            "a{b=\"c\",a=~\"d\"}[5m] offset 1h @ 5",
            "a{a=~\"d\",b=\"c\"}[5m] @ 5.000 offset 1h",
        ),
        ("a{}", "a"),
        ("{\"a.b\"}", "{__name__=\"a.b\"}"),
        ("{\"a b\"=\"c\"}", "{\"a b\"=\"c\"}"),
        ("a[300]", "a[5m]"),
        ("a[5m:]", "a[5m:]"),
        ("rate(a[5m:30s] offset -5m)", "rate(a[5m:30s] offset -5m)"),
        ("a @ start()", "a @ start()"),
        ("a[5m*2] smoothed", "a[5m * 2] smoothed"),
        ("a offset (1h/2)", "a offset (1h / 2)"),
        ("a + on() group_left b", "a + on () group_left () b"),
        ("a + on(x) fill(0) b", "a + on (x) fill (0) b"),
        ("a == bool 1", "a == bool 1"),
        ("a </ 5 >/ 1", "a </ 5 >/ 1"),
        ("topk(5, a)", "topk(5, a)"),
        ("sum", "sum"),
        ("min + max", "min + max"),
        ("fill + fill", "fill + fill"),
        ("start{a=\"b\"} + step", "start{a=\"b\"} + step"),
        ("a[min(step(), 5m)]", "a[min_of(step(), 5m)]"),
        (
            "min_of(1, max_of(2, 3)) + max_of",
            "min_of(1, max_of(2, 3)) + max_of",
        ),
    ] {
        let expr = all(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(expr.to_string(), printed, "{query}");
        let again = all(printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
        assert_eq!(again.to_string(), printed);
    }
}

#[test]
fn errors_are_those_of_prometheus() {
    for (query, message) in [
        ("", "1:1: parse error: no expression found in input"),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("(1", "1:3: parse error: unclosed left parenthesis"),
        ("1)", "1:2: parse error: unexpected right parenthesis ')'"),
        (
            "a{b}",
            "1:4: parse error: unexpected \"}\" in label matching, expected label matching operator",
        ),
        (
            "{a=\"\"}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "foo(1)",
            "1:1: parse error: unknown function with name \"foo\"",
        ),
        (
            "rate(a)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "rate(a[5m], 1)",
            "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2",
        ),
        (
            "1 == 1",
            "1:3: parse error: comparisons between scalars must use BOOL modifier",
        ),
        (
            "a and 1",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        (
            "a offset 5m offset 5m",
            "1:1: parse error: offset may not be set multiple times",
        ),
        (
            "(a)[5m]",
            "1:4: parse error: ranges only allowed for vector selectors",
        ),
        (
            "sum(a[5m])",
            "1:5: parse error: expected type instant vector in aggregation expression, got range vector",
        ),
        ("a[0s]", "1:3: parse error: duration must be greater than 0"),
        (
            "sum()",
            "1:1: parse error: no arguments for aggregate expression provided",
        ),
        (
            "a{b=~\"(\"}",
            "1:3: parse error: invalid regular expression \"(\": unclosed group",
        ),
    ] {
        assert_eq!(all(query).unwrap_err().to_string(), message, "{query}");
    }
    let plain = |query| {
        parse(query, &ParserOptions::default())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        plain("a[5m*2]"),
        "1:3: parse error: experimental duration expression is not enabled"
    );
    assert_eq!(
        plain("first_over_time(a[5m])"),
        "1:1: parse error: function \"first_over_time\" is not enabled"
    );
}

#[test]
fn deep_and_long_texts_are_refused() {
    for query in [
        "(".repeat(100_000),
        "-".repeat(100_000) + "1",
        vec!["a"; 50_000].join("+"),
        vec!["a"; 50_000].join("^"),
        "abs(".repeat(100_000),
        "a".to_owned() + &"[1m:]".repeat(10_000),
        "a[".to_owned() + &"(".repeat(10_000),
        "a".repeat(1 << 20),
    ] {
        assert!(all(&query).is_err());
    }
    assert!(all(&vec!["a"; 150].join("+")).is_ok());
}

#[test]
fn long_lines_are_split() {
    let expr = all("sum by (job) (rate(some_rather_long_metric_name_total{job=\"api\", instance=\"one\"}[5m])) / on (job) group_left () count by (job) (up{job=\"api\"})").unwrap();
    let text = pretty(&expr);
    assert!(text.lines().count() == 3, "{text}");
    assert_eq!(all(&text).unwrap().to_string(), expr.to_string());
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    fn fragment() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z(){}\\[\\]:@+*/<>=!~\"'`0-9., \\\\-]{0,40}",
            "\\PC{0,30}",
            prop::collection::vec(
                prop::sample::select(vec![
                    "sum",
                    "by",
                    "(",
                    ")",
                    "a",
                    "rate",
                    "[5m]",
                    "[5m:1m]",
                    "offset",
                    "@",
                    "start()",
                    "1",
                    "5m",
                    "-",
                    "+",
                    "^",
                    "on",
                    "group_left",
                    "bool",
                    "==",
                    "</",
                    "{",
                    "}",
                    "\"x\"",
                    ",",
                    "=~",
                    "and",
                    "topk",
                    "step()",
                    "smoothed",
                    "min",
                    "fill",
                    "Inf",
                ]),
                0..20
            )
            .prop_map(|words| words.join(" ")),
        ]
    }

    proptest! {
        #[test]
        fn any_text_is_safe(text in fragment()) {
            if let Ok(expr) = all(&text) {
                let printed = expr.to_string();
                let again = all(&printed).map_err(|e| TestCaseError::fail(format!("{text} -> {printed}: {e}")))?;
                prop_assert_eq!(again.to_string(), printed);
                let split = pretty(&expr);
                prop_assert_eq!(all(&split).unwrap().to_string(), expr.to_string());
            }
        }
    }
}
