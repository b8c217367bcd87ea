use super::*;

#[test]
fn a_script_passes_and_fails_where_it_should() {
    let report = run_script(
        "example",
        "load 1m\n  a{x=\"1\"} 1+1x10\n  h {{schema:0 count:3 sum:5 buckets:[1 2]}}x5\n\n\
         eval instant at 5m a\n  a{x=\"1\"} 6\n\n\
         eval instant at 5m a\n  a{x=\"1\"} 7\n\n\
         eval range from 0 to 2m step 1m a * 2\n  {x=\"1\"} 2 4 6\n\n\
         eval instant at 5m h\n  h {{schema:0 count:3 sum:5 buckets:[1 2]}}\n\n\
         eval instant at 1m rate(a[0s])\n  expect fail msg: 1:8: parse error: duration must be greater than 0\n\n\
         eval instant at 5m increase(a[5m])\n  expect info msg: PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"a\"\n  {x=\"1\"} 5\n",
    );
    assert_eq!(report.passed, 5, "{:#?}", report.failed);
    assert_eq!(report.failed.len(), 1);
    assert_eq!(
        (report.failed[0].line, report.failed[0].got.as_str()),
        (8, "a{x=\"1\"} 6")
    );
}

#[test]
fn the_smaller_and_the_larger_of_two() {
    let report = run_script(
        "min_of",
        "load 10s\n  metric 0+1x100\n\n\
         eval instant at 1000s sum_over_time(metric[min_of(30s, 1m)])\n  {} 297\n\n\
         eval range from 50s to 60s step 5s count_over_time(metric[max_of(step(), 10s)])\n  {} 1 1 1\n\n\
         eval instant at 10s max_of(3, min_of(NaN, 2))\n  NaN\n\n\
         eval instant at 10s max_of(Inf, NaN)\n  +Inf\n\n\
         eval instant at 20s metric offset min_of(10s, 20s)\n  metric 1\n",
    );
    assert_eq!(
        (report.passed, report.failed.len()),
        (5, 0),
        "{:#?}",
        report.failed
    );
}
