//! On-call: who has the pager, who is next, and overrides.

use bellwether_page::config::{Policy, Target};
use bellwether_page::schedule::{OverrideKind, Shift, ShiftSource};
use bellwether_page::{NewOverride, PagerEvent};
use bellwether_ui as ui;
use bellwether_ui::path;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::cases::{actor_words, send};
use super::frame::{Page, Posted, Visitor, back_to, shown};
use crate::http::auth::Scope;
use crate::http::problem::Problem;

/// The calendar begins so long ago and ends so far ahead.
const BACK: SignedDuration = SignedDuration::from_hours(24 * 2);
const AHEAD: SignedDuration = SignedDuration::from_hours(24 * 28);

/// Who is on call now, by schedule.
pub(super) fn duties(visitor: &Visitor) -> Vec<ui::OnDuty> {
    let config = visitor
        .app
        .core
        .view(|flow| std::sync::Arc::clone(flow.pager.config()));
    if config.oncall.schedules.is_empty() {
        // The person at the keyboard, or whoever the first policy names.
        let people = config
            .oncall
            .people
            .values()
            .take(4)
            .map(|person| person.name.clone())
            .collect();
        let source = "no schedule is set".to_owned();
        return vec![ui::OnDuty {
            schedule: "everyone".to_owned(),
            people,
            until: None,
            next: None,
            source,
        }];
    }
    let names: Vec<&String> = config.oncall.schedules.keys().collect();
    names.into_iter().map(|name| duty(visitor, name)).collect()
}

fn duty(visitor: &Visitor, schedule: &str) -> ui::OnDuty {
    let now = visitor.now;
    let (on_call, shifts) = visitor.app.core.view(|flow| {
        (
            flow.pager.who_is_on_call(schedule, now),
            flow.pager.shifts(schedule, now, now + AHEAD),
        )
    });
    let until = shifts
        .iter()
        .filter(|shift| shift.start <= now && shift.end > now)
        .map(|shift| shift.end)
        .min();
    let next = until.and_then(|end| {
        shifts
            .iter()
            .find(|shift| {
                shift.start >= end && !on_call.iter().any(|one| one.person == shift.person)
            })
            .map(|shift| visitor.name_of(&shift.person))
    });
    ui::OnDuty {
        schedule: schedule.to_owned(),
        people: on_call.iter().map(|one| one.name.clone()).collect(),
        // The end of what was looked at is no hand-off.
        until: until.filter(|end| *end < now + AHEAD),
        next,
        source: on_call
            .first()
            .map_or_else(String::new, |one| one.source.clone()),
    }
}

/// All schedules.
pub(super) async fn show(visitor: Visitor) -> Page {
    let (from, to) = (visitor.now - BACK, visitor.now + AHEAD);
    let config = visitor
        .app
        .core
        .view(|flow| std::sync::Arc::clone(flow.pager.config()));
    let may = visitor.may(Scope::Respond);
    let schedules: Vec<ui::ScheduleView> = config
        .oncall
        .schedules
        .values()
        .map(|schedule| {
            let (shifts, overrides) = visitor.app.core.view(|flow| {
                let overrides: Vec<_> = flow.pager.overrides().into_iter().cloned().collect();
                (flow.pager.shifts(&schedule.name, from, to), overrides)
            });
            let gaps = schedule.gaps(visitor.now, to, &overrides);
            let by = |id: &str| {
                overrides
                    .iter()
                    .find(|one| one.id == id)
                    .map_or_else(String::new, |one| {
                        let by = actor_words(&visitor, &one.by);
                        if one.comment.is_empty() {
                            format!("override by {by}")
                        } else {
                            format!("override by {by}: {}", one.comment)
                        }
                    })
            };
            ui::ScheduleView {
                name: schedule.name.clone(),
                zone: schedule.time_zone_name.clone(),
                shifts: shifts
                    .iter()
                    .map(|shift| shift_view(&visitor, shift, may, &by))
                    .collect(),
                gaps: gaps
                    .into_iter()
                    .map(|(from, to)| ui::Gap { from, to })
                    .collect(),
                problems: Vec::new(),
            }
        })
        .collect();
    let mut people: Vec<String> = config
        .oncall
        .people
        .values()
        .map(|person| person.name.clone())
        .collect();
    people.sort();
    let names: Vec<String> = config.oncall.schedules.keys().cloned().collect();
    let page = ui::OncallPage {
        now: duties(&visitor),
        from,
        to,
        override_form: (may && !names.is_empty()).then(|| ui::OverrideForm {
            schedules: names,
            people,
            from: visitor.now,
            to: visitor.now + SignedDuration::from_hours(8),
        }),
        policies: config
            .oncall
            .policies
            .iter()
            .map(|policy| policy_words(&visitor, policy))
            .collect(),
        schedules,
    };
    Ok(shown(ui::render_oncall(
        &visitor.chrome("On-call", ui::Nav::Oncall),
        &page,
    )))
}

fn shift_view(
    visitor: &Visitor,
    shift: &Shift,
    may: bool,
    by: &dyn Fn(&str) -> String,
) -> ui::ShiftView {
    let (source, id) = match &shift.source {
        ShiftSource::Layer(name) => (format!("layer {name}"), None),
        ShiftSource::Override(id) => (by(id), Some(id.clone())),
    };
    ui::ShiftView {
        person: visitor.name_of(&shift.person),
        from: shift.start,
        to: shift.end,
        source,
        is_override: id.is_some(),
        override_id: id.filter(|_| may),
    }
}

fn policy_words(visitor: &Visitor, policy: &Policy) -> (String, Vec<String>) {
    let target = |target: &Target| match target {
        Target::Schedule(name) => format!("whoever is on call in {name}"),
        Target::Person(id) => visitor.name_of(id),
        Target::Everyone => "everyone".to_owned(),
    };
    let all = |targets: &[Target]| targets.iter().map(target).collect::<Vec<_>>().join(", ");
    let mut after = std::time::Duration::ZERO;
    let mut words = Vec::new();
    for step in &policy.steps {
        let when = SignedDuration::try_from(after).unwrap_or_default();
        let when = if after.is_zero() {
            "at once".to_owned()
        } else {
            format!("after {}", ui::format::span(when))
        };
        words.push(format!("{when}: {}", all(&step.notify)));
        after += step.wait;
    }
    if policy.repeat > 0 {
        words.push(format!("all of it again, {} times", policy.repeat));
    }
    let fallback = if policy.fallback.is_empty() {
        "everyone".to_owned()
    } else {
        all(&policy.fallback)
    };
    words.push(format!(
        "when nobody has answered: {fallback}, as the fallback"
    ));
    (policy.name.clone(), words)
}

/// A moment as `datetime-local` sends it, in the zone that the form showed.
fn moment(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    text.parse::<DateTime>()
        .ok()?
        .to_zoned(zone.clone())
        .ok()
        .map(|zoned| zoned.timestamp())
}

/// Sets an override: one person alone, for a time.
pub(super) async fn add(posted: Posted) -> Page {
    posted.need(Scope::Respond)?;
    let visitor = &posted.visitor;
    let zone = TimeZone::get(posted.field("zone")).unwrap_or_else(|_| visitor.zone());
    let times = moment(posted.field("from"), &zone).zip(moment(posted.field("to"), &zone));
    let Some((from, until)) = times.filter(|(from, until)| from < until) else {
        return Err(visitor.fail(Problem::bad("an override needs a beginning before its end")));
    };
    let wanted = posted.field("person");
    let config = visitor
        .app
        .core
        .view(|flow| std::sync::Arc::clone(flow.pager.config()));
    let person = config
        .oncall
        .people
        .values()
        .find(|person| person.name == wanted || person.id == wanted);
    let Some(person) = person else {
        return Err(visitor.missing("person"));
    };
    let event = PagerEvent::OverrideAdd(NewOverride {
        schedule: posted.field("schedule").to_owned(),
        layer: None,
        kind: OverrideKind::Only,
        people: vec![person.id.clone()],
        replaces: None,
        from,
        until,
        actor: visitor.identity.actor.clone(),
        comment: posted.text("reason", 200),
    });
    send(&posted, event).await?;
    Ok(back_to(path::ONCALL, "override"))
}

/// Ends an override.
pub(super) async fn end(posted: Posted) -> Page {
    posted.need(Scope::Respond)?;
    let event = PagerEvent::OverrideRemove {
        id: posted.field("id").to_owned(),
        actor: posted.visitor.identity.actor.clone(),
    };
    send(&posted, event).await?;
    Ok(back_to(path::ONCALL, "override-end"))
}
