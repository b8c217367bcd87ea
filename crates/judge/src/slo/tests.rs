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
