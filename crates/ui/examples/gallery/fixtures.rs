//! One of each page, filled with a plausible evening.

#[path = "backtest.rs"]
mod backtest;

use backtest::slo;
use bellwether_ui::render_backtest;
use bellwether_ui::{
    ActiveAlert, AlertState, AlertView, Block, CaseFacts, CasePage, CaseRow, CaseState,
    CasesFilter, CasesPage, CauseView, ChannelHealth, Chart, ChartSize, Chrome, Counts,
    DeliveryView, DiscoveredView, ErrorPage, EventView, ExplorePage, ExploreRange, Gap, Health,
    Line, LoginPage, Mark, Nav, NextStep, Notice, NotifiedView, NowPage, OnDuty, OncallPage,
    Output, OverrideForm, PoolCount, PoolView, ProbeView, ProblemView, QuietDay, ResultRow,
    RuleGroupView, RuleKind, RulePage, RuleView, RulesPage, RunPage, RunRow, RunState, RunbookPage,
    RunbookRow, RunbooksPage, ScheduleView, SetupPage, ShiftView, SlosPage, Span, StateSpan,
    StatusFact, StatusPage, StatusSection, StepAction, StepKind, StepState, StepView, TargetView,
    TargetsPage, Threshold, Tone, Unit, Urgency, WhyView, markdown, render_case, render_cases,
    render_error, render_explore, render_help, render_login, render_now, render_oncall,
    render_rule, render_rules, render_run, render_runbook, render_runbooks, render_setup,
    render_slos, render_status, render_targets,
};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The evening in question.
pub(crate) fn now() -> Timestamp {
    "2026-11-21T22:14:05Z".parse().expect("a time")
}

fn ago(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

fn ahead(minutes: i64) -> Timestamp {
    now() + SignedDuration::from_mins(minutes)
}

pub(crate) fn chrome(title: &str, active: Nav) -> Chrome {
    Chrome {
        user: Some("Ana Ferreira".to_owned()),
        csrf_token: "c5rf".to_owned(),
        counts: Counts {
            cases: 2,
            mine: 1,
            targets_down: 1,
            rules_firing: 2,
        },
        version: "0.1.0".to_owned(),
        zone: TimeZone::get("Europe/Berlin").expect("bundled"),
        ..Chrome::new(title, active, now())
    }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

/// A wavy series: quiet, then rising from a moment on.
fn wave(minutes: i64, base: f64, swing: f64, rise_at: i64, rise: f64) -> Vec<(Timestamp, f64)> {
    (0..=minutes * 4)
        .map(|quarter| {
            let t = quarter as f64;
            let noise = (t * 0.37).sin() * 0.6 + (t * 1.7).sin() * 0.3 + (t * 5.1).cos() * 0.25;
            let late = (quarter - (minutes - rise_at) * 4) as f64;
            let bump = if late > 0.0 {
                rise * (1.0 - (-late / 8.0).exp()) * (1.0 + 0.07 * noise)
            } else {
                0.0
            };
            (
                ago(minutes) + SignedDuration::from_secs(quarter * 15),
                base + swing * noise + bump,
            )
        })
        .collect()
}

fn latency_chart(id: &str, size: ChartSize) -> Chart {
    Chart {
        id: id.to_owned(),
        title: "99th percentile latency of checkout".to_owned(),
        unit: Unit::Seconds,
        from: ago(60),
        to: now(),
        lines: vec![Line {
            name: "checkout".to_owned(),
            points: wave(60, 0.18, 0.03, 14, 1.5),
        }],
        threshold: Some(Threshold {
            value: 0.5,
            bad_above: true,
        }),
        marks: if size == ChartSize::Spark {
            Vec::new()
        } else {
            vec![
                Mark {
                    at: ago(15),
                    label: "web-2 turns slow".to_owned(),
                    tone: Tone::Warn,
                },
                Mark {
                    at: ago(11),
                    label: "paged ana".to_owned(),
                    tone: Tone::Bad,
                },
                Mark {
                    at: ago(8),
                    label: "acknowledged".to_owned(),
                    tone: Tone::Info,
                },
            ]
        },
        spans: vec![Span {
            from: ago(11),
            to: now(),
            label: "firing".to_owned(),
            tone: Tone::Bad,
        }],
        size,
        from_zero: true,
    }
}

pub(crate) fn case_row() -> CaseRow {
    CaseRow {
        id: "case-0001f3a9c2".to_owned(),
        code: "K7QF".to_owned(),
        title: "Checkout is slow for customers".to_owned(),
        summary: "One request in eleven takes longer than 500 ms.".to_owned(),
        state: CaseState::Triggered,
        urgency: Urgency::Page,
        opened_at: ago(11),
        resolved_at: None,
        owners: Vec::new(),
        telling: "Paging Ana Ferreira; next Bo Lindqvist in 3 min".to_owned(),
        n_alerts: 3,
        spark: Some(latency_chart("spark-1", ChartSize::Spark)),
        reading: Some(("1.68 s".to_owned(), "limit 500 ms".to_owned())),
        ended_by: String::new(),
        may_ack: true,
    }
}

fn ticket_row() -> CaseRow {
    CaseRow {
        id: "case-0001f3a9c3".to_owned(),
        code: "M2XD".to_owned(),
        title: "Disk /var fills within four days".to_owned(),
        summary: "db-1 grows by 3.1 GiB a day.".to_owned(),
        state: CaseState::Acknowledged,
        urgency: Urgency::Ticket,
        opened_at: ago(60 * 26),
        owners: vec!["Bo Lindqvist".to_owned()],
        telling: String::new(),
        n_alerts: 1,
        spark: Some(Chart {
            id: "spark-2".to_owned(),
            title: "Space left on /var".to_owned(),
            unit: Unit::Bytes,
            from: ago(60),
            to: now(),
            lines: vec![Line {
                name: "db-1".to_owned(),
                points: wave(60, 13.0e9, 0.2e9, 60, -2.0e9),
            }],
            ..Chart::default()
        }),
        reading: Some(("11.0 GiB".to_owned(), "left".to_owned())),
        may_ack: false,
        ..case_row()
    }
}

fn causes() -> Vec<CauseView> {
    vec![
        CauseView {
            title: "web-2 waits for its disk".to_owned(),
            text: "Pressure on IO is 61 % for 12 minutes; the other replicas are below 2 %."
                .to_owned(),
            since: Some(ago(14)),
            labels: pairs(&[("instance", "web-2:9100"), ("job", "node")]),
            href: "/rule?group=host&name=IoPressure".to_owned(),
        },
        CauseView {
            title: "Deploy of checkout 2026.11.21-3".to_owned(),
            text: "Finished 19 minutes ago.".to_owned(),
            since: Some(ago(19)),
            ..CauseView::default()
        },
    ]
}

fn on_call() -> Vec<OnDuty> {
    vec![
        OnDuty {
            schedule: "primary".to_owned(),
            people: vec!["Ana Ferreira".to_owned()],
            until: Some(ahead(60 * 34 + 46)),
            next: Some("Bo Lindqvist".to_owned()),
            source: "weekly rotation".to_owned(),
        },
        OnDuty {
            schedule: "database".to_owned(),
            people: vec!["Chidi Okafor".to_owned()],
            until: Some(ahead(60 * 10)),
            next: None,
            source: "override by Ana Ferreira".to_owned(),
        },
    ]
}

fn pools() -> Vec<PoolCount> {
    vec![
        PoolCount {
            name: "host".to_owned(),
            up: 1,
            down: 0,
            unknown: 0,
        },
        PoolCount {
            name: "node".to_owned(),
            up: 11,
            down: 1,
            unknown: 1,
        },
        PoolCount {
            name: "checkout".to_owned(),
            up: 3,
            down: 0,
            unknown: 0,
        },
    ]
}

fn quiet() -> QuietDay {
    QuietDay {
        cases: 3,
        pages: 2,
        resolved_by_runbook: 1,
        evaluations: 414_720,
        samples: 61_300_000,
        quiet_since: Some(ago(60 * 9 + 21)),
        last_evaluation: Some(now() - SignedDuration::from_secs(6)),
    }
}

pub(crate) fn now_page() -> NowPage {
    NowPage {
        cases: vec![case_row(), ticket_row()],
        slos: vec![
            slo("checkout-latency", 0.614, 21.3),
            slo("checkout-errors", 0.93, 0.2),
            slo("search", 0.18, 0.9),
        ],
        on_call: on_call(),
        causes: causes(),
        quiet: quiet(),
        pools: pools(),
        found: vec![
            "PostgreSQL on 127.0.0.1:5432".to_owned(),
            "nginx on 127.0.0.1:80".to_owned(),
        ],
        hints: Vec::new(),
    }
}

pub(crate) fn quiet_page() -> NowPage {
    NowPage {
        cases: Vec::new(),
        slos: vec![
            slo("checkout-latency", 0.914, 0.3),
            slo("checkout-errors", 0.93, 0.2),
        ],
        causes: Vec::new(),
        hints: vec![
            (
                "Choose how you want to be paged".to_owned(),
                "/status".to_owned(),
            ),
            ("Watch your first service".to_owned(), "/targets".to_owned()),
        ],
        ..now_page()
    }
}

pub(crate) fn cases_page() -> CasesPage {
    let resolved = CaseRow {
        state: CaseState::Resolved,
        title: "Search returns errors".to_owned(),
        id: "case-0001f3a9b0".to_owned(),
        code: "P4RT".to_owned(),
        opened_at: ago(60 * 31),
        resolved_at: Some(ago(60 * 31 - 17)),
        ended_by: "runbook restart-search".to_owned(),
        telling: String::new(),
        may_ack: false,
        ..case_row()
    };
    CasesPage {
        cases: vec![case_row(), ticket_row(), resolved],
        n_open: 2,
        n_resolved: 41,
        may_open: true,
        filter: CasesFilter::All,
        more: Some((38, "/cases?show=all&before=12".to_owned())),
        ..CasesPage::default()
    }
}

fn run_action(label: &str, tone: Tone) -> StepAction {
    StepAction {
        label: label.to_owned(),
        path: "/runs/run-01/step".to_owned(),
        fields: pairs(&[("step", "drain")]),
        tone,
        confirm: None,
        type_this: None,
        disabled: None,
    }
}

fn steps() -> Vec<StepView> {
    let base = StepView {
        id: "step-latency".to_owned(),
        title: "Latency by replica".to_owned(),
        kind: StepKind::Diagnose,
        lang: "promql".to_owned(),
        body: "histogram_quantile(0.99, sum by (instance, le) (rate(http_request_duration_seconds_bucket{job=\"checkout\"}[2m])))".to_owned(),
        target: "series".to_owned(),
        state: StepState::Succeeded,
        started_at: Some(ago(11)),
        took: Some(SignedDuration::from_millis(14)),
        by: "bellwether".to_owned(),
        output: Some(Output { text: "web-1   0.182\nweb-2   4.910   <- 27 times the others\nweb-3   0.179".to_owned(), truncated: 0, exit: "3 series".to_owned() }),
        note: String::new(),
        actions: Vec::new(),
        live: String::new(),
    };
    vec![
        base.clone(),
        StepView {
            id: "step-drain".to_owned(),
            title: "Take the slow replica out".to_owned(),
            kind: StepKind::Change,
            lang: "sh".to_owned(),
            body: "curl -fsS -X POST \"$BALANCER/drain?replica=$replica\"".to_owned(),
            target: "local".to_owned(),
            state: StepState::NotRun,
            started_at: None,
            took: None,
            by: String::new(),
            output: None,
            note: "Two replicas stay; the limit is one at a time.".to_owned(),
            live: String::new(),
            actions: vec![
                StepAction {
                    confirm: Some("web-2 gets no more requests. This can be undone.".to_owned()),
                    ..run_action("Run drain", Tone::Warn)
                },
                StepAction {
                    disabled: Some("nothing to undo yet".to_owned()),
                    ..run_action("Undo", Tone::Quiet)
                },
            ],
        },
        StepView {
            id: "step-restart".to_owned(),
            title: "Restart the service on it".to_owned(),
            kind: StepKind::Change,
            lang: "sh".to_owned(),
            body: "systemctl restart checkout".to_owned(),
            target: "ssh:web-2".to_owned(),
            state: StepState::Running,
            started_at: Some(now() - SignedDuration::from_secs(21)),
            took: None,
            by: "Ana Ferreira".to_owned(),
            output: Some(Output {
                text: "stopping checkout...\nwaiting for 3 requests to end".to_owned(),
                truncated: 2048,
                exit: String::new(),
            }),
            actions: vec![StepAction {
                type_this: Some("1".to_owned()),
                ..run_action("Cancel", Tone::Bad)
            }],
            ..base.clone()
        },
        StepView {
            id: "step-verify".to_owned(),
            title: "Latency is back below 300 ms".to_owned(),
            kind: StepKind::Verify,
            body: "checkout:latency:p99 < 0.3".to_owned(),
            state: StepState::Failed,
            note: "Still 1.68 s after 2 min; tried again until 22:16.".to_owned(),
            output: None,
            ..base
        },
    ]
}

fn event(minutes: i64, kind: &str, actor: &str, text: &str, tone: Tone) -> EventView {
    EventView {
        at: ago(minutes),
        kind: kind.to_owned(),
        actor: actor.to_owned(),
        text: text.to_owned(),
        tone,
        detail: String::new(),
    }
}

pub(crate) fn case_page() -> CasePage {
    CasePage {
        facts: CaseFacts {
            id: "case-0001f3a9c2".to_owned(),
            code: "K7QF".to_owned(),
            title: "Checkout is slow for customers".to_owned(),
            summary: "One request in eleven takes longer than 500 ms.".to_owned(),
            description: "The budget of checkout-latency burns 21 times too fast; at this rate it is gone in 9 hours.".to_owned(),
            state: CaseState::Triggered,
            urgency: Urgency::Page,
            opened_at: ago(11),
            resolved_at: None,
            ended_by: String::new(),
            owners: Vec::new(),
            acked_at: None,
            held_until: None,
            next: Some(NextStep { at: ahead(3), text: "pages Bo Lindqvist (step 2 of 2)".to_owned() }),
            told: vec![
                NotifiedView { who: "Ana Ferreira".to_owned(), channel: "ntfy".to_owned(), word: "delivered".to_owned(), tone: Tone::Good, at: ago(11) },
                NotifiedView { who: "Ana Ferreira".to_owned(), channel: "e-mail".to_owned(), word: "failed".to_owned(), tone: Tone::Bad, at: ago(10) },
            ],
            labels: pairs(&[("service", "checkout"), ("severity", "page"), ("slo", "checkout-latency")]),
            may_ack: true,
            may_unack: false,
            may_resolve: true,
            may_snooze: true,
            may_escalate: true,
            may_comment: true,
            escalate_as_of: "1".to_owned(),
        },
        chart: Some(latency_chart("symptom", ChartSize::Tall)),
        expr: "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{job=\"checkout\"}[2m])))".to_owned(),
        diagnosis: steps()[..1].to_vec(),
        causes: causes(),
        alerts: vec![AlertView {
            name: "CheckoutLatencyBurn".to_owned(),
            state: AlertState::Firing,
            since: ago(13),
            ended: None,
            value: "21.3×".to_owned(),
            summary: "Budget of checkout-latency burns too fast".to_owned(),
            labels: pairs(&[("service", "checkout"), ("window", "1h")]),
            annotations: pairs(&[("dashboard", "https://grafana.example.org/d/checkout"), ("runbook", "drain-replica")]),
            href: "/rule?group=slo&name=CheckoutLatencyBurn".to_owned(),
            suppressed: String::new(),
        }],
        runbook: Some(("drain-replica".to_owned(), "Take a slow replica out".to_owned())),
        runbook_actions: vec![StepAction {
            confirm: Some("Runs 2 steps on local and ssh:web-2: take the slow replica out, restart the service on it.".to_owned()),
            ..run_action("Run the fix", Tone::Warn)
        }],
        runbook_note: String::new(),
        runs: vec![RunRow { case: None, ..run_row() }],
        runbook_blocks: {
            let mut blocks = markdown::blocks("When **one** replica is slow the balancer keeps sending to it. Take it out, then look at it in peace.\n\n- never take out more than one\n- see [the balancer's manual](https://example.org/balancer)\n");
            blocks.extend(steps().into_iter().map(|step| Block::Step(Box::new(StepView { id: format!("rb-{}", step.id), ..step }))));
            blocks
        },
        timeline: vec![
            event(15, "alert_pending", "rule:CheckoutLatencyBurn", "Latency burn is above 14.4×", Tone::Warn),
            event(11, "case_opened", "system", "Case opened with urgency page", Tone::Bad),
            event(11, "run_finished", "bellwether", "Diagnosis: web-2 is 27 times slower than the others", Tone::Info),
            event(11, "page_sent", "system", "Paged Ana Ferreira by ntfy: delivered after 0.4 s", Tone::Good),
            EventView { detail: "smtp: 451 4.7.1 greylisted, try again in 300 s".to_owned(), ..event(10, "page_failed", "system", "E-mail to Ana Ferreira failed", Tone::Bad) },
            event(6, "comment", "Bo Lindqvist", "Looks like the same disk as last week. I am near a keyboard if you need me.", Tone::Quiet),
        ],
        deliveries: vec![
            DeliveryView { at: ago(11), to: "Ana Ferreira".to_owned(), channel: "ntfy".to_owned(), state: "done".to_owned(), tone: Tone::Good, receipt: "delivered".to_owned(), attempts: 1, error: String::new(), next_at: None },
            DeliveryView { at: ago(10), to: "Ana Ferreira".to_owned(), channel: "e-mail".to_owned(), state: "waiting".to_owned(), tone: Tone::Warn, receipt: String::new(), attempts: 2, error: "451 4.7.1 greylisted".to_owned(), next_at: Some(ahead(2)) },
        ],
        why: vec![
            WhyView { stage: "Rule".to_owned(), text: "CheckoutLatencyBurn: 21.3 > 14.4 for 2 min".to_owned(), href: "/rule?group=slo&name=CheckoutLatencyBurn".to_owned() },
            WhyView { stage: "Route".to_owned(), text: "severity=\"page\" goes to the policy “service”".to_owned(), href: String::new() },
            WhyView { stage: "Silences".to_owned(), text: "none of 3 match".to_owned(), href: String::new() },
            WhyView { stage: "On call".to_owned(), text: "Ana Ferreira, weekly rotation of schedule primary".to_owned(), href: "/oncall".to_owned() },
        ],
    }
}

pub(crate) fn resolved_page() -> CasePage {
    let mut page = case_page();
    let facts = &mut page.facts;
    facts.state = CaseState::Resolved;
    facts.resolved_at = Some(ago(1));
    facts.owners = vec!["Ana Ferreira".to_owned()];
    "runbook drain-replica".clone_into(&mut facts.ended_by);
    facts.next = None;
    (
        facts.may_ack,
        facts.may_resolve,
        facts.may_snooze,
        facts.may_escalate,
    ) = (false, false, false, false);
    page
}

pub(crate) fn oncall_page() -> OncallPage {
    let names = ["Ana Ferreira", "Bo Lindqvist", "Chidi Okafor"];
    let start: Timestamp = "2026-11-16T08:00:00Z".parse().expect("a time");
    let mut shifts: Vec<ShiftView> = (0..6)
        .map(|week| ShiftView {
            person: names[week as usize % 3].to_owned(),
            from: start + SignedDuration::from_hours(24 * 7 * week),
            to: start + SignedDuration::from_hours(24 * 7 * (week + 1)),
            source: "weekly rotation".to_owned(),
            is_override: false,
            override_id: None,
        })
        .collect();
    let night = start + SignedDuration::from_hours(24 * 9 + 10);
    shifts[1].to = night;
    shifts.insert(
        2,
        ShiftView {
            person: names[2].to_owned(),
            from: night,
            to: night + SignedDuration::from_hours(14),
            source: "override by Bo Lindqvist".to_owned(),
            is_override: true,
            override_id: Some("ov-1".to_owned()),
        },
    );
    shifts.insert(
        3,
        ShiftView {
            from: night + SignedDuration::from_hours(14),
            to: start + SignedDuration::from_hours(24 * 14),
            person: names[1].to_owned(),
            ..shifts[1].clone()
        },
    );
    let gap_from = start + SignedDuration::from_hours(24 * 11 + 9);
    let database = (0..12)
        .map(|day| ShiftView {
            person: names[(day as usize + 2) % 3].to_owned(),
            from: start + SignedDuration::from_hours(24 * day),
            to: start
                + SignedDuration::from_hours(24 * (day + 1))
                    .min(SignedDuration::from_hours(24 * 11 + 9)),
            source: "daily rotation".to_owned(),
            is_override: false,
            override_id: None,
        })
        .collect();
    OncallPage {
        now: on_call(),
        schedules: vec![
            ScheduleView {
                name: "primary".to_owned(),
                zone: "Europe/Berlin".to_owned(),
                shifts,
                gaps: Vec::new(),
                problems: Vec::new(),
            },
            ScheduleView {
                name: "database".to_owned(),
                zone: "UTC".to_owned(),
                shifts: database,
                gaps: vec![Gap {
                    from: gap_from,
                    to: gap_from + SignedDuration::from_hours(39),
                }],
                problems: Vec::new(),
            },
        ],
        from: ago(60 * 24 * 2),
        to: ahead(60 * 24 * 27),
        override_form: Some(OverrideForm {
            schedules: vec!["primary".to_owned(), "database".to_owned()],
            people: names.map(str::to_owned).to_vec(),
            from: now(),
            to: ahead(60 * 8),
        }),
        policies: vec![(
            "service".to_owned(),
            vec![
                "at once: who is on call in primary".to_owned(),
                "after 5 min: Bo Lindqvist".to_owned(),
                "after 15 min: everyone, again".to_owned(),
            ],
        )],
    }
}

pub(crate) fn targets_page() -> TargetsPage {
    let target = |n: u32, health: Health| TargetView {
        url: format!("http://web-{n}:9100/metrics"),
        health,
        labels: pairs(&[
            ("instance", &format!("web-{n}:9100")),
            ("job", "node"),
            ("zone", "b"),
        ]),
        last_scrape: (health != Health::Unknown)
            .then(|| now() - SignedDuration::from_secs(i64::from(n) * 3)),
        took: Some(SignedDuration::from_millis(12 + i64::from(n))),
        samples: (health == Health::Up).then_some(1873),
        error: if health == Health::Down {
            "connection refused (os error 111)".to_owned()
        } else {
            String::new()
        },
    };
    TargetsPage {
        pools: vec![PoolView {
            name: "node".to_owned(),
            note: "every 15 s, within 10 s".to_owned(),
            targets: vec![
                target(1, Health::Up),
                target(2, Health::Down),
                target(3, Health::Up),
                target(4, Health::Unknown),
            ],
            n_dropped: 2,
            error: String::new(),
        }],
        probes: vec![ProbeView {
            name: "shop front page".to_owned(),
            kind: "http".to_owned(),
            target: "https://shop.example.org/".to_owned(),
            health: Health::Up,
            last_at: Some(ago(0)),
            took: Some(SignedDuration::from_millis(231)),
            detail: "200 OK, certificate ends in 61 d".to_owned(),
        }],
        discovered: vec![
            DiscoveredView {
                service: "PostgreSQL".to_owned(),
                address: "127.0.0.1:5432".to_owned(),
                watched: false,
                detail: "needs a user: add it to the configuration".to_owned(),
            },
            DiscoveredView {
                service: "nginx".to_owned(),
                address: "127.0.0.1:80".to_owned(),
                watched: true,
                detail: "stub_status".to_owned(),
            },
        ],
        only_down: false,
    }
}

pub(crate) fn explore_page() -> ExplorePage {
    let lines: Vec<Line> = (0..5)
        .map(|n| Line {
            name: format!("{{instance=\"web-{n}:9100\", mode=\"user\"}}"),
            points: wave(
                60,
                0.1 + 0.12 * f64::from(n),
                0.03,
                if n == 2 { 14 } else { 0 },
                0.3,
            ),
        })
        .collect();
    ExplorePage {
        expr: "sum by (instance, mode) (rate(node_cpu_seconds_total{mode=\"user\"}[5m]))"
            .to_owned(),
        range: ExploreRange {
            step_used: "15s".to_owned(),
            ..ExploreRange::default()
        },
        table: false,
        rows: lines
            .iter()
            .enumerate()
            .map(|(n, line)| ResultRow {
                name: String::new(),
                labels: pairs(&[("instance", &format!("web-{n}:9100")), ("mode", "user")]),
                value: format!("{:.4}", line.points[240].1),
            })
            .collect(),
        chart: Some(Chart {
            id: "explore-chart".to_owned(),
            title: "Result".to_owned(),
            from: ago(60),
            to: now(),
            lines,
            size: ChartSize::Tall,
            ..Chart::default()
        }),
        warnings: vec!["the range of 5m is only 20 scrape intervals".to_owned()],
        cost: "5 series, 1 205 points, 3.1 ms".to_owned(),
        ..ExplorePage::default()
    }
}

pub(crate) fn explore_error_page() -> ExplorePage {
    ExplorePage {
        expr: "sum(rate(node_cpu_seconds_total[5m])".to_owned(),
        error: Some(("expected `)` to close the call of sum".to_owned(), Some(36))),
        ..ExplorePage::default()
    }
}

fn rule(name: &str, state: AlertState) -> RuleView {
    let day = ago(60 * 24);
    RuleView {
        name: name.to_owned(),
        kind: RuleKind::Alert,
        expr: "job:latency:p99{job=\"checkout\"} > 0.5".to_owned(),
        hold: "2m".to_owned(),
        state,
        health: Health::Up,
        error: String::new(),
        last_at: Some(ago(0)),
        took: Some(SignedDuration::from_micros(420)),
        samples: Some(12_400),
        labels: pairs(&[("severity", "page")]),
        annotations: pairs(&[
            ("summary", "Checkout is slow"),
            ("runbook_url", "https://example.org/drain-replica"),
        ]),
        alerts: if state == AlertState::Firing {
            vec![ActiveAlert {
                state,
                since: ago(11),
                value: "1.68".to_owned(),
                labels: pairs(&[("job", "checkout")]),
            }]
        } else {
            Vec::new()
        },
        history: vec![
            StateSpan {
                from: day,
                to: ago(60 * 9),
                state: AlertState::Inactive,
            },
            StateSpan {
                from: ago(60 * 9),
                to: ago(60 * 8),
                state: AlertState::Firing,
            },
            StateSpan {
                from: ago(60 * 8),
                to: ago(13),
                state: AlertState::Inactive,
            },
            StateSpan {
                from: ago(13),
                to: ago(11),
                state: AlertState::Pending,
            },
            StateSpan {
                from: ago(11),
                to: now(),
                state,
            },
        ],
    }
}

pub(crate) fn rules_page() -> RulesPage {
    RulesPage {
        groups: vec![
            RuleGroupView {
                name: "checkout".to_owned(),
                source: "rules/checkout.yml".to_owned(),
                interval: SignedDuration::from_secs(15),
                last_at: Some(now() - SignedDuration::from_secs(4)),
                took: Some(SignedDuration::from_millis(3)),
                rules: vec![
                    RuleView { kind: RuleKind::Record, expr: "histogram_quantile(0.99, sum by (job, le) (rate(http_request_duration_seconds_bucket[2m])))".to_owned(), hold: String::new(), history: Vec::new(), ..rule("job:latency:p99", AlertState::Inactive) },
                    rule("CheckoutSlow", AlertState::Firing),
                    rule("CheckoutErrors", AlertState::Inactive),
                    RuleView { health: Health::Down, error: "many-to-many matching not allowed: two series on the right side have the labels {job=\"checkout\"}".to_owned(), ..rule("CheckoutQueue", AlertState::Inactive) },
                ],
            },
            RuleGroupView { name: "host".to_owned(), source: "built in".to_owned(), rules: vec![rule("IoPressure", AlertState::Pending)], interval: SignedDuration::from_secs(30), last_at: Some(ago(0)), took: None },
        ],
        only_active: false,
    }
}

pub(crate) fn rule_page() -> RulePage {
    RulePage {
        group: "checkout".to_owned(),
        source: "rules/checkout.yml".to_owned(),
        rule: rule("CheckoutSlow", AlertState::Firing),
        chart: Some(latency_chart("rule-chart", ChartSize::Tall)),
        case: Some((
            "case-0001f3a9c2".to_owned(),
            "Checkout is slow for customers".to_owned(),
        )),
        runbook: Some((
            "drain-replica".to_owned(),
            "Take a slow replica out".to_owned(),
        )),
    }
}

pub(crate) fn slos_page() -> SlosPage {
    SlosPage {
        slos: vec![
            slo("checkout-latency", 0.614, 21.3),
            slo("search", 0.18, 0.9),
        ],
    }
}

fn runbook_row() -> RunbookRow {
    RunbookRow {
        id: "drain-replica".to_owned(),
        title: "Take a slow replica out".to_owned(),
        rung: "guarded".to_owned(),
        owner: "shop team".to_owned(),
        alerts: vec!["CheckoutSlow".to_owned(), "CheckoutLatencyBurn".to_owned()],
        last_run: Some(ago(60 * 24 * 6)),
        last_verified: Some(ago(60 * 24 * 6)),
        n_runs: 12,
        n_succeeded: 11,
    }
}

fn run_row() -> RunRow {
    RunRow {
        id: "run-01".to_owned(),
        code: "R3VA".to_owned(),
        runbook: "Take a slow replica out".to_owned(),
        state: RunState::Running,
        by: "Ana Ferreira".to_owned(),
        started_at: ago(2),
        ended_at: None,
        case: Some((
            "case-0001f3a9c2".to_owned(),
            "Checkout is slow for customers".to_owned(),
        )),
    }
}

pub(crate) fn runbooks_page() -> RunbooksPage {
    let never = RunbookRow {
        id: "grow-disk".to_owned(),
        title: "Grow a disk".to_owned(),
        rung: "document".to_owned(),
        alerts: Vec::new(),
        last_run: None,
        last_verified: None,
        n_runs: 0,
        n_succeeded: 0,
        ..runbook_row()
    };
    let ended = RunRow {
        id: "run-00".to_owned(),
        state: RunState::Succeeded,
        started_at: ago(60 * 24 * 6),
        ended_at: Some(ago(60 * 24 * 6 - 4)),
        case: None,
        ..run_row()
    };
    RunbooksPage {
        runbooks: vec![runbook_row(), never],
        runs: vec![run_row(), ended],
        problems: vec![
            "runbooks/old.md:14:3: unknown attribute `timeot`; did you mean `timeout`?".to_owned(),
        ],
    }
}

pub(crate) fn runbook_page() -> RunbookPage {
    RunbookPage {
        row: runbook_row(),
        file: "runbooks/drain-replica.md".to_owned(),
        hash: "9f31c2aa".to_owned(),
        inputs: vec![(
            "replica".to_owned(),
            "host".to_owned(),
            "the slowest one".to_owned(),
        )],
        blocks: {
            let mut blocks = markdown::blocks(
                "## When\n\nOne replica answers slowly while the others do not.\n\n| sign | means |\n|---|---|\n| one slow | this runbook |\n| all slow | the database |\n\n## What to do\n",
            );
            blocks.extend(steps().into_iter().map(|step| {
                Block::Step(Box::new(StepView {
                    state: StepState::NotRun,
                    output: None,
                    started_at: None,
                    took: None,
                    by: String::new(),
                    ..step
                }))
            }));
            blocks
        },
        start: Vec::new(),
        actions: vec![run_action("Start a run", Tone::Info)],
        runs: vec![run_row()],
        problems: Vec::new(),
    }
}

pub(crate) fn run_page() -> RunPage {
    RunPage {
        row: run_row(),
        runbook_id: "drain-replica".to_owned(),
        inputs: pairs(&[("replica", "web-2")]),
        steps: steps(),
        actions: vec![
            StepAction {
                confirm: Some("Undo drain: web-2 gets requests again.".to_owned()),
                ..run_action("Undo", Tone::Quiet)
            },
            run_action("Cancel", Tone::Bad),
        ],
        note: String::new(),
        plan: "sha256:9f31c2aa51".to_owned(),
        journal: vec![
            (ago(2), "run started by Ana Ferreira".to_owned()),
            (
                ago(2),
                "drain: intent recorded, key run-01/drain/1".to_owned(),
            ),
        ],
    }
}

pub(crate) fn status_page() -> StatusPage {
    let fact = |name: &str, value: &str, tone: Tone| StatusFact {
        name: name.to_owned(),
        value: value.to_owned(),
        tone,
    };
    StatusPage {
        started_at: Some(ago(60 * 31)),
        problems: vec![ProblemView {
            tone: Tone::Warn,
            place: "bellwether.yml:12:3".to_owned(),
            text: "unknown key `reciever`".to_owned(),
            hint: "did you mean `receiver`?".to_owned(),
        }],
        channels: vec![
            ChannelHealth {
                name: "ntfy".to_owned(),
                health: Health::Up,
                last_ok: Some(ago(11)),
                n_sent: 12,
                n_failed: 0,
                n_waiting: 0,
                error: String::new(),
            },
            ChannelHealth {
                name: "e-mail".to_owned(),
                health: Health::Degraded,
                last_ok: Some(ago(60 * 20)),
                n_sent: 4,
                n_failed: 1,
                n_waiting: 1,
                error: "451 4.7.1 greylisted".to_owned(),
            },
        ],
        sections: vec![
            StatusSection {
                title: "Build".to_owned(),
                facts: vec![
                    fact("version", "0.1.0", Tone::Quiet),
                    fact("revision", "78216f5", Tone::Quiet),
                ],
            },
            StatusSection {
                title: "Series".to_owned(),
                facts: vec![
                    fact("series", "21 480", Tone::Quiet),
                    fact("samples per second", "710", Tone::Quiet),
                    fact("on disk", "182 MiB", Tone::Quiet),
                ],
            },
            StatusSection {
                title: "Invariants".to_owned(),
                facts: vec![
                    fact("every page reaches someone", "held", Tone::Good),
                    fact("one key per page", "held", Tone::Good),
                ],
            },
        ],
        config:
            "global:\n  scrape_interval: 15s\nreceivers:\n  - name: ops\n    password: <hidden>\n"
                .to_owned(),
    }
}

/// Name and text of every page.
pub(crate) fn all() -> Vec<(&'static str, String)> {
    let door = Chrome {
        user: None,
        ..chrome("Sign in", Nav::Other)
    };
    let error = ErrorPage {
        status: 404,
        title: "No such case".to_owned(),
        text: "It may have been typed wrongly, or it is older than what is kept.".to_owned(),
        links: pairs(&[("All cases", "/cases")]),
        request_id: "01f3a9".to_owned(),
    };
    let warned = Chrome {
        notices: vec![Notice {
            tone: Tone::Good,
            text: "Acknowledged. Nobody else is told while you have it.".to_owned(),
        }],
        ..chrome("Checkout is slow", Nav::Cases)
    };
    let calm = Chrome {
        counts: Counts::default(),
        ..chrome("Now", Nav::Now)
    };
    vec![
        ("now", render_now(&chrome("Now", Nav::Now), &now_page())),
        ("quiet", render_now(&calm, &quiet_page())),
        (
            "cases",
            render_cases(&chrome("Cases", Nav::Cases), &cases_page()),
        ),
        (
            "case",
            render_case(&chrome("Checkout is slow", Nav::Cases), &case_page()),
        ),
        ("case-resolved", render_case(&warned, &resolved_page())),
        (
            "oncall",
            render_oncall(&chrome("On-call", Nav::Oncall), &oncall_page()),
        ),
        (
            "targets",
            render_targets(&chrome("Targets", Nav::Targets), &targets_page()),
        ),
        (
            "explore",
            render_explore(&chrome("Explore", Nav::Explore), &explore_page()),
        ),
        (
            "explore-error",
            render_explore(&chrome("Explore", Nav::Explore), &explore_error_page()),
        ),
        (
            "rules",
            render_rules(&chrome("Rules", Nav::Rules), &rules_page()),
        ),
        (
            "rule",
            render_rule(&chrome("CheckoutSlow", Nav::Rules), &rule_page()),
        ),
        (
            "backtest",
            render_backtest(&chrome("Backtest", Nav::Rules), &backtest::page()),
        ),
        (
            "backtest-running",
            render_backtest(&chrome("Backtest", Nav::Rules), &backtest::running()),
        ),
        (
            "slos",
            render_slos(&chrome("SLOs", Nav::Slos), &slos_page()),
        ),
        (
            "runbooks",
            render_runbooks(&chrome("Runbooks", Nav::Runbooks), &runbooks_page()),
        ),
        (
            "runbook",
            render_runbook(
                &chrome("Take a slow replica out", Nav::Runbooks),
                &runbook_page(),
            ),
        ),
        (
            "run",
            render_run(&chrome("Run", Nav::Runbooks), &run_page()),
        ),
        (
            "status",
            render_status(&chrome("Status", Nav::Status), &status_page()),
        ),
        (
            "login",
            render_login(
                &door,
                &LoginPage {
                    error: "Name or password is wrong.".to_owned(),
                    name: "ana".to_owned(),
                    next: "/".to_owned(),
                },
            ),
        ),
        (
            "setup",
            render_setup(
                &door,
                &SetupPage {
                    ticket: "t".to_owned(),
                    password_min: 12,
                    ..SetupPage::default()
                },
            ),
        ),
        (
            "error",
            render_error(&chrome("No such case", Nav::Other), &error),
        ),
        ("help", render_help(&chrome("Help", Nav::Other))),
    ]
}
