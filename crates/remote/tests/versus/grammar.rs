//! Random queries that both versions understand.

/// A small generator of numbers (splitmix64): the same seed gives the same query everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    state: u64,
    /// Inside a subquery: another one there would have samples on the bounds of its windows.
    subquery: bool,
}

impl Choice {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            subquery: false,
        }
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    fn of<'a>(&mut self, options: &[&'a str]) -> &'a str {
        options[self.below(options.len() as u64) as usize]
    }
}

const METRICS: &[&str] = &[
    "requests_total",
    "errors_total",
    "temperature",
    "queue",
    "level",
    "up",
    "latency_seconds_bucket",
    "latency_seconds_count",
    "absent_metric",
];
const COUNTERS: &[&str] = &[
    "requests_total",
    "errors_total",
    "latency_seconds_bucket",
    "latency_seconds_count",
];
const MATCHERS: &[&str] = &[
    "",
    "",
    "",
    "{job=\"api\"}",
    "{job!=\"api\"}",
    "{job=~\"api|db\"}",
    "{job!~\"a.*\"}",
    "{zone=\"\"}",
    "{zone!=\"\"}",
    "{instance=~\".:1\",zone=~\"x|y\"}",
    "{job=~\".+\",job!=\"web\"}",
    "{nothing=\"here\"}",
];
const RANGES: &[&str] = &["1m", "90s", "5m", "7m", "20m", "1h", "2h30m", "35s"];
const LABELS: &[&str] = &["job", "instance", "zone", "code", "le", "lane", "nothing"];

fn modifiers(c: &mut Choice) -> String {
    match c.below(14) {
        0 => " offset 5m".to_owned(),
        1 => " offset 1h".to_owned(),
        2 => " offset -3m".to_owned(),
        3 => " @ start()".to_owned(),
        4 => " @ end()".to_owned(),
        5 => format!(" @ {}.5", 1_700_002_000 + c.below(10_000)),
        6 => " offset 2m @ end()".to_owned(),
        _ => String::new(),
    }
}

fn selector(c: &mut Choice, metrics: &[&str]) -> String {
    let metric = c.of(metrics);
    format!("{metric}{}", c.of(MATCHERS))
}

fn instant(c: &mut Choice) -> String {
    let selector = selector(c, METRICS);
    format!("{selector}{}", modifiers(c))
}

fn ranged(c: &mut Choice, metrics: &[&str], depth: u64) -> String {
    if depth > 0 && !c.subquery && c.below(4) == 0 {
        c.subquery = true;
        let inner = vector(c, depth - 1);
        c.subquery = false;
        let step = c.of(&["", "30s", "1m", "17s", "2m"]);
        let range = c.of(&["5m", "7m", "20m"]);
        return format!("({inner})[{range}:{step}]{}", modifiers(c));
    }
    let selector = selector(c, metrics);
    let range = c.of(RANGES);
    format!("{selector}[{range}]{}", modifiers(c))
}

fn scalar(c: &mut Choice, depth: u64) -> String {
    match c.below(9) {
        0 => "time()".to_owned(),
        1 if depth > 0 => format!("scalar({})", vector(c, depth - 1)),
        2 => "pi()".to_owned(),
        3 => format!("{}", c.below(100)),
        4 => format!("-{}.5", c.below(10)),
        5 if depth > 0 => format!(
            "({} {} {})",
            scalar(c, depth - 1),
            c.of(&["+", "*", "/", "-", "%", "^"]),
            c.below(7)
        ),
        6 => c
            .of(&["0", "NaN", "Inf", "-Inf", "1e20", "-1e10"])
            .to_owned(),
        7 => "1e3".to_owned(),
        _ => format!("{}", c.below(1_000)),
    }
}

fn grouping(c: &mut Choice) -> String {
    let mut labels = Vec::new();
    for _ in 0..c.below(3) {
        labels.push(c.of(LABELS));
    }
    let list = labels.join(", ");
    match c.below(3) {
        0 => String::new(),
        1 => format!(" by ({list})"),
        _ => format!(" without ({list})"),
    }
}

fn over_time(c: &mut Choice, depth: u64) -> String {
    match c.below(4) {
        0 => {
            let function = c.of(&["rate", "increase", "irate"]);
            format!("{function}({})", ranged(c, COUNTERS, 0))
        }
        1 => match c.below(3) {
            0 => format!(
                "quantile_over_time({}, {})",
                c.of(&["0.5", "0.9", "0", "1", "0.25"]),
                ranged(c, METRICS, depth)
            ),
            1 => format!(
                // 2.x moves a window that `@` pins.
                "predict_linear({}[{}] offset {}m, {})",
                selector(c, &["queue", "level", "up"]),
                c.of(RANGES),
                1 + c.below(9),
                c.of(&["60", "3600", "-10"])
            ),
            _ => format!("deriv({})", ranged(c, &["queue", "level", "up"], 0)),
        },
        _ => {
            let function = c.of(&[
                "delta",
                "idelta",
                "avg_over_time",
                "min_over_time",
                "max_over_time",
                "sum_over_time",
                "count_over_time",
                "last_over_time",
                "present_over_time",
                "stddev_over_time",
                "stdvar_over_time",
                "changes",
                "resets",
                "absent_over_time",
            ]);
            format!("{function}({})", ranged(c, METRICS, depth))
        }
    }
}

fn binary(c: &mut Choice, depth: u64) -> String {
    let op = c.of(&[
        "+", "-", "*", "/", "%", "==", "!=", ">", "<", ">=", "<=", "> bool", "< bool", "== bool",
    ]);
    match c.below(5) {
        0 => format!("({}) {op} {}", vector(c, depth - 1), scalar(c, depth - 1)),
        1 => format!("{} {op} ({})", scalar(c, depth - 1), vector(c, depth - 1)),
        2 => {
            let set = c.of(&["and", "or", "unless"]);
            let matching = c.of(&[
                "",
                "",
                " on (job)",
                " ignoring (code)",
                " on ()",
                " on (job, instance)",
            ]);
            format!(
                "({}) {set}{matching} ({})",
                vector(c, depth - 1),
                vector(c, depth - 1)
            )
        }
        3 => {
            let (left, right) = (vector(c, depth - 1), vector(c, depth - 1));
            let matching = c.of(&[
                "",
                " on (job, instance)",
                " ignoring (code, le, lane)",
                " on (instance)",
            ]);
            format!("({left}) {op}{matching} ({right})")
        }
        _ => {
            let many = c.of(&[
                "requests_total",
                "rate(requests_total[5m])",
                "latency_seconds_bucket",
                "queue",
            ]);
            let one = c.of(&[
                "up",
                "level",
                "sum by (instance, job) (queue)",
                "errors_total",
            ]);
            match c.below(3) {
                0 => format!("{many} {op} on (instance, job) group_left {one}"),
                1 => format!("{many} {op} on (instance, job) group_left (zone) {one}"),
                _ => format!("{one} {op} on (instance, job) group_right () {many}"),
            }
        }
    }
}

fn function(c: &mut Choice, depth: u64) -> String {
    let inner = vector(c, depth - 1);
    match c.below(12) {
        0 => format!("clamp({inner}, {}, {})", scalar(c, 0), scalar(c, 0)),
        1 => format!("clamp_{}({inner}, {})", c.of(&["min", "max"]), scalar(c, 0)),
        2 => format!("round({inner}{})", c.of(&["", ", 0.5", ", 10"])),
        3 => format!(
            "label_replace({inner}, \"{}\", \"{}\", \"{}\", \"{}\")",
            c.of(&["zone", "new", "job"]),
            c.of(&["$1", "x-$1-y", "", "${1}"]),
            c.of(&["instance", "job", "nothing"]),
            c.of(&["(.*):.*", "(.*)", "a.*", ""])
        ),
        4 => format!(
            "label_join({inner}, \"{}\", \"-\", \"job\", \"{}\")",
            c.of(&["both", "zone"]),
            c.of(&["instance", "code", "none"])
        ),
        5 => format!("absent({inner})"),
        6 => format!("timestamp({inner})"),
        7 => format!(
            "{}(vector({}))",
            c.of(&[
                "hour",
                "minute",
                "month",
                "year",
                "day_of_week",
                "day_of_month",
                "day_of_year",
                "days_in_month"
            ]),
            scalar(c, 1)
        ),
        8 => format!("sort{}({inner})", c.of(&["", "_desc"])),
        9 => format!("-({inner})"),
        _ => format!(
            "{}({inner})",
            c.of(&[
                "abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "sin", "cos",
                "tan", "atan", "asinh", "deg", "rad", "tanh"
            ])
        ),
    }
}

fn aggregate(c: &mut Choice, depth: u64) -> String {
    let inner = vector(c, depth - 1);
    let grouping = grouping(c);
    match c.below(6) {
        0 => format!(
            "quantile{grouping} ({}, {inner})",
            c.of(&["0.5", "0", "1", "0.9", "-1", "2"])
        ),
        1 => format!(
            // All digits of a value become a label, so it must be exact in both.
            "count_values{grouping} (\"{}\", {})",
            c.of(&["value", "job"]),
            instant(c)
        ),
        // Ties are not defined, so the values must differ from series to series.
        2 => format!(
            "{}{grouping} ({}, {})",
            c.of(&["topk", "bottomk"]),
            c.below(4),
            c.of(&[
                "requests_total",
                "latency_seconds_count",
                "errors_total + queue / 1024",
                "rate(requests_total[7m])"
            ])
        ),
        _ => format!(
            "{}{grouping} ({inner})",
            c.of(&[
                "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"
            ])
        ),
    }
}

fn quantile(c: &mut Choice) -> String {
    let q = c.of(&["0.5", "0.9", "0.99", "0", "1", "-1", "1.5", "0.1"]);
    match c.below(4) {
        0 => format!(
            "histogram_quantile({q}, latency_seconds_bucket{})",
            c.of(MATCHERS)
        ),
        1 => format!(
            "histogram_quantile({q}, sum by (le, {}) (rate(latency_seconds_bucket[{}])))",
            c.of(LABELS),
            c.of(RANGES)
        ),
        2 => format!(
            "histogram_quantile({q}, rate(latency_seconds_bucket{}[{}]))",
            c.of(MATCHERS),
            c.of(RANGES)
        ),
        _ => format!(
            "histogram_quantile({q}, sum without (instance) (increase(latency_seconds_bucket[{}])))",
            c.of(RANGES)
        ),
    }
}

fn vector(c: &mut Choice, depth: u64) -> String {
    if depth == 0 {
        return match c.below(5) {
            0 | 1 => instant(c),
            2 => format!("vector({})", scalar(c, 0)),
            _ => over_time(c, 0),
        };
    }
    match c.below(9) {
        0 => instant(c),
        1 => quantile(c),
        2 | 3 => over_time(c, depth),
        4 | 5 => binary(c, depth),
        6 => function(c, depth),
        _ => aggregate(c, depth),
    }
}

/// A query.
pub(crate) fn query(c: &mut Choice) -> String {
    if c.below(30) == 0 {
        return scalar(c, 2);
    }
    let depth = c.below(4);
    vector(c, depth)
}
