//! Steps on another host: a real sshd on loopback, broken connections, killed supervisors.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bellwether_connect::exec::{ExecOutcome, ExecResult, ExecSpec, Executor, Program};
use bellwether_model::Secret;

const LONG: Duration = Duration::from_mins(1);

/// An sshd of our own, for this user, with a home of its own.
struct Sshd {
    process: Child,
    folder: tempfile::TempDir,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let mut close = self.ssh();
        drop(close.args(["-O", "exit", "there"]).status());
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn keygen(file: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(file)
        .status();
    assert!(made.unwrap().success());
}

impl Sshd {
    fn start() -> Option<Self> {
        if !Path::new("/usr/sbin/sshd").exists() {
            assert!(
                bellwether_env::vars::CI.get().as_deref() != Some("true"),
                "sshd is not installed"
            );
            println!("skipped: sshd is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        keygen(&at.join("host"));
        keygen(&at.join("key"));
        std::fs::copy(at.join("key.pub"), at.join("authorized")).unwrap();
        std::fs::create_dir(at.join("home")).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let place = at.display();
        std::fs::write(
            at.join("sshd_config"),
            format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/host\nAuthorizedKeysFile {place}/authorized\n\
                 StrictModes no\nUsePAM no\nPidFile none\nSetEnv HOME={place}/home\nMaxSessions 100\n"
            ),
        )
        .unwrap();
        let user =
            String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        std::fs::write(
            at.join("config"),
            format!(
                "Host there\n  HostName 127.0.0.1\n  Port {port}\n  User {}\n  IdentityFile {place}/key\n  \
                 IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile {place}/known\n",
                user.trim()
            ),
        )
        .unwrap();
        drop(std::fs::create_dir_all("/run/sshd"));
        let process = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(at.join("sshd_config"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let sshd = Self { process, folder };
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(sshd);
            }
            sshd.pause();
        }
        panic!("sshd did not start");
    }

    #[expect(clippy::disallowed_methods, reason = "a real process is polled")]
    #[expect(clippy::unused_self, reason = "reads as waiting for it")]
    fn pause(&self) {
        std::thread::sleep(Duration::from_millis(25));
    }

    fn ssh(&self) -> Command {
        let mut command = Command::new("ssh");
        command
            .arg("-F")
            .arg(self.folder.path().join("config"))
            .args(["-o", "ControlPath=/tmp/bellwether-ssh-%i/%C"])
            .stderr(Stdio::null());
        command
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn executor(&self) -> Executor {
        let test = std::env::current_exe().unwrap();
        let supervisor = test
            .ancestors()
            .nth(2)
            .unwrap()
            .join("examples/supervise_step");
        assert!(
            supervisor.exists(),
            "build it: cargo build -p bellwether-connect --example supervise_step"
        );
        Executor::new(
            self.folder.path().join("spool"),
            vec![supervisor.to_str().unwrap().to_owned()],
        )
    }

    fn spec(&self, key: &str, body: &str) -> ExecSpec {
        ExecSpec {
            key: key.to_owned(),
            program: Program::Ssh {
                host: "there".to_owned(),
                options: vec![
                    "-F".to_owned(),
                    self.folder
                        .path()
                        .join("config")
                        .to_str()
                        .unwrap()
                        .to_owned(),
                ],
                shell: "bash".to_owned(),
                body: body.to_owned(),
            },
            env: BTreeMap::from([("WORD".to_owned(), "it's $HOME\nand `more`".to_owned())]),
            cwd: None,
            timeout: LONG,
            grace: Duration::from_secs(1),
        }
    }

    async fn run(&self, key: &str, body: &str) -> ExecResult {
        self.executor()
            .start(self.spec(key, body), BTreeMap::new(), None)
            .await
    }
}

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
    let Some(sshd) = Sshd::start() else { return };
    let ran = sshd
        .run("a/0/1", "echo \"$WORD\"; echo bad >&2; pwd; exit 42")
        .await;
    assert_eq!(ran.outcome, ExecOutcome::Exited { code: 42 });
    assert_eq!(
        ran.stdout.text,
        format!("it's $HOME\nand `more`\n{}\n", sshd.home().display())
    );
    assert_eq!(ran.stderr.text, "bad\n");
    let ran = sshd.run("a/1/1", "false | true; echo never").await;
    assert_eq!(ran.outcome, ExecOutcome::Exited { code: 1 });
    let ran = sshd.run("a/2/1", "kill -KILL $$").await;
    assert_eq!(ran.outcome, ExecOutcome::Signalled { signal: 9 });
    // Larger than a frame.
    let ran = sshd
        .run("a/3/1", "head -c 3000000 /dev/zero | tr '\\0' x")
        .await;
    assert_eq!(ran.outcome, ExecOutcome::Exited { code: 0 });
    assert_eq!(ran.stdout.bytes, 3_000_000);
    let mut late = sshd.spec("a/4/1", "trap '' TERM; sleep 60 & wait; sleep 60");
    late.timeout = Duration::from_secs(1);
    let ran = sshd.executor().start(late, BTreeMap::new(), None).await;
    assert_eq!(ran.outcome, ExecOutcome::TimedOut);
}

#[tokio::test]
async fn without_a_connection_it_surely_did_not_run() {
    let Some(sshd) = Sshd::start() else { return };
    let mut spec = sshd.spec("a/0/1", "touch ran");
    if let Program::Ssh { host, options, .. } = &mut spec.program {
        "nowhere.invalid".clone_into(host);
        options.extend(["-o".to_owned(), "ConnectTimeout=2".to_owned()]);
    }
    let ran = sshd.executor().start(spec, BTreeMap::new(), None).await;
    assert!(
        matches!(&ran.outcome, ExecOutcome::FailedToStart { error } if error.contains("nowhere")),
        "{:?}",
        ran.outcome
    );
    let mut spec = sshd.spec("a/1/1", "touch ran");
    if let Program::Ssh { host, .. } = &mut spec.program {
        "-oProxyCommand=touch /tmp/owned".clone_into(host);
    }
    let ran = sshd.executor().start(spec, BTreeMap::new(), None).await;
    assert!(matches!(ran.outcome, ExecOutcome::FailedToStart { .. }));
}

/// The connection breaks while the step runs: it goes on there, is found again, and its output comes whole and once.
#[tokio::test]
async fn a_broken_connection_is_only_a_delay() {
    let Some(sshd) = Sshd::start() else { return };
    let running = sshd.run(
        "a/0/1",
        "echo one; touch begun; while [ ! -e go ]; do sleep 0.1; done; echo two",
    );
    let breaking = async {
        until(|| sshd.home().join("begun").exists()).await;
        // The shared connection ends, and with it every session.
        let ended = sshd.ssh().args(["-O", "exit", "there"]).status();
        assert!(ended.unwrap().success());
        std::fs::write(sshd.home().join("go"), "").unwrap();
    };
    let (ran, ()) = tokio::join!(running, breaking);
    assert_eq!(ran.outcome, ExecOutcome::Exited { code: 0 });
    assert_eq!(ran.stdout.text, "one\ntwo\n");
}

/// The supervisor here is killed: the other side knows how it ended, and it did not run twice.
#[tokio::test]
async fn a_killed_supervisor_is_replaced() {
    let Some(sshd) = Sshd::start() else { return };
    let body = "echo x >> times; touch begun; while [ ! -e go ]; do sleep 0.1; done; exit 7";
    let executor = sshd.executor();
    let running = tokio::spawn({
        let (executor, spec) = (executor.clone(), sshd.spec("a/0/1", body));
        async move { executor.start(spec, BTreeMap::new(), None).await }
    });
    until(|| sshd.home().join("begun").exists()).await;
    running.abort();
    let pid: serde_json::Value =
        serde_json::from_slice(&std::fs::read(sshd.folder.path().join("spool/a+0+1/pid")).unwrap())
            .unwrap();
    let killed = Command::new("kill")
        .arg("-KILL")
        .arg(pid["pid"].to_string())
        .status();
    assert!(killed.unwrap().success());
    let stat = format!("/proc/{}/stat", pid["pid"]);
    until(|| std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))).await;
    let found = executor.attach("a/0/1", None);
    let release = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        std::fs::write(sshd.home().join("go"), "").unwrap();
    };
    let (found, ()) = tokio::join!(found, release);
    assert_eq!(found.unwrap().outcome, ExecOutcome::Exited { code: 7 });
    assert_eq!(
        std::fs::read_to_string(sshd.home().join("times")).unwrap(),
        "x\n"
    );
}

/// Its shell and what watched it there are gone: nobody can know.
#[tokio::test]
async fn what_nobody_there_knows_is_unknown() {
    let Some(sshd) = Sshd::start() else { return };
    let running = sshd.run("a/0/1", "echo $$ > shell; echo $PPID > watcher; sleep 60");
    let killing = async {
        let read = |name: &str| std::fs::read_to_string(sshd.home().join(name)).unwrap_or_default();
        until(|| !read("watcher").trim().is_empty()).await;
        let killed = Command::new("kill")
            .args(["-KILL", read("watcher").trim(), read("shell").trim()])
            .status();
        assert!(killed.unwrap().success());
    };
    let (ran, ()) = tokio::join!(running, killing);
    assert!(
        matches!(&ran.outcome, ExecOutcome::Unknown { reason } if reason.contains("nobody there")),
        "{:?}",
        ran.outcome
    );
}

#[tokio::test]
async fn secrets_reach_it_and_stay_out_of_output_arguments_and_disks() {
    let Some(sshd) = Sshd::start() else { return };
    let secret = "S3cr3t-of-the-other-host";
    let secrets = BTreeMap::from([("TOKEN".to_owned(), Secret::new(secret))]);
    let body = "test ${#TOKEN} = 24; echo \"$TOKEN\"; printf %s \"$TOKEN\" | base64; \
                tr '\\0' ' ' < /proc/$$/cmdline; ps -eo args | grep -c 'S3cr3[t]-of' || true";
    let ran = sshd
        .executor()
        .start(sshd.spec("a/0/1", body), secrets, None)
        .await;
    assert_eq!(ran.outcome, ExecOutcome::Exited { code: 0 });
    assert!(
        ran.stdout.text.starts_with("<secret>\n<secret>"),
        "{}",
        ran.stdout.text
    );
    assert!(ran.stdout.text.ends_with("0\n"), "{}", ran.stdout.text);
    // What the other host kept of the output goes once the result is stored here.
    until(|| {
        let found = Command::new("grep")
            .args(["-rl", secret])
            .arg(sshd.folder.path())
            .output();
        found.unwrap().stdout.is_empty()
    })
    .await;
}
