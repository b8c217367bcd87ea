use super::*;
use crate::compare::{Comparison, Metric, Pair};
use crate::samples::Unit;

fn files() -> BTreeMap<String, Vec<u8>> {
    let limits = Limits::default();
    let metric = Metric {
        name: "wall time".into(),
        unit: Unit::Seconds,
        better: bellwether_stats::Better::Lower,
        floor: 0.03,
    };
    let mut comparison = Comparison::new(vec![metric], limits);
    for step in 0..12 {
        let noise = f64::from(step % 3) * 0.001;
        comparison.push(Pair {
            base: vec![0.1 + noise],
            candidate: vec![0.12 - noise],
        });
    }
    let report = comparison.report("old", "new");
    let plan = Plan {
        version: 1,
        id: "0001-a-title".into(),
        title: "A title".into(),
        hypothesis: "It is slower.".into(),
        base: "old".into(),
        candidate: "new".into(),
        setup: vec!["--pairs-max=40".into()],
        limits,
        created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
    };
    let mut files = BTreeMap::from([
        (PLAN.to_owned(), encode(&plan)),
        (
            RAW.to_owned(),
            encode(&Raw {
                version: 1,
                limits,
                report: report.clone(),
            }),
        ),
        (RESULT.to_owned(), encode(&report)),
    ]);
    let digests = files
        .iter()
        .map(|(name, bytes)| (name.clone(), digest_of(bytes)))
        .collect();
    files.insert(
        MANIFEST.to_owned(),
        encode(&Manifest {
            version: 1,
            files: digests,
        }),
    );
    files
}

#[test]
fn every_number_is_computed_again() {
    let experiment = Experiment::read(&files()).unwrap();
    assert_eq!(
        (experiment.reproduces(), experiment.state()),
        (Some(true), "run")
    );
    assert_eq!(experiment.verdict(), Some(Verdict::Worse));
    assert!(experiment.faults.is_empty());
    insta::assert_snapshot!(experiment.markdown(), @r#"
    # 0001-a-title: A title

    Planned 2026-01-02 03:04:05 (UTC).

    ## Hypothesis

    It is slower.

    ## Set-up

    - base: `old`
    - candidate: `new`
    - arguments: `--pairs-max=40`
    - at least 10 pairs, at most 40, confidence 0.95

    ## Result

    **✗ worse**: everything was decided after 12 pairs of runs

    base: `old`, candidate: `new`

    | metric | base | candidate | effect (interval) | floor | n | verdict |
    |---|--:|--:|--:|--:|--:|---|
    | wall time | 101 ms | 119 ms | +17.8 % (+15.7 % to +20.0 %) | 3 % | 12 | ✗ worse |

    interleaved runs (A B, B A, ...), each in a fresh process; sequential signed-rank confidence sequence of the log ratio. All claims together hold with 95 % confidence.

    Computed again from the raw data: every number is as it was stored.
    "#);
}

#[test]
fn a_changed_file_is_seen() {
    let mut changed = files();
    let raw = String::from_utf8(changed[RAW].clone())
        .unwrap()
        .replacen("0.12", "0.09", 1);
    changed.insert(RAW.to_owned(), raw.into_bytes());
    let experiment = Experiment::read(&changed).unwrap();
    assert_eq!(
        experiment.faults,
        ["raw.json was changed after it was written"]
    );
    assert_eq!(experiment.reproduces(), Some(false));
    let mut missing = files();
    missing.remove(RESULT);
    assert_eq!(
        Experiment::read(&missing).unwrap().faults,
        ["result.json is missing"]
    );
    let mut broken = files();
    broken.insert(PLAN.to_owned(), b"{".to_vec());
    assert!(
        Experiment::read(&broken)
            .unwrap_err()
            .to_string()
            .starts_with("plan.json:1:1: ")
    );
}

#[test]
fn titles_become_folder_names() {
    assert_eq!(slug("Batch inserts: 10x?"), "batch-inserts-10x");
    assert_eq!(slug("../../etc"), "etc");
    assert_eq!(slug("⚡"), "experiment");
}
