//! Now, the list of cases, one case, and what people do with it.

use axum::extract::Path;
use axum::response::Response;
use bellwether_flow::{Input, Why};
use bellwether_model::state::{Delivery, DeliveryState, Event, Receipt, Subject};
use bellwether_model::{CaseId, Labels};
use bellwether_page::record::Page as PageRecord;
use bellwether_page::view::{CaseView, Cause};
use bellwether_page::{Case, CaseStatus, NewCase, PagerEvent, Reason, Urgency};
use bellwether_store::{DeliveryFilter, EventFilter};
use bellwether_ui as ui;
use bellwether_ui::{Tone, path};
use jiff::{SignedDuration, Timestamp};

use super::charts;
use super::frame::{Page, Posted, Visitor, back_to, pairs, shown};
use super::{oncall, runs, watch};
use crate::http::auth::Scope;
use crate::http::problem::Problem;
use crate::planning::runbook_of;

/// Entries of a timeline that a page shows, the newest.
const TIMELINE_MAX: u32 = 300;
const DELIVERIES_MAX: u32 = 100;
/// Cases of the list, and cards on the first page.
const ROWS_MAX: usize = 200;
const CARDS_MAX: usize = 12;

// === Now ===

/// The first page.
pub(super) async fn now(visitor: Visitor) -> Page {
    let (open, causes) = open_cases(&visitor);
    let mut cards = Vec::new();
    for view in open.iter().take(CARDS_MAX) {
        let mut row = case_row(&visitor, view);
        add_spark(&visitor, &view.case, &mut row).await;
        cards.push(row);
    }
    let page = ui::NowPage {
        cases: cards,
        slos: watch::slo_views(&visitor, false).await,
        on_call: oncall::duties(&visitor),
        causes: causes
            .iter()
            .map(|cause| cause_view(&visitor, cause))
            .collect(),
        quiet: quiet_day(&visitor),
        pools: watch::pool_counts(&visitor),
        found: visitor
            .app
            .scrapes
            .found()
            .into_iter()
            .map(|one| format!("{} on {}", one.name, one.address))
            .collect(),
        hints: hints(&visitor),
    };
    Ok(shown(ui::render_now(
        &visitor.chrome("Now", ui::Nav::Now),
        &page,
    )))
}

/// Open cases, those that page first, then the longest open; and the causes of all of them, each once.
fn open_cases(visitor: &Visitor) -> (Vec<CaseView>, Vec<Cause>) {
    let mut open: Vec<CaseView> = visitor.app.core.view(|flow| {
        let ids: Vec<CaseId> = flow
            .pager
            .cases()
            .into_iter()
            .filter(|case| !case.is_resolved())
            .map(|case| case.id)
            .collect();
        ids.into_iter()
            .filter_map(|id| flow.pager.case(id, visitor.now))
            .collect()
    });
    open.sort_by_key(|view| {
        (
            view.case.status != CaseStatus::Open,
            std::cmp::Reverse(view.case.urgency),
            view.case.opened_at,
        )
    });
    let mut causes: Vec<Cause> = Vec::new();
    for cause in open.iter().flat_map(|view| &view.causes) {
        if !causes
            .iter()
            .any(|known| known.fingerprint == cause.fingerprint)
        {
            causes.push(cause.clone());
        }
    }
    (open, causes)
}

fn quiet_day(visitor: &Visitor) -> ui::QuietDay {
    let since = visitor.now - SignedDuration::from_hours(24);
    let (cases, pages, quiet_since, fixed) = visitor.app.core.view(|flow| {
        let all = flow.pager.cases();
        let recent: Vec<&&Case> = all.iter().filter(|case| case.opened_at >= since).collect();
        let pages = all
            .iter()
            .flat_map(|case| &case.pages)
            .filter(|page| page.at >= since)
            .count();
        let last = all.iter().filter_map(|case| case.resolved_at).max();
        let runs = flow.runs.recent(100, visitor.now);
        let fixed = recent
            .iter()
            .filter(|case| {
                case.is_resolved()
                    && runs.iter().any(|run| {
                        run.case == Some(case.id)
                            && run.changes
                            && run.state == bellwether_act::RunState::Succeeded
                    })
            })
            .count();
        (recent.len(), pages, last, fixed)
    });
    let judge = &visitor.app.judge;
    let status = judge.status();
    ui::QuietDay {
        cases,
        pages,
        resolved_by_runbook: fixed,
        evaluations: status
            .groups
            .iter()
            .map(|group| {
                let per_day = SignedDuration::from_hours(24).as_secs() as u64
                    / group.interval.as_secs().max(1);
                group.iterations.min(per_day) * group.rules.len() as u64
            })
            .sum(),
        samples: visitor.app.series.stats().samples_appended,
        quiet_since,
        last_evaluation: status
            .groups
            .iter()
            .filter_map(|group| group.last_evaluation)
            .max(),
    }
}

/// What to do first where nothing is configured.
fn hints(visitor: &Visitor) -> Vec<(String, String)> {
    let config = visitor.app.config();
    let mut hints = Vec::new();
    if config.file.is_none() {
        hints.push((
            "This host is watched with the default rules; see what is scraped".to_owned(),
            path::TARGETS.to_owned(),
        ));
        hints.push(("Look at any metric".to_owned(), path::EXPLORE.to_owned()));
        hints.push((
            "See where pages go until other channels are configured".to_owned(),
            path::STATUS.to_owned(),
        ));
    }
    hints
}

// === the list ===

/// All cases.
pub(super) async fn list(visitor: Visitor) -> Page {
    let filter = ui::CasesFilter::from_query(visitor.param("show"));
    let search = visitor.param("q").to_lowercase();
    let views: Vec<CaseView> = visitor.app.core.view(|flow| {
        let ids: Vec<CaseId> = flow.pager.cases().into_iter().map(|case| case.id).collect();
        ids.into_iter()
            .filter_map(|id| flow.pager.case(id, visitor.now))
            .collect()
    });
    let n_open = views.iter().filter(|view| !view.case.is_resolved()).count();
    let n_resolved = views.len() - n_open;
    let wanted = |view: &&CaseView| {
        let case = &view.case;
        let of_kind = match filter {
            ui::CasesFilter::Open => !case.is_resolved(),
            ui::CasesFilter::Resolved => case.is_resolved(),
            ui::CasesFilter::All => true,
            ui::CasesFilter::Mine => {
                !case.is_resolved()
                    && (case.acknowledged_by.as_ref() == Some(&visitor.identity.actor)
                        || case
                            .ladders
                            .iter()
                            .any(|ladder| ladder.person == visitor.person()))
            }
        };
        let text = format!(
            "{} {} {} {}",
            case.title, case.summary, case.code, case.labels
        )
        .to_lowercase();
        of_kind && search.split_whitespace().all(|word| text.contains(word))
    };
    let found: Vec<&CaseView> = views.iter().filter(wanted).collect();
    let more = found.len().saturating_sub(ROWS_MAX);
    let page = ui::CasesPage {
        cases: found
            .into_iter()
            .take(ROWS_MAX)
            .map(|view| case_row(&visitor, view))
            .collect(),
        filter,
        search: visitor.param("q").to_owned(),
        more: (more > 0).then(|| (more, format!("{}?show=all", path::CASES))),
        n_open,
        n_resolved,
        may_open: visitor.may(Scope::Respond),
    };
    Ok(shown(ui::render_cases(
        &visitor.chrome("Cases", ui::Nav::Cases),
        &page,
    )))
}

fn urgency(case: &Case) -> ui::Urgency {
    match case.urgency {
        Urgency::High => ui::Urgency::Page,
        Urgency::Low => ui::Urgency::Ticket,
    }
}

fn state(case: &Case) -> ui::CaseState {
    match case.status {
        CaseStatus::Open => ui::CaseState::Triggered,
        CaseStatus::Acknowledged => ui::CaseState::Acknowledged,
        CaseStatus::Snoozed => ui::CaseState::Snoozed,
        CaseStatus::Resolved => ui::CaseState::Resolved,
    }
}

fn owners(visitor: &Visitor, case: &Case) -> Vec<String> {
    case.acknowledged_by
        .iter()
        .map(|actor| visitor.name_of(actor))
        .collect()
}

fn ended_by(visitor: &Visitor, case: &Case) -> String {
    if !case.is_resolved() {
        return String::new();
    }
    if case.resolved_by_hand {
        return "closed by hand".to_owned();
    }
    let run = visitor.app.core.view(|flow| {
        let runs = flow.runs.runs_of_case(case.id, visitor.now);
        runs.into_iter()
            .rev()
            .find(|run| run.changes && run.state == bellwether_act::RunState::Succeeded)
    });
    run.map_or_else(
        || "by itself".to_owned(),
        |run| format!("after runbook {}", run.runbook),
    )
}

/// Who is being told, when nobody has it yet.
fn telling(visitor: &Visitor, view: &CaseView) -> String {
    let case = &view.case;
    if let Some(why) = &view.withheld {
        return format!("no page goes out: {why}");
    }
    let mut told: Vec<String> = Vec::new();
    for page in &case.pages {
        let name = visitor.name_of(&page.person);
        if !told.contains(&name) {
            told.push(name);
        }
    }
    if told.is_empty() {
        "nobody has been told yet".to_owned()
    } else {
        format!("told {}", told.join(", "))
    }
}

fn case_row(visitor: &Visitor, view: &CaseView) -> ui::CaseRow {
    let case = &view.case;
    ui::CaseRow {
        id: case.id.to_string(),
        code: case.code.clone(),
        title: case.title.clone(),
        summary: case.summary.clone(),
        state: state(case),
        urgency: urgency(case),
        opened_at: case.opened_at,
        resolved_at: case.resolved_at,
        owners: owners(visitor, case),
        telling: if case.is_resolved() {
            String::new()
        } else {
            telling(visitor, view)
        },
        n_alerts: case.firing().count(),
        spark: None,
        reading: None,
        ended_by: ended_by(visitor, case),
        may_ack: case.status == CaseStatus::Open && visitor.may(Scope::Respond),
    }
}

async fn add_spark(visitor: &Visitor, case: &Case, row: &mut ui::CaseRow) {
    let Some(chart) = symptom(visitor, case).await else {
        return;
    };
    let last = chart
        .lines
        .first()
        .and_then(|line| line.points.last())
        .map(|(_, value)| *value);
    row.reading = last.map(|value| {
        let limit = chart
            .threshold
            .as_ref()
            .map(|limit| format!("limit {}", ui::format::value(limit.value, chart.unit)));
        (
            ui::format::value(value, chart.unit),
            limit.unwrap_or_default(),
        )
    });
    row.spark = Some(ui::Chart {
        id: format!("spark-{}", case.id),
        marks: Vec::new(),
        size: ui::ChartSize::Spark,
        ..chart
    });
}

/// The rule behind a case: its expression, and the labels of the alert it is about.
fn rule_of(visitor: &Visitor, case: &Case) -> Option<(String, Labels)> {
    let alert = case
        .firing()
        .next()
        .map(|(_, alert)| alert)
        .or_else(|| case.alerts.values().next())?;
    let name = alert.labels.get("alertname");
    let status = visitor.app.judge.status();
    let rule = status
        .groups
        .iter()
        .flat_map(|group| &group.rules)
        .find(|rule| rule.name == name)?;
    Some((rule.query.clone(), alert.labels.clone()))
}

/// The graph of a case's symptom, with what happened.
async fn symptom(visitor: &Visitor, case: &Case) -> Option<ui::Chart> {
    let (query, labels) = rule_of(visitor, case)?;
    let until = case.resolved_at.map_or(visitor.now, |end| {
        (end + SignedDuration::from_mins(10)).min(visitor.now)
    });
    let range = charts::range_around(case.since.min(case.opened_at), until);
    let chart = charts::of_rule(&visitor.app, &query, Some(&labels), range).await?;
    let mut marks = vec![mark(case.opened_at, "case opened", Tone::Bad)];
    if let Some(page) = case.pages.first() {
        marks.push(mark(
            page.at,
            &format!("paged {}", visitor.name_of(&page.person)),
            Tone::Bad,
        ));
    }
    marks.extend(
        case.acknowledged_at
            .map(|at| mark(at, "acknowledged", Tone::Info)),
    );
    let runs = visitor
        .app
        .core
        .view(|flow| flow.runs.runs_of_case(case.id, visitor.now));
    marks.extend(runs.iter().filter(|run| run.changes).filter_map(|run| {
        run.began_at
            .map(|at| mark(at, &format!("ran {}", run.runbook), Tone::Warn))
    }));
    marks.extend(case.resolved_at.map(|at| mark(at, "resolved", Tone::Good)));
    let spans = case.alerts.values().take(1).map(|alert| ui::Span {
        from: alert.starts_at,
        to: alert.ended_at.unwrap_or(until).min(until),
        label: "firing".to_owned(),
        tone: Tone::Bad,
    });
    Some(ui::Chart {
        id: "symptom".to_owned(),
        title: labels.get("alertname").to_owned(),
        marks,
        spans: spans.collect(),
        ..chart
    })
}

fn mark(at: Timestamp, label: &str, tone: Tone) -> ui::Mark {
    ui::Mark {
        at,
        label: label.to_owned(),
        tone,
    }
}

// === one case ===

/// The case that a path names, by id or short code.
pub(super) fn find(visitor: &Visitor, text: &str) -> Result<CaseView, Response> {
    let found = visitor.app.core.view(|flow| {
        let id = flow.pager.find_case(text)?;
        flow.pager.case(id, visitor.now)
    });
    found.ok_or_else(|| visitor.missing("case"))
}

/// One case.
pub(super) async fn show(visitor: Visitor, Path(case): Path<String>) -> Page {
    let view = find(&visitor, &case)?;
    let case = &view.case;
    let subject = Subject::new("case", case.id);
    let events = EventFilter {
        subject: Some(subject.clone()),
        newest_first: true,
        limit: Some(TIMELINE_MAX),
        ..EventFilter::default()
    };
    let mut events = visitor
        .app
        .store
        .events(events)
        .await
        .map_err(|error| visitor.fail(error))?;
    events.reverse();
    let filter = DeliveryFilter {
        subject: Some(subject),
        limit: Some(DELIVERIES_MAX),
        ..DeliveryFilter::default()
    };
    let deliveries = visitor
        .app
        .store
        .deliveries(filter)
        .await
        .map_err(|error| visitor.fail(error))?;
    let why = visitor
        .app
        .core
        .view(|flow| flow.pager.why(case.id, visitor.now));
    let runbook = runbook_of(&visitor.app, case);
    let case_runs = runs::of_case(&visitor, case, runbook.as_deref()).await;
    let page = ui::CasePage {
        facts: facts(&visitor, &view),
        chart: symptom(&visitor, case).await,
        expr: rule_of(&visitor, case)
            .map(|(query, _)| query)
            .unwrap_or_default(),
        diagnosis: case_runs.diagnosis,
        causes: view
            .causes
            .iter()
            .map(|cause| cause_view(&visitor, cause))
            .collect(),
        alerts: alerts(&visitor, case),
        runbook: runbook
            .as_ref()
            .map(|runbook| (runbook.id.clone(), runbook.title.clone())),
        runbook_actions: case_runs.actions,
        runbook_note: case_runs.note,
        runs: case_runs.rows,
        runbook_blocks: case_runs.blocks,
        timeline: events
            .iter()
            .map(|event| event_view(&visitor, event))
            .collect(),
        deliveries: deliveries
            .iter()
            .map(|delivery| delivery_view(&visitor, delivery))
            .collect(),
        why: why.into_iter().map(why_view).collect(),
    };
    Ok(shown(ui::render_case(
        &visitor.chrome(&case.title, ui::Nav::Cases),
        &page,
    )))
}

fn facts(visitor: &Visitor, view: &CaseView) -> ui::CaseFacts {
    let case = &view.case;
    let open = !case.is_resolved();
    let may = visitor.may(Scope::Respond);
    let description = case.annotations.get("description");
    let mut description = if description == case.summary {
        String::new()
    } else {
        description.to_owned()
    };
    if let Some(why) = view.withheld.as_ref().filter(|_| open) {
        description = format!("No page goes out: {why}. {description}");
    }
    ui::CaseFacts {
        id: case.id.to_string(),
        code: case.code.clone(),
        title: case.title.clone(),
        summary: case.summary.clone(),
        description,
        state: state(case),
        urgency: urgency(case),
        opened_at: case.opened_at,
        resolved_at: case.resolved_at,
        ended_by: ended_by(visitor, case),
        owners: owners(visitor, case),
        acked_at: case.acknowledged_at,
        held_until: case
            .acknowledged_until
            .or(case.snoozed_until)
            .filter(|_| open),
        next: view
            .next
            .clone()
            .filter(|_| open)
            .map(|(at, text)| ui::NextStep { at, text }),
        told: case
            .pages
            .iter()
            .rev()
            .take(4)
            .map(|page| told(visitor, page))
            .collect(),
        labels: pairs(&case.labels),
        may_ack: open && may && case.acknowledged_by.as_ref() != Some(&visitor.identity.actor),
        may_unack: may
            && case.status == CaseStatus::Acknowledged
            && case.acknowledged_by.as_ref() == Some(&visitor.identity.actor),
        may_resolve: open && may,
        may_snooze: open && may,
        may_escalate: open && may && case.status == CaseStatus::Open,
        may_comment: may,
        escalate_as_of: case.escalation.steps_fired.to_string(),
    }
}

fn delivery_words(state: DeliveryState, receipt: Receipt, error: &str) -> (&'static str, Tone) {
    match (state, receipt) {
        (DeliveryState::Failed, _) | (_, Receipt::FailedPermanently) => ("failed", Tone::Bad),
        (DeliveryState::Cancelled, _) => ("no longer needed", Tone::Quiet),
        (DeliveryState::Sending, _) => ("on its way", Tone::Info),
        (DeliveryState::Pending, _) if !error.is_empty() => ("trying again", Tone::Warn),
        (DeliveryState::Pending, _) => ("waiting", Tone::Warn),
        (DeliveryState::Done, Receipt::Answered) => ("answered", Tone::Good),
        (DeliveryState::Done, Receipt::Read) => ("read", Tone::Good),
        (DeliveryState::Done, Receipt::Delivered) => ("delivered", Tone::Good),
        (DeliveryState::Done, Receipt::Queued) => ("queued, nobody looks", Tone::Quiet),
        (DeliveryState::Done, _) => ("sent", Tone::Good),
    }
}

fn told(visitor: &Visitor, page: &PageRecord) -> ui::NotifiedView {
    let (word, tone) = delivery_words(page.state, page.receipt, &page.error);
    ui::NotifiedView {
        who: visitor.name_of(&page.person),
        channel: page.channel.as_str().to_owned(),
        word: word.to_owned(),
        tone,
        at: page.at,
    }
}

pub(super) fn cause_view(visitor: &Visitor, cause: &Cause) -> ui::CauseView {
    let name = cause.labels.get("alertname");
    let summary = cause.annotations.get("summary");
    ui::CauseView {
        title: if summary.is_empty() {
            name.to_owned()
        } else {
            summary.to_owned()
        },
        text: cause.annotations.get("description").to_owned(),
        since: Some(cause.starts_at),
        labels: pairs(&cause.labels),
        href: watch::rule_path(visitor, name).unwrap_or_default(),
    }
}

fn alerts(visitor: &Visitor, case: &Case) -> Vec<ui::AlertView> {
    const ALERTS_MAX: usize = 100;
    let status = visitor.app.judge.status();
    let unit = rule_of(visitor, case).map_or(ui::Unit::None, |(query, _)| charts::unit_of(&query));
    let value_of = |labels: &Labels| {
        let found = status
            .alerts()
            .find(|(_, _, alert)| alert.labels == *labels);
        found
            .map(|(_, _, alert)| ui::format::value(alert.value, unit))
            .unwrap_or_default()
    };
    let mut all: Vec<_> = case.alerts.values().collect();
    all.sort_by_key(|alert| (alert.ended_at.is_some(), alert.starts_at));
    all.into_iter()
        .take(ALERTS_MAX)
        .map(|alert| {
            let name = alert.labels.get("alertname");
            ui::AlertView {
                name: name.to_owned(),
                state: if alert.ended_at.is_some() {
                    ui::AlertState::Resolved
                } else {
                    ui::AlertState::Firing
                },
                since: alert.starts_at,
                ended: alert.ended_at,
                value: if alert.ended_at.is_some() {
                    String::new()
                } else {
                    value_of(&alert.labels)
                },
                summary: alert.annotations.get("summary").to_owned(),
                labels: pairs(&alert.labels),
                annotations: pairs(&alert.annotations),
                href: watch::rule_path(visitor, name)
                    .unwrap_or_else(|| alert.generator_url.clone()),
                suppressed: String::new(),
            }
        })
        .collect()
}

fn event_tone(kind: &str) -> Tone {
    match kind {
        "case_opened" => Tone::Bad,
        "case_resolved" | "page_delivered" | "run_succeeded" | "step_succeeded" => Tone::Good,
        "page_failed"
        | "step_failed"
        | "run_failed"
        | "step_unknown"
        | "verify_failed"
        | "escalation_exhausted" => Tone::Bad,
        "acknowledged" | "case_acknowledged" | "page_sent" | "run_started" | "run_approved" => {
            Tone::Info
        }
        "page_withheld" | "ack_timeout" | "escalated" | "case_escalated" | "run_parked" => {
            Tone::Warn
        }
        _ => Tone::Quiet,
    }
}

pub(super) fn actor_words(visitor: &Visitor, actor: &str) -> String {
    match actor.split_once(':') {
        Some(("user", _)) => visitor.name_of(actor),
        Some(("token", name)) => format!("API token {name}"),
        Some(("rule", name)) => format!("rule {name}"),
        _ if actor == "system" => "Bellwether".to_owned(),
        _ => actor.to_owned(),
    }
}

fn event_view(visitor: &Visitor, event: &Event) -> ui::EventView {
    let event = &event.new;
    // Engines write actors as they are stored; people read names.
    let text = if event.actor.starts_with("user:") {
        event
            .text
            .replace(&event.actor, &visitor.name_of(&event.actor))
    } else {
        event.text.clone()
    };
    // More than a line is folded: the timeline is for reading at a glance.
    let (text, detail) = match text.trim_end().split_once('\n') {
        Some(_) if event.kind == "context_ready" => ("the diagnosis has ended".to_owned(), text),
        Some((first, rest)) => (first.to_owned(), rest.to_owned()),
        None => (text, String::new()),
    };
    ui::EventView {
        at: event.at,
        kind: event.kind.clone(),
        actor: actor_words(visitor, &event.actor),
        text,
        tone: event_tone(&event.kind),
        detail,
    }
}

fn delivery_view(visitor: &Visitor, delivery: &Delivery) -> ui::DeliveryView {
    let (word, tone) = delivery_words(delivery.state, delivery.receipt, &delivery.error);
    let waits = delivery.state == DeliveryState::Pending && delivery.new.due_at > visitor.now;
    ui::DeliveryView {
        at: delivery.new.due_at,
        to: visitor.name_of(&delivery.new.target),
        channel: delivery.new.channel.clone(),
        state: word.to_owned(),
        tone,
        receipt: String::new(),
        attempts: delivery.attempt,
        error: delivery.error.clone(),
        next_at: waits.then_some(delivery.new.due_at),
    }
}

/// `route: goes to people` has its stage in front.
fn why_view(line: String) -> ui::WhyView {
    let split = line
        .split_once(": ")
        .filter(|(stage, _)| stage.len() <= 40 && !stage.contains('{'));
    let (stage, text) = split.map_or(("", line.as_str()), |(stage, text)| (stage, text));
    ui::WhyView {
        stage: stage.to_owned(),
        text: text.to_owned(),
        href: String::new(),
    }
}

// === what people do ===

/// Gives an event to the pager; a refusal is a page with its reason.
pub(super) async fn send(posted: &Posted, event: PagerEvent) -> Result<Vec<Reason>, Response> {
    let reply = posted
        .visitor
        .app
        .core
        .send(Input::Page(event))
        .await
        .map_err(|error| posted.visitor.fail(error))?;
    let reasons: Vec<Reason> = reply
        .why
        .into_iter()
        .filter_map(|why| match why {
            Why::Page(reason) => Some(reason),
            Why::Run(_) => None,
        })
        .collect();
    match reasons.iter().find_map(|reason| match reason {
        Reason::Refused { text } => Some(text.clone()),
        _ => None,
    }) {
        Some(text) => Err(posted.visitor.fail(Problem::conflict(text))),
        None => Ok(reasons),
    }
}

/// `ack`, `unack`, `resolve`, `snooze`, `escalate`, `comment`.
pub(super) async fn act(Path((case, action)): Path<(String, String)>, posted: Posted) -> Page {
    posted.need(Scope::Respond)?;
    let view = find(&posted.visitor, &case)?;
    let (case, actor) = (view.case.id, posted.visitor.identity.actor.clone());
    let event = match action.as_str() {
        "ack" => PagerEvent::Acknowledge {
            case,
            actor,
            as_of: None,
        },
        "unack" => PagerEvent::Unacknowledge { case, actor },
        "resolve" => PagerEvent::Resolve {
            case,
            actor,
            text: posted.text("text", 4_000),
        },
        "snooze" => {
            let length = bellwether_model::duration::parse_duration(posted.field("for"));
            let length = length
                .ok()
                .filter(|length| (1..=30 * 86_400).contains(&length.as_secs()));
            let Some(length) = length else {
                return Err(posted
                    .visitor
                    .fail(Problem::bad("a snooze lasts between a second and 30 days")));
            };
            PagerEvent::Snooze {
                case,
                actor,
                until: posted.visitor.now + length,
            }
        }
        "escalate" => {
            let as_of_step = posted
                .field("as_of")
                .parse()
                .unwrap_or(view.case.escalation.steps_fired);
            PagerEvent::EscalateNow {
                case,
                actor,
                as_of_step,
            }
        }
        "comment" => {
            let text = posted.text("text", 4_000);
            if text.is_empty() {
                return Err(posted.visitor.fail(Problem::bad("the comment is empty")));
            }
            PagerEvent::Comment { case, actor, text }
        }
        _ => return Err(posted.visitor.missing("action")),
    };
    send(&posted, event).await?;
    Ok(back_to(&path::case(&case.to_string()), &action))
}

/// A case that people saw first.
pub(super) async fn open(posted: Posted) -> Page {
    posted.need(Scope::Respond)?;
    let title = posted.text("title", 200);
    if title.is_empty() {
        return Err(posted
            .visitor
            .fail(Problem::bad("say in a few words what hurts")));
    }
    let event = PagerEvent::OpenCase(NewCase {
        title,
        summary: posted.text("text", 4_000),
        urgency: if posted.field("urgency") == "page" {
            Urgency::High
        } else {
            Urgency::Low
        },
        policy: None,
        actor: posted.visitor.identity.actor.clone(),
        labels: Labels::empty(),
        annotations: Labels::empty(),
    });
    let reasons = send(&posted, event).await?;
    let opened = reasons.into_iter().find_map(|reason| match reason {
        Reason::CaseOpened { case } => Some(case),
        _ => None,
    });
    match opened {
        Some(case) => Ok(back_to(&path::case(&case), "open")),
        None => Err(posted
            .visitor
            .fail(Problem::conflict("the case was not opened"))),
    }
}
