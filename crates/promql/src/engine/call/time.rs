//! Calendar functions, in UTC.

use bellwether_model::Labels;

use crate::ast::CallExpr;
use crate::engine::eval::{Context, Evaluated, Sink};
use crate::engine::series::{Grid, Series};
use crate::error::QueryError;

/// Year, month and day of a day since 1970 (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The time that Go makes of a number of seconds (on amd64): what does not fit is the smallest integer, and a time before
/// its calendar's first day goes on at the calendar's end.
fn unix_seconds(seconds: f64) -> i128 {
    /// From Go's first day to 1970.
    const GO_EPOCH: i128 = 9_223_372_028_715_321_600;
    // 2^63 is the first float that does not fit.
    let whole = if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&seconds) {
        i128::from(seconds as i64)
    } else {
        i128::from(i64::MIN)
    };
    (whole + GO_EPOCH).rem_euclid(1 << 64) - GO_EPOCH
}

fn part(name: &str, seconds: i128) -> Option<i64> {
    let days = seconds.div_euclid(86_400) as i64;
    let of_day = seconds.rem_euclid(86_400) as i64;
    let (year, month, day) = civil(days);
    Some(match name {
        "minute" => of_day / 60 % 60,
        "hour" => of_day / 3_600,
        "day_of_week" => (days + 4).rem_euclid(7),
        "day_of_month" => day,
        "day_of_year" => (1..month).map(|m| days_in_month(year, m)).sum::<i64>() + day,
        "days_in_month" => days_in_month(year, month),
        "month" => month,
        "year" => year,
        _ => return None,
    })
}

impl Context<'_> {
    /// `hour()`, `year(v)` and the like.
    pub(super) fn date(&self, call: &CallExpr, grid: &Grid, sink: &mut Sink<'_>) -> Evaluated<()> {
        let name = call.function.name;
        if part(name, 0).is_none() {
            return Err(QueryError::execution(format!("unknown function {name:?}")));
        }
        let of = |seconds: f64| part(name, unix_seconds(seconds)).map_or(f64::NAN, |v| v as f64);
        let Some(arg) = call.args.first() else {
            let values = (0..grid.len)
                .map(|step| of((grid.time(step) / 1000) as f64))
                .collect();
            return sink(Series::of_floats(Labels::empty(), values));
        };
        self.map_floats(arg, grid, sink, &mut |_, value| of(value))
    }
}
