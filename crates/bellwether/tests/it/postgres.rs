//! State in PostgreSQL: a private server of Debian's, on a port and in a folder of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::server::{Server, Web};
use crate::support::{Process, free_port, local, part, wait_for, wait_until};

const PLACES: [&str; 3] = [
    "/usr/lib/postgresql/15/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/17/bin",
];

/// A private PostgreSQL.
pub(crate) struct Postgres {
    process: Process,
    _folder: tempfile::TempDir,
    pub(crate) url: String,
}

/// PostgreSQL refuses to run as root: then as its own user.
fn as_postgres(program: PathBuf) -> Command {
    let root = std::fs::metadata("/proc/self")
        .is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0);
    if root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn give_to_postgres(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let data = folder.join("pg");
    std::fs::create_dir(&data).unwrap();
    // Fails where we are not root, and then it is ours anyway.
    drop(Command::new("chown").arg("postgres").arg(&data).output());
}

impl Postgres {
    pub(crate) fn start(port: u16) -> Option<Self> {
        let (initdb, server) = (part("initdb", &PLACES)?, part("postgres", &PLACES)?);
        let folder = tempfile::tempdir().unwrap();
        give_to_postgres(folder.path());
        let data = folder.path().join("pg");
        let mut init = as_postgres(initdb);
        init.args([
            "--no-sync",
            "--auth=trust",
            "--username=bellwether",
            "--no-locale",
            "--encoding=UTF8",
            "-D",
        ])
        .arg(data.join("db"));
        let output = init.current_dir("/").output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let log = File::create(folder.path().join("log")).unwrap();
        let mut run = as_postgres(server);
        run.arg("-D")
            .arg(data.join("db"))
            .arg("-k")
            .arg(&data)
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-c",
                "fsync=off",
                "-c",
                "shared_preload_libraries=pg_stat_statements",
            ]);
        let process = Process::spawn(
            run.current_dir("/")
                .stdout(log.try_clone().unwrap())
                .stderr(log),
        );
        let url = format!("postgres://bellwether@127.0.0.1:{port}/postgres");
        wait_until("PostgreSQL", 60, || {
            std::net::TcpStream::connect(local(port)).is_ok()
        });
        Some(Self {
            process,
            _folder: folder,
            url,
        })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It has children of its own: let it end them. `runuser` passes the signal on.
        self.process.signal("INT");
        let mut waits = 0;
        while self.process.ended().is_none() && waits < 200 {
            crate::support::pause(std::time::Duration::from_millis(50));
            waits += 1;
        }
    }
}

#[test]
fn a_case_survives_a_crash_in_postgres_too() {
    let Some(postgres) = Postgres::start(free_port()) else {
        return;
    };
    let web = Web::start();
    let data = tempfile::tempdir().unwrap();
    std::fs::write(
        data.path().join("bellwether.yml"),
        bellwether::demo::config(web.address, false),
    )
    .unwrap();
    let args = ["--state", postgres.url.as_str()];
    // The database takes connections a moment after its port does.
    let server = Server::start_with(data.path(), &args);
    assert_eq!(server.api("/status")["state"]["engine"], "postgres");
    wait_until("samples", 60, || {
        server.value("sum(demo_http_requests_total)") > Some(300.0)
    });
    web.post("/admin/fault?replica=2&kind=slow");
    let case = wait_for("a page", 120, || {
        let case = server.cases("web").into_iter().next()?;
        let view = server.api(&format!("/cases/{}", case["id"].as_str()?));
        view["timeline"]
            .as_array()?
            .iter()
            .any(|event| event["kind"] == "page_sent")
            .then_some(case)
    });
    let token = server.token.clone();
    server.kill();
    assert!(
        !data.path().join("state.sqlite").exists(),
        "state is in two places"
    );
    let server = Server::start_with(data.path(), &args);
    assert_eq!(server.token, token, "the owner's token is stored too");
    let found = server
        .cases("web")
        .into_iter()
        .next()
        .expect("the case is still there");
    assert_eq!(found["id"], case["id"]);
    assert_ne!(found["status"], "resolved");
    let view = server.api(&format!("/cases/{}", case["id"].as_str().unwrap()));
    let seqs: Vec<u64> = view["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|event| event["seq"].as_u64())
        .collect();
    assert!(seqs.is_sorted() && !seqs.is_empty());
    // The loop goes on where it was: the person taps, the case is resolved.
    let path = format!("/cases/{}", case["id"].as_str().unwrap());
    let plan = wait_for("a plan that can run", 60, || {
        let answer = server.get(&format!("{}{path}/plan?part=fix", crate::server::API));
        let plan: Value = answer.json();
        (plan["runnable"] == true).then_some(plan)
    });
    let run = server.post(
        &format!("{path}/run"),
        &serde_json::json!({"part": "fix", "digest": plan["digest"]}),
    );
    assert_eq!(run.status, 200, "{}", run.text());
    wait_until("the case to be resolved", 120, || {
        server
            .cases("web")
            .iter()
            .all(|case| case["status"] == "resolved")
    });
    server.stop();
    // Nobody there: said, with a hint, not waited for.
    drop(postgres);
    let mut serve = crate::support::bellwether();
    serve.args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--state",
        &format!("postgres://u:hush@127.0.0.1:{}/x", free_port()),
        "--data",
    ]);
    let ran = crate::support::run(serve.arg(data.path()), 60);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(
        ran.err.contains("hint: is the address of --state right") && !ran.err.contains("hush"),
        "{}",
        ran.err
    );
}
