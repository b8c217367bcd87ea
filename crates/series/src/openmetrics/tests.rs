use bellwether_model::Labels;
use bellwether_model::series::{MemorySeries, Value, stale_nan};

use super::*;

#[test]
fn metrics_stay_together_and_values_read_back() {
    let mut source = MemorySeries::default();
    let mut push = |labels: &[(&str, &str)], time, value| {
        source.push(
            &Labels::new(labels.iter().copied()),
            time,
            Value::Float(value),
        );
    };
    push(&[("__name__", "a"), ("Zone", "x\"\\\ny")], 1500, 1.0);
    push(&[("__name__", "b")], 1, f64::NEG_INFINITY);
    push(&[("__name__", "a"), ("job", "ü")], 2000, 1e300);
    push(&[("__name__", "a"), ("job", "ü")], 3000, stale_nan());
    push(&[("__name__", "a"), ("job", "ü")], 4000, 0.1 + 0.2);
    let mut out = Vec::new();
    let selection = Selection {
        matchers: Vec::new(),
        min: i64::MIN,
        max: i64::MAX,
    };
    let report = write_openmetrics(&source, &selection, &mut out).unwrap();
    let expected = "\
# TYPE a unknown
a{Zone=\"x\\\"\\\\\\ny\"} 1.0 1.500
a{job=\"ü\"} 1e300 2.000
a{job=\"ü\"} 0.30000000000000004 4.000
# TYPE b unknown
b -Inf 0.001
# EOF
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    assert_eq!(
        report,
        ExportReport {
            series: 3,
            samples: 4,
            skipped: 1
        }
    );
}
