use proptest::prelude::*;

use super::*;

fn shown(file: &str, text: &str) -> String {
    match read(file, text, None) {
        Ok(found) => found
            .iter()
            .map(|s| format!("{} [{:?} {:?}] {:?}\n", s.name, s.unit, s.better, s.values))
            .collect::<Vec<_>>()
            .concat(),
        Err(error) => format!("error: {error}\n"),
    }
}

#[test]
fn each_tool_is_recognised_by_its_output() {
    let criterion = r#"{"sampling_mode":"Linear","iters":[10.0,20.0],"times":[1000.0,2200.0]}"#;
    let hyperfine = r#"{"results":[{"command":"sleep 0.1","mean":0.1,"times":[0.101,0.102],"exit_codes":[0,0]}]}"#;
    let pytest = r#"{"machine_info":{},"benchmarks":[{"name":"test_a","fullname":"t.py::test_a","stats":{"median":0.5,"data":[0.4,0.6]}},
        {"name":"test_b","stats":{"median":0.25}}]}"#;
    let jmh = r#"[{"benchmark":"org.B.run","mode":"thrpt","params":{"n":"10"},"primaryMetric":{"score":5.0,"scoreUnit":"ops/ms","rawData":[[4.0,6.0],[5.0]]}},
        {"benchmark":"org.B.run","mode":"avgt","primaryMetric":{"score":2.0,"scoreUnit":"us/op","rawData":[[2.0]]}}]"#;
    let go = "goos: linux\nBenchmarkParse-8   \t 1000\t  1500 ns/op\t 64 B/op\t 2 allocs/op\nBenchmarkParse-8 1000 1600 ns/op 64 B/op 2 allocs/op\nPASS\n";
    let load = r#"{"latency":{"p50_ms":1.5,"p99_ms":20.0},"service":{"p50_ms":1.0}}"#;
    let all = [
        shown("target/criterion/parse/large/new/sample.json", criterion),
        shown("h.json", hyperfine),
        shown("p.json", pytest),
        shown("j.json", jmh),
        shown("bench.txt", go),
        shown("run.json", load),
        shown("numbers.txt", "# comment\n1.5\n2.5\n"),
        shown(
            "named.txt",
            "name,value\nparse 2 files: 12.5 ms\nparse 2 files: 13ms\nrequests = 900 rps\n",
        ),
    ];
    insta::assert_snapshot!(all.concat(), @r#"
    parse/large [Seconds Lower] [1.0000000000000001e-7, 1.1e-7]
    sleep 0.1 [Seconds Lower] [0.101, 0.102]
    t.py::test_a [Seconds Lower] [0.4, 0.6]
    test_b [Seconds Lower] [0.25]
    org.B.run(n=10)/thrpt [PerSecond Higher] [4000.0, 6000.0, 5000.0]
    org.B.run/avgt [Seconds Lower] [2e-6]
    Parse [Seconds Lower] [1.5e-6, 1.6000000000000001e-6]
    Parse/B/op [Bytes Lower] [64.0, 64.0]
    Parse/allocs/op [Count Lower] [2.0, 2.0]
    run/p50 [Seconds Lower] [0.0015]
    run/p99 [Seconds Lower] [0.02]
    numbers [Count Lower] [1.5, 2.5]
    parse 2 files [Seconds Lower] [0.0125, 0.013000000000000001]
    requests [PerSecond Higher] [900.0]
    "#);
}

#[test]
fn what_is_no_result_says_why() {
    let all = [
        shown("a.json", ""),
        shown("b.json", "[]"),
        shown("c.txt", "1.5\nbanana\n"),
        shown("d.json", r#"{"iters":[1.0],"times":[]}"#),
        shown(
            "e.json",
            r#"{"valid":false,"invalid_because":["the generator was late"],"latency":{"p50_ms":1}}"#,
        ),
        match read("f.json", "{", Some(Format::Hyperfine)) {
            Err(error) => format!("error: {error}\n"),
            Ok(_) => "read".to_owned(),
        },
    ];
    insta::assert_snapshot!(all.concat(), @r#"
    error: a.json: no numbers found; known formats: criterion, hyperfine, pytest-benchmark, go, jmh, load, lines
    error: b.json: line 1: no number in "[]"
    error: c.txt: line 2: no number in "banana"
    error: d.json: 1 iteration counts for 0 times
    error: e.json: the run is marked invalid: ["the generator was late"]
    error: f.json:1:1: EOF while parsing an object at line 1 column 1
    "#);
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        for format in Format::NAMES.map(|(_, format)| Some(format)).into_iter().chain([None]) {
            drop(read("x.json", &text, format));
        }
    }

    #[test]
    fn numbers_one_to_a_line_are_read(values in prop::collection::vec(-1e9f64..1e9, 1..50)) {
        let lines: Vec<String> = values.iter().map(f64::to_string).collect();
        let text = lines.join("\n");
        prop_assert_eq!(&read("x", &text, None).unwrap()[0].values, &values);
    }
}
