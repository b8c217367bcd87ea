//! On-call: who has the pager, who is next, and where nobody has it.

use std::collections::BTreeMap;

use jiff::civil::{Date, Weekday};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use maud::{Markup, html};

use crate::chrome::Chrome;
use crate::parts::{badge, clock, colour, empty, form, heading, people};
use crate::view::{OnDuty, Tone};
use crate::{format, layout, path};

/// All schedules.
#[derive(Clone, Debug)]
pub struct OncallPage {
    pub now: Vec<OnDuty>,
    pub schedules: Vec<ScheduleView>,
    /// What the calendar shows.
    pub from: Timestamp,
    pub to: Timestamp,
    /// Where the person may set overrides.
    pub override_form: Option<OverrideForm>,
    /// Escalation policies: name, and each step in words.
    pub policies: Vec<(String, Vec<String>)>,
}

/// One schedule, resolved.
#[derive(Clone, Debug)]
pub struct ScheduleView {
    pub name: String,
    /// IANA name.
    pub zone: String,
    /// Who is on call when, in order; several people on call at once give several entries.
    pub shifts: Vec<ShiftView>,
    pub gaps: Vec<Gap>,
    pub problems: Vec<String>,
}

/// A shift.
#[derive(Clone, Debug)]
pub struct ShiftView {
    pub person: String,
    pub from: Timestamp,
    pub to: Timestamp,
    /// `layer weekly`, `override by bo`.
    pub source: String,
    pub is_override: bool,
    /// Set for an override that the person may end.
    pub override_id: Option<String>,
}

/// Time without anyone.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Choices of the override form.
#[derive(Clone, Debug)]
pub struct OverrideForm {
    pub schedules: Vec<String>,
    pub people: Vec<String>,
    /// Filled in at first.
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Renders all schedules.
pub fn render_oncall(chrome: &Chrome, page: &OncallPage) -> String {
    let body = html! {
        (heading("On-call", html! { "Times are in " (zone_name(chrome)) "." }))
        div.duty-cards {
            @for duty in &page.now {
                section class={ "card duty " @if duty.people.is_empty() { "bad" } } {
                    h2 { (duty.schedule) }
                    p.on { @if duty.people.is_empty() { (badge(Tone::Bad, "nobody is on call")) } @else { (people(&duty.people)) } }
                    p.quiet {
                        @if let Some(until) = duty.until { "until " b { (clock(chrome, until)) } " (" time datetime=(until) data-rel="until" { (format::relative(chrome.now, until)) } ")" }
                        @if let Some(next) = &duty.next { ", then " b { (next) } }
                    }
                    @if !duty.source.is_empty() { p.quiet { (duty.source) } }
                }
            }
        }
        @if page.schedules.is_empty() { (empty("No schedule is set. Add an `oncall:` section to the configuration; until then pages go to the administrator.")) }
        @for schedule in &page.schedules { (schedule_section(chrome, page, schedule)) }
        @if let Some(choices) = &page.override_form { (override_form(chrome, choices)) }
        @if !page.policies.is_empty() {
            section.card { h2 { "Escalation" }
                @for (name, steps) in &page.policies { h3 { (name) } ol.policy { @for step in steps { li { (step) } } } }
            }
        }
    };
    layout::page(chrome, "oncall", body)
}

fn zone_name(chrome: &Chrome) -> String {
    chrome.zone.iana_name().unwrap_or("UTC").to_owned()
}

fn schedule_section(chrome: &Chrome, page: &OncallPage, schedule: &ScheduleView) -> Markup {
    html! {
        section.card {
            div.row-head {
                h2 { (schedule.name) }
                span.quiet { (schedule.zone) }
                @if schedule.gaps.is_empty() { (badge(Tone::Good, "no gaps")) }
                @else { (badge(Tone::Bad, &format!("{} {}", schedule.gaps.len(), if schedule.gaps.len() == 1 { "gap" } else { "gaps" }))) }
            }
            @for problem in &schedule.problems { p.bad-text { (problem) } }
            (lanes(chrome, page, schedule))
            @for gap in &schedule.gaps {
                p.bad-text { (crate::parts::shape(Tone::Bad)) " Nobody from " (clock(chrome, gap.from)) " to " (clock(chrome, gap.to)) " (" (format::span(gap.to.duration_since(gap.from))) ")" }
            }
            div.two {
                div { h3 { "Next hand-offs" } (hand_offs(chrome, schedule)) }
                details.fold.calendar-fold open { summary { h3 { "Calendar" } } (calendar(chrome, page, schedule)) }
            }
        }
    }
}

/// Two weeks as bars: one lane per person, gaps across all.
fn lanes(chrome: &Chrome, page: &OncallPage, schedule: &ScheduleView) -> Markup {
    let from = page.from;
    let to = page.to.min(from + SignedDuration::from_hours(14 * 24));
    let length = to.duration_since(from).as_secs().max(1) as f64;
    let place = |at: Timestamp| {
        (at.duration_since(from).as_secs() as f64 / length * 100.0).clamp(0.0, 100.0)
    };
    let mut names: Vec<&str> = Vec::new();
    for shift in schedule
        .shifts
        .iter()
        .filter(|shift| shift.from < to && shift.to > from)
    {
        if !names.contains(&shift.person.as_str()) {
            names.push(&shift.person);
        }
    }
    let height = names.len() * 26 + 24;
    // What the script needs to turn a stretch that is dragged over into the fields of the form.
    let may = page.override_form.is_some();
    html! {
        @if may { p.quiet.drag-hint { "Drag along a lane to fill in an override for that person." } }
        svg.lanes width="100%" height=(height) role="img"
            data-schedule=[may.then_some(&schedule.name)] data-people=[may.then(|| names.join("\n"))]
            data-from=[may.then_some(from.as_millisecond())] data-to=[may.then_some(to.as_millisecond())]
            aria-label={ "Who is on call in the next two weeks: " (names.join(", ")) } {
            @for (index, (at, label)) in crate::chart::time_ticks(&chrome.zone, from, to, 14).into_iter().enumerate() {
                @let x = format!("{:.2}%", place(at));
                line.grid x1=(x) x2=(x) y1="0" y2=(height - 18) {}
                text.axis.minor[index % 3 != 1] x=(x) y=(height - 4) { (label) }
            }
            @for (row, name) in names.iter().enumerate() {
                @for shift in schedule.shifts.iter().filter(|shift| shift.person == *name && shift.from < to && shift.to > from) {
                    @let (start, end) = (place(shift.from), place(shift.to));
                    svg x={ (format!("{start:.2}")) "%" } y=(row * 26) width={ (format!("{:.2}", (end - start).max(0.3))) "%" } height="22" {
                        rect class={ "shift p" (colour(name)) @if shift.is_override { " override" } } width="100%" height="22" rx="4" {}
                        text.shift-name x="6" y="15" { (if end - start < 9.0 { first_name(name) } else { name }) }
                        title { (name) ", " (clock_text(chrome, shift.from)) " to " (clock_text(chrome, shift.to)) ", " (shift.source) }
                    }
                }
            }
            @for gap in schedule.gaps.iter().filter(|gap| gap.from < to && gap.to > from) {
                @let (start, end) = (place(gap.from), place(gap.to));
                rect.gap x={ (format!("{start:.2}")) "%" } y="0" width={ (format!("{:.2}", (end - start).max(0.4))) "%" } height=(height - 20) {
                    title { "nobody, " (clock_text(chrome, gap.from)) " to " (clock_text(chrome, gap.to)) }
                }
            }
            @if chrome.now >= from && chrome.now <= to {
                @let x = format!("{:.2}%", place(chrome.now));
                line.today x1=(x) x2=(x) y1="0" y2=(height - 18) {}
            }
        }
    }
}

/// Enough to know who, in a small box.
fn first_name(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

fn clock_text(chrome: &Chrome, at: Timestamp) -> String {
    format::brief(&chrome.zone, chrome.now, at)
}

fn hand_offs(chrome: &Chrome, schedule: &ScheduleView) -> Markup {
    let next = || {
        schedule
            .shifts
            .iter()
            .filter(|shift| shift.to > chrome.now)
            .take(8)
    };
    html! {
        @if next().next().is_none() { (empty("Nothing is planned.")) }
        ul.rows.hand-offs { @for shift in next() { li {
            span.when { @if shift.from <= chrome.now { "now" } @else { (clock(chrome, shift.from)) } }
            div {
                (crate::parts::person(&shift.person))
                span.quiet { "until " (clock(chrome, shift.to)) ", " (shift.source) }
                @if let Some(id) = &shift.override_id {
                    (form(chrome, path::OVERRIDE_END, "act inline", html! { input type="hidden" name="id" value=(id); button.small { "End it" } }))
                }
            }
        } } }
    }
}

/// Weeks as rows, days as cells.
fn calendar(chrome: &Chrome, page: &OncallPage, schedule: &ScheduleView) -> Markup {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const WEEKS_MAX: usize = 6;
    let today = chrome.now.to_zoned(chrome.zone.clone()).date();
    let first = page.from.to_zoned(chrome.zone.clone()).date();
    let last = page.to.to_zoned(chrome.zone.clone()).date();
    let back = i64::from(first.weekday().since(Weekday::Monday));
    let Ok(mut monday) = first.checked_sub(back.days()) else {
        return html! {};
    };
    let by_day = by_day(chrome, schedule);
    let mut weeks = Vec::new();
    while monday <= last && weeks.len() < WEEKS_MAX {
        weeks.push(monday);
        let Ok(next) = monday.checked_add(7.days()) else {
            break;
        };
        monday = next;
    }
    html! {
        table.calendar {
            thead { tr { @for day in DAYS { th scope="col" { (day) } } } }
            tbody { @for monday in weeks { tr {
                @for offset in 0..7i64 {
                    @let date = monday.checked_add(offset.days()).unwrap_or(monday);
                    td.today[date == today].outside[date < first || date > last] {
                        span.date { (date.day()) @if date.day() == 1 || date == first { " " (date.strftime("%b").to_string()) } }
                        @if let Some(entries) = by_day.get(&date) {
                            @for (name, is_gap) in entries {
                                @if *is_gap { span.who.gap { "nobody" } } @else { span class={ "who p" (colour(name)) } title=(name) { (first_name(name)) } }
                            }
                        }
                    }
                }
            } } }
        }
    }
}

/// Who has duty on each local day, in order, each once; gaps among them.
fn by_day(chrome: &Chrome, schedule: &ScheduleView) -> BTreeMap<Date, Vec<(String, bool)>> {
    const DAYS_MAX: usize = 62;
    let mut entries: Vec<(Timestamp, Timestamp, &str, bool)> = schedule
        .shifts
        .iter()
        .map(|shift| (shift.from, shift.to, shift.person.as_str(), false))
        .chain(schedule.gaps.iter().map(|gap| (gap.from, gap.to, "", true)))
        .collect();
    entries.sort();
    let mut days: BTreeMap<Date, Vec<(String, bool)>> = BTreeMap::new();
    for (from, to, name, is_gap) in entries {
        let last = (to - SignedDuration::from_nanos(1))
            .to_zoned(chrome.zone.clone())
            .date();
        let mut date = from.to_zoned(chrome.zone.clone()).date();
        for _ in 0..DAYS_MAX {
            if date > last {
                break;
            }
            let day = days.entry(date).or_default();
            let entry = (name.to_owned(), is_gap);
            if !day.contains(&entry) {
                day.push(entry);
            }
            let Ok(next) = date.tomorrow() else { break };
            date = next;
        }
    }
    days
}

fn override_form(chrome: &Chrome, choices: &OverrideForm) -> Markup {
    let local = |at: Timestamp| {
        at.to_zoned(chrome.zone.clone())
            .strftime("%Y-%m-%dT%H:%M")
            .to_string()
    };
    html! {
        section.card #override {
            h2 { "Take over, or hand over" }
            (form(chrome, path::OVERRIDE, "fields", html! {
                label { "Schedule" select name="schedule" { @for name in &choices.schedules { option { (name) } } } }
                label { "Who" select name="person" { @for name in &choices.people { option selected[Some(name) == chrome.user.as_ref()] { (name) } } } }
                label { "From" input type="datetime-local" name="from" value=(local(choices.from)) required; }
                label { "To" input type="datetime-local" name="to" value=(local(choices.to)) required; }
                label.wide { "Why" input name="reason" maxlength="200" placeholder="optional"; }
                input type="hidden" name="zone" value=(zone_name(chrome));
                button.primary { "Set the override" }
            }))
        }
    }
}
