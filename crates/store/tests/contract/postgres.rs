//! A private PostgreSQL server for the tests.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A server of our own, stopped when dropped.
pub(crate) struct Server {
    bin: PathBuf,
    folder: TempDir,
    pub(crate) port: u16,
}

impl Server {
    /// `None`: PostgreSQL is not installed (which fails where CI=true).
    pub(crate) fn start() -> Option<Self> {
        let Some(bin) = find_bin() else {
            assert!(
                bellwether_env::vars::CI.get().as_deref() != Some("true"),
                "PostgreSQL is not installed"
            );
            println!("skipped: PostgreSQL is not installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let server = Self { bin, folder, port };
        run(server
            .command("initdb")
            .args([
                "-A",
                "trust",
                "-U",
                "postgres",
                "--no-sync",
                "-E",
                "UTF8",
                "-D",
            ])
            .arg(server.data()));
        server.up();
        Some(server)
    }

    pub(crate) fn up(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c fsync=off",
            self.port,
            self.folder.path().display()
        );
        run(self
            .command("pg_ctl")
            .args(["-w", "start", "-o", &options, "-D"])
            .arg(self.data())
            .arg("-l")
            .arg(self.folder.path().join("log")));
    }

    pub(crate) fn stop(&self, mode: &str) {
        run(self
            .command("pg_ctl")
            .args(["-w", "stop", "-m", mode, "-D"])
            .arg(self.data()));
    }

    /// Makes an empty database and gives its address.
    pub(crate) async fn database(&self, name: &str) -> String {
        self.admin(&format!("create database {name}")).await;
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    pub(crate) async fn admin(&self, sql: &str) {
        self.execute("postgres", sql).await.unwrap();
    }

    pub(crate) async fn execute(&self, database: &str, sql: &str) -> Result<(), String> {
        let address = format!("postgres://postgres@127.0.0.1:{}/{database}", self.port);
        let (client, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls)
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let done = client.batch_execute(sql).await.map_err(|error| {
            error
                .as_db_error()
                .map_or(error.to_string(), |error| error.message().to_owned())
        });
        drop(client);
        connection.await.unwrap().unwrap();
        done
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = self.command("pg_ctl");
        stop.args(["-w", "stop", "-m", "immediate", "-D"])
            .arg(self.data());
        drop(stop.stdout(Stdio::null()).stderr(Stdio::null()).status());
    }
}

fn run(command: &mut Command) {
    // Not captured: a server that is started keeps the pipes open.
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{command:?}");
}

fn is_root() -> bool {
    fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0")))
}

fn find_bin() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin: &PathBuf| Path::new(bin).join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop()
}
