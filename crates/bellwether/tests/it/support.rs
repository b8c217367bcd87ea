//! Waiting, processes, parts of the system.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};

const LOOK_EVERY: Duration = Duration::from_millis(50);

#[expect(
    clippy::disallowed_methods,
    reason = "real processes are polled; every wait has a condition and an end"
)]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Looks until there is something, or fails with what was waited for.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = SystemClock::new();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            clock.monotonic() < Duration::from_secs(seconds),
            "waited {seconds} s for {what}"
        );
        pause(LOOK_EVERY);
    }
}

/// As [`wait_for`], for a condition.
#[track_caller]
pub(crate) fn wait_until(what: &str, seconds: u64, mut look: impl FnMut() -> bool) {
    wait_for(what, seconds, || look().then_some(()));
}

/// A process that ends with its holder.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| panic!("start {command:?}: {error}")))
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0
            .try_wait()
            .expect("a child of ours can be waited for")
    }

    pub(crate) fn signal(&self, signal: &str) {
        let kill = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -{signal} {}", self.0.id()))
            .status();
        assert!(kill.is_ok_and(|status| status.success()), "send {signal}");
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        wait_for("the process to stop", 20, || self.ended())
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().expect("kill a child");
        self.0.wait().expect("wait for a child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The program under test.
pub(crate) fn bellwether() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    for var in [
        bellwether_env::vars::LOG,
        bellwether_env::vars::STATE,
        bellwether_env::vars::TOKEN,
    ] {
        command.env_remove(var.name);
    }
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command
}

/// What a command printed and how it ended; it must end within `seconds`.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn run(command: &mut Command, seconds: u64) -> Ran {
    let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    fn reader(mut pipe: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            drop(pipe.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }
    let out = reader(process.0.stdout.take().expect("piped"));
    let err = reader(process.0.stderr.take().expect("piped"));
    let what = format!("{command:?} to end");
    let status = wait_for(&what, seconds, || process.ended());
    Ran {
        code: status.code(),
        out: out.join().expect("read"),
        err: err.join().expect("read"),
    }
}

/// A program of the system; without it the test is skipped, or fails in continuous integration.
pub(crate) fn part(name: &str, places: &[&str]) -> Option<PathBuf> {
    let found = places
        .iter()
        .map(|place| PathBuf::from(place).join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found
}

pub(crate) const BIN: [&str; 4] = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];

pub(crate) fn skip(why: &str) {
    assert!(
        bellwether_env::vars::CI.get().as_deref() != Some("true"),
        "{why}"
    );
    println!("skipped: {why}");
}

/// A port that was free a moment ago, for programs that cannot say which one they took.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("bound").port()
}

pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
