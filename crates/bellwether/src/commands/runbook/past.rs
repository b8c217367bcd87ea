//! What was: history, the ladder, the brake, the backtest, toil, and the audit chain.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bellwether_act::backtest::{PastCase, backtest as held_against};
use bellwether_act::runs::Settings;
use bellwether_act::{Earned, PageFacts, RunEvent, Runs};
use bellwether_env::{Clock as _, SystemClock};
use bellwether_store::{ChainCheck, EventFilter, SqliteStore, Store};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::planned::read_page;
use super::running::{find, open, person, server_at};
use super::show::Show;
use super::{Fault, say};
use crate::cli::{Audit, Brake, Place, Rung, ServerArgs};
use crate::client::Client;

/// Rows of the chain that are checked at once.
const PAGE: u32 = 5_000;

/// The server to ask, when one was named or works on the folder.
fn client(place: &Place) -> Option<Client> {
    let asked = place.server.is_some() || server_at(&place.data);
    asked.then(|| {
        Client::new(&ServerArgs {
            server: place.server.clone(),
            data: place.data.clone(),
            token: place.token.clone(),
            json: place.json,
        })
    })
}

fn state_file(place: &Place) -> Result<std::path::PathBuf, Fault> {
    let file = place.data.join("state.sqlite");
    if file.exists() {
        return Ok(file);
    }
    Err(Fault::bad(format!(
        "{}: there is no journal\nhint: name its folder with --data",
        file.display()
    )))
}

/// The stored runs and their store, to be looked at only.
async fn stored(place: &Place) -> Result<(Runs, Arc<dyn Store>), Fault> {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&state_file(place)?)?);
    let mut records = Vec::new();
    for kind in bellwether_act::runs::KINDS {
        records.extend(store.load(kind).await?);
    }
    Ok((Runs::restore(Settings::default(), records).0, store))
}

fn word(value: impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().replace('_', " ")
}

pub(super) async fn history(
    run: Option<&str>,
    limit: usize,
    place: Place,
) -> Result<ExitCode, Fault> {
    if let Some(client) = client(&place) {
        let runs = match run {
            Some(run) => client.get(&format!("/runs/{run}")).await,
            None => client.get("/runs").await,
        };
        let runs = runs.map_err(Fault::failed)?;
        for run in runs
            .as_array()
            .map_or(std::slice::from_ref(&runs), Vec::as_slice)
        {
            say(if place.json {
                run.to_string()
            } else {
                line_of(run)
            });
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (runs, _) = stored(&place).await?;
    let now = SystemClock::new().now();
    if let Some(text) = run {
        let id = find(&runs, text)?;
        let view = runs.run(id, now).ok_or_else(|| Fault::bad("no such run"))?;
        if place.json {
            say(json!(view));
            return Ok(ExitCode::SUCCESS);
        }
        say(line_of(&json!(view)));
        for approval in &view.approvals {
            say(format_args!(
                "  approved by {} at {}",
                approval.actor, approval.at
            ));
        }
        for step in &view.steps {
            let outcome = step
                .outcome
                .as_ref()
                .map(bellwether_act::Outcome::describe)
                .unwrap_or_default();
            let seconds = step.elapsed_ms as f64 / 1e3;
            say(format_args!(
                "  {:<24} {:<10} {outcome:<12} {seconds:>7.1} s  {}",
                step.id,
                word(step.state),
                step.note
            ));
        }
        return Ok(ExitCode::SUCCESS);
    }
    for view in runs.recent(limit, now) {
        say(if place.json {
            json!(view).to_string()
        } else {
            line_of(&json!(view))
        });
    }
    Ok(ExitCode::SUCCESS)
}

fn line_of(run: &Value) -> String {
    let text = |key: &str| run[key].as_str().unwrap_or_default();
    format!(
        "{}  {:<16} {:<24} {}  by {}{}",
        text("id"),
        text("state"),
        text("runbook"),
        text("created_at"),
        text("started_by"),
        if text("why").is_empty() {
            String::new()
        } else {
            format!(": {}", text("why"))
        },
    )
}

pub(super) async fn promote(file: &Path, to: Rung, place: Place) -> Result<ExitCode, Fault> {
    let to = match to {
        Rung::Shadow => Earned::Shadow,
        Rung::Automatic => Earned::Automatic,
    };
    if let Some(client) = client(&place) {
        let id = id_of(file)?;
        let body = json!({"to": to});
        let answer = client
            .post(&format!("/runbooks/{id}/promote"), &body)
            .await
            .map_err(Fault::failed)?;
        say(answer["text"].as_str().unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    let page = PageFacts::of(&read_page(file)?);
    let mut local = open(&place, &Show::silent()).await?;
    let lacks = bellwether_act::ladder::missing(
        to,
        &page,
        local.runs.evidence(&page.runbook, &page.hash),
        SystemClock::new().now(),
    );
    let standing = local
        .runs
        .standing(&page.runbook, &page.hash, SystemClock::new().now());
    let id = page.runbook.clone();
    let event = RunEvent::Promote {
        page,
        to,
        actor: person(),
    };
    let why = local.send(vec![event]).await?;
    if why.iter().flatten().any(|reason| reason.is_refusal()) {
        let lines: Vec<String> = lacks.iter().map(|lack| format!("\n- {lack}")).collect();
        return Err(Fault::failed(format!(
            "{id} stays where it is:{}",
            lines.concat()
        )));
    }
    say(format_args!(
        "{id} is {} now: {}",
        word(to),
        standing.describe()
    ));
    Ok(ExitCode::SUCCESS)
}

/// The id of a file's page, or the text itself when it is an id.
fn id_of(file: &Path) -> Result<String, Fault> {
    if file.is_file() {
        return Ok(read_page(file)?.id);
    }
    Ok(file.display().to_string())
}

pub(super) async fn demote(runbook: &str, reason: &str, place: Place) -> Result<ExitCode, Fault> {
    let id = id_of(Path::new(runbook))?;
    if let Some(client) = client(&place) {
        let body = json!({"text": reason});
        client
            .post(&format!("/runbooks/{id}/demote"), &body)
            .await
            .map_err(Fault::failed)?;
    } else {
        let mut local = open(&place, &Show::silent()).await?;
        let event = RunEvent::Demote {
            runbook: id.clone(),
            actor: person(),
            reason: if reason.is_empty() {
                "by hand".to_owned()
            } else {
                reason.to_owned()
            },
        };
        let why = local.send(vec![event]).await?;
        if why.iter().flatten().any(|reason| reason.is_refusal()) {
            return Err(Fault::failed(format!("{id} holds no earned rung")));
        }
    }
    say(format_args!("{id} waits for a tap again"));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn brake(state: Brake, reason: &str, place: Place) -> Result<ExitCode, Fault> {
    let engaged = state == Brake::On;
    if let Some(client) = client(&place) {
        let body = json!({"engaged": engaged, "text": reason});
        client.post("/brake", &body).await.map_err(Fault::failed)?;
    } else {
        let mut local = open(&place, &Show::silent()).await?;
        let event = RunEvent::Brake {
            engaged,
            actor: person(),
            reason: reason.to_owned(),
        };
        local.send(vec![event]).await?;
    }
    say(if engaged {
        "all changes are stopped"
    } else {
        "changes are allowed"
    });
    Ok(ExitCode::SUCCESS)
}

/// Cases of the past, from the timeline.
async fn past_cases(
    store: &dyn Store,
    page: &str,
    since: Timestamp,
) -> Result<Vec<PastCase>, Fault> {
    let mut cases: BTreeMap<String, PastCase> = BTreeMap::new();
    let mut after = None;
    loop {
        let filter = EventFilter {
            after,
            limit: Some(PAGE),
            ..EventFilter::default()
        };
        let events = store.events(filter).await?;
        let Some(last) = events.last() else { break };
        after = Some(last.seq);
        for event in &events {
            let new = &event.new;
            if new.subject.kind != "case" || new.at < since {
                continue;
            }
            let case = cases
                .entry(new.subject.id.clone())
                .or_insert_with(|| PastCase {
                    id: new.subject.id.clone(),
                    alerts: BTreeSet::new(),
                    target: String::new(),
                    opened: new.at,
                    resolved: None,
                    touched: false,
                    fixed: false,
                });
            collect_alerts(&new.data, &mut case.alerts);
            match new.kind.as_str() {
                "case_opened" => case.target = new.data["group"].to_string(),
                "resolved" => case.resolved = Some(new.at),
                "run_started" => {
                    case.fixed |= new.data["runbook"] == page && new.data["part"] != "diagnosis";
                }
                _ => {}
            }
            case.touched |= new.actor.starts_with("user:");
        }
    }
    Ok(cases.into_values().collect())
}

/// Every `alertname` in an event's facts.
fn collect_alerts(data: &Value, into: &mut BTreeSet<String>) {
    match data {
        Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(name) if key == "alertname" || key == "alert" => {
                        into.insert(name.to_owned());
                    }
                    _ => collect_alerts(value, into),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| collect_alerts(value, into)),
        _ => {}
    }
}

pub(super) async fn backtest(file: &Path, last: Duration, place: Place) -> Result<ExitCode, Fault> {
    let page = read_page(file)?;
    let (_, store) = stored(&place).await?;
    let since = SystemClock::new().now() - last;
    let cases = past_cases(&*store, &page.id, since).await?;
    let report = held_against(&page, &Settings::default(), &cases);
    if place.json {
        say(json!(report));
        return Ok(ExitCode::SUCCESS);
    }
    for verdict in &report.verdicts {
        let what = match verdict.held_back {
            Some(why) => format!("held back: {}", word(why)),
            None if verdict.false_alert => "would have acted on a false alert".to_owned(),
            None => "would have acted".to_owned(),
        };
        let person = if verdict.fixed {
            "; a person ran it"
        } else {
            ""
        };
        say(format_args!(
            "{}  {}  {what}{person}",
            verdict.at, verdict.case
        ));
    }
    say(format_args!(
        "{} cases, {} of its alerts: acted {}, held back {}, on false alerts {}, as a person did {}",
        report.cases,
        report.fired,
        report.acted,
        report.held_back,
        report.acted_on_false,
        report.acted_as_a_person
    ));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn toil(last: Duration, place: Place) -> Result<ExitCode, Fault> {
    let (runs, _) = stored(&place).await?;
    let now = SystemClock::new().now();
    let rows = bellwether_act::toil::toil(&runs, now - last, now);
    if place.json {
        say(json!(rows));
        return Ok(ExitCode::SUCCESS);
    }
    say("minutes/month  times  runbook / step");
    for row in rows {
        say(format_args!(
            "{:>13.1}  {:>5}  {} / {}: {}",
            row.minutes_per_month, row.times, row.runbook, row.step, row.hint
        ));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn audit(command: Audit) -> Result<ExitCode, Fault> {
    let (place, anchors, head_only) = match command {
        Audit::Verify { anchors, place } => (place, anchors, false),
        Audit::Head { place } => (place, None, true),
    };
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&state_file(&place)?)?);
    let kept = match &anchors {
        Some(file) => read_anchors(file)?,
        None => BTreeMap::new(),
    };
    let mut check = ChainCheck::default();
    let mut after = 0;
    let mut anchored = 0;
    loop {
        let rows = store.chain(after, PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = last.seq;
        for row in &rows {
            if let Err(fault) = check.push(row) {
                return Ok(bad_row(&place, fault.seq, fault.what));
            }
            if let Some(hash) = kept.get(&row.seq) {
                if row.hash.as_deref() != Some(hash) {
                    return Ok(bad_row(
                        &place,
                        row.seq,
                        "its hash is not the one that was kept elsewhere",
                    ));
                }
                anchored = row.seq;
            }
        }
    }
    if let Some((seq, _)) = kept.iter().next_back().filter(|(seq, _)| **seq > after) {
        return Ok(bad_row(
            &place,
            after + 1,
            &format!("rows up to {seq} were there once and are missing"),
        ));
    }
    let (seq, hash) = check.head().unwrap_or((after, bellwether_store::GENESIS));
    if place.json {
        say(json!({
            "ok": true, "rows": check.checked, "unchained": check.unchained, "head": {"seq": seq, "hash": hash},
            "anchored": anchored,
        }));
    } else if head_only {
        say(format_args!("{seq} {hash}"));
    } else {
        if check.unchained > 0 {
            say(format_args!(
                "{} rows are from before the chain",
                check.unchained
            ));
        }
        if anchors.is_some() && anchored < seq {
            say(format_args!(
                "first row that is kept nowhere else: {}",
                anchored + 1
            ));
        }
        say(format_args!(
            "{} rows are as they were written; head {seq} {hash}",
            check.checked
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn bad_row(place: &Place, seq: u64, what: &str) -> ExitCode {
    if place.json {
        say(json!({"ok": false, "row": seq, "what": what}));
    } else {
        say(format_args!("row {seq} is bad: {what}"));
    }
    ExitCode::FAILURE
}

/// Heads that were kept elsewhere: `seq hash` per line, perhaps with something before.
fn read_anchors(file: &Path) -> Result<BTreeMap<u64, String>, Fault> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Fault::bad(format!("{}: {error}", file.display())))?;
    let anchor = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [.., seq, hash] = words[..] else {
            return None;
        };
        (hash.len() == 64).then_some((seq.parse().ok()?, hash.to_owned()))
    };
    Ok(text.lines().filter_map(anchor).collect())
}
