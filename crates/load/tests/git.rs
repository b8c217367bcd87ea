//! Git load against real servers: nginx with fcgiwrap and git-http-backend, and sshd.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set itself up has failed, and says when it skips"
)]

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};
use bellwether_load::Stop;
use bellwether_load::git::{GitPlan, GitReport, Operation, Remote, run};
use bellwether_load::plan::TlsOptions;

/// A process that ends with its holder.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Asked first, so that it takes its own children along.
        drop(Command::new("kill").arg(self.0.id().to_string()).status());
        drop(self.0.wait());
    }
}

fn program(name: &str, folders: &[&str]) -> Option<PathBuf> {
    let found = folders
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists());
    if found.is_none() {
        assert!(
            bellwether_env::vars::CI.get().is_none_or(|ci| ci != "true"),
            "{name} is not installed"
        );
        println!("skipped: {name} is not installed");
    }
    found
}

const SYSTEM: [&str; 4] = [
    "/usr/sbin",
    "/usr/bin",
    "/usr/local/bin",
    "/usr/lib/git-core",
];

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn wait_for(what: &str, mut look: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    let (_hold, never) = std::sync::mpsc::channel::<()>();
    while !look() {
        assert!(clock.monotonic() < Duration::from_secs(20), "{what}");
        let _ = never.recv_timeout(Duration::from_millis(20));
    }
}

fn listens(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn git(folder: &Path, args: &[&str], input: &str) -> String {
    let mut child = Command::new("git")
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "git {args:?}");
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// A bare repository of 200 commits with files that do not compress.
fn repository(folder: &Path) -> PathBuf {
    let path = folder.join("x.git");
    git(folder, &["init", "-q", "--bare", "-b", "main", "x.git"], "");
    let mut stream = String::new();
    let mut random = bellwether_stats::random::Random::new(5);
    for number in 0..200 {
        let lines: Vec<String> = (0..60).map(|_| format!("{:016x}", random.draw())).collect();
        let content = lines.join(
            "
",
        );
        stream.push_str(&format!(
            "commit refs/heads/main\ncommitter a <a@b> {} +0000\ndata 1\nx\nM 644 inline f{number}\ndata {}\n{content}\n",
            1_700_000_000 + number,
            content.len()
        ));
    }
    git(&path, &["fast-import", "--quiet"], &stream);
    git(&path, &["config", "http.receivepack", "true"], "");
    path
}

struct Http {
    url: String,
    _parts: [Running; 2],
}

fn http_server(folder: &Path) -> Option<Http> {
    let nginx = program("nginx", &SYSTEM)?;
    let fcgiwrap = program("fcgiwrap", &SYSTEM)?;
    let backend = program("git-http-backend", &SYSTEM)?;
    let (socket, port) = (folder.join("cgi"), free_port());
    let quiet = |command: &mut Command| {
        Running(
            command
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap(),
        )
    };
    let cgi = quiet(
        Command::new(fcgiwrap)
            .args(["-c", "8", "-s", &format!("unix:{}", socket.display())])
            .env("HOME", folder),
    );
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let at = folder.display();
    let config = format!(
        "{user} daemon off; worker_processes 1; pid {at}/pid; error_log {at}/log;
events {{ worker_connections 512; }}
http {{ access_log off; client_max_body_size 0;
  client_body_temp_path {at}/t1; proxy_temp_path {at}/t2; fastcgi_temp_path {at}/t3; uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5;
  server {{ listen 127.0.0.1:{port}; location / {{
    fastcgi_pass unix:{socket}; fastcgi_param SCRIPT_FILENAME {backend}; fastcgi_param GIT_PROJECT_ROOT {at};
    fastcgi_param GIT_HTTP_EXPORT_ALL 1; fastcgi_param PATH_INFO $uri; fastcgi_param QUERY_STRING $query_string;
    fastcgi_param REQUEST_METHOD $request_method; fastcgi_param CONTENT_TYPE $content_type;
    fastcgi_param CONTENT_LENGTH $content_length; fastcgi_param HTTP_GIT_PROTOCOL $http_git_protocol;
    fastcgi_param GIT_PROTOCOL $http_git_protocol; fastcgi_param REMOTE_USER load; fastcgi_param REMOTE_ADDR $remote_addr;
  }} }} }}\n",
        socket = socket.display(),
        backend = backend.display(),
    );
    std::fs::write(folder.join("nginx.conf"), config).unwrap();
    let server = quiet(Command::new(nginx).arg("-c").arg(folder.join("nginx.conf")));
    wait_for("nginx", || socket.exists() && listens(port));
    Some(Http {
        url: format!("http://127.0.0.1:{port}/x.git"),
        _parts: [cgi, server],
    })
}

struct Ssh {
    url: String,
    command: Vec<String>,
    _part: Running,
}

fn ssh_server(folder: &Path) -> Option<Ssh> {
    let sshd = program("sshd", &SYSTEM)?;
    let keygen = program("ssh-keygen", &SYSTEM)?;
    program("ssh", &SYSTEM)?;
    for name in ["host", "user"] {
        let made = Command::new(&keygen)
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(folder.join(name))
            .status();
        assert!(made.unwrap().success());
    }
    std::fs::copy(folder.join("user.pub"), folder.join("keys")).unwrap();
    let (at, port) = (folder.display(), free_port());
    let config = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/keys\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nAcceptEnv GIT_PROTOCOL\nMaxStartups 100\n"
    );
    std::fs::write(folder.join("sshd_config"), config).unwrap();
    // Debian's wants this folder when it runs as root.
    if rustix::process::geteuid().is_root() {
        std::fs::create_dir_all("/run/sshd").unwrap();
    }
    let part = Running(
        Command::new(sshd)
            .args(["-D", "-f"])
            .arg(folder.join("sshd_config"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    wait_for("sshd", || listens(port));
    let options = format!(
        "ssh -i {at}/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -o LogLevel=ERROR"
    );
    Some(Ssh {
        url: format!("ssh://127.0.0.1:{port}{at}/x.git"),
        command: options.split(' ').map(str::to_owned).collect(),
        _part: part,
    })
}

fn measure(url: &str, operation: Operation, change: impl FnOnce(&mut GitPlan)) -> GitReport {
    let mut plan = GitPlan {
        remote: Remote::resolve(url).unwrap(),
        operation,
        clients: 4,
        arrival: None,
        operations: 8,
        duration: Duration::from_mins(1),
        timeout: Duration::from_secs(30),
        throttle: None,
        headers: Vec::new(),
        tls: TlsOptions::default(),
        ssh: vec!["ssh".to_owned()],
        seed: 3,
    };
    change(&mut plan);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(plan, &Stop::default(), |_, _| {}))
}

/// All completed, and each phase comes after the one before.
fn all_well(report: &GitReport, number: u64) {
    assert_eq!(
        (report.completed, report.failed),
        (number, 0),
        "{:?} {:?}",
        report.errors,
        report.messages
    );
    let phases = &report.phases;
    let order = [
        &phases.connected,
        &phases.first_packet,
        &phases.refs,
        &phases.first_pack,
        &phases.done,
    ];
    for pair in order.windows(2) {
        assert!(pair[0].count == number && pair[0].p50_ms <= pair[1].p50_ms * 1.01);
    }
}

#[test]
fn clone_fetch_and_push_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = http_server(folder.path()) else {
        return;
    };
    let path = repository(folder.path());
    let clone = measure(&server.url, Operation::Clone { depth: None }, |_| {});
    all_well(&clone, 8);
    assert_eq!(clone.protocols.get(&2), Some(&8));
    // 200 files of 960 bytes that hold 480 random ones.
    assert!(clone.pack_bytes / 8 > 100_000, "{}", clone.pack_bytes);
    let shallow = measure(&server.url, Operation::Clone { depth: Some(1) }, |_| {});
    all_well(&shallow, 8);
    let have = vec![git(&path, &["rev-parse", "main~5"], "")];
    let fetch = measure(&server.url, Operation::Fetch { have }, |_| {});
    all_well(&fetch, 8);
    assert!(fetch.pack_bytes * 10 < clone.pack_bytes);
    let push = measure(&server.url, Operation::Push { bytes: 50_000 }, |_| {});
    all_well(&push, 8);
    assert!(push.bytes_out > 400_000);
    // The branches are gone again.
    let refs = git(&path, &["for-each-ref", "--format=%(refname)"], "");
    assert_eq!(refs, "refs/heads/main");
    let missing = server.url.replace("x.git", "y.git");
    let none = measure(&missing, Operation::Clone { depth: None }, |_| {});
    assert_eq!(none.errors.get("status 404"), Some(&8), "{:?}", none.errors);
}

#[test]
fn fifty_slow_clones_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = http_server(folder.path()) else {
        return;
    };
    repository(folder.path());
    let slow = measure(&server.url, Operation::Clone { depth: None }, |plan| {
        plan.clients = 50;
        plan.operations = 50;
        plan.throttle = Some(100_000);
    });
    all_well(&slow, 50);
    assert_eq!(slow.in_flight_max, 50);
    // More than 100 kB each, at 100 kB a second.
    assert!(slow.service.p50_ms > 800.0, "{:?}", slow.service);
}

#[test]
fn clone_fetch_and_push_over_ssh() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = ssh_server(folder.path()) else {
        return;
    };
    let path = repository(folder.path());
    let over = |operation| {
        measure(&server.url, operation, |plan| {
            plan.operations = 4;
            plan.clients = 2;
            plan.ssh.clone_from(&server.command);
        })
    };
    all_well(&over(Operation::Clone { depth: None }), 4);
    let have = vec![git(&path, &["rev-parse", "main~5"], "")];
    all_well(&over(Operation::Fetch { have }), 4);
    all_well(&over(Operation::Push { bytes: 10_000 }), 4);
    let refs = git(&path, &["for-each-ref", "--format=%(refname)"], "");
    assert_eq!(refs, "refs/heads/main");
    let refused = measure(&server.url, Operation::Clone { depth: None }, |plan| {
        plan.operations = 1;
        plan.ssh.clone_from(&server.command);
        plan.ssh[2] = "/dev/null".to_owned();
    });
    assert_eq!(refused.failed, 1);
    assert!(!refused.messages.is_empty());
}
