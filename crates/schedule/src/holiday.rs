//! Public holidays: named sets of local days.

use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::{Date, DateTime};

/// A set of days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holidays {
    pub name: String,
    pub days: Vec<HolidaySpan>,
}

/// A day, or days in a row; both ends are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolidaySpan {
    /// Of one year.
    Once { first: Date, last: Date },
    /// Month and day, every year.
    Yearly { first: (i8, i8), last: (i8, i8) },
}

// === impl Holidays ===

impl Holidays {
    /// Whether a local day is one.
    pub fn contains(&self, day: Date) -> bool {
        let of_year = (day.month(), day.day());
        self.days.iter().any(|span| match span {
            HolidaySpan::Once { first, last } => *first <= day && day <= *last,
            HolidaySpan::Yearly { first, last } if first <= last => {
                *first <= of_year && of_year <= *last
            }
            HolidaySpan::Yearly { first, last } => *first <= of_year || of_year <= *last,
        })
    }

    /// Holidays of `[from, to]` as local stretches, neighbours joined, in order.
    pub fn stretches(&self, from: Date, to: Date) -> Vec<(DateTime, DateTime)> {
        let mut found: Vec<(DateTime, DateTime)> = Vec::new();
        let mut day = from;
        while day <= to {
            let Ok(next) = day.checked_add(1.day()) else {
                break;
            };
            if self.contains(day) {
                let (start, end) = (day.at(0, 0, 0, 0), next.at(0, 0, 0, 0));
                match found.last_mut() {
                    Some((_, before)) if *before == start => *before = end,
                    _ => found.push((start, end)),
                }
            }
            day = next;
        }
        found
    }
}

fn month_day(text: &str) -> Option<(i8, i8)> {
    let (month, day) = text.split_once('-')?;
    let (month, day) = (month.parse().ok()?, day.parse().ok()?);
    // 2024 has 29 February.
    Date::new(2024, month, day).ok().map(|_| (month, day))
}

impl FromStr for HolidaySpan {
    type Err = String;

    /// `2026-12-25`, `12-25` for every year, `2026-12-24..2026-12-26`, `12-24..12-26`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let (first, last) = (first.trim(), last.trim());
        if let (Ok(first), Ok(last)) = (first.parse(), last.parse()) {
            return if first <= last {
                Ok(Self::Once { first, last })
            } else {
                Err(format!("{text:?} ends before it begins"))
            };
        }
        match (month_day(first), month_day(last)) {
            (Some(first), Some(last)) => Ok(Self::Yearly { first, last }),
            _ => Err(format!("{text:?} is not a day")),
        }
    }
}
