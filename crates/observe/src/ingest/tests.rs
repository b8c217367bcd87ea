use super::*;
use crate::relabel::Action;
use crate::testing::MemorySink;

fn rules() -> Rules {
    Rules {
        target: Labels::new([("job", "j"), ("instance", "i")]),
        honor_labels: false,
        honor_timestamps: true,
        track_timestamps_staleness: false,
        legacy_names: false,
        limits: Limits::default(),
        metric_relabel: Vec::new(),
    }
}

fn ingest(rules: Rules) -> (Arc<MemorySink>, Ingest) {
    let sink = Arc::new(MemorySink::default());
    let shared: Arc<dyn SampleSink> = sink.clone();
    (sink, Ingest::new(shared, Arc::new(rules)))
}

fn store(ingest: &mut Ingest, text: &str, at: i64) -> Result<Counts, String> {
    ingest
        .store(text.as_bytes(), Format::Text, at)
        .map_err(|error| error.to_string())
}

#[test]
fn what_vanishes_or_fails_is_marked_stale_once() {
    let (sink, mut ingest) = ingest(rules());
    assert_eq!(
        store(&mut ingest, "a 1\nb 2\n", 1),
        Ok(Counts {
            scraped: 2,
            post_relabel: 2,
            added: 2
        })
    );
    assert_eq!(
        store(&mut ingest, "a 3\n", 2),
        Ok(Counts {
            scraped: 1,
            post_relabel: 1,
            added: 0
        })
    );
    assert!(
        store(&mut ingest, "a 4\nc 1\nwrong", 3)
            .unwrap_err()
            .starts_with("line 3")
    );
    ingest.fail(4);
    assert_eq!(store(&mut ingest, "a 5\n", 5).unwrap().added, 0);
    ingest.end(6);
    assert_eq!(
        sink.dump(),
        [
            r#"a{instance="i", job="j"} 1@1 3@2 stale@3 5@5 stale@6"#,
            r#"b{instance="i", job="j"} 2@1 stale@2"#
        ]
    );
    let stored = sink.0.lock().unwrap();
    assert_eq!(stored.series.len(), 2, "a body that fails resolves nothing");
}

#[test]
fn a_known_line_is_not_resolved_again_and_forgotten_references_are() {
    let (sink, mut ingest) = ingest(rules());
    for at in 0..10 {
        store(&mut ingest, "a{x=\"1\"} 1\n", at).unwrap();
    }
    assert_eq!(sink.0.lock().unwrap().resolved, 1);
    sink.0.lock().unwrap().forget_below = 2;
    store(&mut ingest, "a{x=\"1\"} 7\n", 10).unwrap();
    assert_eq!(sink.last("a{"), Some(7.0));
}

#[test]
fn label_conflicts_follow_honor_labels() {
    let text = "a{job=\"own\",exported_job=\"x\"} 1\nb{job=\"\"} 1\n";
    for (honor_labels, wanted) in [
        (
            false,
            [
                r#"a{exported_exported_job="own", exported_job="x", instance="i", job="j"} 1@1"#,
                r#"b{instance="i", job="j"} 1@1"#,
            ],
        ),
        (
            true,
            [
                r#"a{exported_job="x", instance="i", job="own"} 1@1"#,
                r#"b{instance="i"} 1@1"#,
            ],
        ),
    ] {
        let (sink, mut ingest) = ingest(Rules {
            honor_labels,
            ..rules()
        });
        store(&mut ingest, text, 1).unwrap();
        assert_eq!(sink.dump(), wanted);
    }
}

#[test]
fn timestamps_of_the_target_are_taken_or_not() {
    let (sink, mut one) = ingest(rules());
    store(&mut one, "a 1 500\n", 1).unwrap();
    store(&mut one, "b 1\n", 2).unwrap();
    assert_eq!(
        sink.dump()[0],
        r#"a{instance="i", job="j"} 1@500"#,
        "own time: no staleness marker"
    );
    let (sink, mut other) = ingest(Rules {
        honor_timestamps: false,
        ..rules()
    });
    store(&mut other, "a 1 500\n", 1).unwrap();
    store(&mut other, "b 1\n", 2).unwrap();
    assert_eq!(sink.dump()[0], r#"a{instance="i", job="j"} 1@1 stale@2"#);
}

#[test]
fn limits_refuse_the_whole_body() {
    let limits = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        Rules { limits, ..rules() }
    };
    for (rules, text, wanted) in [
        (
            limits(|l| l.samples = 2),
            "a 1\nb 1\nc 1\n",
            "sample limit exceeded: more than 2 samples",
        ),
        (
            limits(|l| l.labels = 3),
            "a{x=\"1\"} 1\n",
            "label_limit exceeded (metric: a, number of labels: 4, limit: 3)",
        ),
        (
            limits(|l| l.label_name_length = 8),
            "a{long_name=\"1\"} 1\n",
            "label_name_length_limit exceeded (metric: a, label: long_name, length: 9, limit: 8)",
        ),
        (
            limits(|l| l.label_value_length = 3),
            "a{x=\"1234\"} 1\n",
            "label_value_length_limit exceeded (metric: a, label: x, length: 4, limit: 3)",
        ),
    ] {
        let (sink, mut ingest) = ingest(rules);
        assert_eq!(store(&mut ingest, text, 1), Err(wanted.to_owned()));
        assert!(sink.dump().is_empty());
    }
}

#[test]
fn metric_relabelling_drops_and_new_rules_leave_no_orphan() {
    let mut drop_b = Relabel::new(Action::Drop);
    drop_b.source_labels = vec!["__name__".to_owned()];
    drop_b.regex = bellwether_model::matcher::anchored("b").unwrap();
    let (sink, mut ingest) = ingest(rules());
    store(&mut ingest, "a 1\nb 1\n", 1).unwrap();
    ingest.set_rules(Arc::new(Rules {
        metric_relabel: vec![drop_b],
        ..rules()
    }));
    assert_eq!(
        store(&mut ingest, "a 2\nb 2\n", 2),
        Ok(Counts {
            scraped: 2,
            post_relabel: 1,
            added: 1
        })
    );
    assert_eq!(
        sink.dump(),
        [
            r#"a{instance="i", job="j"} 1@1 2@2"#,
            r#"b{instance="i", job="j"} 1@1 stale@2"#
        ]
    );
}

#[test]
fn metadata_is_kept_and_reports_are_written() {
    let (sink, mut ingest) = ingest(rules());
    store(
        &mut ingest,
        "# TYPE a counter\n# HELP a It\\ncounts.\na 1\n",
        1,
    )
    .unwrap();
    assert_eq!(ingest.metadata()["a"].kind, "counter");
    assert_eq!(ingest.metadata()["a"].help, "It\ncounts.");
    let counts = Counts {
        scraped: 3,
        post_relabel: 2,
        added: 1,
    };
    ingest
        .report(
            &Report {
                up: true,
                duration_seconds: 0.5,
                counts,
                extra: None,
            },
            1,
        )
        .unwrap();
    assert_eq!(
        sink.dump()[1..],
        [
            r#"scrape_duration_seconds{instance="i", job="j"} 0.5@1"#,
            r#"scrape_samples_post_metric_relabeling{instance="i", job="j"} 2@1"#,
            r#"scrape_samples_scraped{instance="i", job="j"} 3@1"#,
            r#"scrape_series_added{instance="i", job="j"} 1@1"#,
            r#"up{instance="i", job="j"} 1@1"#
        ]
    );
}
