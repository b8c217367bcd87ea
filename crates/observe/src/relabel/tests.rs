use bellwether_model::Problems;
use proptest::prelude::*;

use super::*;

fn rules(text: &str) -> (Vec<Relabel>, String) {
    let mut problems = Problems::default();
    let node = bellwether_yaml::parse("r", text, &mut problems).unwrap();
    let rules = Relabel::read_list(&node, false, &mut problems);
    (rules, problems.to_string())
}

fn labels(text: &str) -> Labels {
    text.split_whitespace()
        .map(|pair| pair.split_once('=').unwrap())
        .collect()
}

fn run(input: &str, text: &str) -> String {
    let (rules, problems) = rules(text);
    assert_eq!(problems, "", "{text}");
    match apply(&rules, &labels(input)) {
        None => "dropped".to_owned(),
        Some(labels) => labels
            .iter()
            .map(|label| format!("{}={}", label.name, label.value))
            .collect::<Vec<_>>()
            .join(" "),
    }
}

/// Cases that Prometheus documents by its tests, one per behaviour.
#[test]
fn each_action_does_what_prometheus_does() {
    for (input, text, wanted) in [
        (
            "a=foo b=bar c=baz",
            "[{source_labels: [a], regex: f(.*), target_label: d, separator: ;, replacement: 'ch${1}-ch${1}'}]",
            "a=foo b=bar c=baz d=choo-choo",
        ),
        (
            "a=foo b=bar c=baz",
            "[{source_labels: [a, b], regex: 'f(.*);(.*)r', target_label: a, replacement: 'b${1}${2}m'}, {source_labels: [c, a], regex: '(b).*b(.*)ba(.*)', target_label: d, replacement: '$1$2$2$3'}]",
            "a=boobam b=bar c=baz d=boooom",
        ),
        (
            "a=foo",
            "[{source_labels: [a], regex: '.*o.*', action: drop}, {source_labels: [a], regex: 'f(.*)', target_label: d}]",
            "dropped",
        ),
        (
            "a=foo b=bar",
            "[{source_labels: [a], regex: 'no-match', action: drop}]",
            "a=foo b=bar",
        ),
        (
            "a=foo",
            "[{source_labels: [a], regex: 'f|o', action: drop}]",
            "a=foo",
        ),
        (
            "a=foo",
            "[{source_labels: [a], regex: 'no-match', action: keep}]",
            "dropped",
        ),
        (
            "a=foo",
            "[{source_labels: [a], regex: 'f.*', action: keep}]",
            "a=foo",
        ),
        (
            "a=boo",
            "[{source_labels: [a], regex: f, target_label: b, replacement: bar}]",
            "a=boo",
        ),
        (
            "a=foo b=bar",
            "[{source_labels: [a], regex: f.*, target_label: b, replacement: ''}]",
            "a=foo",
        ),
        (
            "a=foo b=bar c=baz",
            "[{source_labels: [c], target_label: d, action: hashmod, separator: ;, modulus: 1000}]",
            "a=foo b=bar c=baz d=976",
        ),
        (
            "a=foo\nb=bar",
            "[{source_labels: [a], target_label: b, regex: (.*), replacement: '${1}'}]",
            "a=foo b=foo",
        ),
        (
            "__meta_sd_tags=path:/secret,job:some-job,label:foo=bar",
            "[{source_labels: [__meta_sd_tags], regex: '(?:.+,|^)path:(/[^,]+).*', target_label: __metrics_path__}]",
            "__meta_sd_tags=path:/secret,job:some-job,label:foo=bar __metrics_path__=/secret",
        ),
        (
            "a=foo b1=bar b2=baz",
            "[{regex: (b.*), replacement: bar_$1, action: labelmap}]",
            "a=foo b1=bar b2=baz bar_b1=bar bar_b2=baz",
        ),
        (
            "__meta_my_bar=aaa __meta_my_baz=bbb __meta_other=ccc",
            "[{regex: __meta_(my.*), replacement: '${1}', action: labelmap}]",
            "__meta_my_bar=aaa __meta_my_baz=bbb __meta_other=ccc my_bar=aaa my_baz=bbb",
        ),
        (
            "a=foo b1=bar b2=baz",
            "[{regex: (b.*), action: labeldrop}]",
            "a=foo",
        ),
        (
            "a=foo b1=bar b2=baz",
            "[{regex: (b.*), action: labelkeep}]",
            "b1=bar b2=baz",
        ),
        (
            "foo=bAr123Foo",
            "[{source_labels: [foo], action: uppercase, target_label: up}, {source_labels: [foo], action: lowercase, target_label: low}]",
            "foo=bAr123Foo low=bar123foo up=BAR123FOO",
        ),
        (
            "__tmp_port=1234 __port1=1234 __port2=5678",
            "[{source_labels: [__tmp_port], action: keepequal, target_label: __port1}]",
            "__port1=1234 __port2=5678 __tmp_port=1234",
        ),
        (
            "__tmp_port=1234 __port1=1234 __port2=5678",
            "[{source_labels: [__tmp_port], action: keepequal, target_label: __port2}]",
            "dropped",
        ),
        (
            "__tmp_port=1234 __port1=1234",
            "[{source_labels: [__tmp_port], action: dropequal, target_label: __port1}]",
            "dropped",
        ),
        (
            "a=foo",
            "[{target_label: '${1}', source_labels: [a]}]",
            "a=foo foo=foo",
        ),
        (
            "a=x",
            "[{source_labels: [a], target_label: b, replacement: '$1x $$ ${1}x $'}]",
            "a=x b= $ xx $",
        ),
    ] {
        assert_eq!(run(input, text), wanted, "{text}");
    }
}

#[test]
fn a_dot_matches_a_line_feed_and_the_separator_joins() {
    let (rules, _) = rules(
        "[{source_labels: [a, b], separator: '@', regex: 'x.y@z', target_label: c, replacement: ok}]",
    );
    let got = apply(&rules, &Labels::new([("a", "x\ny"), ("b", "z")])).unwrap();
    assert_eq!(got.get("c"), "ok");
}

#[test]
fn rules_that_cannot_work_are_refused() {
    for (text, wanted) in [
        (
            "[{action: replace}]",
            "replace action requires 'target_label'",
        ),
        (
            "[{action: hashmod, target_label: a}]",
            "requires non-zero modulus",
        ),
        (
            "[{action: hashmod, target_label: a, modulus: -1}]",
            "must not be negative",
        ),
        (
            "[{action: lowercase, source_labels: [a]}]",
            "lowercase action requires 'target_label'",
        ),
        (
            "[{action: lowercase, target_label: a, replacement: x}]",
            "'replacement' can not be set",
        ),
        (
            "[{action: labeldrop, regex: a, target_label: x}]",
            "requires only 'regex'",
        ),
        (
            "[{action: keepequal, target_label: a, regex: x}]",
            "no other fields",
        ),
        (
            "[{action: labelmap, replacement: ''}]",
            "invalid 'replacement'",
        ),
        (
            "[{target_label: a, regex: '*'}]",
            "invalid regular expression",
        ),
        ("[null]", "empty or null relabeling rule"),
        ("[{action: kepp}]", "did you mean \"keep\"?"),
        (
            "[{targetlabel: a, target_label: b}]",
            "unknown key \"targetlabel\"",
        ),
    ] {
        let (rules, problems) = rules(text);
        assert!(problems.contains(wanted), "{text}: {problems}");
        assert!(rules.is_empty(), "{text}");
    }
    assert_eq!(
        rules("[{action: KEEP, source_labels: [a]}]").1,
        "",
        "actions in any case"
    );
}

#[test]
fn classic_names_limit_targets_when_asked() {
    let mut problems = Problems::default();
    let text = "[{target_label: 'a b', source_labels: [x]}, {target_label: 'a${1}_$2', source_labels: [x]}, {target_label: '1a', source_labels: [x]}]";
    let node = bellwether_yaml::parse("r", text, &mut problems).unwrap();
    let rules = Relabel::read_list(&node, true, &mut problems);
    assert_eq!(rules.len(), 1);
    assert_eq!(problems.0.len(), 2);
}

proptest! {
    /// Laws: keep and drop are opposites, labeldrop and labelkeep split the set, hashmod stays below its modulus.
    #[test]
    fn laws(pairs in proptest::collection::btree_map("[a-c]{1,2}", "[a-c]{1,3}", 0..6), pattern in "[a-c.*|]{0,4}", modulus in 1_u64..50) {
        prop_assume!(anchored(&pattern).is_ok());
        let labels: Labels = pairs.iter().collect();
        let with = |action| {
            let mut rule = Relabel::new(action);
            rule.regex = anchored(&pattern).unwrap();
            rule.source_labels = vec!["a".to_owned(), "b".to_owned()];
            rule.target_label = "t".to_owned();
            rule.modulus = modulus;
            apply(&[rule], &labels)
        };
        prop_assert_ne!(with(Action::Keep).is_some(), with(Action::Drop).is_some());
        let (kept, dropped) = (with(Action::LabelKeep).unwrap(), with(Action::LabelDrop).unwrap());
        prop_assert_eq!(kept.len() + dropped.len(), labels.len());
        let hash: u64 = with(Action::HashMod).unwrap().get("t").parse().unwrap();
        prop_assert!(hash < modulus);
    }

    #[test]
    fn no_template_panics(template in "[$\\{\\}a1é_ ]{0,12}") {
        let mut rule = Relabel::new(Action::Replace);
        rule.replacement.clone_from(&template);
        rule.target_label = template;
        drop(apply(&[rule], &Labels::new([("a", "b")])));
    }
}
