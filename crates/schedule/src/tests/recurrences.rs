//! Examples of RFC 5545, section 3.8.5.3, and the parser against strangers' text.

use jiff::civil::DateTime;
use proptest::prelude::*;

use crate::recur::Recurrence;

fn first(rule: &str, start: &str, n: usize) -> Vec<String> {
    let rule: Recurrence = rule.parse().unwrap();
    let start: DateTime = start.parse().unwrap();
    let zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
    rule.from(start)
        .take_while(|one| !rule.has_ended(one.at, &zone))
        .take(n)
        .map(|one| one.at.strftime("%y%m%d %H").to_string())
        .collect()
}

#[test]
fn examples_of_the_standard() {
    let start = "1997-09-02T09:00";
    for (rule, expected) in [
        ("FREQ=DAILY;COUNT=3", "970902 09, 970903 09, 970904 09"),
        (
            "FREQ=DAILY;INTERVAL=10;COUNT=3",
            "970902 09, 970912 09, 970922 09",
        ),
        ("FREQ=DAILY;UNTIL=19970904T000000Z", "970902 09, 970903 09"),
        (
            "FREQ=WEEKLY;INTERVAL=2;COUNT=4;WKST=SU;BYDAY=TU,TH",
            "970902 09, 970904 09, 970916 09, 970918 09",
        ),
        (
            "FREQ=MONTHLY;COUNT=3;BYDAY=1FR",
            "970905 09, 971003 09, 971107 09",
        ),
        (
            "FREQ=MONTHLY;INTERVAL=2;COUNT=4;BYDAY=1SU,-1SU",
            "970907 09, 970928 09, 971102 09, 971130 09",
        ),
        (
            "FREQ=MONTHLY;COUNT=3;BYDAY=-2MO",
            "970922 09, 971020 09, 971117 09",
        ),
        (
            "FREQ=MONTHLY;BYMONTHDAY=-3;COUNT=3",
            "970928 09, 971029 09, 971128 09",
        ),
        (
            "FREQ=MONTHLY;COUNT=4;BYMONTHDAY=1,-1",
            "970930 09, 971001 09, 971031 09, 971101 09",
        ),
        (
            "FREQ=MONTHLY;INTERVAL=18;COUNT=3;BYMONTHDAY=10,11",
            "970910 09, 970911 09, 990310 09",
        ),
        (
            "FREQ=YEARLY;COUNT=3;BYMONTH=6,7",
            "980602 09, 980702 09, 990602 09",
        ),
        (
            "FREQ=YEARLY;INTERVAL=3;COUNT=4;BYYEARDAY=1,100,200",
            "000101 09, 000409 09, 000718 09, 030101 09",
        ),
        (
            "FREQ=YEARLY;BYDAY=20MO;COUNT=3",
            "980518 09, 990517 09, 000515 09",
        ),
        (
            "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO;COUNT=3",
            "980511 09, 990517 09, 000515 09",
        ),
        (
            "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13;COUNT=3",
            "980213 09, 980313 09, 981113 09",
        ),
        (
            "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8;COUNT=2",
            "971104 09, 011106 09",
        ),
        (
            "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3",
            "970904 09, 971007 09, 971106 09",
        ),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2;COUNT=3",
            "970929 09, 971030 09, 971127 09",
        ),
        (
            "FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z",
            "970902 09, 970902 12, 970902 15",
        ),
        (
            "FREQ=DAILY;BYHOUR=9,16;COUNT=3",
            "970902 09, 970902 16, 970903 09",
        ),
    ] {
        let found = first(rule, start, 20).join(", ");
        assert_eq!(found, expected, "{rule}");
    }
    // 31 March's months: those without a 31st have none.
    let found = first("FREQ=MONTHLY;COUNT=3", "2026-01-31T09:00", 5).join(", ");
    assert_eq!(found, "260131 09, 260331 09, 260531 09");
    assert_eq!(
        first("FREQ=YEARLY;COUNT=2", "2024-02-29T09:00", 5).join(", "),
        "240229 09, 280229 09"
    );
    // WKST makes a difference (the standard's own pair).
    let sunday = first(
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
        "1997-08-05T09:00",
        9,
    );
    let monday = first(
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
        "1997-08-05T09:00",
        9,
    );
    assert_eq!(
        sunday.join(", "),
        "970805 09, 970817 09, 970819 09, 970831 09"
    );
    assert_eq!(
        monday.join(", "),
        "970805 09, 970810 09, 970819 09, 970824 09"
    );
}

#[test]
fn a_rule_that_never_comes_ends() {
    assert!(first("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "2026-01-01T00:00", 3).is_empty());
    assert!(first("FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30", "2026-01-01T00:00", 3).is_empty());
}

#[test]
fn what_is_no_rule_is_refused() {
    for (text, part) in [
        ("", "FREQ is missing"),
        ("FREQ=SECONDLY", "finer than an hour"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20260101", "exclude each other"),
        ("FREQ=WEEKLY;BYDAY=2MO", "belongs to months"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0"),
        ("FREQ=DAILY;BYMONTH=13", "BYMONTH"),
        ("FREQ=DAILY;FREQ=DAILY", "twice"),
        ("FREQ=WEEKLY;BYDAY=XX", "not a weekday"),
        ("FREQ=WEEKLY;BYDAY=ä", "not a weekday"),
        ("BYFISH=1;FREQ=DAILY", "not a part"),
    ] {
        let error = text.parse::<Recurrence>().unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(FREQ=(DAILY|WEEKLY|YEARLY);)?[A-Z=;,0-9+-]{0,40}") {
        if let Ok(rule) = text.parse::<Recurrence>() {
            // What is printed is the same rule, and its occurrences rise.
            prop_assert_eq!(&rule.to_string().parse::<Recurrence>().unwrap(), &rule);
            let start = DateTime::constant(2026, 1, 1, 0, 0, 0, 0);
            let found: Vec<DateTime> = rule.from(start).take(20).map(|one| one.at).collect();
            prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(found.iter().all(|at| *at >= start));
        }
    }

    /// Skipping to a time loses nothing after it.
    #[test]
    fn skipping_loses_nothing(
        frequency in prop::sample::select(vec!["HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"]),
        interval in 1_u32..9,
        days in "(;BYDAY=(MO|TU,SA|SU))?",
        ahead in 0_i64..4000,
    ) {
        let rule: Recurrence = format!("FREQ={frequency};INTERVAL={interval}{days}").parse().unwrap();
        let start = DateTime::constant(2020, 1, 15, 9, 30, 0, 0);
        let to = start.checked_add(jiff::ToSpan::days(ahead)).unwrap();
        let skipped: Vec<_> = rule.skipping_to(start, to).filter(|one| one.at >= to).take(5).collect();
        let all: Vec<_> = rule.from(start).filter(|one| one.at >= to).take(5).collect();
        prop_assert_eq!(skipped, all);
    }
}
