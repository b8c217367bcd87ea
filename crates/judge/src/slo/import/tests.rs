use bellwether_model::Problems;
use proptest::prelude::*;

use crate::rules::RuleFile;
use crate::slo::{Imported, import};

fn read(text: &str) -> (Imported, String) {
    let mut problems = Problems::default();
    let imported = import("f.yml", text, &mut problems);
    for slo in &imported.slos {
        let mut own = Problems::default();
        let groups = RuleFile::read("generated", &slo.to_rule_file(), &mut own);
        assert!(
            own.0.is_empty() && groups.len() == 2,
            "{own}\n{}",
            slo.to_rule_file()
        );
    }
    (imported, problems.to_string())
}

fn shown(text: &str) -> String {
    let (imported, problems) = read(text);
    format!("{}: {}{problems}", imported.format, imported.text)
}

#[test]
fn sloth() {
    insta::assert_snapshot!(shown(r#"
version: "prometheus/v1"
service: "shop"
labels: {owner: "web-team", tier: "2"}
slos:
  - name: "requests-availability"
    objective: 99.9
    description: "Common SLO based on availability for HTTP request responses."
    labels: {category: availability}
    sli:
      events:
        error_query: sum(rate(http_request_duration_seconds_count{job="shop",code=~"(5..|429)"}[{{.window}}]))
        total_query: sum(rate(http_request_duration_seconds_count{job="shop"}[{{.window}}]))
    alerting:
      name: ShopHighErrorRate
      labels: {category: "availability"}
      annotations:
        summary: "High error rate on 'shop' requests responses {{ $labels.slo }}"
        runbook: "web-errors"
      page_alert:
        labels: {severity: critical, routing_key: shop}
      ticket_alert:
        disable: true
  - name: raw
    objective: 95
    sli: {raw: {error_ratio_query: 'avg_over_time(bad_share[{{.window}}])'}}
    alerting: {page_alert: {disable: true}, ticket_alert: {disable: true}}
  - name: plugin
    objective: 95
    sli: {plugin: {id: "sloth-common/x"}}
"#), @r#"
    sloth: slos:
      - name: shop-requests-availability
        service: shop
        description: "Common SLO based on availability for HTTP request responses."
        objective: 99.9
        window: 30d
        errors: "sum(increase(http_request_duration_seconds_count{code=~\"(5..|429)\",job=\"shop\"}[{{window}}]))"
        total: "sum(increase(http_request_duration_seconds_count{job=\"shop\"}[{{window}}]))"
        owner: web-team
        runbook: web-errors
        alert_name: ShopHighErrorRate
        labels: {tier: 2, category: availability}
        page_labels: {category: availability, severity: critical, routing_key: shop}
        ticket_labels: {category: availability}
        annotations: {summary: "High error rate on 'shop' requests responses {{ $labels.slo }}"}
        windows: {page: [{burn: 14.4, long: 1h, short: 5m}, {burn: 6, long: 6h, short: 30m}], ticket: []}
      - name: shop-raw
        service: shop
        objective: 95
        window: 30d
        errors: "sum(avg_over_time(bad_share[{{window}}])) * scalar(count_over_time(vector(1)[{{window}}:1m]))"
        total: "sum(count_over_time(vector(1)[{{window}}:1m]))"
        owner: web-team
        alerting: false
        labels: {tier: 2}
        windows: {page: [], ticket: []}
    warning: f.yml:26:36: a ratio without its events: bad minutes are counted, so traffic has no weight
    error: f.yml:30:10: an sli of this kind cannot be imported
      hint: plugins are programs: write their queries as `events`
    "#);
}

#[test]
fn sloth_in_kubernetes() {
    insta::assert_snapshot!(shown(r#"
apiVersion: sloth.slok.dev/v1
kind: PrometheusServiceLevel
metadata: {name: shop, namespace: monitoring}
spec:
  service: shop
  slos:
    - name: latency
      objective: 99
      sli:
        events:
          errorQuery: |
            sum(rate(d_count[{{.window}}])) - sum(rate(d_bucket{le="0.3"}[{{.window}}]))
          totalQuery: sum(rate(d_count[{{.window}}]))
      alerting: {name: ShopSlow, pageAlert: {labels: {severity: page}}, ticketAlert: {labels: {severity: ticket}}}
"#), @r#"
    sloth: slos:
      - name: shop-latency
        service: shop
        objective: 99
        window: 30d
        errors: "sum(increase(d_count[{{window}}])) - sum(increase(d_bucket{le=\"0.3\"}[{{window}}]))"
        total: "sum(increase(d_count[{{window}}]))"
        alert_name: ShopSlow
        page_labels: {severity: page}
        ticket_labels: {severity: ticket}
    "#);
}

#[test]
fn pyrra() {
    insta::assert_snapshot!(shown(r#"
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata:
  name: api-errors
  namespace: monitoring
  labels: {prometheus: k8s, pyrra.dev/team: operations}
  annotations: {pyrra.dev/runbook_url: 'https://runbooks.example/api', other: x}
spec:
  target: "99.5"
  window: 2w
  description: The API answers.
  indicator:
    ratio:
      errors: {metric: 'apiserver_request_total{job="apiserver",code=~"5.."}'}
      total: {metric: 'apiserver_request_total{job="apiserver"}'}
      grouping: [verb]
---
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: api-slow}
spec:
  target: "99"
  window: 4w
  indicator:
    latency:
      success: {metric: 'd_bucket{le="0.1"}'}
      total: {metric: 'd_count'}
  alerting: {name: ApiSlow}
---
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: native}
spec: {target: "99", window: 4w, indicator: {latencyNative: {latency: 100ms, total: {metric: d}}}}
---
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: probe}
spec: {target: "99", window: 4w, indicator: {bool_gauge: {metric: 'probe_success{job="x"}'}}, alerting: {disabled: true}}
"#), @r#"
    pyrra: slos:
      - name: api-errors
        service: monitoring
        description: "The API answers."
        objective: 99.5
        window: 2w
        errors: "sum(increase(apiserver_request_total{code=~\"5..\",job=\"apiserver\"}[{{window}}]))"
        total: "sum(increase(apiserver_request_total{job=\"apiserver\"}[{{window}}]))"
        owner: operations
        runbook: "https://runbooks.example/api"
      - name: api-slow
        objective: 99
        window: 4w
        good: "sum(increase(d_bucket{le=\"0.1\"}[{{window}}]))"
        total: "sum(increase(d_count[{{window}}]))"
        alert_name: ApiSlow
      - name: native
        objective: 99
        window: 4w
        good: "histogram_fraction(0, 0.1, sum(increase(d[{{window}}]))) * histogram_count(sum(increase(d[{{window}}])))"
        total: "histogram_count(sum(increase(d[{{window}}])))"
      - name: probe
        objective: 99
        window: 4w
        good: "sum(sum_over_time(probe_success{job=\"x\"}[{{window}}]))"
        total: "sum(count_over_time(probe_success{job=\"x\"}[{{window}}]))"
        alerting: false
    warning: f.yml:17:17: grouping is left out: all groups count together, as one objective
    "#);
}

#[test]
fn openslo() {
    insta::assert_snapshot!(shown(r#"
apiVersion: openslo/v1
kind: SLI
metadata: {name: good-answers}
spec:
  ratioMetric:
    counter: true
    good: {metricSource: {type: Prometheus, spec: {query: 'sum(http_requests_total{code!~"5.."})'}}}
    total: {metricSource: {type: prometheus, spec: {query: 'sum(rate(http_requests_total[5m]))'}}}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: web, displayName: Web answers, labels: {team: [web], app.kubernetes.io/name: shop}, annotations: {runbook: web-errors}}
spec:
  service: web
  indicatorRef: good-answers
  timeWindow: [{duration: 1M, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.995}]
  alertPolicies: [x]
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: slow}
spec:
  description: People wait.
  service: web
  indicator:
    metadata: {name: p90}
    spec:
      thresholdMetric: {metricSource: {type: Prometheus, spec: {query: 'histogram_quantile(0.9, sum by (le) (rate(d_bucket[5m])))'}}}
  timeWindow: [{duration: 4w, isRolling: false}]
  budgetingMethod: Timeslices
  objectives:
    - {op: lte, value: 0.5, target: 0.99, timeSliceWindow: 5m}
    - {op: lte, value: 2, targetPercent: 99.9}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: slices}
spec:
  service: web
  indicatorRef: good-answers
  budgetingMethod: Timeslices
  objectives: [{target: 0.99, timeSliceTarget: 0.9, timeSliceWindow: 5m}]
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: elsewhere}
spec:
  indicator: {spec: {ratioMetric: {rawType: success, raw: {metricSource: {type: datadog, spec: {query: x}}}}}}
  objectives: [{target: 0.99}]
---
{apiVersion: openslo/v1, kind: AlertPolicy, metadata: {name: x}, spec: {}}
---
{apiVersion: openslo/v1, kind: Service, metadata: {name: web}, spec: {}}
"#), @r#"
    openslo: slos:
      - name: web
        service: web
        description: "Web answers"
        objective: 99.5
        window: 30d
        good: "sum(increase(http_requests_total{code!~\"5..\"}[{{window}}]))"
        total: "sum(increase(http_requests_total[{{window}}]))"
        owner: web
        runbook: web-errors
        labels: {app_kubernetes_io_name: shop}
      - name: slow-1
        service: web
        description: "People wait."
        objective: 99
        window: 4w
        good: "sum(sum_over_time(((histogram_quantile(0.9, sum by (le) (rate(d_bucket[5m])))) <= bool 0.5)[{{window}}:5m]))"
        total: "sum(count_over_time((histogram_quantile(0.9, sum by (le) (rate(d_bucket[5m]))))[{{window}}:5m]))"
      - name: slow-2
        service: web
        description: "People wait."
        objective: 99.9
        window: 4w
        good: "sum(sum_over_time(((histogram_quantile(0.9, sum by (le) (rate(d_bucket[5m])))) <= bool 2)[{{window}}:1m]))"
        total: "sum(count_over_time((histogram_quantile(0.9, sum by (le) (rate(d_bucket[5m]))))[{{window}}:1m]))"
      - name: slices
        service: web
        objective: 99
        window: 30d
        good: "sum_over_time((sum(sum(increase(http_requests_total{code!~\"5..\"}[5m]))) / sum(sum(increase(http_requests_total[5m]))) >= bool 0.9)[{{window}}:5m])"
        total: "count_over_time((sum(sum(increase(http_requests_total[5m]))) > 0)[{{window}}:5m])"
    warning: f.yml:32:16: windows of the calendar roll here
    error: f.yml:51:74: a metric source of type datadog cannot be asked
      hint: type: Prometheus
    warning: f.yml:54:1: alerts of OpenSLO are left out: objectives get their own, over several windows
    "#);
}

#[test]
fn what_cannot_be_imported_says_why() {
    insta::assert_snapshot!(
        [
            "a: 1",
            "version: prometheus/v1\nservice: s\nslos: [{name: a, objective: 99, sli: {events: {error_query: 'sum(x', total_query: 'sum(y)'}}}]",
            "version: prometheus/v1\nservice: s\nslos: [{name: a, objective: 100, sli: {events: {error_query: 'x', total_query: 'y'}}}]",
            "version: prometheus/v1\nservice: s\nslos: [{name: a, objective: 99, sli: {events: {error_query: '1', total_query: 'time()'}}}]",
            "apiVersion: pyrra.dev/v1alpha1\nmetadata: {name: a}\nspec: {target: '99', indicator: {}}",
            "apiVersion: openslo/v1alpha\nkind: SLO",
        ]
        .map(shown)
        .join("\n--\n"),
        @r"
    : error: f.yml:1:1: this is not a file of objectives that is known
      hint: known are `slos:`, OpenSLO (apiVersion: openslo/v1), Sloth (version: prometheus/v1) and Pyrra (apiVersion: pyrra.dev/v1alpha1)

    --
    sloth: error: f.yml:3:61: query: 1:6: parse error: unclosed left parenthesis
      hint: the query must be PromQL

    --
    sloth: error: f.yml:3:8: objective must lie between 0 and 100, both exclusive
      hint: it is a percentage: 99.9; no service is good all the time

    --
    sloth: error: f.yml:3:61: query: it must give an instant vector
      hint: the query must be PromQL

    --
    pyrra: error: f.yml:3:33: an indicator of this kind cannot be imported
      hint: known are ratio, latency, latencyNative and bool_gauge

    --
    openslo: error: f.yml:1:1: apiVersion openslo/v1alpha is not known
      hint: convert it to openslo/v1
    error: f.yml:1:1: this SLO has no metadata.name
    "
    );
}

proptest! {
    #[test]
    fn any_file_is_safe(text in "(apiVersion: (openslo/v1|pyrra.dev/v1alpha1|sloth.slok.dev/v1)\nkind: SLO\n|version: prometheus/v1\n)(spec|metadata|slos|sli|name|[a-z{}\\[\\]:,' \n\\-0-9]){0,40}") {
        let mut problems = Problems::default();
        drop(import("f.yml", &text, &mut problems));
    }
}
