use bellwether_model::Problems;
use bellwether_yaml::parse;
use proptest::prelude::*;

use crate::rules::RuleKind;
use crate::slo::{Slo, read};

fn slos(text: &str) -> (Vec<Slo>, String) {
    let mut problems = Problems::default();
    let slos = match parse("c.yml", text, &mut problems) {
        Some(node) => node
            .get("slos")
            .map(|node| read(node, &mut problems))
            .unwrap_or_default(),
        None => Vec::new(),
    };
    (slos, problems.to_string())
}

const DEMO: &str = "\
slos:
  - name: web-fast
    service: web
    objective: 99
    window: 1h
    description: People wait for the shop.
    errors: http_requests_total{job=\"web\", code=~\"5..\"}
    total: http_requests_total{job=\"web\"}
    labels: {team: shop}
    owner: ana
    runbook: drain
    interval: 5s
    windows:
      page: [{burn: 14.4, long: 5m, short: 30s}]
";

#[test]
fn an_objective_becomes_rules() {
    let (slos, problems) = slos(DEMO);
    assert_eq!(problems, "");
    let slo = &slos[0];
    assert!((slo.budget() - 0.01).abs() < 1e-12);
    let groups = slo.groups();
    let lines: Vec<String> = groups
        .iter()
        .flat_map(|group| group.rules.iter().map(move |rule| (group, rule)))
        .map(|(group, rule)| {
            format!(
                "{} {:?} {} {}",
                group.name,
                group.interval.unwrap_or_default(),
                rule.name,
                rule.label_texts()
            )
        })
        .collect();
    assert_eq!(
        lines.join("\n"),
        "\
slo:web-fast 5s slo:events:count {service=\"web\", slo=\"web-fast\", team=\"shop\", window=\"30s\"}
slo:web-fast 5s slo:bad_events:count {service=\"web\", slo=\"web-fast\", team=\"shop\", window=\"30s\"}
slo:web-fast 5s slo:burn_rate:ratio {service=\"web\", slo=\"web-fast\", team=\"shop\", window=\"30s\"}
slo:web-fast 5s slo:events:count {service=\"web\", slo=\"web-fast\", team=\"shop\", window=\"5m\"}
slo:web-fast 5s slo:bad_events:count {service=\"web\", slo=\"web-fast\", team=\"shop\", window=\"5m\"}
slo:web-fast 5s slo:burn_rate:ratio {service=\"web\", slo=\"web-fast\", team=\"shop\", window=\"5m\"}
slo:web-fast 5s slo:error_ratio:lower_bound {service=\"web\", slo=\"web-fast\", team=\"shop\", window=\"5m\"}
slo:web-fast 5s SloBurn {service=\"web\", severity=\"page\", slo=\"web-fast\", team=\"shop\"}
slo:web-fast:budget 5s slo:events:count {service=\"web\", slo=\"web-fast\", team=\"shop\", window=\"1h\"}
slo:web-fast:budget 5s slo:bad_events:count {service=\"web\", slo=\"web-fast\", team=\"shop\", window=\"1h\"}
slo:web-fast:budget 5s slo:error_budget:remaining {service=\"web\", slo=\"web-fast\", team=\"shop\"}
slo:web-fast:budget 5s slo:objective:ratio {service=\"web\", slo=\"web-fast\", team=\"shop\"}"
    );
    let alert = &groups[0].rules[7];
    assert_eq!(alert.kind, RuleKind::Alerting);
    assert_eq!(
        alert.expr_text,
        "max without (window) ((\
         slo:burn_rate:ratio{slo=\"web-fast\",window=\"5m\"} > 14.4 \
         and ignoring (window) slo:burn_rate:ratio{slo=\"web-fast\",window=\"30s\"} > 14.4 \
         and slo:error_ratio:lower_bound{slo=\"web-fast\",window=\"5m\"} > 0.144 \
         and slo:bad_events:count{slo=\"web-fast\",window=\"5m\"} >= 3))"
    );
    let annotations = alert.annotation_texts();
    assert_eq!(annotations.get("impact"), "People wait for the shop.");
    assert_eq!(
        (annotations.get("owner"), annotations.get("runbook")),
        ("ana", "drain")
    );
    assert_eq!(
        groups[0].rules[0].expr_text,
        "sum(increase(http_requests_total{job=\"web\"}[30s]))"
    );
    assert_eq!(
        groups[0].rules[1].expr_text,
        "(sum(increase(http_requests_total{job=\"web\", code=~\"5..\"}[30s])) or 0 * sum(increase(http_requests_total{job=\"web\"}[30s])))"
    );
}

#[test]
fn defaults_are_those_of_the_workbook() {
    let (slos, problems) = slos(
        "slos:\n- name: a\n  objective: 99.9\n  latency: {metric: 'h_seconds{job=\"x\"}', below: 300ms}\n- name: b\n  objective: 99.9\n  good: sum(increase(ok[{{.window}}]))\n  total: sum(increase(all[$window]))\n  alerting: false\n",
    );
    assert_eq!(problems, "");
    let [a, b] = &slos[..] else { panic!() };
    assert_eq!(a.window.as_secs(), 30 * 86_400);
    let groups = a.groups();
    let alerts: Vec<_> = groups[0]
        .rules
        .iter()
        .filter(|r| r.kind == RuleKind::Alerting)
        .collect();
    let severities: Vec<String> = alerts
        .iter()
        .map(|rule| rule.label_texts().get("severity").to_owned())
        .collect();
    assert_eq!(severities, ["page", "ticket"]);
    assert!(
        alerts[0].expr_text.contains("window=\"6h\"} > 6 ")
            && alerts[1].expr_text.contains("window=\"3d\"} > 1 ")
    );
    assert_eq!(groups[1].interval.unwrap().as_secs(), 300);
    assert_eq!(
        a.indicator.bad,
        "clamp_min(sum(increase(h_seconds_count{job=\"x\"}[{{window}}])) - (sum(increase(h_seconds_bucket{job=\"x\",le=~\"0\\\\.3\"}[{{window}}])) or 0 * sum(increase(h_seconds_count{job=\"x\"}[{{window}}]))), 0)"
    );
    assert!(
        b.groups()[0]
            .rules
            .iter()
            .all(|r| r.kind == RuleKind::Recording)
    );
    assert!(b.indicator.total.contains("all[{{window}}]"));
    let queries = a.queries();
    assert_eq!(queries.burn.len(), 7);
    assert_eq!(queries.budget_left, "slo:error_budget:remaining{slo=\"a\"}");
}

#[test]
fn every_fault_is_reported_and_good_objectives_stay() {
    let (slos, problems) = slos(
        "\
slos:
  - {name: good, objective: 99, errors: e, total: t}
  - {name: good, objective: 99, errors: e, total: t}
  - {name: a, objective: 100, errors: e, total: t}
  - {name: b, errors: e, total: t}
  - {name: c, objective: 99, total: t}
  - {name: d, objective: 99, errors: 'rate(e[5m])', total: t}
  - {name: e, objective: 99, errors: 'sum(', total: t}
  - {name: f, objective: 99, latency: {metric: 'up == 1', below: 1s}}
  - {name: g, objective: 99, errors: e, total: t, windows: {page: [{burn: 2, long: 1m, short: 5m}]}}
  - {name: h, objectiv: 99, errors: e, total: t}
",
    );
    assert_eq!(
        slos.iter().map(|slo| slo.name.as_str()).collect::<Vec<_>>(),
        ["good"]
    );
    assert_eq!(
        problems,
        "\
error: c.yml:3:5: slo \"good\" is there twice
error: c.yml:4:26: objective must lie between 0 and 100, both exclusive
  hint: it is a percentage: 99.9; no service is good all the time
error: c.yml:5:5: this slo has no objective
  hint: the percentage of good events you promise, for example `objective: 99.9`
error: c.yml:6:5: this slo has total, but neither good nor errors
  hint: one of them says which events count against the budget
error: c.yml:7:38: errors must be the selector of a counter, or have [{{window}}] in it
  hint: for example `http_requests_total{job=\"web\"}`, or `sum(increase(http_requests_total[{{window}}]))`
error: c.yml:8:38: errors: unclosed left parenthesis
  hint: for example `http_requests_total{job=\"web\"}`, or `sum(increase(http_requests_total[{{window}}]))`
error: c.yml:9:48: metric must be the selector of a histogram
error: c.yml:10:68: burn must be above 0, and short shorter than long
error: c.yml:11:15: unknown key \"objectiv\" in this slo
  hint: did you mean \"objective\"?
error: c.yml:11:5: this slo has no objective
  hint: the percentage of good events you promise, for example `objective: 99.9`
"
    );
}

proptest! {
    #[test]
    fn what_is_generated_reads_back(
        name in "[a-z\"'{}\\\\ é$]{1,12}",
        service in "\\PC{0,12}",
        objective in 0.001_f64..99.999,
        text in "\\PC{0,20}",
        long in 2_u64..100_000,
    ) {
        let (mut slos, _) = slos(DEMO);
        let mut slo = slos.remove(0);
        slo.name = name;
        slo.service = service;
        slo.objective = objective / 100.0;
        slo.description.clone_from(&text);
        slo.owner = text;
        slo.windows.page[0].long = std::time::Duration::from_secs(long);
        slo.windows.page[0].short = std::time::Duration::from_secs(1);
        // `groups` itself asserts that nothing is wrong with what it generates.
        let groups = slo.groups();
        prop_assert_eq!(groups.len(), 2);
        prop_assert_eq!(groups[0].rules.len(), 8);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        slos(&format!("slos:\n- name: a\n  objective: 99\n  errors: {text}\n  total: {text}\n  latency: {text}\n  windows: {text}"));
    }
}

/// Plays requests against an objective and notes when pages begin and end (seconds from the start).
mod played {
    use bellwether_model::series::{MemorySeries, Value};
    use bellwether_promql::Engine;
    use jiff::Timestamp;

    use crate::engine::{EngineSettings, RuleEngine};
    use crate::slo::{Slo, SloStatus};

    const START: i64 = 1_800_000_000;

    /// `rate(second)` gives good and bad requests per second at that second.
    pub(super) fn play(
        slo: &Slo,
        seconds: i64,
        rate: impl Fn(i64) -> (f64, f64),
    ) -> (Vec<String>, SloStatus) {
        let at = |second: i64| Timestamp::from_second(START + second).unwrap();
        let promql = Engine::default();
        let mut engine = RuleEngine::new(EngineSettings::default());
        drop(engine.load(at(0), EngineSettings::default(), slo.groups()));
        let mut series = MemorySeries::default();
        let (mut good, mut bad) = (1_000.0, 10.0);
        let mut log = Vec::new();
        for second in 0..seconds {
            let (more_good, more_bad) = rate(second);
            good += more_good;
            bad += more_bad;
            if second % 5 == 0 {
                for (code, value) in [("200", good), ("500", bad)] {
                    let name = format!("http_requests_total{{job=\"web\",code=\"{code}\"}}");
                    let labels = bellwether_promql::parse_metric(&name).unwrap();
                    series.push(&labels, (START + second) * 1000, Value::Float(value));
                }
            }
            for due in engine.due(at(second)) {
                let outcome = engine
                    .evaluate_group(&due.key, due.slot, &series, &promql)
                    .unwrap();
                assert_eq!(outcome.errors, []);
                for sample in &outcome.samples {
                    series.push(&sample.labels, sample.timestamp, sample.value.clone());
                }
                for event in outcome.batch.events {
                    log.push(format!("{second} {}", event.kind));
                }
            }
        }
        let status = slo.status(&series, &promql, (START + seconds) * 1000);
        (log, status)
    }
}

#[test]
fn users_hurt_while_nothing_is_down_pages_within_a_minute() {
    let slo = slos(DEMO).0.remove(0);
    // One of two replicas answers half of its requests with errors between minutes 10 and 20.
    let (log, status) = played::play(&slo, 2_400, |second| {
        if (600..1_200).contains(&second) {
            (15.0, 5.0)
        } else {
            (20.0, 0.0)
        }
    });
    let times: Vec<i64> = log
        .iter()
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect();
    let kinds: Vec<&str> = log
        .iter()
        .map(|line| line.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(kinds, ["alert_firing", "alert_resolved"], "{log:?}");
    // 25 % bad is 25 times the sustainable rate: 14.4 over five minutes is reached after 173 s.
    assert!((770..=830).contains(&times[0]), "{log:?}");
    assert!(
        (1_200..=1_240).contains(&times[1]),
        "the short window ends it: {log:?}"
    );
    // 3,000 bad of 48,000: six times the budget of an hour.
    assert!((status.bad.unwrap() - 3_000.0).abs() < 60.0, "{status:?}");
    assert!(
        (status.total.unwrap() - 48_000.0).abs() < 300.0,
        "{status:?}"
    );
    assert!(
        (status.budget_left.unwrap() + 5.25).abs() < 0.2,
        "{status:?}"
    );
    assert_eq!(status.burn.len(), 2);
    assert_eq!(status.burn[1].burn, Some(0.0));
}

#[test]
fn few_requests_prove_little() {
    let slo = slos(DEMO).0.remove(0);
    // A request every ten seconds: two of 30 fail, 6 times the budget by ratio alone.
    let (log, _) = played::play(&slo, 1_500, |second| match second {
        s if s % 10 != 0 => (0.0, 0.0),
        900 | 930 => (0.0, 1.0),
        _ => (1.0, 0.0),
    });
    assert_eq!(log, [""; 0]);
    // Nobody asks: nothing is known, nothing pages.
    assert_eq!(played::play(&slo, 600, |_| (0.0, 0.0)).0, [""; 0]);
}
