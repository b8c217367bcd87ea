use std::path::Path;

use super::*;

fn read(text: &str) -> (Vec<ScrapeConfig>, String) {
    let mut problems = Problems::default();
    let node = bellwether_yaml::parse("p.yml", text, &mut problems).unwrap();
    let null = bellwether_yaml::parse("p.yml", "", &mut problems).unwrap();
    let globals = ScrapeGlobals::read(node.get("global").unwrap_or(&null), &mut problems);
    let list = node.get("scrape_configs").unwrap_or(&null);
    let configs = read_scrape_configs(list, &globals, Path::new("/etc/x"), &mut problems);
    problems.sort();
    (configs, problems.to_string())
}

#[test]
fn a_full_config_reads_without_a_problem() {
    let (configs, problems) = read(
        r#"
global:
  scrape_interval: 15s
  evaluation_interval: 30s
  external_labels: {monitor: codelab}
  body_size_limit: 15MB
  sample_limit: 1500
  query_log_file: q.log
scrape_configs:
- job_name: prometheus
  honor_labels: true
  scrape_fallback: &x null
  static_configs:
  - targets: ["localhost:9090", "[::1]:9191"]
    labels: {my: label, your: label}
  relabel_configs:
  - source_labels: [job, __meta_dns_name]
    regex: (.*)some-[regex]
    target_label: job
    replacement: foo-${1}
  - source_labels: [abc]
    target_label: cde
  - regex: meta_(.+)
    action: labelmap
  authorization: {credentials_file: valid_token_file}
  tls_config: {min_version: TLS12, server_name: a.b}
- job_name: service-x
  basic_auth: {username: admin_name, password: "multiline\nmysecret\ntest"}
  scrape_interval: 50s
  scrape_timeout: 5s
  body_size_limit: 10MB
  params: {module: [http_2xx], x: y}
  metrics_path: /my_path
  scheme: HTTPS
  file_sd_configs:
  - files: [foo/*.slow.json, single/file.yml]
    refresh_interval: 10m
  http_sd_configs:
  - {url: "http://example.com/sd", refresh_interval: 30s, basic_auth: {username: u, password_file: /run/p}}
  metric_relabel_configs:
  - {source_labels: [__name__], regex: expensive_.*, action: drop}
"#
        .replace("  scrape_fallback: &x null\n", "")
        .as_str(),
    );
    assert_eq!(problems, "");
    let [first, second] = &configs[..] else {
        panic!("{configs:?}")
    };
    assert_eq!(
        (
            first.scrape_interval.as_secs(),
            first.scrape_timeout.as_secs()
        ),
        (15, 10)
    );
    assert_eq!(
        (first.limits.samples, first.limits.body_size),
        (1500, 15 << 20)
    );
    assert_eq!(second.limits.body_size, 10 << 20);
    assert_eq!(first.relabel.len(), 3);
    assert_eq!(
        (second.scheme.as_str(), second.metrics_path.as_str()),
        ("https", "/my_path")
    );
    assert_eq!(second.discovery.len(), 2);
    let Discovery::File { patterns, .. } = &second.discovery[0] else {
        panic!("files first")
    };
    assert_eq!(patterns[0], Path::new("/etc/x/foo/*.slow.json"));
    assert!(
        !format!("{configs:?}").contains("mysecret"),
        "secrets never print"
    );
}

#[test]
fn every_fault_has_its_place_and_the_rest_goes_on() {
    let (configs, problems) = read(
        "global: {scrape_interval: 10s, scrape_timeout: 11s}
scrape_configs:
- job_name: a
  static_configs: [{targets: ['http://x:1/metrics', 'ok:1']}]
- job_name: a
- scrape_interval: 5s
- job_name: b
  scrape_interval: 5s
  scrape_timeout: 6s
  metric_path: /x
  scheme: gopher
  bearer_token: t
  basic_auth: {username: u, password: p, password_file: f}
  kubernetes_sd_configs: [{role: pod}]
  relabel_configs: [{action: hashmod, target_label: x}, {regex: '(', target_label: y}, {action: kep}]
- job_name: c
  file_sd_configs: [{files: ['a/*/b.json', 'x.txt']}]
  scrape_protocols: [PrometheusText0.0.4, PrometheusText0.0.4, PrometheusText]
",
    );
    let jobs: Vec<&str> = configs
        .iter()
        .map(|config| config.job_name.as_str())
        .collect();
    assert_eq!(jobs, ["a", "b", "c"]);
    assert_eq!(configs[0].discovery.len(), 1);
    for wanted in [
        "error: p.yml:1:48: global scrape timeout greater than scrape interval",
        "error: p.yml:4:31: \"http://x:1/metrics\" is not a valid hostname",
        "error: p.yml:5:13: found multiple scrape configs with job name \"a\", the first at line 3",
        "error: p.yml:6:3: this scrape config has no job_name",
        "error: p.yml:9:19: scrape timeout greater than scrape interval",
        "error: p.yml:10:3: unknown key \"metric_path\" in this scrape config\n  hint: did you mean \"metrics_path\"?",
        "error: p.yml:11:11: scheme must be http or https",
        "at most one of password and password_file",
        "at most one of basic_auth, bearer_token must be configured",
        "kubernetes_sd_configs is not supported yet",
        "hashmod requires non-zero modulus",
        "invalid regular expression",
        "unknown relabel action \"kep\"\n  hint: did you mean \"keep\"?",
        "\"a/*/b.json\" is not valid for file discovery",
        "duplicated protocol",
        "unknown scrape protocol \"PrometheusText\"",
    ] {
        assert!(problems.contains(wanted), "{wanted}\n---\n{problems}");
    }
}
