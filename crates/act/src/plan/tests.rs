use std::collections::BTreeMap;

use bellwether_model::{Labels, Severity};
use proptest::prelude::*;

use super::substitute::{BodyForm, http_body, promql, shell, sql, url};
use super::{Action, GivenInputs, Part, Plan, input_queries, plan};
use crate::runbook::{Effect, Runbook};

const NOW: &str = "2026-03-01T12:00:00Z";

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn plan_with(page: &str, part: &Part, given: &GivenInputs) -> Plan {
    let (runbook, problems) = Runbook::parse("r.md", page);
    assert!(!problems.has_errors(), "{problems}");
    plan(&runbook.unwrap(), given, part, NOW.parse().unwrap())
}

fn given(pairs: &[(&str, &str)]) -> GivenInputs {
    GivenInputs {
        values: values(pairs),
        ..GivenInputs::default()
    }
}

fn told(plan: &Plan) -> String {
    bellwether_model::Problems(plan.problems.clone()).to_string()
}

#[test]
fn a_value_never_becomes_shell() {
    let x = values(&[("x", "a b'; rm -rf / #")]);
    for (body, out) in [
        ("ls {{x}}", "ls \"${X}\""),
        ("ls \"dir/{{x}}/y\"", "ls \"dir/${X}/y\""),
        ("ls 'dir/{{ x }}'", "ls 'dir/'\"${X}\"''"),
        ("ls \"$(cat {{x}})\"", "ls \"$(cat \"${X}\")\""),
        (
            "ls \"$(cat \"{{x}}\")\" {{x}}",
            "ls \"$(cat \"${X}\")\" \"${X}\"",
        ),
        ("ls `cat {{x}}`", "ls `cat \"${X}\"`"),
        ("ls \\\" {{x}}", "ls \\\" \"${X}\""),
        ("# don't {{x}}\nls {{x}}", "# don't {{x}}\nls \"${X}\""),
        ("echo a#b '{{x}}'", "echo a#b ''\"${X}\"''"),
        ("cat <<< {{x}}", "cat <<< \"${X}\""),
        (
            "docker inspect -f '{{.State}}'",
            "docker inspect -f '{{.State}}'",
        ),
    ] {
        assert_eq!(shell(body, &x).unwrap(), out, "{body}");
    }
    for (body, why) in [
        ("cat <<EOF\n{{x}}\nEOF", "here-document"),
        ("echo $'{{x}}'", "other quotes"),
        ("ssh web1 \"ls {{x}}\"", "a second time"),
        ("bash -c 'ls {{x}}'", "a second time"),
        ("eval ls {{x}}", "a second time"),
        ("awk '/{{x}}/'", "a second time"),
        ("ls {{y}}", "no value"),
    ] {
        assert!(shell(body, &x).unwrap_err().contains(why), "{body}");
    }
    // What means nothing to any shell may pass through a second one.
    assert_eq!(
        shell("ssh web1 \"ls {{x}}\"", &values(&[("x", "db-1.example")])).unwrap(),
        "ssh web1 \"ls ${X}\""
    );
    assert!(shell("ssh {{x}} ls", &values(&[("x", "-oProxyCommand=sh")])).is_err());
}

#[test]
fn values_are_escaped_where_they_stand_in_promql() {
    let x = values(&[("x", "a\"b\\c.d"), ("n", "5m"), ("v", "0.5")]);
    for (body, out) in [
        ("up{a=\"{{x}}\"}", r#"up{a="a\"b\\c.d"}"#),
        ("up{a='{{x}}'}", r#"up{a='a"b\\c.d'}"#),
        ("up{a=~\"x-{{x}}\"}", r#"up{a=~"x-a\"b\\\\c\\.d"}"#),
        ("up{a=~\"z\",b=\"{{x}}\"}", r#"up{a=~"z",b="a\"b\\c.d"}"#),
        ("up{a=`{{x}}`}", r#"up{a=`a"b\c.d`}"#),
        (
            "up{a=\"q\\\"{{n}}\"}[{{n}}] > {{v}}",
            "up{a=\"q\\\"5m\"}[5m] > 0.5",
        ),
    ] {
        assert_eq!(promql(body, &x).unwrap(), out, "{body}");
    }
    assert!(
        promql("up > {{x}}", &x)
            .unwrap_err()
            .contains("outside of quotes")
    );
    assert!(promql("up{a=`{{b}}`}", &values(&[("b", "`")])).is_err());
}

#[test]
fn values_are_bound_in_sql_and_escaped_in_http() {
    let x = values(&[
        ("x", "a'b"),
        ("u", "http://lb:8080/"),
        ("h", "web1:80"),
        ("n", "3"),
        ("q", "a b&c=\"d\""),
    ]);
    assert_eq!(
        sql("select {{x}}, {{n}}, {{x}}", &x).unwrap(),
        (
            "select $1, $2, $1".to_owned(),
            vec!["a'b".to_owned(), "3".to_owned()]
        )
    );
    assert!(sql("select '{{x}}'", &x).unwrap_err().contains("quotes"));
    for (template, out) in [
        ("{{u}}/a?b={{q}}", "http://lb:8080/a?b=a%20b%26c%3D%22d%22"),
        ("http://{{h}}/{{q}}", "http://web1:80/a%20b%26c%3D%22d%22"),
    ] {
        assert_eq!(url(template, &x).unwrap(), out);
    }
    for template in [
        "{{x}}/a",
        "http://{{q}}/",
        "http://a{{q}}/",
        "ftp://x/",
        "{{h}}",
    ] {
        assert!(url(template, &x).is_err(), "{template}");
    }
    assert_eq!(
        http_body("{\"a\": \"{{q}}\", \"n\": {{n}}}", BodyForm::Json, &x).unwrap(),
        r#"{"a": "a b&c=\"d\"", "n": 3}"#
    );
    assert!(http_body("{\"a\": {{q}}}", BodyForm::Json, &x).is_err());
    assert_eq!(
        http_body("a={{q}}", BodyForm::Form, &x).unwrap(),
        "a=a%20b%26c%3D%22d%22"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the value is, it is nowhere in the shell's text, and in JSON and PromQL it comes back as it was.
    #[test]
    fn values_stay_values(value in "[ -~\\n\\té]{1,30}", quote in prop_oneof![Just("'"), Just("\""), Just("")]) {
        let marked = format!("{value}§");
        let x = values(&[("x", &marked)]);
        let body = shell(&format!("printf %s {quote}{{{{x}}}}{quote}"), &x).unwrap();
        prop_assert!(!body.contains('§'));
        let json = http_body("{\"a\": \"{{x}}\"}", BodyForm::Json, &x).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(json["a"].as_str().unwrap(), marked.as_str());
        let query = promql("up{a=\"{{x}}\"}", &x).unwrap();
        let inside = query.strip_prefix("up{a=\"").unwrap().strip_suffix("\"}").unwrap();
        let mut back = String::new();
        let mut chars = inside.chars();
        while let Some(c) = chars.next() {
            prop_assert!(c != '"' && c != '\n');
            back.push(match c {
                '\\' => match chars.next() { Some('n') => '\n', Some(c) => c, None => '\\' },
                c => c,
            });
        }
        prop_assert_eq!(back, marked);
    }
}

const PAGE: &str = r#"---
runbook: r
inputs:
  host: {type: host, alert_label: instance}
  shard: {from: 'promql: topk(1, redis_up{host="{{host}}"})'}
  level: {type: enum, values: [low, high], default: low}
  key: {type: secret, default: 'secret://env/KEY'}
  count: {type: int, annotation: count}
limits: {lock: "shard/{{shard}}"}
---
# R
## Diagnosis
```promql id=look
redis_up{shard="{{shard}}"}
```
```sh id=unsure
redis-cli info
```
## Fix
```sh id=fail effect=change timeout=1m undo=back
curl -H "token: {{key}}" "http://$HOST/fail/{{shard}}"
```
## Verify
```promql
redis_up{shard="{{shard}}"} == 1
```
## Undo
```sh id=back effect=change
curl "http://{{host}}/back"
```
"#;

fn sources() -> GivenInputs {
    let mut given = GivenInputs {
        labels: Labels::new([("instance", "db1:6379")]).into(),
        ..GivenInputs::default()
    };
    given
        .queried
        .insert("shard".into(), vec![(Labels::new([("shard", "s7")]), 1.0)]);
    given
}

#[test]
fn a_plan_has_everything_resolved() {
    let (runbook, _) = Runbook::parse("r.md", PAGE);
    let runbook = runbook.unwrap();
    let queries = input_queries(&runbook, &sources());
    assert_eq!(queries[0].query, "topk(1, redis_up{host=\"db1:6379\"})");
    let fix = plan_with(PAGE, &Part::Fix, &sources());
    assert!(fix.runnable(), "{}", told(&fix));
    let [step, check] = fix.steps.as_slice() else {
        panic!("{:?}", fix.steps)
    };
    let Action::Shell {
        body, env, secrets, ..
    } = &step.action
    else {
        panic!("{step:?}")
    };
    assert_eq!(
        body,
        "curl -H \"token: ${KEY}\" \"http://$HOST/fail/${SHARD}\""
    );
    assert_eq!(env, &values(&[("HOST", "db1:6379"), ("SHARD", "s7")]));
    assert_eq!(secrets, &values(&[("KEY", "secret://env/KEY")]));
    assert_eq!(step.undo.as_ref().unwrap().id, "back");
    assert_eq!(
        (&check.action, check.effect),
        (&Action::Check, Effect::Read)
    );
    assert_eq!(check.verify.as_ref().unwrap().within_ms, 120_000);
    assert_eq!(fix.limits.lock.as_deref(), Some("shard/s7"));
    assert!(fix.undo.is_empty(), "the undo step belongs to its step");
    assert_eq!(
        fix.inputs.keys().collect::<Vec<_>>(),
        ["host", "key", "shard"]
    );

    let diagnosis = plan_with(PAGE, &Part::Diagnosis, &sources());
    assert_eq!(diagnosis.steps.len(), 1);
    assert_eq!(
        told(&diagnosis),
        "note: r.md:16:1: step \"unsure\" is left out: not known to be read-only (effect=read)\n"
    );
    assert_eq!(diagnosis.limits.lock, None);
}

#[test]
fn the_digest_is_of_what_would_run() {
    let base = plan_with(PAGE, &Part::Fix, &sources());
    assert_eq!(base.digest.len(), 64);
    let later = {
        let (runbook, _) = Runbook::parse("r.md", PAGE);
        plan(
            &runbook.unwrap(),
            &sources(),
            &Part::Fix,
            "2027-01-01T00:00:00Z".parse().unwrap(),
        )
    };
    assert_eq!(base.digest, later.digest, "time is not part of it");
    let mut others = vec![plan_with(PAGE, &Part::Diagnosis, &sources()).digest];
    let mut moved = sources();
    moved.values.insert("shard".into(), "s8".into());
    others.push(plan_with(PAGE, &Part::Fix, &moved).digest);
    for (from, to) in [
        ("timeout=1m", "timeout=2m"),
        ("/back", "/backwards"),
        ("== 1", "== 2"),
        ("lock: ", "runs: 1/1h, lock: "),
    ] {
        others.push(plan_with(&PAGE.replace(from, to), &Part::Fix, &sources()).digest);
    }
    others.push(base.digest.clone());
    let count = others.len();
    others.sort();
    others.dedup();
    assert_eq!(others.len(), count);
    let json = serde_json::to_string(&base).unwrap();
    let back: Plan = serde_json::from_str(&json).unwrap();
    assert_eq!(back.compute_digest(), base.digest);
}

#[test]
fn what_is_wrong_with_inputs_is_said() {
    let page = "---\nrunbook: r\ninputs:\n  host: {type: host}\n  n: {type: int, default: 3}\n  l: {type: enum, values: [a, b], default: a}\n  p: {pattern: '[a-z]+', default: ok}\n  s: {type: secret, default: 'secret://x/y'}\n---\n# R\n## Fix\n```sh effect=read\necho {{host}} {{n}} {{l}} {{p}} {{s}}\n```\n";
    let bad = plan_with(
        page,
        &Part::Fix,
        &given(&[
            ("n", "x"),
            ("l", "c"),
            ("p", "ok; rm"),
            ("s", "hunter2"),
            ("hst", "a"),
        ]),
    );
    insta::assert_snapshot!(told(&bad), @r##"
    error: r.md: this runbook has no input "hst"
      hint: did you mean "host"?
    error: r.md:4:3: input "host" has no value
      hint: give it by name, or declare a default
    error: r.md:5:3: input "n": "x" is not a whole number
    error: r.md:6:3: input "l": "c" is not one of a, b
    error: r.md:7:3: input "p": "ok; rm" is not of the form [a-z]+
    error: r.md:8:3: input "s": a secret is given by reference, such as secret://env/NAME
    error: r.md:12:1: step "fix-1": {{host}} has no value
    "##);
    assert!(!bad.runnable());
    assert!(
        !serde_json::to_string(&bad).unwrap().contains("hunter2"),
        "a secret given by value is refused and kept out"
    );
    assert!(plan_with(page, &Part::Fix, &given(&[("host", "[::1]:80")])).runnable());
}

#[test]
fn what_cannot_run_whole_can_run_step_by_step() {
    let page = "# R\n## Fix\n```sh\nsystemctl restart x\n```\n```sh\nssh <host> ls\n```\n```sh\npsql\n```\n";
    let whole = plan_with(page, &Part::Fix, &given(&[]));
    let errors = whole
        .problems
        .iter()
        .filter(|p| p.severity == Severity::Error)
        .count();
    assert_eq!((errors, whole.runnable()), (3, false), "{}", told(&whole));
    let one = plan_with(page, &Part::Step("fix-1".into()), &given(&[]));
    assert!(
        one.runnable() && one.changes(),
        "what is not known to read counts as a change"
    );
    assert!(!plan_with(page, &Part::Step("fix-2".into()), &given(&[])).runnable());
    assert!(matches!(
        plan_with(page, &Part::Step("fix-3".into()), &given(&[])).steps[0].action,
        Action::Manual { .. }
    ));
    assert!(
        told(&plan_with(page, &Part::Step("fix-9".into()), &given(&[])))
            .contains("no step \"fix-9\"")
    );
    assert!(!plan_with("# Nothing\n", &Part::Fix, &given(&[])).runnable());
}
