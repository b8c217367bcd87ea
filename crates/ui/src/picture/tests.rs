use super::*;

#[test]
fn a_heat_map_adds_up_long_runs() {
    let map = HeatMap {
        title: "a <b>".to_owned(),
        columns: (0..3600)
            .map(|second| HeatColumn {
                at_s: f64::from(second),
                length_s: 1.0,
                cells: vec![(20, 10), (40, 1)],
                p50_ms: 0.03,
                p99_ms: 1.0,
            })
            .collect(),
        warmup_s: 60.0,
    };
    let svg = map.draw(true).into_string();
    assert_eq!(svg.matches("class=\"cell\"").count(), 600);
    assert!(svg.contains("a &lt;b&gt;") && !svg.contains("<b>"));
    assert!(svg.len() < 200_000, "{}", svg.len());
    // Nothing at all is a picture too.
    assert!(
        HeatMap::default()
            .draw(false)
            .into_string()
            .contains("</svg>")
    );
}

#[test]
fn a_knee_has_its_curve_and_points() {
    let picture = KneePicture {
        title: "t".to_owned(),
        ladder: vec![(1.0, 100.0), (2.0, 190.0), (4.0, 330.0)],
        law: Some(Curve {
            lambda: 100.0,
            alpha: 0.05,
            beta: 0.01,
            peak: Some([380.0, 420.0]),
        }),
        rates: vec![
            KneePoint {
                rate: 40.0,
                p99_ms: 5.0,
                good: true,
            },
            KneePoint {
                rate: 400.0,
                p99_ms: 900.0,
                good: false,
            },
        ],
        objective_ms: 25.0,
        knee: Some(300.0),
    };
    let svg = picture.draw(true).into_string();
    assert_eq!(svg.matches("<circle").count(), 5);
    assert!(svg.contains("knee 300/s") && !svg.contains("NaN"));
    assert!(
        !KneePicture::default()
            .draw(false)
            .into_string()
            .contains("NaN")
    );
}

#[test]
fn a_flame_graph_leaves_out_what_cannot_be_seen() {
    let leaf = |name: &str, value| FlameNode {
        name: name.to_owned(),
        value,
        ..FlameNode::default()
    };
    let flame = Flame {
        title: "x".to_owned(),
        note: String::new(),
        unit: "samples".to_owned(),
        root: FlameNode {
            children: vec![leaf("main<T>", 9_999), leaf("tiny", 1)],
            ..leaf("all", 10_000)
        },
    };
    let svg = flame.draw(true).into_string();
    assert!(svg.contains("main&lt;T&gt; (9999 samples, 100.0 %)"));
    assert!(!svg.contains("tiny"));
}
