use proptest::prelude::*;

use super::*;

fn read(text: &str, format: Format) -> Result<Vec<String>, String> {
    Parser::new(text.as_bytes(), format)
        .map(|entry| match entry.map_err(|error| error.to_string())? {
            Entry::Sample(sample) => {
                let series = decode_series(sample.series)?;
                let exemplar = sample.exemplar.map_or(String::new(), |exemplar| {
                    format!(
                        " # {} {}",
                        String::from_utf8_lossy(exemplar.labels),
                        exemplar.value
                    )
                });
                Ok(format!(
                    "{} {} {:?}{exemplar}",
                    series.to_labels(),
                    sample.value,
                    sample.timestamp
                ))
            }
            Entry::Metadata { fact, name, text } => {
                Ok(format!("{fact:?} {name}: {}", unescape_help(&text)))
            }
        })
        .collect()
}

/// What Prometheus' own parser test accepts (its input, in our words).
#[test]
fn accepts_what_prometheus_accepts() {
    let text = "\
# HELP go_gc_duration_seconds A summary of the GC invocation durations.
# \tTYPE go_gc_duration_seconds summary
go_gc_duration_seconds{quantile=\"0\"} 4.9351e-05
go_gc_duration_seconds{quantile=\"0.25\",} 7.424100000000001e-05
go_gc_duration_seconds{quantile=\"0.5\",a=\"b\"} 8.3835e-05
go_gc_duration_seconds{quantile=\"0.8\", a=\"b\"} 8.3835e-05
go_gc_duration_seconds{ quantile=\"0.9\", a=\"b\"} 8.3835e-05
# Hrandom comment starting with prefix of HELP
#
wind_speed{A=\"2\",c=\"3\"} 12345
# comment with escaped \\n newline
# comment with escaped \\ escape character
# HELP nohelp1
# HELP nohelp2 
go_gc_duration_seconds{ quantile=\"1.0\", a=\"b\" } 8.3835e-05
go_gc_duration_seconds { quantile=\"1.0\", a=\"b\" } 8.3835e-05
go_gc_duration_seconds { quantile= \"1.0\", a= \"b\", } 8.3835e-05
go_gc_duration_seconds { quantile = \"1.0\", a = \"b\" } 8.3835e-05
go_gc_duration_seconds_count 99
some:aggregate:rate5m{a_b=\"c\"}\t1
# TYPE go_goroutines gauge
go_goroutines 33  \t123123
_metric_starting_with_underscore 1
testmetric{_label_starting_with_underscore=\"foo\"} 1
testmetric{label=\"\\\"bar\\\"\"} 1
testmetric{le=\"10\"} -Inf
{\"http.status\",q=\"0.9\",a=\"}\"} 8.3835e-05 -7
{\"go.gc\"} NaN
x{\"a b\"=\"c\\\\\\nd\\z\"} +Inf";
    let got = read(text, Format::Text).unwrap();
    assert_eq!(
        got.join("\n"),
        r#"Help go_gc_duration_seconds: A summary of the GC invocation durations.
Type go_gc_duration_seconds: summary
go_gc_duration_seconds{quantile="0"} 0.000049351 None
go_gc_duration_seconds{quantile="0.25"} 0.00007424100000000001 None
go_gc_duration_seconds{a="b", quantile="0.5"} 0.000083835 None
go_gc_duration_seconds{a="b", quantile="0.8"} 0.000083835 None
go_gc_duration_seconds{a="b", quantile="0.9"} 0.000083835 None
wind_speed{A="2", c="3"} 12345 None
Help nohelp1: 
Help nohelp2: 
go_gc_duration_seconds{a="b", quantile="1.0"} 0.000083835 None
go_gc_duration_seconds{a="b", quantile="1.0"} 0.000083835 None
go_gc_duration_seconds{a="b", quantile="1.0"} 0.000083835 None
go_gc_duration_seconds{a="b", quantile="1.0"} 0.000083835 None
go_gc_duration_seconds_count 99 None
some:aggregate:rate5m{a_b="c"} 1 None
Type go_goroutines: gauge
go_goroutines 33 Some(123123)
_metric_starting_with_underscore 1 None
testmetric{_label_starting_with_underscore="foo"} 1 None
testmetric{label="\"bar\""} 1 None
testmetric{le="10"} -inf None
{"http.status", a="}", q="0.9"} 0.000083835 Some(-7)
{"go.gc"} NaN None
x{"a b"="c\\\nd\\z"} inf None"#
    );
}

#[test]
fn refuses_what_prometheus_refuses() {
    for text in [
        "a",
        "a{b='c'} 1",
        "a{b=\n",
        "a{\u{fffd}=\"foo\"} 1",
        "a{b=\"c\"",
        "a{b=\"c\" d=\"e\"} 1",
        "a{b=\"c\",,d=\"e\"} 1",
        "a{b=\"c\",b=\"d\"} 1",
        "a 1 1.5",
        "a 1 2 3",
        "a 0x12",
        "a 0_1",
        "a 1e999",
        "a 3 # {} 4",
        "1a 1",
        "a-b 1",
        "{a=\"b\"} 1",
        "something_weird{problem=\"",
        "empty_label_name{=\"\"} 0",
        "foo 1_2",
        "# TYPE a nonsense",
        "<html><body>not metrics</body></html>",
    ] {
        assert!(read(text, Format::Text).is_err(), "{text}");
    }
    assert!(
        read("a 1\n", Format::OpenMetrics)
            .unwrap_err()
            .contains("EOF")
    );
    assert!(read("a 1\n# EOF\nb 1\n", Format::OpenMetrics).is_err());
}

#[test]
fn open_metrics_has_seconds_exemplars_and_units() {
    let text = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds he\\nlp\n\
                a_seconds_total{x=\"1\"} 2 1.5 # {id=\"}\"} 0.5 1\na_seconds_total 3 # {} 1\n# EOF\n";
    assert_eq!(
        read(text, Format::OpenMetrics).unwrap(),
        [
            "Type a_seconds: counter",
            "Unit a_seconds: seconds",
            "Help a_seconds: he\nlp",
            "a_seconds_total{x=\"1\"} 2 Some(1500) # {id=\"}\"} 0.5",
            "a_seconds_total 3 None # {} 1",
        ]
    );
}

#[test]
fn an_error_names_its_line_and_ends_the_reading() {
    let mut parser = Parser::new(b"a 1\n\nb x\nc 1\n", Format::Text);
    assert!(parser.next().unwrap().is_ok());
    let error = parser.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "line 3: not a value: \"x\"");
    assert_eq!(parser.next(), None);
}

#[test]
fn a_sent_stale_marker_becomes_an_ordinary_nan() {
    let Some(Ok(Entry::Sample(sample))) = Parser::new(b"a nan", Format::Text).next() else {
        panic!("a sample");
    };
    assert!(sample.value.is_nan() && !bellwether_model::series::is_stale(sample.value));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for format in [Format::Text, Format::OpenMetrics] {
            for entry in Parser::new(&bytes, format).flatten() {
                if let Entry::Sample(sample) = entry {
                    drop(decode_series(sample.series));
                }
            }
        }
    }

    #[test]
    fn no_nearly_right_text_panics(text in "([a-c{}\"=, \\\\\n#]|[0-9]|# TYPE |# HELP |# EOF|\\{a=\"b\"\\}){0,60}") {
        for format in [Format::Text, Format::OpenMetrics] {
            drop(read(&text, format));
        }
    }

    /// What is written by the rules is read back as it was.
    #[test]
    fn labels_round_trip(name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,20}", labels in proptest::collection::btree_map("[a-zA-Z_][a-zA-Z0-9_]{0,8}", "\\PC{1,12}|[\"\\\\\n]{1,4}", 0..5), value in any::<i32>()) {
        let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let inside: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", quote(value))).collect();
        let text = format!("{name}{{{}}} {value} 12\n", inside.join(","));
        let entry = Parser::new(text.as_bytes(), Format::Text).next().unwrap().unwrap();
        let Entry::Sample(sample) = entry else { panic!("a sample") };
        let series = decode_series(sample.series).unwrap();
        prop_assert_eq!(&*series.name, name.as_str());
        let got: std::collections::BTreeMap<String, String> =
            series.labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        prop_assert_eq!(got, labels);
        prop_assert_eq!((sample.value, sample.timestamp), (f64::from(value), Some(12)));
    }
}
