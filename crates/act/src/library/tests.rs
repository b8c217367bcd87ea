use bellwether_model::Labels;

use super::{Library, LibraryChange};

const REDIS: &str = "---\nrunbook: redis-down\nalerts: [RedisDown]\n---\n# Redis\n";

fn library() -> Library {
    let (library, problems) = Library::load([
        ("runbooks/db/redis.md", REDIS),
        ("runbooks/web/README.md", "# Web\n"),
        ("runbooks/ci/README.md", "# CI\n"),
    ]);
    assert!(problems.0.is_empty(), "{problems}");
    library
}

#[test]
fn pages_are_found_by_id_alert_and_link() {
    let library = library();
    let of = |link: &str| {
        library
            .by_link(link)
            .map(|runbook| runbook.file.to_string())
    };
    let redis = Some("runbooks/db/redis.md".to_owned());
    for link in [
        "redis-down",
        "runbooks/db/redis.md",
        "db/redis.md",
        "redis.md",
        "redis",
        "./runbooks/db/redis.md",
        "https://git.example.com/ops/-/blob/main/runbooks/db/redis.md#symptoms",
        "https://git.example.com/ops/raw/runbooks/db/redis.md?ref=main",
    ] {
        assert_eq!(of(link), redis, "{link}");
    }
    assert_eq!(
        of("https://x/web/README.md"),
        Some("runbooks/web/README.md".to_owned())
    );
    assert_eq!(
        of("https://x/ci/README.md"),
        Some("runbooks/ci/README.md".to_owned())
    );
    for link in ["", "https://x/other.md", "md", "is.md", "https://x/"] {
        assert_eq!(of(link), None, "{link}");
    }
    let alert = |labels: &[(&str, &str)], annotations: &[(&str, &str)]| {
        library
            .for_alert(
                &Labels::new(labels.iter().copied()),
                &Labels::new(annotations.iter().copied()),
            )
            .map(|runbook| runbook.id.clone())
    };
    assert_eq!(
        alert(&[("alertname", "RedisDown")], &[]),
        Some("redis-down".to_owned())
    );
    assert_eq!(
        alert(
            &[("alertname", "RedisDown")],
            &[("runbook_url", "https://x/web/README.md")]
        ),
        Some("runbooks-web-readme".to_owned()),
        "an annotation wins over the name"
    );
    assert_eq!(alert(&[("alertname", "Other")], &[]), None);
}

#[test]
fn two_pages_of_one_name_are_told_apart_or_reported() {
    let (library, problems) = Library::load([("a.md", REDIS), ("b.md", REDIS), ("c.md", "# C\n")]);
    assert_eq!(library.len(), 2);
    assert_eq!(
        problems.to_string(),
        "error: b.md:1:1: runbook \"redis-down\" is also in a.md\n  hint: give each page its own `runbook:` in the front matter\n"
    );
    let ids: Vec<String> = self::library()
        .iter()
        .map(|runbook| runbook.id.clone())
        .collect();
    assert_eq!(ids, ["readme", "redis-down", "runbooks-web-readme"]);
}

#[test]
fn a_reload_says_what_changed() {
    let mut library = library();
    let edited = REDIS.replace("# Redis", "# Redis is down");
    let (change, _) = library.reload([
        ("runbooks/db/redis.md", edited.as_str()),
        ("runbooks/ci/README.md", "# CI\n"),
        ("new.md", "# New\n"),
    ]);
    assert_eq!(
        change,
        LibraryChange {
            added: vec!["new".into()],
            removed: vec!["runbooks-web-readme".into()],
            edited: vec!["redis-down".into()],
        }
    );
    assert_eq!(library.get("redis-down").unwrap().title, "Redis is down");
}
