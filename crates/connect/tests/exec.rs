//! Steps with real processes: outcomes, output, secrets, and that they outlive whoever started them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_connect::exec::{
    ExecOutcome, ExecResult, ExecSpec, Executor, KEPT, Program, Stream,
};
use bellwether_model::Secret;

/// Longer than any test takes.
const LONG: Duration = Duration::from_mins(2);

fn supervisor() -> String {
    // target/debug/deps/exec-… -> target/debug/examples/supervise_step
    let test = std::env::current_exe().unwrap();
    let path: PathBuf = test
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples/supervise_step");
    assert!(
        path.exists(),
        "build it: cargo build -p bellwether-connect --example supervise_step"
    );
    path.to_str().unwrap().to_owned()
}

fn executor(folder: &Path) -> Executor {
    Executor::new(folder.join("spool"), vec![supervisor()])
}

fn bash(key: &str, body: &str) -> ExecSpec {
    ExecSpec {
        key: key.to_owned(),
        program: Program::Bash(body.to_owned()),
        env: BTreeMap::new(),
        cwd: None,
        timeout: LONG,
        grace: LONG,
    }
}

async fn run(spec: ExecSpec) -> ExecResult {
    let folder = tempfile::tempdir().unwrap();
    executor(folder.path())
        .start(spec, BTreeMap::new(), None)
        .await
}

/// Waits for a condition, at most [`LONG`].
async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
}

#[tokio::test]
async fn each_end_has_its_outcome() {
    let exited = |code| ExecOutcome::Exited { code };
    let outcome = async |spec| run(spec).await.outcome;
    assert_eq!(outcome(bash("a", "true")).await, exited(0));
    assert_eq!(outcome(bash("a", "exit 42")).await, exited(42));
    // errexit, nounset, pipefail.
    assert_eq!(outcome(bash("a", "false; true")).await, exited(1));
    assert_eq!(outcome(bash("a", "echo $NOT_SET")).await, exited(1));
    assert_eq!(outcome(bash("a", "false | true")).await, exited(1));
    assert_eq!(
        outcome(bash("a", "kill -KILL $$")).await,
        ExecOutcome::Signalled { signal: 9 }
    );
    let missing = ExecSpec {
        program: Program::Argv {
            words: vec!["/no/such/program".to_owned()],
            input: String::new(),
        },
        ..bash("a", "")
    };
    assert!(matches!(
        outcome(missing).await,
        ExecOutcome::FailedToStart { .. }
    ));
    let argv = ExecSpec {
        program: Program::Argv {
            words: vec!["printf".to_owned(), "%s|".to_owned(), "a b".to_owned()],
            input: String::new(),
        },
        ..bash("a", "")
    };
    assert_eq!(run(argv).await.stdout.text, "a b|");
    let sh = ExecSpec {
        program: Program::Sh("echo $((1+1)); false; echo no".to_owned()),
        ..bash("a", "")
    };
    let result = run(sh).await;
    assert_eq!(
        (result.outcome, result.stdout.text.as_str()),
        (exited(1), "2\n")
    );
    let folder = tempfile::tempdir().unwrap();
    let none = Executor::new(folder.path().to_owned(), vec!["/no/such".to_owned()]);
    let result = none.start(bash("a", "true"), BTreeMap::new(), None).await;
    assert!(
        matches!(&result.outcome, ExecOutcome::FailedToStart { error } if error.contains("supervisor")),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_timeout_ends_the_whole_process_group() {
    let folder = tempfile::tempdir().unwrap();
    let alive = folder.path().join("alive");
    let body = format!(
        "(trap '' TERM; while true; do touch {0}; sleep 0.02; done) & \
         until [ -e {0} ]; do sleep 0.01; done; echo started; wait",
        alive.display()
    );
    let spec = ExecSpec {
        timeout: Duration::from_millis(500),
        grace: Duration::from_millis(100),
        ..bash("a/b/1", &body)
    };
    let result = executor(folder.path())
        .start(spec, BTreeMap::new(), None)
        .await;
    assert_eq!(result.outcome, ExecOutcome::TimedOut);
    assert_eq!(result.stdout.text, "started\n");
    assert!(result.duration_ms >= 500);
    // The child that ignored SIGTERM is gone too: it would make the file again.
    std::fs::remove_file(&alive).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!alive.exists());
}

#[tokio::test]
async fn a_background_process_is_not_waited_for() {
    let result = run(bash("a", "sleep 60 & echo done")).await;
    assert_eq!(result.outcome, ExecOutcome::Exited { code: 0 });
    assert_eq!(result.stdout.text, "done\n");
    assert!(result.duration_ms < 30_000);
}

#[tokio::test]
async fn the_environment_is_clean_and_inputs_arrive() {
    let spec = ExecSpec {
        env: BTreeMap::from([("INPUT".to_owned(), "a b'\"$(reboot)".to_owned())]),
        ..bash(
            "a",
            "printf '%s\\n' \"$INPUT\"; env | cut -d= -f1 | sort | tr '\\n' ' '; cat",
        )
    };
    let result = run(spec).await;
    assert_eq!(
        result.stdout.text,
        "a b'\"$(reboot)\nHOME INPUT LANG PATH PWD SHLVL _ "
    );
}

#[tokio::test]
async fn secrets_reach_the_command_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let executor = executor(folder.path());
    let secrets = BTreeMap::from([("TOKEN".to_owned(), Secret::new("s3cr3t-value"))]);
    let body = "printf '%s' \"${TOKEN:0:5}\"; sleep 0.1; printf '%s' \"${TOKEN:5}\"; echo -n ' '; \
                printf '%s' \"$TOKEN\" | base64; printf '%s' \"$TOKEN\" >&2; [ ${#TOKEN} = 12 ]";
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let result = executor
        .start(
            bash("run/step/1", body),
            secrets,
            Some(Arc::new(move |_, bytes: &[u8]| {
                sink.lock().unwrap().extend_from_slice(bytes);
            })),
        )
        .await;
    assert_eq!(result.outcome, ExecOutcome::Exited { code: 0 });
    assert_eq!(result.stderr.text, "<secret>");
    assert!(
        result.stdout.text.starts_with("<secret> <secret>"),
        "{result:?}"
    );
    let mut everything = seen.lock().unwrap().clone();
    for entry in std::fs::read_dir(folder.path().join("spool/run+step+1")).unwrap() {
        everything.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let everything = String::from_utf8_lossy(&everything);
    assert!(everything.contains("<secret>"));
    for form in ["s3cr3t", "czNjcjN0"] {
        assert!(!everything.contains(form), "{form}");
    }
}

#[tokio::test]
async fn a_flood_is_cut_in_the_middle_and_counted() {
    let body =
        "head -c 3000000 /dev/zero | tr '\\0' a; printf END; head -c 5 /dev/zero | tr '\\0' e >&2";
    let result = run(bash("a", body)).await;
    assert_eq!(result.outcome, ExecOutcome::Exited { code: 0 });
    assert_eq!(result.stdout.bytes, 3_000_003);
    assert!(result.stdout.truncated);
    assert!(result.stdout.text.ends_with("aaaEND"));
    let left_out = 3_000_003 - 2 * KEPT;
    assert!(
        result
            .stdout
            .text
            .contains(&format!("\n… {left_out} bytes left out …\n"))
    );
    assert!(result.stdout.text.len() < 2 * KEPT as usize + 100);
    assert_eq!(
        (result.stderr.text.as_str(), result.stderr.truncated),
        ("eeeee", false)
    );
    // Between one and two caps nothing is lost.
    let result = run(bash("a", "head -c 1500000 /dev/zero | tr '\\0' a")).await;
    assert_eq!(result.stdout.text.len(), 1_500_000);
    assert!(!result.stdout.truncated);
}

#[tokio::test]
async fn output_comes_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let body = format!(
        "echo first; until [ -e {} ]; do sleep 0.02; done; echo second >&2",
        go.display()
    );
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (sink, reader) = (Arc::clone(&seen), Arc::clone(&seen));
    let executor = executor(folder.path());
    let step = executor.start(
        bash("a", &body),
        BTreeMap::new(),
        Some(Arc::new(move |stream, bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            sink.lock().unwrap().push((stream, text));
        })),
    );
    let watcher = async {
        until(|| !reader.lock().unwrap().is_empty()).await;
        std::fs::write(&go, "").unwrap();
    };
    let (result, ()) = tokio::join!(step, watcher);
    assert_eq!(result.outcome, ExecOutcome::Exited { code: 0 });
    assert_eq!(
        *seen.lock().unwrap(),
        [
            (Stream::Stdout, "first\n".to_owned()),
            (Stream::Stderr, "second\n".to_owned())
        ]
    );
}

#[tokio::test]
async fn the_same_key_never_runs_twice() {
    let folder = tempfile::tempdir().unwrap();
    let executor = executor(folder.path());
    let count = folder.path().join("count");
    let body = format!("echo x >> {}; sleep 0.2; echo done", count.display());
    let runs = (0..4).map(|_| executor.start(bash("r/s/1", &body), BTreeMap::new(), None));
    let results = futures_util::future::join_all(runs).await;
    for result in &results {
        assert_eq!(result, &results[0]);
        assert_eq!(result.stdout.text, "done\n");
    }
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\n");
    assert_eq!(
        executor.attach("r/s/1", None).await.as_ref(),
        results.first()
    );
    assert_eq!(executor.attach("r/s/2", None).await, None);
    executor.forget("r/s/1").unwrap();
    assert_eq!(executor.attach("r/s/1", None).await, None);
}

#[tokio::test]
async fn a_step_can_be_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let executor = executor(folder.path());
    let ready = folder.path().join("ready");
    let body = format!("touch {}; sleep 600", ready.display());
    let cancel = async {
        until(|| ready.exists()).await;
        assert!(executor.cancel("a"));
    };
    let (result, ()) = tokio::join!(
        executor.start(bash("a", &body), BTreeMap::new(), None),
        cancel
    );
    assert_eq!(result.outcome, ExecOutcome::Cancelled);
    assert!(!executor.cancel("a"));
}

/// Not a test: the process that is killed while its step runs. Its input: the folder, then the body.
#[tokio::test]
#[ignore = "started by another test"]
async fn doomed_starter() {
    let mut lines = std::io::stdin().lock().lines();
    let (Some(Ok(folder)), Some(Ok(body))) = (lines.next(), lines.next()) else {
        return;
    };
    let result = executor(Path::new(&folder))
        .start(bash("run/step/1", &body), BTreeMap::new(), None)
        .await;
    println!("result {:?}", result.outcome);
}

fn start_doomed(folder: &Path, body: &str) -> std::process::Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "doomed_starter", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}\n{body}", folder.display()).unwrap();
    child
}

#[tokio::test]
async fn a_running_step_survives_kill_9_of_its_starter() {
    let folder = tempfile::tempdir().unwrap();
    let (started, go) = (folder.path().join("started"), folder.path().join("go"));
    let body = format!(
        "echo one; echo x >> {}; until [ -e {} ]; do sleep 0.02; done; echo two; exit 3",
        started.display(),
        go.display()
    );
    let mut starter = start_doomed(folder.path(), &body);
    until(|| started.exists()).await;
    starter.kill().unwrap();
    starter.wait().unwrap();
    let executor = executor(folder.path());
    let (result, ()) = tokio::join!(executor.attach("run/step/1", None), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        std::fs::write(&go, "").unwrap();
    });
    let result = result.unwrap();
    assert_eq!(result.outcome, ExecOutcome::Exited { code: 3 });
    assert_eq!(result.stdout.text, "one\ntwo\n");
    // Starting it again reads the spool and runs nothing.
    let again = executor
        .start(bash("run/step/1", &body), BTreeMap::new(), None)
        .await;
    assert_eq!(again, result);
    assert_eq!(std::fs::read_to_string(&started).unwrap(), "x\n");
}

#[tokio::test]
async fn killed_at_any_moment_a_step_runs_once_or_surely_not() {
    let mut ran = 0;
    for round in 0..12_u64 {
        let folder = tempfile::tempdir().unwrap();
        let count = folder.path().join("count");
        let body = format!("echo x >> {}", count.display());
        let mut starter = start_doomed(folder.path(), &body);
        let spool = folder.path().join("spool/run+step+1");
        // Moments: as soon as the folder is there, and up to when the step has long ended.
        until(|| spool.exists()).await;
        tokio::time::sleep(Duration::from_micros(round * round * 300)).await;
        starter.kill().unwrap();
        starter.wait().unwrap();
        let result = executor(folder.path())
            .start(bash("run/step/1", &body), BTreeMap::new(), None)
            .await;
        let lines = std::fs::read_to_string(&count).unwrap_or_default();
        match result.outcome {
            ExecOutcome::Exited { code: 0 } => {
                assert_eq!(lines, "x\n", "round {round}");
                ran += 1;
            }
            ExecOutcome::FailedToStart { .. } => assert_eq!(lines, "", "round {round}"),
            other => panic!("round {round}: {other:?}"),
        }
    }
    assert!(ran > 0);
}

#[tokio::test]
async fn a_killed_supervisor_leaves_an_unknown_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let executor = executor(folder.path());
    let ready = folder.path().join("ready");
    let body = format!("echo before; touch {}; sleep 600", ready.display());
    let kill = async {
        until(|| ready.exists()).await;
        let read = |name: &str| -> i32 {
            let path = folder.path().join("spool/a").join(name);
            let text = std::fs::read_to_string(path).unwrap();
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            i32::try_from(value["pid"].as_i64().unwrap()).unwrap()
        };
        let kill = |pid: i32| {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        };
        until(|| folder.path().join("spool/a/child").exists()).await;
        let output = folder.path().join("spool/a/stdout");
        until(|| std::fs::read(&output).is_ok_and(|bytes| !bytes.is_empty())).await;
        kill(read("pid"));
        read("child")
    };
    let (result, child) = tokio::join!(
        executor.start(bash("a", &body), BTreeMap::new(), None),
        kill
    );
    let ExecOutcome::Unknown { reason } = result.outcome else {
        panic!("{result:?}");
    };
    assert!(reason.contains("may still be running"), "{reason}");
    assert_eq!(result.stdout.text, "before\n");
    let group = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
    until(|| !Path::new(&format!("/proc/{child}/status")).exists()).await;
    let ExecOutcome::Unknown { reason } = executor.attach("a", None).await.unwrap().outcome else {
        panic!("still unknown");
    };
    assert!(!reason.contains("still"), "{reason}");
}

#[tokio::test]
async fn a_step_without_a_supervisor_surely_never_ran() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool/a");
    std::fs::create_dir_all(&spool).unwrap();
    // As after a crash between making the folder and starting the supervisor.
    let spec = serde_json::to_vec(&bash("a", "true")).unwrap();
    std::fs::write(spool.join("spec"), spec).unwrap();
    let executor = executor(folder.path());
    let result = executor.attach("a", None).await.unwrap();
    assert!(matches!(result.outcome, ExecOutcome::FailedToStart { .. }));
    // A supervisor that comes late finds the claim taken and runs nothing.
    let mut late = Command::new(supervisor())
        .arg(&spool)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    late.stdin.take().unwrap().write_all(b"{}").unwrap();
    late.wait().unwrap();
    assert_eq!(executor.attach("a", None).await.unwrap(), result);
    assert!(!spool.join("child").exists());
}

#[tokio::test]
async fn odd_keys_get_folders_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let executor = executor(folder.path());
    let long = "x".repeat(5000);
    let keys = [
        "a/b",
        "a+b",
        "..",
        "../../a",
        "a b\n",
        "A",
        &long,
        &format!("{long}y"),
        "",
    ];
    for (index, key) in keys.iter().enumerate() {
        let body = format!("echo {index}");
        let result = executor
            .start(bash(key, &body), BTreeMap::new(), None)
            .await;
        assert_eq!(result.stdout.text, format!("{index}\n"), "{key:?}");
    }
    let made = std::fs::read_dir(folder.path().join("spool")).unwrap();
    assert_eq!(made.count(), keys.len());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_supervisor_refuses_a_folder_that_is_none() {
    let mut child = Command::new(supervisor())
        .arg("/no/such/folder")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    BufReader::new(child.stderr.take().unwrap())
        .read_line(&mut text)
        .unwrap();
    assert!(!child.wait().unwrap().success());
    assert_eq!(text, "");
}
