use bellwether_env::SystemClock;

use super::*;
use crate::exposition::{Format, Parser};
use crate::testing::serve_text;

fn read(text: &str) -> (Vec<ProbeConfig>, String) {
    let mut problems = Problems::default();
    let node = bellwether_yaml::parse("b.yml", text, &mut problems).unwrap();
    let probes = read_probes(&node, &ScrapeGlobals::default(), &mut problems);
    problems.sort();
    (probes, problems.to_string())
}

async fn run_one(text: &str) -> String {
    let (probes, problems) = read(text);
    assert_eq!(problems, "");
    let text = run(&probes[0], &SystemClock::new()).await;
    for entry in Parser::new(text.as_bytes(), Format::Text) {
        entry.unwrap();
    }
    text
}

#[test]
fn faults_have_their_place_and_the_rest_goes_on() {
    let (probes, problems) = read(
        "- {name: a, type: http, target: 'https://x/', status: [200, 999], body_matches: '(', min_days: 14}
- {name: a, type: tcp, target: 'x:1'}
- {type: tls, target: 'x'}
- {type: htp, target: x}
- {name: d, type: dns, target: x, record: MX, interval: 1s, timeout: 2s}
- {name: e, type: icmp, target: x, port: 1}
",
    );
    let names: Vec<&str> = probes.iter().map(|probe| probe.name.as_str()).collect();
    assert_eq!(names, ["a", "d", "e"]);
    for wanted in [
        "b.yml:1:61: status must be between 100 and 599",
        "body_matches is not a regular expression",
        "a second probe with the name \"a\"",
        "b.yml:3:23: target of this probe must be host:port",
        "unknown type of probe \"htp\"\n  hint: did you mean \"http\"?",
        "record must be A, AAAA or ANY",
        "timeout of this probe is greater than its interval",
        "unknown key \"port\" in this probe",
    ] {
        assert!(problems.contains(wanted), "{wanted}\n{problems}");
    }
}

#[tokio::test]
async fn an_http_probe_judges_status_and_body() {
    let address = serve_text("", "all is well").await;
    let probe =
        |more: &str| format!("[{{name: a, type: http, target: 'http://{address}/x'{more}}}]");
    let good = run_one(&probe("")).await;
    for line in [
        "probe_success 1\n",
        "probe_http_status_code 200\n",
        "probe_http_ssl 0\n",
        "probe_http_uncompressed_body_length 11\n",
    ] {
        assert!(good.contains(line), "{line}{good}");
    }
    for (more, reason) in [
        (", status: [204]", "status"),
        (", body_matches: [well, ill]", "body"),
        (", body_not_matches: w.ll", "body"),
    ] {
        let bad = run_one(&probe(more)).await;
        assert!(bad.contains("probe_success 0\n"), "{bad}");
        assert!(
            bad.contains(&format!("probe_failure_info{{reason=\"{reason}\"}} 1\n")),
            "{bad}"
        );
    }
    assert!(
        run_one(&probe(", status: [200], body_matches: well"))
            .await
            .contains("probe_success 1\n")
    );
}

#[tokio::test]
async fn ports_names_and_silence_are_told_apart() {
    let address = serve_text("", "x").await;
    let refused = "[{name: a, type: tcp, target: '127.0.0.1:1'}]";
    assert!(
        run_one(&format!("[{{name: a, type: tcp, target: '{address}'}}]"))
            .await
            .contains("probe_success 1\n")
    );
    assert!(run_one(refused).await.contains("reason=\"connect\""));
    assert!(
        run_one("[{name: a, type: dns, target: localhost, record: A, expect: [127.0.0.1]}]")
            .await
            .contains("probe_success 1\n")
    );
    assert!(
        run_one("[{name: a, type: dns, target: localhost, expect: [192.0.2.1]}]")
            .await
            .contains("reason=\"body\"")
    );
    assert!(
        run_one("[{name: a, type: dns, target: no-such-host.invalid}]")
            .await
            .contains("reason=\"dns\"")
    );
    // A server that does not speak TLS.
    assert!(
        run_one(&format!(
            "[{{name: a, type: tls, target: '{address}', timeout: 2s}}]"
        ))
        .await
        .contains("probe_success 0\n")
    );
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_at = silent.local_addr().unwrap();
    let text = run_one(&format!(
        "[{{name: a, type: http, target: 'http://{silent_at}/', interval: 1s, timeout: 300ms}}]"
    ))
    .await;
    assert!(text.contains("reason=\"timeout\""), "{text}");
}

#[tokio::test]
async fn an_icmp_probe_works_or_says_why_not() {
    let text = run_one("[{name: a, type: icmp, target: 127.0.0.1, timeout: 2s}]").await;
    let works = text.contains("probe_success 1\n")
        && text.contains("probe_icmp_duration_seconds{phase=\"rtt\"}");
    assert!(works || text.contains("reason=\"not_allowed\""), "{text}");
}
