use std::sync::Arc;

use bellwether_model::Labels;
use proptest::prelude::*;

use crate::prometheus::{Prometheus, QueryResult};
use crate::{Escape, Functions, Limits, NoFunctions, Object, Set, Template, Value, format, gotime};

fn answer(query: &str) -> QueryResult {
    match query {
        "up" => Ok(vec![
            (Labels::new([("__name__", "up"), ("instance", "b")]), 21.0),
            (Labels::new([("__name__", "up"), ("instance", "a")]), 11.0),
        ]),
        "none" => Ok(Vec::new()),
        other => Err(format!("no answer to {other}")),
    }
}

fn with_functions<T>(f: impl FnOnce(&dyn Functions) -> T) -> T {
    f(&Prometheus {
        now: 1_435_065_584_128,
        external_url: "http://testhost:9090/path/prefix",
        query: &answer,
    })
}

fn data() -> Value {
    Value::map([
        (
            "Labels",
            Value::string_map([("instance", "db1:9100"), ("job", "node")]),
        ),
        ("Value", Value::Float(0.25)),
        ("List", Value::list([1, 2, 3].map(Value::Int))),
        ("Empty", Value::list([])),
        ("Text", Value::string("<b>")),
        ("Object", Value::object(Alert)),
        ("Any", Value::map([("x", Value::Int(1))])),
    ])
}

/// A type with a field, methods and a list underneath, as Alertmanager's `Alerts`.
struct Alert;
impl Object for Alert {
    fn type_name(&self) -> &'static str {
        "Alerts"
    }
    fn field(&self, name: &str) -> Option<Value> {
        (name == "Status").then(|| "firing".into())
    }
    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        match (method, args) {
            ("Firing", []) => Some(Ok(Value::list([Value::Int(7), Value::Int(8)]))),
            ("Repeat", [Value::String(text), Value::Int(n)]) => {
                Some(Ok(text.repeat(*n as usize).into()))
            }
            ("Fails", []) => Some(Err("on purpose".to_owned())),
            _ => None,
        }
    }
    fn underlying(&self) -> Value {
        Value::list([Value::Int(1), Value::Int(2)])
    }
}

fn render(text: &str) -> String {
    with_functions(|functions| {
        match Template::parse("t", text).and_then(|t| t.render(&data(), functions)) {
            Ok(text) => text,
            Err(error) => format!("!{error}"),
        }
    })
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(render(text), *expected, "{text}");
    }
}

#[test]
fn actions_pipelines_and_variables() {
    check(&[
        ("plain", "plain"),
        (
            "{{ 1 }}{{1.5}}{{\"a\\tb\"}}{{`raw\\n`}}{{'x'}}",
            "11.5a\tbraw\\n120",
        ),
        (
            "{{ 0x10 }} {{ 1e3 }} {{ -3 }} {{ 1_000 }} {{ 017 }}",
            "16 1000 -3 1000 15",
        ),
        (
            "{{ .Labels.instance }}|{{ .Labels.missing }}|{{ .Any.missing }}",
            "db1:9100||<no value>",
        ),
        ("{{ $x := .Labels }}{{ $x.job }}", "node"),
        (
            "{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}",
            "2",
        ),
        (
            "{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ end }}{{ $x }}",
            "1",
        ),
        ("{{ \"a\" | printf \"%s-%s\" \"b\" }}", "b-a"),
        (
            "{{ printf \"%d\" (len (printf \"%s!\" .Labels.job)) }}",
            "5",
        ),
        (
            "{{ (index .List 1) }}{{ index .Labels \"job\" }}{{ slice \"hello\" 1 3 }}",
            "2nodeel",
        ),
        ("a {{- 1 -}} b {{- /* no */ -}} c", "a1bc"),
        ("a{{/* no */}}b {{ 1 }}", "ab 1"),
        (
            "{{ .Object.Firing }} {{ .Object.Status }} {{ .Object.Repeat \"ab\" 2 }}",
            "[7 8] firing abab",
        ),
        (
            "{{ 2 | .Object.Repeat \"x\" }} {{ len .Object }} {{ index .Object 0 }}",
            "xx 2 1",
        ),
        (
            "{{ range .Object }}{{ . }},{{ end }}{{ len .Object.Firing }}",
            "1,2,2",
        ),
        ("{{ (.Object.Firing | len) | printf \"%03d\" }}", "002"),
        (
            "{{ $.Labels.job }}{{ with .Labels }}{{ .job }}{{ $.Value }}{{ end }}",
            "nodenode0.25",
        ),
    ]);
}

#[test]
fn conditions_and_loops() {
    check(&[
        (
            "{{ if .Empty }}a{{ else if .List }}b{{ else }}c{{ end }}",
            "b",
        ),
        (
            "{{ with .Empty }}a{{ else with .Labels }}{{ .job }}{{ end }}",
            "node",
        ),
        (
            "{{ range $i, $e := .List }}{{ $i }}={{ $e }} {{ end }}",
            "0=1 1=2 2=3 ",
        ),
        (
            "{{ range $k, $v := .Labels }}{{ $k }}={{ $v }};{{ end }}",
            "instance=db1:9100;job=node;",
        ),
        ("{{ range .Empty }}x{{ else }}none{{ end }}", "none"),
        (
            "{{ range .List }}{{ if eq . 2 }}{{ continue }}{{ end }}{{ . }}{{ end }}",
            "13",
        ),
        (
            "{{ range .List }}{{ if eq . 2 }}{{ break }}{{ end }}{{ . }}{{ end }}",
            "1",
        ),
        ("{{ range 3 }}{{ . }}{{ end }}", "012"),
        (
            "{{ eq 1 2 3 1 }} {{ ne \"a\" \"b\" }} {{ lt 1.5 2.5 }} {{ ge \"b\" \"a\" }}",
            "true true true true",
        ),
        (
            "{{ and 1 0 2 }} {{ or 0 \"\" \"x\" }} {{ not .Empty }}",
            "0 x true",
        ),
        ("{{ and .Empty (index .List 9) }}", "[]"),
        ("{{ if gt .Value 0.2 }}high{{ end }}", "high"),
        (
            "{{ if gt .Value 1 }}{{ end }}",
            "!template t:1:7: error calling gt: incompatible types for comparison",
        ),
    ]);
}

#[test]
fn templates_use_each_other() {
    check(&[
        (
            "{{ define \"x\" }}<{{ . }}>{{ end }}{{ template \"x\" 1 }}{{ template \"x\" .Value }}",
            "<1><0.25>",
        ),
        ("{{ block \"y\" .Labels }}{{ .job }}{{ end }}", "node"),
        (
            "{{ define \"x\" }}{{ .arg0 }} {{ .arg1 }}{{ end }}{{ template \"x\" (args 1 \"2\") }}",
            "1 2",
        ),
    ]);
    let mut set = Set::new();
    set.parse("a", "{{ define \"title\" }}first{{ end }}")
        .unwrap();
    set.parse("b", "{{ define \"title\" }}second {{ . }}{{ end }}")
        .unwrap();
    let text = "{{ template \"title\" .Value }}";
    assert_eq!(
        set.render_text(text, &data(), &NoFunctions).unwrap(),
        "second 0.25"
    );
    assert_eq!(set.names().collect::<Vec<_>>(), ["a", "b", "title"]);
}

#[test]
fn html_is_escaped_only_there() {
    let html = |text: &str| {
        let mut set = Set::new().with_escape(Escape::Html);
        set.parse("t", text).unwrap();
        with_functions(|functions| set.render("t", &data(), functions).unwrap())
    };
    assert_eq!(html("<i>{{ .Text }}</i>"), "<i>&lt;b&gt;</i>");
    assert_eq!(html("{{ .Text | safeHtml }}{{ .Any.none }}"), "<b>");
    assert_eq!(
        render("{{ .Text }}{{ html .Text }}{{ urlquery \"a b&c\" }}"),
        "<b>&lt;b&gt;a+b%26c"
    );
}

#[test]
fn numbers_look_as_in_go() {
    for (value, plain) in [
        (123_456_789.0, "1.23456789e+08"),
        (1e6, "1e+06"),
        (999_999.0, "999999"),
        (123_456.7, "123456.7"),
        (1e-7, "1e-07"),
        (0.0001, "0.0001"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
        (3.0, "3"),
        (-0.0, "-0"),
        (1e21, "1e+21"),
        (5e-324, "5e-324"),
    ] {
        assert_eq!(format::format_float(value, 'g', None), plain);
    }
    let cases: &[(&str, &[Value], &str)] = &[
        ("%.2f", &[Value::Float(3.0)], "3.00"),
        (
            "%5.1f|%-6.1f|%06.1f",
            &[2.25.into(), 2.35.into(), (-2.5).into()],
            "  2.2|2.4   |-002.5",
        ),
        (
            "%g %e %G",
            &[1e6.into(), 1234.5.into(), 1e-10.into()],
            "1e+06 1.234500e+03 1E-10",
        ),
        (
            "%.3g %.10g",
            &[1234.5.into(), 1234.5.into()],
            "1.23e+03 1234.5",
        ),
        (
            "%q %v %s",
            &["a\"b".into(), "x".into(), "y".into()],
            "\"a\\\"b\" x y",
        ),
        ("%d%%", &[Value::Int(5)], "5%"),
        (
            "%5d|%-5d|%05d|%+d|%x|%X|%b|%c|%U",
            &[1, 2, -3, 4, 255, 255, 5, 65, 65].map(Value::Int),
            "    1|2    |-0003|+4|ff|FF|101|A|U+0041",
        ),
        (
            "%d %s",
            &[Value::string("hi"), Value::Int(1)],
            "%!d(string=hi) %!s(int=1)",
        ),
        ("%d", &[], "%!d(MISSING)"),
        ("%d", &[1.into(), 2.5.into()], "1%!(EXTRA float64=2.5)"),
        ("5%", &[], "5%!(NOVERB)"),
        ("%[2]d %[1]d", &[1.into(), 2.into()], "2 1"),
        ("%*d", &[4.into(), 1.into()], "   1"),
        (
            "%t %v %T",
            &[true.into(), Value::Nil, 1.0.into()],
            "true <nil> float64",
        ),
        (
            "%v %d",
            &[
                Value::list([1.into(), "a".into()]),
                Value::list([1.into(), 2.into()]),
            ],
            "[1 a] [1 2]",
        ),
        ("%6.2f%%", &[12.345.into()], " 12.35%"),
        ("%x", &["hi".into()], "6869"),
        ("%f", &[f64::INFINITY.into()], "+Inf"),
    ];
    for (text, args, expected) in cases {
        assert_eq!(format::sprintf(text, args), *expected, "{text}");
    }
    check(&[
        (
            "{{ print 1 2 \"a\" \"b\" 3 }}|{{ println 1 \"a\" }}",
            "1 2ab3|1 a\n",
        ),
        (
            "{{ .Labels }}{{ .List }}",
            "map[instance:db1:9100 job:node][1 2 3]",
        ),
    ]);
}

#[test]
fn durations_and_times_look_as_in_go() {
    for (nanos, text) in [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (245_000_000_000, "4m5s"),
        (3_600_000_000_000, "1h0m0s"),
        (-90_000_000_000, "-1m30s"),
        (18_367_001_000_000, "5h6m7.001s"),
    ] {
        assert_eq!(
            format::format_duration(jiff::SignedDuration::from_nanos(nanos)),
            text
        );
    }
    let time: jiff::Zoned = "2009-02-04T21:00:57.0123456-08:00[America/Los_Angeles]"
        .parse()
        .unwrap();
    for (layout, text) in [
        ("Mon Jan _2 15:04:05 2006", "Wed Feb  4 21:00:57 2009"),
        ("02 Jan 06 15:04 MST", "04 Feb 09 21:00 PST"),
        (
            "Monday, 02-Jan-06 15:04:05 -0700",
            "Wednesday, 04-Feb-09 21:00:57 -0800",
        ),
        (
            "2006-01-02T15:04:05.999999999Z07:00",
            "2009-02-04T21:00:57.0123456-08:00",
        ),
        ("3:04PM pm 002 __2", "9:00PM pm 035  35"),
        ("15:04:05.000 January 1 2", "21:00:57.012 February 2 4"),
        ("Janet Month", "Janet Month"),
    ] {
        assert_eq!(gotime::format_layout(&time, layout), text, "{layout}");
    }
    check(&[
        (
            "{{ (1435065584.128 | toTime).Format \"2006-01-02\" }} {{ (now | toTime).Year }}",
            "2015-06-23 2015",
        ),
        (
            "{{ 1435065584.128 | humanizeTimestamp }}",
            "2015-06-23 13:19:44.128 +0000 UTC",
        ),
        (
            "{{ 90 | toDuration }} {{ (toDuration 3600).Minutes }}",
            "1m30s 60",
        ),
        (
            "{{ printf \"%0.2f\" (parseDuration \"1h2m10ms\") }}",
            "3720.01",
        ),
    ]);
}

#[test]
fn prometheus_functions() {
    check(&[
        (
            "{{ humanize 0.0 }}:{{ humanize 1234567.0 }}:{{ humanize .12 }}:{{ humanize \"1e10\" }}",
            "0:1.235M:120m:10G",
        ),
        (
            "{{ humanize1024 1048576.0 }}:{{ humanize1024 .12 }}:{{ humanize1024 -5000 }}",
            "1Mi:0.12:-4.883ki",
        ),
        (
            "{{ humanizeDuration 0 }}:{{ humanizeDuration 899.99 }}:{{ humanizeDuration -183845 }}",
            "0s:14m 59s:-2d 3h 4m 5s",
        ),
        (
            "{{ humanizeDuration .0001 }}:{{ humanizeDuration 1.2345 }}:{{ humanizeDuration 3600 }}",
            "100us:1.234s:1h 0m 0s",
        ),
        (
            "{{ -0.22222 | humanizePercentage }}:{{ 1.23456 | humanizePercentage }}",
            "-22.22%:123.5%",
        ),
        (
            "{{ humanize \"one\" }}",
            "!template t:1:4: error calling humanize: strconv.ParseFloat: parsing \"one\": invalid syntax",
        ),
        (
            "{{ query \"up\" | first | value }} {{ query \"up\" | first | label \"instance\" }}",
            "21 b",
        ),
        (
            "{{ range query \"up\" | sortByLabel \"instance\" }}{{ .Labels.instance }}:{{ .Value }} {{ end }}",
            "a:11 b:21 ",
        ),
        (
            "{{ query \"none\" | first }}",
            "!template t:1:19: error calling first: first() called on vector with no elements",
        ),
        (
            "{{ query \"other\" }}",
            "!template t:1:4: error calling query: no answer to other",
        ),
        (
            "{{ (query \"none\").banana }}",
            "!template t:1:4: can't evaluate field banana in type []interface {}",
        ),
        (
            "{{ \"foo.example.com:1234\" | stripPort }} {{ \"[2001:db8::1]:12\" | stripPort }} {{ \"[::1]::1\" | stripPort }}",
            "foo.example.com 2001:db8::1 [::1]::1",
        ),
        (
            "{{ \"foo.example.com:12\" | stripDomain }} {{ \"192.0.2.1:12\" | stripDomain }} {{ \"a.b\" | stripDomain }}",
            "foo:12 192.0.2.1:12 a",
        ),
        (
            "{{ reReplaceAll \"(a)b\" \"x$1\" \"ab\" }} {{ match \"a+\" \"caad\" }}",
            "xa true",
        ),
        (
            "{{ \"aa bb CC\" | title }} {{ \"aB\" | toUpper }} {{ \"aB\" | toLower }}",
            "Aa Bb CC AB ab",
        ),
        (
            "{{ graphLink \"up > 1\" }} {{ tableLink \"up\" }}",
            "/graph?g0.expr=up+%3E+1&g0.tab=0 /graph?g0.expr=up&g0.tab=1",
        ),
        (
            "{{ externalURL }} {{ pathPrefix }}",
            "http://testhost:9090/path/prefix /path/prefix",
        ),
        (
            "{{ match \"(\" \"x\" }}",
            "!template t:1:4: error calling match: error parsing regexp \"(\": error: unclosed group",
        ),
    ]);
}

#[test]
fn faults_have_a_place() {
    for (text, expected) in [
        ("{{", "1:1: unclosed action"),
        ("a\n  {{ if true }}x", "2:3: if is not closed: no {{end}}"),
        ("{{ $x }}", "1:4: undefined variable \"$x\""),
        ("{{ end }}", "1:1: unexpected {{end}}"),
        ("{{ else }}", "1:1: unexpected {{else}}"),
        ("{{ 1 | 2 }}", "1:8: non executable command in pipeline"),
        ("{{ }}", "1:4: missing value for command"),
        ("{{ \"a }}", "1:4: unterminated quoted string"),
        ("{{ (1 }}", "1:7: unclosed left paren"),
        ("{{ break }}", "1:1: {{break}} outside {{range}}"),
        ("{{ .A | }}", "1:9: missing command after | in command"),
        ("{{ 1x }}", "1:4: bad number syntax: \"1x\""),
        (
            "{{ a ! }}",
            "1:6: unexpected character U+0021 '!' in action",
        ),
        (
            "{{\u{a0}1 }}",
            "1:3: unexpected character U+00A0 '\\u{a0}' in action",
        ),
        ("{{/* a }}", "1:1: unclosed comment"),
    ] {
        let error = Template::parse("t", text).unwrap_err().to_string();
        assert_eq!(error, format!("template t:{expected}"), "{text}");
    }
    let template = Template::parse("t", "x{{ nosuch 1 }}").unwrap();
    let error = template.check(&NoFunctions).unwrap_err();
    assert_eq!((error.line, error.column), (1, 5));
    assert!(error.message.contains("\"nosuch\" not defined"));
    let missing = Template::parse("t", "{{ template \"gone\" }}").unwrap();
    assert!(
        missing.check(&NoFunctions).is_err() && missing.render(&Value::Nil, &NoFunctions).is_err()
    );
    check(&[
        (
            "{{ .Object.Fails }}",
            "!template t:1:4: error calling Fails: on purpose",
        ),
        (
            "{{ index .List 9 }}",
            "!template t:1:4: error calling index: index out of range: 9",
        ),
        (
            "{{ .Value.x }}",
            "!template t:1:4: can't evaluate field x in type float64",
        ),
        (
            "{{ .Value 1 }}",
            "!template t:1:4: Value has arguments but cannot be invoked as function",
        ),
        (
            "{{ humanize 1 2 }}",
            "!template t:1:4: error calling humanize: wrong number of args for humanize: want 1 got 2",
        ),
    ]);
}

#[test]
fn a_strangers_template_ends() {
    let limits = Limits {
        output: 10_000,
        steps: 5_000,
        depth: 20,
    };
    let run = |text: &str| {
        let mut set = Set::new().with_limits(limits);
        set.parse("t", text).unwrap();
        set.render("t", &data(), &NoFunctions).unwrap_err().message
    };
    assert_eq!(
        run("{{ define \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}"),
        "templates nested deeper than 20"
    );
    assert_eq!(run("{{ range 100000 }}{{ end }}"), "more than 5000 steps");
    assert_eq!(
        run("{{ range 4000 }}{{ range 4000 }}{{ end }}{{ end }}"),
        "more than 5000 steps"
    );
    assert_eq!(
        run("{{ printf \"%20000d\" 1 }}"),
        "text larger than 10000 bytes"
    );
    assert_eq!(
        run("{{ $x := \"ab\" }}{{ range 40 }}{{ $x = print $x $x }}{{ end }}"),
        "text larger than 10000 bytes"
    );
    assert_eq!(
        run("{{ range 2000 }}0123456789{{ end }}"),
        "output larger than 10000 bytes"
    );
    let deep = format!("{}1{}", "{{ if 1 }}".repeat(80), "{{ end }}".repeat(80));
    assert!(
        Template::parse("t", &deep)
            .unwrap_err()
            .message
            .contains("nested deeper")
    );
    let parens = format!("{{{{ {}1{} }}}}", "(".repeat(80), ")".repeat(80));
    assert!(
        Template::parse("t", &parens)
            .unwrap_err()
            .message
            .contains("nested deeper")
    );
}

const PIECES: [&str; 34] = [
    "{{",
    "}}",
    "{{-",
    "-}}",
    " ",
    "if",
    "range",
    "end",
    "else",
    "with",
    "define",
    "template",
    "block",
    "\"x\"",
    "$x",
    ":=",
    "=",
    "|",
    "(",
    ")",
    ".",
    ".Labels",
    ".job",
    "1",
    "2.5",
    "printf",
    "\"%d %v\"",
    "len",
    "index",
    "and",
    ",",
    "`",
    "/*",
    "*/",
];

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        render(&text);
        render(&format!("{{{{ {text} }}}}"));
    }

    #[test]
    fn no_mix_of_pieces_panics(picks in prop::collection::vec(0..PIECES.len(), 0..40)) {
        let text: String = picks.iter().flat_map(|i| [PIECES[*i], " "]).collect();
        let once = render(&text);
        prop_assert_eq!(once, render(&text));
        let tight: String = picks.iter().map(|i| PIECES[*i]).collect();
        render(&tight);
    }

    #[test]
    fn no_format_panics(text in "[%a-zA-Z0-9.*+# \\[\\]-]{0,20}", number in any::<f64>(), int in any::<i64>()) {
        format::sprintf(&text, &[number.into(), int.into(), "é".into(), Value::Nil]);
    }

    #[test]
    fn shortest_floats_read_back(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        let text = format::format_float(value, 'g', None);
        let back: f64 = text.parse().unwrap();
        prop_assert!(back == value || (back.is_nan() && value.is_nan()), "{}", text);
    }

    #[test]
    fn text_without_actions_stays(text in "[^{]{0,50}") {
        prop_assert_eq!(render(&text), text);
    }
}

#[test]
fn values_are_cheap_and_shared() {
    let list = Value::list([Value::Int(1)]);
    let (Value::List(a), Value::List(b)) = (&list, &list.clone()) else {
        unreachable!()
    };
    assert!(Arc::ptr_eq(a, b));
}

#[test]
fn notification_templates_of_alertmanager() {
    use crate::alertmanager::{Alert as One, Alertmanager, Data};
    let alert = |status: &str, instance: &str| One {
        status: status.to_owned(),
        labels: Labels::new([
            ("alertname", "Slow"),
            ("instance", instance),
            ("job", "web"),
        ]),
        annotations: Labels::new([("summary", format!("{instance} is slow"))]),
        starts_at: "2026-03-01T10:00:00Z".parse().unwrap(),
        ends_at: None,
        generator_url: "http://bw/graph?a=b&c".to_owned(),
        fingerprint: "00ff".to_owned(),
    };
    let data: Value = Data {
        receiver: "team".to_owned(),
        status: "firing".to_owned(),
        alerts: vec![alert("firing", "a"), alert("resolved", "b")],
        group_labels: Labels::new([("job", "web"), ("alertname", "Slow")]),
        common_labels: Labels::new([("job", "web"), ("alertname", "Slow"), ("dc", "x")]),
        common_annotations: Labels::empty(),
        external_url: "http://bw".to_owned(),
    }
    .into();
    let functions = Alertmanager {
        now: "2026-03-01T10:05:30Z".parse().unwrap(),
    };
    let render = |escape, text: &str| {
        let mut set = Set::new().with_escape(escape);
        set.parse(
            "own.tmpl",
            "{{ define \"subject\" }}[{{ .Status | toUpper }}{{ if eq .Status \"firing\" }}:{{ .Alerts.Firing | len }}{{ end }}] \
             {{ .GroupLabels.SortedPairs.Values | join \" \" }} {{ if gt (len .CommonLabels) (len .GroupLabels) }}\
             ({{ with .CommonLabels.Remove .GroupLabels.Names }}{{ .Values | join \" \" }}{{ end }}){{ end }}{{ end }}\
             {{ define \"list\" }}{{ range . }}- {{ .Annotations.summary }}{{ range .Labels.SortedPairs }} {{ .Name }}={{ .Value }}{{ end }}\n{{ end }}{{ end }}",
        )
        .unwrap();
        set.render_text(text, &data, &functions).unwrap()
    };
    let text = |template: &str| render(Escape::Text, template);
    assert_eq!(
        text("{{ template \"subject\" . }}"),
        "[FIRING:1] Slow web (x)"
    );
    assert_eq!(
        text("{{ template \"list\" .Alerts }}"),
        "- a is slow alertname=Slow instance=a job=web\n- b is slow alertname=Slow instance=b job=web\n"
    );
    for (template, expected) in [
        (
            "{{ .CommonLabels.none }}{{ (index .Alerts 0).Labels.instance }}{{ .Alerts.Resolved | len }}",
            "a1",
        ),
        (
            "{{ range .Alerts.Firing }}{{ .StartsAt.Format \"15:04\" }} {{ since .StartsAt }} {{ .EndsAt }}{{ end }}",
            "10:00 5m30s 0001-01-01 00:00:00 +0000 UTC",
        ),
        (
            "{{ (index .Alerts 0).StartsAt | tz \"Europe/Berlin\" | date \"15:04 MST\" }}",
            "11:00 CET",
        ),
        (
            "{{ stringSlice \"a\" \"b\" | join \"+\" }} {{ title \"aB c\" }}{{ trimSpace \" x \" }}",
            "a+b Ab Cx",
        ),
        (
            "{{ .GroupLabels | toJson }} {{ .GroupLabels }} {{ .GroupLabels.SortedPairs }}",
            "{\"alertname\":\"Slow\",\"job\":\"web\"} map[alertname:Slow job:web] alertname=Slow, job=web",
        ),
        ("{{ urlUnescape \"a%2Fb+c\" }}", "a/b c"),
        (
            "{{ if .CommonAnnotations }}some{{ else }}none{{ end }}",
            "none",
        ),
    ] {
        assert_eq!(text(template), expected, "{template}");
    }
    assert_eq!(
        render(
            Escape::Html,
            "<a href=\"{{ (index .Alerts 0).GeneratorURL }}\">"
        ),
        "<a href=\"http://bw/graph?a=b&amp;c\">"
    );
}
