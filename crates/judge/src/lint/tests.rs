use bellwether_model::Problems;
use jiff::civil::date;
use proptest::prelude::*;

use crate::lint::{
    CHECKS, Firing, History, Level, Options, Report, RunbookIndex, RunbookState, Source,
    code_quality, level, lint, sarif,
};
use crate::rules::RuleFile;

fn options() -> Options {
    let mut index = RunbookIndex::default();
    index.add(
        "docs/web/README.md",
        Some("# Web\n\n## Errors [by code](x.md)\n\n```\n# not a heading\n```\n"),
    );
    index.add("docs/db/slow.md", Some("Slow\n====\n"));
    Options {
        runbooks: Some(index),
        today: date(2026, 11, 22),
        ..Options::default()
    }
}

fn run(text: &str, options: &Options) -> Report {
    let mut problems = Problems::default();
    let groups = RuleFile::read("r.yml", text, &mut problems);
    assert!(!problems.has_errors(), "{problems}");
    let source = Source {
        file: "r.yml".into(),
        text: text.to_owned(),
    };
    lint(&groups, &[source], options)
}

fn shown(report: &Report) -> String {
    let lines: Vec<String> = report
        .findings
        .iter()
        .map(|finding| {
            let text = finding.to_string();
            text.lines().next().unwrap_or_default().to_owned()
        })
        .collect();
    lines.join("\n")
}

/// One good page, so that only what is put into it is found.
fn page(expr: &str, more: &str) -> String {
    format!(
        "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: '{expr}'\n    for: 5m\n    labels: {{severity: page, team: web}}\n    annotations:\n      summary: It is broken\n      runbook_url: docs/web/README.md\n{more}"
    )
}

#[test]
fn a_good_page_has_no_findings() {
    let text = page(
        r#"sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(http_requests_total[5m])) > 0.01 and sum(rate(http_requests_total[5m])) > 1"#,
        "  - alert: Gone\n    expr: absent(http_requests_total)\n    for: 10m\n    labels: {severity: ticket, team: web}\n    annotations: {summary: s, runbook: slow}\n",
    );
    let report = run(&text, &options());
    assert_eq!(shown(&report), "");
    assert_eq!((report.alerts, report.pages), (2, 1));
}

#[test]
fn what_is_found_in_expressions() {
    let mut found = Vec::new();
    for expr in [
        "node_load1 > 4",
        "avg(up) < 0.5 and absent(up)",
        "http_requests_total > 100",
        "sum(rate(app_errors_total[5m])) > 3",
        "topk(3, http_in_flight) > 5",
        "sum by (a) (x) / sum by (b) (y) > 1",
        "sum by (a) (x) / on (b) sum by (b) (y) > 1",
        "sum(rate(http_errors_total[5m]) / rate(http_requests_total[5m])) > 0.1",
        "http_in_flight",
        "vector(1)",
        "avg_over_time(http_in_flight[20d]) > 1",
        "rate(http_requests_total[30s]) > 1",
        "sum(rate(http_requests_total[6h])) / sum(rate(http_all_total[6h])) > 1",
        "predict_linear(node_filesystem_avail_bytes[6h], 86400) < 0",
        "probe_success == 0",
    ] {
        found.push(format!(
            "{expr}\n{}",
            shown(&run(&page(expr, ""), &options()))
        ));
    }
    insta::assert_snapshot!(found.join("\n\n"), @r#"
    node_load1 > 4
    warning: r.yml:5:5: A: pages (severity "page") on a cause: node_load1 (load1); one alert per instance, which is not what users see [page-on-cause]

    avg(up) < 0.5 and absent(up)


    http_requests_total > 100
    warning: r.yml:5:5: A: http_requests_total is a counter: once above the threshold it stays there until a restart [counter-without-rate]

    sum(rate(app_errors_total[5m])) > 3
    note: r.yml:5:5: A: a number of app_errors_total: the same threshold is nothing by day and a lot by night [error-count]
    warning: r.yml:5:5: A: pages (severity "page") on a cause: a number of app_errors_total, without how many there were in all [page-on-cause]

    topk(3, http_in_flight) > 5
    warning: r.yml:5:5: A: the series it picks change from one evaluation to the next, so alerts come and go [fragile-sampling]

    sum by (a) (x) / sum by (b) (y) > 1
    warning: r.yml:5:5: A: label a is on the left of `/` and dropped on the right: the two sides never match [impossible-join]

    sum by (a) (x) / on (b) sum by (b) (y) > 1
    warning: r.yml:5:5: A: label b is on the right of `/` and dropped on the left: the two sides never match [impossible-join]

    sum(rate(http_errors_total[5m]) / rate(http_requests_total[5m])) > 0.1
    note: r.yml:5:5: A: when http_errors_total vanishes, this page goes quiet and no rule says so [absent-missing]
    note: r.yml:5:5: A: with little traffic a single failure is a large share [low-traffic]
    note: r.yml:5:5: A: a ratio inside an aggregation: one member without traffic is NaN and makes the whole NaN, and every member counts the same [nan-ratio]

    http_in_flight
    error: r.yml:5:5: A: fires for every series that exists, whatever its value [no-comparison]

    vector(1)


    avg_over_time(http_in_flight[20d]) > 1
    error: r.yml:4:5: A: looks 20d back, samples are kept for 15d: it silently sees less [window-over-retention]

    rate(http_requests_total[30s]) > 1
    warning: r.yml:4:5: A: range [30s] has fewer than two samples at a scrape interval of 30s [range-too-short]

    sum(rate(http_requests_total[6h])) / sum(rate(http_all_total[6h])) > 1
    warning: r.yml:5:5: A: the shortest window is 6h: it goes on firing up to 6h after the end [long-window-alone]

    predict_linear(node_filesystem_avail_bytes[6h], 86400) < 0


    probe_success == 0
    note: r.yml:5:5: A: when probe_success vanishes, this page goes quiet and no rule says so [absent-missing]
    "#);
}

#[test]
fn what_is_found_around_expressions() {
    let text = "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: sum by (job) (http_in_flight) > 0\n    for: 90s\n    labels: {v: '{{ $value }}'}\n    annotations:\n      description: on {{ $labels.instance }} of {{ $labels.job }}\n  - alert: B\n    expr: absent(http_in_flight)\n    labels: {severity: ticket, team: x}\n    annotations: {summary: s, runbook: docs/gone.md}\n  - alert: C\n    expr: http_in_flight > 1\n    for: 3h\n    labels: {severity: page, team: x}\n    annotations: {summary: s, runbook_url: 'docs/web/'}\n  - alert: C\n    expr: http_in_flight > 2\n    for: 3m\n    labels: {severity: page, team: x}\n    annotations: {summary: s, runbook_url: 'docs/web/README.md#eror-by-code'}\n  - alert: D\n    expr: http_in_flight{type=~\"web|db\"} > 2\n    for: 3m\n    labels: {severity: page, team: x}\n    annotations: {summary: s, runbook_url: 'docs/{{ $labels.type }}/README.md'}\n  - alert: E\n    expr: http_in_flight > 2\n    for: 3m\n    labels: {severity: page, team: x}\n    annotations: {summary: s, runbook_url: 'docs/{{ $labels.type }}/README.md'}\n  - alert: F\n    expr: http_in_flight > 2\n    for: 3m\n    labels: {severity: page, team: x}\n    annotations: {summary: s, runbook_url: 'docs/{{ $labels.type }}/nothing.md'}\n  - {record: 'a:b', expr: 'c:d * 2'}\n";
    insta::assert_snapshot!(shown(&run(text, &options())), @r#"
    error: r.yml:4:5: A: label v contains the value: each new value is another alert, and `for` may never pass [value-in-label]
    warning: r.yml:6:5: A: `for: 1m30s` is shorter than two evaluations (every 1m): a single spike fires it [for-too-short]
    note: r.yml:7:5: A: nobody owns this alert [owner-missing]
    warning: r.yml:7:5: A: no label severity: it pages [severity-missing]
    error: r.yml:8:5: A: pages (without a severity it pages) and names no runbook [runbook-missing]
    warning: r.yml:9:7: A: description asks for $labels.instance, which the expression drops: it is always empty [label-lost]
    warning: r.yml:10:5: B: without `for`, one evaluation (every 1m) is enough to fire [for-too-short]
    warning: r.yml:10:5: B: there is no runbook "docs/gone.md" [runbook-dead]
    warning: r.yml:11:5: B: absent() fires at a restart of the target or of the server [absent-without-for]
    warning: r.yml:14:5: C: the runbook link "docs/web/" leads to a folder, not to what to do [runbook-folder]
    warning: r.yml:16:5: C: pages after `for: 3h`: if that may wait so long, it is a ticket [for-too-long]
    warning: r.yml:19:5: C: alert C is there before with the same labels, with another expression (r.yml:14) [duplicate-rule]
    warning: r.yml:19:5: C: the page of "docs/web/README.md#eror-by-code" has no such heading [runbook-anchor]
    error: r.yml:24:5: D: there is no runbook "docs/db/README.md" [runbook-dead]
    note: r.yml:29:5: E: which page the link leads to depends on labels that the expression does not fix [runbook-unchecked]
    error: r.yml:34:5: F: no page fits the runbook link "docs/*/nothing.md" [runbook-dead]
    note: r.yml:39:5: a:b: reads c:d, which none of these files records [unknown-recording]
    "#);
}

#[test]
fn waivers_end() {
    let text = |comment: &str| {
        format!(
            "groups:\n- name: g\n  rules:\n  {comment}\n  - alert: A\n    expr: node_load1 > 4\n    for: 5m\n    labels: {{severity: page, team: x}}\n    annotations: {{summary: s, runbook: slow}}\n"
        )
    };
    let run = |comment: &str| {
        let report = run(&text(comment), &options());
        (shown(&report), report.waived)
    };
    let (found, waived) =
        run("# bellwether lint ignore page-on-cause until 2027-01-01 because nothing else sees it");
    assert_eq!((found.as_str(), waived), ("", 1));
    let mut all = Vec::new();
    for comment in [
        "# bellwether lint ignore page-on-cause until 2026-01-01 because nothing else sees it",
        "# bellwether lint ignore page-on-cause because I say so",
        "# bellwether lint ignore page-on-cause until 2027-01-01",
        "# bellwether lint ignore page-on-clause until 2027-01-01 because of x",
        "# bellwether lint ignore owner-missing until 2027-01-01 because of x",
    ] {
        all.push(run(comment).0);
    }
    insta::assert_snapshot!(all.join("\n--\n"), @r#"
    warning: r.yml:4:3: this waiver ended on 2026-01-01 [waiver-expired]
    warning: r.yml:6:5: A: pages (severity "page") on a cause: node_load1 (load1); one alert per instance, which is not what users see [page-on-cause]
    --
    error: r.yml:4:3: a waiver needs an end: until YYYY-MM-DD [waiver-invalid]
    warning: r.yml:6:5: A: pages (severity "page") on a cause: node_load1 (load1); one alert per instance, which is not what users see [page-on-cause]
    --
    error: r.yml:4:3: a waiver says why: because REASON [waiver-invalid]
    warning: r.yml:6:5: A: pages (severity "page") on a cause: node_load1 (load1); one alert per instance, which is not what users see [page-on-cause]
    --
    error: r.yml:4:3: no check is called "page-on-clause" [waiver-invalid]
    warning: r.yml:6:5: A: pages (severity "page") on a cause: node_load1 (load1); one alert per instance, which is not what users see [page-on-cause]
    --
    note: r.yml:4:3: nothing here needs a waiver of owner-missing [waiver-unused]
    warning: r.yml:6:5: A: pages (severity "page") on a cause: node_load1 (load1); one alert per instance, which is not what users see [page-on-cause]
    "#);
}

#[test]
fn what_the_past_says() {
    let text = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'a > 0', for: 5m, labels: {severity: page}}\n  - {alert: B, expr: 'b > 0', for: 5m, labels: {severity: page}}\n  - {alert: C, expr: 'c > 0', for: 5m, labels: {severity: page}}\n";
    let minute = 60_000;
    let firings = |length: i64, shift: i64| -> Vec<Firing> {
        (0..10)
            .map(|n| Firing {
                from: (n * 1000 + shift) * minute,
                to: Some((n * 1000 + shift + length) * minute),
            })
            .collect()
    };
    let history = History {
        from: 0,
        to: 30 * 86_400_000,
        firings: [
            (("r.yml".into(), 4), firings(60, 0)),
            (("r.yml".into(), 5), firings(2, 10)),
            (("r.yml".into(), 6), Vec::new()),
        ]
        .into(),
    };
    let report = run(
        text,
        &Options {
            history: Some(history),
            ..Options::default()
        },
    );
    let mut found = report.findings;
    found.retain(|f| ["never-fired", "always-redundant", "self-resolving"].contains(&f.check));
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    warning: r.yml:5:5: B: 10 of 10 times A already fired when it began [always-redundant]
      hint: severity: context, or inhibit it by that alert
    warning: r.yml:5:5: B: 10 of 10 times it was over within 5 minutes, before anybody could act [self-resolving]
      hint: a longer `for`, or severity: ticket
    note: r.yml:6:5: C: did not fire in 30d of history [never-fired]
      hint: is it for something rare? then test it (`rules test`); else its metric may be gone
    ");
}

#[test]
fn links_to_headings() {
    let index = options().runbooks.unwrap();
    for (link, state) in [
        ("docs/web/README.md#errors-by-code", RunbookState::Good),
        ("./docs/web/README.md#web", RunbookState::Good),
        ("docs/db/slow", RunbookState::Good),
        ("slow", RunbookState::Good),
        ("docs/db/slow.md#slow", RunbookState::Good),
        (
            "https://git.example/a/b/-/blob/main/docs/db/slow.md",
            RunbookState::Good,
        ),
        ("https://wiki.example/slow", RunbookState::Elsewhere),
        ("docs/db/fast.md", RunbookState::Dead),
        ("docs/nothing/", RunbookState::Dead),
        ("", RunbookState::Dead),
        ("docs/db", RunbookState::Folder { readme: None }),
        (
            "docs/web/",
            RunbookState::Folder {
                readme: Some("docs/web/README.md".to_owned()),
            },
        ),
        (
            "docs/web/README.md#not-a-heading",
            RunbookState::NoHeading { nearest: None },
        ),
    ] {
        assert_eq!(index.look_up(link), state, "{link}");
    }
}

#[test]
fn severities_are_the_pager_s() {
    let of = |severity: &str| {
        level(
            &bellwether_model::Labels::new([("severity", severity)]),
            &[],
        )
        .0
    };
    assert_eq!(of("critical"), Level::Page);
    assert_eq!(of("s3"), Level::Page);
    assert_eq!(of("warning"), Level::Ticket);
    assert_eq!(of("info"), Level::Context);
}

#[test]
fn every_check_has_its_section() {
    let text = include_str!("../../../../docs/user/lint.md");
    for check in CHECKS {
        let heading = format!("\n### {}\n", check.id);
        assert!(
            text.contains(&heading),
            "docs/user/lint.md has no section {}",
            check.id
        );
    }
}

#[test]
fn other_programs_can_read_it() {
    let report = run(&page("node_load1 > 4", ""), &options());
    let sarif = sarif(&report);
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "page-on-cause");
    assert_eq!(
        sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"],
        5
    );
    let quality = code_quality(&report);
    assert_eq!(quality[0]["location"]["lines"]["begin"], 5);
    assert_eq!(quality[0]["severity"], "minor");
}

proptest! {
    #[test]
    fn any_pages_and_links_are_safe(page in "[#a-z \\[\\]()\\-=`\n\"]{0,80}", link in "[a-z/.#:?{}$ \\-]{0,30}") {
        let mut index = RunbookIndex::default();
        index.add("a/b.md", Some(&page));
        drop(index.look_up(&link));
        let text = format!("groups:\n- name: g\n  rules:\n  - alert: A\n    expr: a{{b=\"c\"}} > 0\n    annotations: {{runbook: {}}}\n", serde_json::Value::from(link.replace("{{", "{ {")));
        let mut problems = Problems::default();
        let groups = RuleFile::read("r.yml", &text, &mut problems);
        let options = Options { runbooks: Some(index), ..Options::default() };
        let report = lint(&groups, &[], &options);
        prop_assert!(report.alerts <= 1);
    }
}
