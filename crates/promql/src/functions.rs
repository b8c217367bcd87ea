//! The functions of PromQL: names, signatures, one line of help each.

use crate::ast::ValueType;

/// A function.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: &'static str,
    /// Types of the arguments.
    pub args: &'static [ValueType],
    /// 0: exactly `args`; n > 0: the last is optional and up to n may be given; -1: the last may repeat.
    pub variadic: i32,
    pub returns: ValueType,
    pub experimental: bool,
    pub help: &'static str,
}

const V: ValueType = ValueType::Vector;
const M: ValueType = ValueType::Matrix;
const S: ValueType = ValueType::Scalar;
const T: ValueType = ValueType::String;

const fn function(
    name: &'static str,
    args: &'static [ValueType],
    variadic: i32,
    returns: ValueType,
    experimental: bool,
    help: &'static str,
) -> Function {
    Function {
        name,
        args,
        variadic,
        returns,
        experimental,
        help,
    }
}

/// All functions, sorted by name.
#[rustfmt::skip]
pub static FUNCTIONS: &[Function] = &[
    function("abs", &[V], 0, V, false, "absolute value"),
    function("absent", &[V], 0, V, false, "1 when the vector has no elements"),
    function("absent_over_time", &[M], 0, V, false, "1 when the range has no samples"),
    function("acos", &[V], 0, V, false, "arccosine, in radians"),
    function("acosh", &[V], 0, V, false, "inverse hyperbolic cosine"),
    function("asin", &[V], 0, V, false, "arcsine, in radians"),
    function("asinh", &[V], 0, V, false, "inverse hyperbolic sine"),
    function("atan", &[V], 0, V, false, "arctangent, in radians"),
    function("atanh", &[V], 0, V, false, "inverse hyperbolic tangent"),
    function("avg_over_time", &[M], 0, V, false, "average of the samples in the range"),
    function("ceil", &[V], 0, V, false, "round up to an integer"),
    function("changes", &[M], 0, V, false, "how often the value changed in the range"),
    function("clamp", &[V, S, S], 0, V, false, "limit values to a minimum and a maximum"),
    function("clamp_max", &[V, S], 0, V, false, "limit values to a maximum"),
    function("clamp_min", &[V, S], 0, V, false, "limit values to a minimum"),
    function("cos", &[V], 0, V, false, "cosine of radians"),
    function("cosh", &[V], 0, V, false, "hyperbolic cosine"),
    function("count_over_time", &[M], 0, V, false, "number of samples in the range"),
    function("day_of_month", &[V], 1, V, false, "day of the month in UTC, 1 to 31"),
    function("day_of_week", &[V], 1, V, false, "day of the week in UTC, 0 is Sunday"),
    function("day_of_year", &[V], 1, V, false, "day of the year in UTC, 1 to 366"),
    function("days_in_month", &[V], 1, V, false, "number of days in the month in UTC"),
    function("deg", &[V], 0, V, false, "radians to degrees"),
    function("delta", &[M], 0, V, false, "difference between the ends of the range, extrapolated; for gauges"),
    function("deriv", &[M], 0, V, false, "per-second slope by linear regression; for gauges"),
    function("double_exponential_smoothing", &[M, S, S], 0, V, true, "smoothed value with trend"),
    function("end", &[], 0, S, true, "end of the query, in seconds"),
    function("exp", &[V], 0, V, false, "e to the power of the value"),
    function("first_over_time", &[M], 0, V, true, "oldest sample in the range"),
    function("floor", &[V], 0, V, false, "round down to an integer"),
    function("histogram_avg", &[V], 0, V, false, "average observation of native histograms"),
    function("histogram_count", &[V], 0, V, false, "number of observations of native histograms"),
    function("histogram_fraction", &[S, S, V], 0, V, false, "share of observations between two values"),
    function("histogram_quantile", &[S, V], 0, V, false, "φ-quantile of classic or native histograms"),
    function("histogram_quantiles", &[V, T, S, S], 9, V, true, "several quantiles at once, as a label"),
    function("histogram_stddev", &[V], 0, V, false, "estimated standard deviation of native histograms"),
    function("histogram_stdvar", &[V], 0, V, false, "estimated variance of native histograms"),
    function("histogram_sum", &[V], 0, V, false, "sum of observations of native histograms"),
    function("hour", &[V], 1, V, false, "hour of the day in UTC, 0 to 23"),
    function("idelta", &[M], 0, V, false, "difference between the last two samples; for gauges"),
    function("increase", &[M], 0, V, false, "increase over the range, extrapolated, resets handled; for counters"),
    function("info", &[V, V], 1, V, true, "add labels of info metrics"),
    function("irate", &[M], 0, V, false, "per-second rate of the last two samples; for counters"),
    function("label_join", &[V, T, T, T], -1, V, false, "join label values into a label"),
    function("label_replace", &[V, T, T, T, T], 0, V, false, "set a label from a pattern on another"),
    function("last_over_time", &[M], 0, V, false, "newest sample in the range"),
    function("ln", &[V], 0, V, false, "natural logarithm"),
    function("log10", &[V], 0, V, false, "decimal logarithm"),
    function("log2", &[V], 0, V, false, "binary logarithm"),
    function("mad_over_time", &[M], 0, V, true, "median absolute deviation in the range"),
    function("max_of", &[S, S], 0, S, true, "larger of two scalars"),
    function("max_over_time", &[M], 0, V, false, "largest value in the range"),
    function("min_of", &[S, S], 0, S, true, "smaller of two scalars"),
    function("min_over_time", &[M], 0, V, false, "smallest value in the range"),
    function("minute", &[V], 1, V, false, "minute of the hour in UTC, 0 to 59"),
    function("month", &[V], 1, V, false, "month in UTC, 1 to 12"),
    function("pi", &[], 0, S, false, "the number pi"),
    function("predict_linear", &[M, S], 0, V, false, "value so many seconds from now by linear regression; for gauges"),
    function("present_over_time", &[M], 0, V, false, "1 for every series with a sample in the range"),
    function("quantile_over_time", &[S, M], 0, V, false, "φ-quantile of the values in the range"),
    function("rad", &[V], 0, V, false, "degrees to radians"),
    function("range", &[], 0, S, true, "end minus start of the query, in seconds"),
    function("rate", &[M], 0, V, false, "per-second rate over the range, extrapolated, resets handled; for counters"),
    function("resets", &[M], 0, V, false, "how often a counter was reset in the range"),
    function("round", &[V, S], 1, V, false, "round to the nearest multiple, 1 unless given"),
    function("scalar", &[V], 0, S, false, "the only float of a vector, else NaN"),
    function("sgn", &[V], 0, V, false, "sign: -1, 0 or 1"),
    function("sin", &[V], 0, V, false, "sine of radians"),
    function("sinh", &[V], 0, V, false, "hyperbolic sine"),
    function("sort", &[V], 0, V, false, "sort by value, ascending (instant queries)"),
    function("sort_by_label", &[V, T], -1, V, true, "sort by label values, natural order (instant queries)"),
    function("sort_by_label_desc", &[V, T], -1, V, true, "sort by label values, descending (instant queries)"),
    function("sort_desc", &[V], 0, V, false, "sort by value, descending (instant queries)"),
    function("sqrt", &[V], 0, V, false, "square root"),
    function("start", &[], 0, S, true, "start of the query, in seconds"),
    function("stddev_over_time", &[M], 0, V, false, "population standard deviation in the range"),
    function("stdvar_over_time", &[M], 0, V, false, "population variance in the range"),
    function("step", &[], 0, S, true, "step of the query, in seconds"),
    function("sum_over_time", &[M], 0, V, false, "sum of the samples in the range"),
    function("tan", &[V], 0, V, false, "tangent of radians"),
    function("tanh", &[V], 0, V, false, "hyperbolic tangent"),
    function("time", &[], 0, S, false, "evaluation time, in seconds since 1970"),
    function("timestamp", &[V], 0, V, false, "time of each sample, in seconds since 1970"),
    function("ts_of_first_over_time", &[M], 0, V, true, "time of the oldest sample in the range"),
    function("ts_of_last_over_time", &[M], 0, V, true, "time of the newest sample in the range"),
    function("ts_of_max_over_time", &[M], 0, V, true, "time of the last sample with the largest value"),
    function("ts_of_min_over_time", &[M], 0, V, true, "time of the last sample with the smallest value"),
    function("vector", &[S], 0, V, false, "a scalar as a vector without labels"),
    function("year", &[V], 1, V, false, "year in UTC"),
];

/// The function of this name.
pub fn lookup(name: &str) -> Option<&'static Function> {
    FUNCTIONS
        .binary_search_by(|f| f.name.cmp(name))
        .ok()
        .map(|index| &FUNCTIONS[index])
}

// === impl Function ===

impl Function {
    /// `rate(range vector) instant vector`, for completion and help.
    pub fn signature(&self) -> String {
        let mut args: Vec<String> = self
            .args
            .iter()
            .map(|a| a.documented().to_owned())
            .collect();
        if self.variadic != 0
            && let Some(last) = args.last_mut()
        {
            *last = if self.variadic == 1 {
                format!("[{last}]")
            } else {
                format!("{last}...")
            };
        }
        format!(
            "{}({}) {}",
            self.name,
            args.join(", "),
            self.returns.documented()
        )
    }
}
