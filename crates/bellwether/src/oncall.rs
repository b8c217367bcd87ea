//! Schedules as the API and the command line show them, from a configuration and the overrides made since.

use bellwether_page::config::OnCall;
use bellwether_page::schedule::local_time::instant;
use bellwether_page::schedule::{Override, Schedule, Shift, ical, report, write};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// A configuration and the overrides that a server holds.
#[derive(Clone, Debug)]
pub struct OnCallView<'a> {
    pub oncall: &'a OnCall,
    pub overrides: Vec<Override>,
}

/// A time as people write it: with an offset, or local to a zone; a day is its beginning.
pub fn parse_time(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    if let Ok(day) = text.parse::<Date>()
        && text.len() == 10
    {
        return Ok(instant(zone, day.at(0, 0, 0, 0)));
    }
    text.replacen(' ', "T", 1)
        .parse::<DateTime>()
        .map(|local| instant(zone, local))
        .map_err(|_| {
            format!(
                "{text:?} is no time\nhint: 2026-03-01, 2026-03-01T09:00 or 2026-03-01T08:00:00Z"
            )
        })
}

// === impl OnCallView ===

impl OnCallView<'_> {
    fn name(&self, person: &str) -> String {
        let known = self.oncall.people.get(person);
        known.map_or_else(|| person.to_owned(), |known| known.name.clone())
    }

    /// Schedules of a name, or all.
    pub fn schedules(&self, name: Option<&str>) -> Vec<&Schedule> {
        let all = self.oncall.schedules.values();
        all.filter(|schedule| name.is_none_or(|name| schedule.name == name))
            .collect()
    }

    /// Shifts of a schedule.
    pub fn shifts_of(&self, schedule: &Schedule, from: Timestamp, to: Timestamp) -> Vec<Shift> {
        schedule.shifts(from, to, &self.overrides)
    }

    fn shift_json(&self, shift: &Shift) -> Value {
        json!({
            "start": shift.start,
            "end": shift.end,
            "person": shift.person,
            "name": self.name(&shift.person),
            "source": shift.source.to_string(),
        })
    }

    /// What a schedule is: zone, team, layers, people, and its text as configuration.
    pub fn about(&self, schedule: &Schedule) -> Value {
        json!({
            "schedule": schedule.name,
            "team": schedule.team,
            "time_zone": schedule.time_zone_name,
            "layers": schedule.layers.iter().map(|layer| &layer.name).collect::<Vec<_>>(),
            "people": schedule.people(),
            "yaml": write::schedule(schedule, 0),
        })
    }

    /// Who is on call on each schedule.
    pub fn who(&self, schedule: &Schedule, at: Timestamp) -> Value {
        let people: Vec<Value> = schedule
            .on_call_at(at, &self.overrides)
            .into_iter()
            .map(|(person, source)| {
                json!({"person": person, "name": self.name(&person), "source": source.to_string()})
            })
            .collect();
        json!({"schedule": schedule.name, "time_zone": schedule.time_zone_name, "on_call": people})
    }

    /// A schedule's shifts.
    pub fn shifts(&self, schedule: &Schedule, from: Timestamp, to: Timestamp) -> Value {
        let shifts = self.shifts_of(schedule, from, to);
        json!(
            shifts
                .iter()
                .map(|shift| self.shift_json(shift))
                .collect::<Vec<_>>()
        )
    }

    /// A schedule's gaps.
    pub fn gaps(&self, schedule: &Schedule, from: Timestamp, to: Timestamp) -> Value {
        let shifts = self.shifts_of(schedule, from, to);
        json!(report::gaps(&schedule.name, &shifts, from, to))
    }

    /// A schedule's load by person.
    pub fn fairness(&self, schedule: &Schedule, from: Timestamp, to: Timestamp) -> Value {
        let shifts = self.shifts_of(schedule, from, to);
        let zone_of = |person: &str| {
            let known = self.oncall.people.get(person)?;
            // A person without a zone lives where the schedule is.
            (known.time_zone != "UTC").then(|| TimeZone::get(&known.time_zone).ok())?
        };
        json!(report::fairness(schedule, &shifts, (from, to), &zone_of))
    }

    /// Shifts of some schedules as a calendar, of one person or of all.
    pub fn calendar(
        &self,
        title: &str,
        schedules: &[&Schedule],
        person: Option<&str>,
        (from, to): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> String {
        let shifts: Vec<(&Schedule, Vec<Shift>)> = schedules
            .iter()
            .map(|schedule| {
                let mut shifts = self.shifts_of(schedule, from, to);
                shifts.retain(|shift| person.is_none_or(|person| shift.person == person));
                (*schedule, shifts)
            })
            .collect();
        let entries = shifts.iter().flat_map(|(schedule, shifts)| {
            shifts.iter().map(|shift| ical::Entry {
                schedule: &schedule.name,
                shift,
                name: self
                    .oncall
                    .people
                    .get(&shift.person)
                    .map_or(shift.person.as_str(), |known| known.name.as_str()),
            })
        });
        ical::feed(title, entries, now)
    }
}
