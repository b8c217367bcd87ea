//! What is read out of pages as people write them.

use bellwether_model::Severity;

use super::{faults, read};
use crate::runbook::{Effect, Lang, SectionKind, Step, section_kind};

fn line(step: &Step) -> String {
    let effect = match step.effect {
        Some(Effect::Read) => "read",
        Some(Effect::Change) => "change",
        None => "?",
    };
    let mut out = format!(
        "{}:{} {} {:?} {:?} {:?} {effect} {:?}",
        step.place.line, step.place.column, step.id, step.kind, step.lang, step.origin, step.body
    );
    for (shown, what) in [
        (
            !step.expected.is_empty(),
            format!(" expected={:?}", step.expected),
        ),
        (
            !step.placeholders.is_empty(),
            format!(" placeholders={:?}", step.placeholders),
        ),
        (step.interactive, " interactive".to_owned()),
        (step.in_list, " list".to_owned()),
        (step.in_quote, " quote".to_owned()),
    ] {
        if shown {
            out.push_str(&what);
        }
    }
    out
}

fn lines(text: &str) -> String {
    read(text)
        .steps
        .iter()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_plain_page_needs_no_annotation() {
    let page = "\
# Redis recovery

Intro with `redis-cli info` in a sentence: not a step.

## Symptoms

- Run `redis-cli info replication` and read it
- The file `/etc/redis/redis.conf` and the daemon `nginx` are only named
  1. nested:

     ```
     sudo systemctl status redis
     ```

> Quoted advice:
>
> ```console
> $ uptime
>  12:00 up 3 days
> $ df -h \\
>   /var
> Filesystem Size
> ```

```json
{\"not\": \"a step\"}
```

```
plain text, not a command
```

## What to do

```bash
ssh <hostname> sudo systemctl restart $UNIT
docker exec -it redis sh
```

    curl -s localhost:9200/_cat

```sql
select * from pg_stat_activity where a < b and c > d
```

### Details

```shell
export HOST=db1
ping $HOST; echo $HOME; psql -c 'select 1'
```
";
    insta::assert_snapshot!(lines(page), @r##"
    7:7 symptoms-1 Diagnosis Bash Inline ? "redis-cli info replication" list
    11:6 symptoms-2 Diagnosis Bash Fence ? "sudo systemctl status redis" list
    17:3 symptoms-3 Diagnosis Bash Fence ? "uptime\ndf -h \\\n  /var" expected=" 12:00 up 3 days\nFilesystem Size" quote
    35:1 what-to-do-1 Fix Bash Fence ? "ssh <hostname> sudo systemctl restart $UNIT\ndocker exec -it redis sh" placeholders=["<hostname>", "$UNIT"] interactive
    40:5 what-to-do-2 Fix Bash Indented ? "curl -s localhost:9200/_cat"
    42:1 what-to-do-3 Fix Sql Fence ? "select * from pg_stat_activity where a < b and c > d"
    48:1 details-1 Fix Bash Fence ? "export HOST=db1\nping $HOST; echo $HOME; psql -c 'select 1'"
    "##);
}

#[test]
fn attributes_are_read_in_every_form() {
    let page = r#"---
runbook: all
title: Everything
owner: team
alerts: [A, B]
inputs:
  host: {type: host, alert_label: instance}
  level: {type: enum, values: [low, high], default: low}
  shard: {from: 'promql: topk(1, redis_up)', label: shard}
  token: secret
limits: {lock: "x/{{host}}", runs: 3/1h, cooldown: 5m, max_targets: 2, deadline: 15m}
approve: {by: owners, ttl: 5m}
---
# Title
## Fix
```sh id=one title="First \"step\"" effect=change timeout=1m30s grace=5s idempotent retries=3 ok=0,3 expect="a b}c" capture="regex:(?P<n>\d+)"
x {{host}} $LEVEL
```
```bash {"id": "two", "verify": "up == 1", "within": "90s", "confirm": true, "undo": "one", "probe": "one"}
y
```
```sh # why it is done
z
```
```sh skip
never a step
```
```http timeout=5s
POST http://{{host}}/x
Content-Type: application/json

{"a": 1}
```
"#;
    let runbook = read(page);
    insta::assert_debug_snapshot!((&runbook.inputs, &runbook.limits, &runbook.approve), @r##"
    (
        [
            Input {
                name: "host",
                about: "",
                kind: Host,
                alert_label: Some(
                    "instance",
                ),
                annotation: None,
                promql: None,
                label: "host",
                default: None,
                pattern: None,
                place: Place {
                    line: 7,
                    column: 3,
                },
            },
            Input {
                name: "level",
                about: "",
                kind: Enum(
                    [
                        "low",
                        "high",
                    ],
                ),
                alert_label: None,
                annotation: None,
                promql: None,
                label: "level",
                default: Some(
                    "low",
                ),
                pattern: None,
                place: Place {
                    line: 8,
                    column: 3,
                },
            },
            Input {
                name: "shard",
                about: "",
                kind: String,
                alert_label: None,
                annotation: None,
                promql: Some(
                    "topk(1, redis_up)",
                ),
                label: "shard",
                default: None,
                pattern: None,
                place: Place {
                    line: 9,
                    column: 3,
                },
            },
            Input {
                name: "token",
                about: "",
                kind: Secret,
                alert_label: None,
                annotation: None,
                promql: None,
                label: "token",
                default: None,
                pattern: None,
                place: Place {
                    line: 10,
                    column: 3,
                },
            },
        ],
        Limits {
            lock: Some(
                "x/{{host}}",
            ),
            runs: Some(
                (
                    3,
                    3600s,
                ),
            ),
            cooldown: Some(
                300s,
            ),
            max_targets: Some(
                2,
            ),
            batch: None,
            pause_between: None,
            fleet: None,
            max_unhealthy: 0.3,
            max_percent: None,
            when_locked: Queue,
            deadline: Some(
                900s,
            ),
        },
        Some(
            ApprovalRule {
                by: "owners",
                ttl: 300s,
                other_person: true,
            },
        ),
    )
    "##);
    let one = runbook.step("one").unwrap();
    assert_eq!(
        (
            one.title.as_str(),
            one.retries,
            one.ok.as_slice(),
            one.expect.as_deref()
        ),
        ("First \"step\"", 3, [0, 3].as_slice(), Some("a b}c"))
    );
    assert_eq!(one.timeout_or_default().as_secs(), 90);
    assert_eq!(
        (one.uses.as_slice(), one.placeholders.len()),
        (["host".to_owned()].as_slice(), 0)
    );
    assert_eq!(one.capture.as_ref().unwrap().pattern, r"(?P<n>\d+)");
    let two = runbook.step("two").unwrap();
    assert!(two.confirm && !two.approve);
    assert_eq!(two.verify.as_ref().unwrap().within.as_secs(), 90);
    assert_eq!(
        (two.undo.as_deref(), two.probe.as_deref()),
        (Some("one"), Some("one"))
    );
    assert_eq!(runbook.steps[2].title, "why it is done");
    assert_eq!(runbook.steps.len(), 4);
    assert_eq!(runbook.steps[3].effect, Some(Effect::Change));
}

#[test]
fn nothing_is_ignored_silently() {
    let page = "\
---
runbook: two words
inputs: {path: string, x: strin, y: {type: int, patern: a}}
limit: 3
---
# T
```sh efect=read id=\"never ends
a
```
```sh timeout=5x ok=a,b effect=maybe
a
```
```sh id=same id=other {x}
a
```
```promql effect=change
up
```
```http
FETCH http://x/
```
```sh probe=nothing capture=xml expect=\"(\"
a
```
```sh {\"id\": }
a
```
```sh undo id=a/b
a
```
";
    insta::assert_snapshot!(faults(page), @r##"
    error: page.md:2:10: runbook "two words" is not a name
      hint: letters, digits, `-`, `_` and `.`; 64 characters at most
    error: page.md:3:10: input "path" would replace the environment variable PATH
      hint: give it another name
    error: page.md:3:27: unknown input type "strin"
      hint: did you mean "string"?
    error: page.md:3:49: unknown key "patern" in this input
      hint: did you mean "pattern"?
    error: page.md:4:1: unknown key "limit" in this front matter
      hint: did you mean "limits"?
    error: page.md:7:7: unknown attribute "efect" of a step
      hint: did you mean "effect"?
    error: page.md:7:21: attribute "id": the quote never ends
    error: page.md:10:7: timeout: not a valid duration string: "5x"
    error: page.md:10:18: ok must be a list of codes such as 0,1, not "a,b"
    error: page.md:10:25: effect must be read or change, not "maybe"
    error: page.md:13:15: attribute "id" is already set
    error: page.md:13:24: unexpected '{' where an attribute should begin
    error: page.md:16:11: a query changes nothing
    error: page.md:20:1: unknown HTTP method "FETCH"
    error: page.md:22:7: probe=nothing: no step has this id
    error: page.md:22:21: capture must be text, json or regex:…, not "xml"
    error: page.md:22:33: expect: error: unclosed group
    error: page.md:25:14: attributes are not a JSON object: expected value at line 1 column 8
    error: page.md:28:12: "a/b" is not an id: letters, digits, `-`, `_`, `.`; 64 at most
    "##);
}

#[test]
fn ids_stay_when_text_above_changes_and_hashes_follow_the_content() {
    let page = |above: &str, body: &str| {
        format!("# T\n{above}\n## Check it\n```sh\n{body}\n```\n```sh\nb\n```\n")
    };
    let before = read(&page("", "df -h"));
    let after = read(&page(
        "A new paragraph.\n\n## Another\n```sh\nnew\n```\n",
        "df -h",
    ));
    let edited = read(&page("", "df -i"));
    assert_eq!(before.steps[0].id, "check-it-1");
    let same = after.step("check-it-1").unwrap();
    assert_eq!(
        (&same.id, &same.hash),
        (&before.steps[0].id, &before.steps[0].hash)
    );
    assert_ne!(before.hash, after.hash);
    assert_ne!(
        edited.step("check-it-1").unwrap().hash,
        before.steps[0].hash
    );
    assert_eq!(
        edited.step("check-it-2").unwrap().hash,
        before.steps[1].hash
    );
}

#[test]
fn headings_are_read_by_their_words() {
    use SectionKind::{Diagnosis, Escalation, Fix, Other, Overview, Reference, Undo, Verify};
    for (heading, kind) in [
        ("Symptoms", Diagnosis),
        ("Troubleshooting pointers", Diagnosis),
        ("Pre-checks", Diagnosis),
        ("3. Possible checks:", Diagnosis),
        ("Resolution", Fix),
        ("What to do", Fix),
        ("Recovery procedure", Fix),
        ("Post checks", Verify),
        ("Rollback of a replacement", Undo),
        ("Roll back", Undo),
        ("Escalation", Escalation),
        ("Summary", Overview),
        ("See also", Reference),
        ("Redis", Other),
        ("", Other),
        ("Prefix", Other),
    ] {
        assert_eq!(section_kind(heading), kind, "{heading}");
    }
}

#[test]
fn consoles_lose_their_prompts_and_keep_their_output() {
    for (body, commands, expected) in [
        ("$ ls\na b\n$ pwd\n/root", "ls\npwd", "a b\n/root"),
        ("root@db1:/var# df\nFilesystem", "df", "Filesystem"),
        ("[ana@web ~]$ df -h\nx", "df -h", "x"),
        ("# systemctl restart x", "systemctl restart x", ""),
        ("$> be knife\nhost", "be knife", "host"),
        ("$ a\n# a comment\n> quoted", "a\n# a comment", "> quoted"),
        (
            "$ for x in 1; do \\\n>   echo $x; done\n1",
            "for x in 1; do \\\n  echo $x; done",
            "1",
        ),
        ("no prompt at all", "no prompt at all", ""),
    ] {
        let runbook = read(&format!("# T\n```console\n{body}\n```\n"));
        let step = &runbook.steps[0];
        assert_eq!(
            (step.body.as_str(), step.expected.as_str()),
            (commands, expected),
            "{body:?}"
        );
    }
}

#[test]
fn what_needs_a_terminal_is_a_manual_step() {
    for (body, interactive) in [
        ("psql", true),
        ("sudo gitlab-psql -d prod", true),
        ("psql -c 'select 1'", false),
        ("psql <<EOF\nselect 1\nEOF", false),
        ("echo x | psql", false),
        ("redis-cli info", false),
        ("redis-cli", true),
        ("sudo gitlab-rails console", true),
        ("vim /etc/hosts", true),
        ("kubectl exec -it pod -- sh", true),
        ("kubectl exec pod -- ls", false),
        ("top -b -n1", false),
        ("top", true),
        ("crontab -e", true),
        ("less /var/log/syslog", true),
        ("sudo -i", true),
        ("# vim is fine\nls", false),
    ] {
        let runbook = read(&format!("# T\n```sh\n{body}\n```\n"));
        assert_eq!(runbook.steps[0].interactive, interactive, "{body}");
    }
}

#[test]
fn what_a_reader_must_fill_in_is_found() {
    for (body, found) in [
        ("ssh <host name> uptime", "<host name>"),
        ("cat <in >out", ""),
        ("mysql < dump.sql > out", ""),
        (
            "echo $NODE ${ZONE} $HOME",
            "$NODE ${ZONE}".replace("${ZONE}", "$ZONE").leak() as &str,
        ),
        ("NODE=a; echo $NODE", ""),
        ("for X in 1 2; do echo $X; done", ""),
        ("read -r NAME; echo $NAME", ""),
        ("knife node show XXX", "XXX"),
        ("curl your-host.example.com", "your-host"),
        ("echo {{node}} {{ .Status }}", "{{node}}"),
        ("docker inspect -f '{{.State}}' x", ""),
    ] {
        let runbook = read(&format!("# T\n```sh\n{body}\n```\n"));
        assert_eq!(runbook.steps[0].placeholders.join(" "), found, "{body}");
    }
}

#[test]
fn foreign_front_matter_and_rules_are_left_alone() {
    let runbook = read("---\ntitle: A page\nlayout: default\n---\n# H\n```sh\nls\n```\n");
    assert_eq!(
        (
            runbook.title.as_str(),
            runbook.named,
            runbook.steps[0].place.line
        ),
        ("A page", false, 6)
    );
    assert_eq!(runbook.markdown(), "# H\n```sh\nls\n```\n");
    let runbook = read("---\nA line across the page.\n");
    assert_eq!(runbook.sections.len(), 0);
    let (_, problems) = super::Runbook::parse("p.md", "---\nrunbook: [\n---\n# H\n");
    assert_eq!(problems.0[0].severity, Severity::Error);
    let runbook = read("\u{feff}---\r\nrunbook: x\r\n---\r\n# H\r\n```sh\r\nls\r\n```\r\n");
    assert_eq!(
        (runbook.id.as_str(), runbook.steps[0].lang),
        ("x", Lang::Sh)
    );
}

#[test]
fn known_programs_are_sorted_for_the_search() {
    assert!(crate::runbook::shell::COMMANDS.is_sorted());
}
