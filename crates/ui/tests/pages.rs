//! Every page from the gallery's fixtures: safe, complete, small, and the same each time.

#[path = "../examples/gallery/fixtures.rs"]
mod fixtures;

use bellwether_ui::*;

const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>";

/// Tags of a page in order: name, whether it closes, attributes as text.
fn tags(html: &str) -> Vec<(String, bool, String)> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        // Attribute values are quoted; a `>` inside quotes does not end the tag.
        let (mut quoted, mut end) = (false, rest.len());
        for (index, letter) in rest[start..].char_indices() {
            match letter {
                '"' => quoted = !quoted,
                '>' if !quoted => {
                    end = start + index;
                    break;
                }
                _ => {}
            }
        }
        let tag = &rest[start + 1..end];
        let closes = tag.starts_with('/');
        let tag = tag.trim_start_matches('/');
        let name: String = tag
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        found.push((name.to_ascii_lowercase(), closes, tag.to_owned()));
        rest = &rest[(end + 1).min(rest.len())..];
    }
    found
}

#[test]
fn pages_are_complete_and_allow_a_strict_policy() {
    for (name, html) in fixtures::all() {
        assert!(html.starts_with("<!DOCTYPE html>"), "{name}");
        let tags = tags(&html);
        let count = |tag: &str| {
            tags.iter()
                .filter(|(name, closes, _)| name == tag && !closes)
                .count()
        };
        assert_eq!(count("main"), 1, "{name}: one main");
        assert_eq!(count("h1"), 1, "{name}: one h1");
        assert_eq!(count("style"), 0, "{name}: no inline style");
        assert_eq!(count("script"), 1, "{name}: one script");
        for (tag, _, text) in &tags {
            assert!(!text.contains(" style="), "{name}: {text}");
            assert!(
                !text.contains(" on") || !text.contains("=\"alert"),
                "{name}: {text}"
            );
            if ["script", "img", "link", "use", "iframe"].contains(&tag.as_str())
                && text.contains('=')
            {
                assert!(
                    !text.contains("://") && !text.contains("\"//"),
                    "{name}: loads from elsewhere: {text}"
                );
            }
        }
    }
}

#[test]
fn tags_are_balanced_and_paragraphs_hold_no_blocks() {
    const VOID: [&str; 7] = ["meta", "link", "input", "br", "hr", "img", "doctype"];
    const BLOCKS: [&str; 14] = [
        "div", "p", "ul", "ol", "form", "section", "table", "details", "dl", "pre", "h1", "h2",
        "h3", "figure",
    ];
    for (name, html) in fixtures::all() {
        let mut open: Vec<String> = Vec::new();
        for (tag, closes, text) in tags(&html) {
            if tag.is_empty() || VOID.contains(&tag.as_str()) || text.ends_with('/') {
                continue;
            }
            if closes {
                assert_eq!(
                    open.pop().as_deref(),
                    Some(tag.as_str()),
                    "{name}: at {text}"
                );
                continue;
            }
            if BLOCKS.contains(&tag.as_str()) {
                assert!(
                    !open.iter().any(|outer| outer == "p"),
                    "{name}: <{tag}> inside <p>: {text}"
                );
            }
            open.push(tag);
        }
        assert_eq!(open, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn ids_are_unique() {
    for (name, html) in fixtures::all() {
        let mut ids: Vec<String> = tags(&html)
            .into_iter()
            .filter_map(|(_, _, text)| {
                text.split(" id=\"")
                    .nth(1)
                    .and_then(|rest| rest.split('"').next())
                    .map(str::to_owned)
            })
            .collect();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all, "{name}");
    }
}

#[test]
fn every_change_carries_the_token() {
    let mut forms = 0;
    for (name, html) in fixtures::all() {
        for form in html.split("<form").skip(1) {
            let (head, rest) = form.split_once('>').expect("tags end");
            if head.contains("method=\"post\"") {
                forms += 1;
                assert!(
                    rest.starts_with("<input type=\"hidden\" name=\"csrf\" value=\"c5rf\">"),
                    "{name}: {head}"
                );
            }
        }
    }
    assert!(forms > 60, "{forms} forms were looked at");
}

#[test]
fn pages_stay_small() {
    let files: usize = assets().iter().map(|asset| asset.bytes.len()).sum();
    assert!(files < 80_000, "assets weigh {files}");
    for (name, html) in fixtures::all() {
        assert!(
            files + html.len() < 200_000,
            "{name} weighs {} with its assets",
            files + html.len()
        );
        assert!(html.len() < 60_000, "{name} weighs {}", html.len());
    }
}

#[test]
fn the_heaviest_chart_stays_small() {
    let start = fixtures::now();
    let lines = (0..20)
        .map(|n| Line {
            name: format!("{{instance=\"web-{n}\"}}"),
            points: (0..11_000)
                .map(|i| {
                    (
                        start + jiff::SignedDuration::from_secs(i),
                        ((i * (n + 3)) as f64 * 0.7).sin() * 1e9,
                    )
                })
                .collect(),
        })
        .collect();
    let page = ExplorePage {
        expr: "x".to_owned(),
        chart: Some(Chart {
            id: "c".to_owned(),
            from: start,
            to: start + jiff::SignedDuration::from_secs(11_000),
            lines,
            ..Chart::default()
        }),
        ..ExplorePage::default()
    };
    let html = render_explore(&fixtures::chrome("Explore", Nav::Explore), &page);
    assert!(html.len() < 600_000, "{}", html.len());
}

#[test]
fn what_strangers_write_is_text() {
    let pair = || {
        vec![
            (HOSTILE.to_owned(), HOSTILE.to_owned()),
            ("url".to_owned(), "javascript:alert(3)".to_owned()),
        ]
    };
    let text = || HOSTILE.to_owned();
    let mut case = fixtures::case_page();
    case.facts.title = text();
    case.facts.summary = text();
    case.facts.id = text();
    case.facts.owners = vec![text()];
    case.facts.labels = pair();
    case.expr = text();
    case.chart.as_mut().expect("has a chart").title = text();
    case.chart.as_mut().expect("has a chart").lines[0].name = text();
    case.chart.as_mut().expect("has a chart").marks[0].label = text();
    case.diagnosis[0].body = text();
    case.diagnosis[0].output = Some(Output {
        text: text(),
        truncated: 0,
        exit: text(),
    });
    case.alerts[0].labels = pair();
    case.alerts[0].annotations = pair();
    case.alerts[0].href = "javascript:alert(4)".to_owned();
    case.timeline[0].text = text();
    case.timeline[0].detail = text();
    case.runbook_blocks = markdown::blocks(&format!(
        "{HOSTILE}\n\n[x](javascript:alert(5)) ![i](https://evil.example/i.png) <b onclick=alert(6)>b</b>"
    ));
    let mut targets = fixtures::targets_page();
    targets.pools[0].name = text();
    targets.pools[0].targets[0].labels = pair();
    targets.pools[0].targets[0].url = "javascript:alert(7)".to_owned();
    targets.pools[0].targets[1].error = text();
    let explore = ExplorePage {
        expr: format!("</textarea>{HOSTILE}"),
        error: Some((text(), Some(3))),
        warnings: vec![text()],
        ..ExplorePage::default()
    };
    let chrome = Chrome {
        user: Some(text()),
        title: format!("</title>{HOSTILE}"),
        csrf_token: text(),
        ..fixtures::chrome("", Nav::Now)
    };
    for html in [
        render_case(&chrome, &case),
        render_targets(&chrome, &targets),
        render_explore(&chrome, &explore),
    ] {
        for (tag, _, attributes) in tags(&html) {
            assert!(
                tag != "script" || attributes.contains("/assets/ui.js") || attributes == "script",
                "{attributes}"
            );
            assert!(
                tag != "img" || attributes.contains("/assets/logo.svg"),
                "{attributes}"
            );
            assert!(
                tag != "b" || !attributes.contains("onclick"),
                "{attributes}"
            );
            assert!(!attributes.contains("href=\"javascript:"), "{attributes}");
        }
        assert!(!html.contains("<script>alert"));
        assert!(html.contains("&lt;script&gt;alert(1)"));
    }
}

#[test]
fn a_fragment_is_main_and_menu_alone() {
    let chrome = Chrome {
        fragment: true,
        ..fixtures::chrome("Now", Nav::Now)
    };
    let html = render_now(&chrome, &fixtures::now_page());
    assert!(
        html.starts_with("<title>(2) Now · Bellwether</title><nav id=\"menu\""),
        "{}",
        &html[..80]
    );
    assert!(html.contains("<main id=\"main\"") && html.ends_with("</main>"));
    assert!(!html.contains("<html"));
}

#[test]
fn equal_models_give_equal_bytes() {
    for ((name, one), (_, two)) in fixtures::all().into_iter().zip(fixtures::all()) {
        assert!(one == two, "{name}");
    }
}

#[test]
fn assets_have_their_own_versions() {
    let all = assets();
    assert_eq!(all.len(), 5);
    for one in all {
        assert_eq!(asset(one.path), Some(one));
        assert_eq!(one.etag.len(), 16);
        assert_eq!(all.iter().filter(|other| other.etag == one.etag).count(), 1);
    }
    assert_eq!(asset("/assets/../secret"), None);
    assert!(!CONTENT_SECURITY_POLICY.contains("unsafe"));
}

#[test]
fn icons_that_pages_use_exist() {
    let sprite =
        std::str::from_utf8(asset("/assets/icons.svg").expect("there is one").bytes).expect("text");
    let mut used = 0;
    for (name, html) in fixtures::all() {
        for part in html.split("/assets/icons.svg?v=").skip(1) {
            let id = part
                .split('#')
                .nth(1)
                .and_then(|rest| rest.split('"').next())
                .expect("has an id");
            assert!(sprite.contains(&format!("id=\"{id}\"")), "{name}: {id}");
            used += 1;
        }
    }
    assert!(used > 100);
}

/// From the first occurrence of one text to the next occurrence of another.
fn part<'a>(html: &'a str, from: &str, to: &str) -> &'a str {
    let start = html.find(from).expect("the part is there");
    let end = html[start..].find(to).expect("the part ends") + start + to.len();
    &html[start..end]
}

fn readable(html: &str) -> String {
    html.replace('>', ">\n")
        .replace("</", "\n</")
        .replace("\n\n", "\n")
}

#[test]
fn a_case_can_be_taken_from_its_card() {
    let html = render_now(&fixtures::chrome("Now", Nav::Now), &fixtures::now_page());
    insta::assert_snapshot!(readable(part(
        &html,
        "<div class=\"case-actions\">",
        "</div>"
    )));
    insta::assert_snapshot!(readable(part(&html, "<div class=\"case-main\">", "</div>")));
}

#[test]
fn a_change_takes_a_second_tap() {
    let html = render_run(
        &fixtures::chrome("Run", Nav::Runbooks),
        &fixtures::run_page(),
    );
    insta::assert_snapshot!(readable(part(
        &html,
        "<section class=\"step quiet change\"",
        "</section>"
    )));
}

#[test]
fn a_quiet_page_says_that_someone_looked() {
    let html = render_now(&fixtures::chrome("Now", Nav::Now), &fixtures::quiet_page());
    insta::assert_snapshot!(readable(part(
        &html,
        "<header class=\"hero good\">",
        "</header>"
    )));
}

#[test]
fn a_chart_shows_line_limit_marks_and_spans() {
    let chart = Chart {
        id: "c".to_owned(),
        title: "Latency".to_owned(),
        unit: Unit::Seconds,
        from: fixtures::now(),
        to: fixtures::now() + jiff::SignedDuration::from_secs(60),
        lines: vec![Line {
            name: "a".to_owned(),
            points: [0.1, 0.2, f64::NAN, 0.6, 0.4]
                .iter()
                .enumerate()
                .map(|(i, value)| {
                    (
                        fixtures::now() + jiff::SignedDuration::from_secs(15 * i as i64),
                        *value,
                    )
                })
                .collect(),
        }],
        threshold: Some(Threshold {
            value: 0.5,
            bad_above: true,
        }),
        marks: vec![Mark {
            at: fixtures::now() + jiff::SignedDuration::from_secs(45),
            label: "paged".to_owned(),
            tone: Tone::Bad,
        }],
        spans: vec![Span {
            from: fixtures::now() + jiff::SignedDuration::from_secs(45),
            to: fixtures::now() + jiff::SignedDuration::from_secs(60),
            label: "firing".to_owned(),
            tone: Tone::Bad,
        }],
        from_zero: true,
        ..Chart::default()
    };
    let page = ExplorePage {
        chart: Some(chart),
        ..ExplorePage::default()
    };
    let html = render_explore(&fixtures::chrome("Explore", Nav::Explore), &page);
    insta::assert_snapshot!(readable(part(&html, "<figure", "</figure>")));
}

#[test]
fn paths_keep_hostile_names_in_one_segment() {
    assert_eq!(path::case("a/../b?c#d"), "/cases/a%2F..%2Fb%3Fc%23d");
    assert_eq!(path::rule("g&x", "ü"), "/rule?group=g%26x&name=%C3%BC");
}
