//! One clone, fetch or push.

use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};
use tokio::io::AsyncWriteExt as _;

use super::http::Connection;
use super::pack::PushPack;
use super::packets::{Kind, Packet, Packets, Source, put};
use super::ssh::{self, Session};
use super::{Fault, GitPlan, Marks, Operation, Remote};

/// References of a repository that are looked at.
const REFS_MAX: usize = 1_000_000;
/// Where pushes go.
const BRANCH: &str = "refs/heads/bellwether-load";
const NOTHING: &str = "0000000000000000000000000000000000000000";
const DATA: u8 = 1;
const FAILED: u8 = 3;

/// What the server has, and how it speaks.
#[derive(Debug, Default)]
struct Advertised {
    version: u8,
    /// Object ids of what a clone wants.
    wanted: Vec<String>,
    count: u64,
}

struct Clocked<'m> {
    clock: SystemClock,
    began: Duration,
    marks: &'m mut Marks,
}

impl Clocked<'_> {
    fn now(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.began)
    }
}

/// Performs the operation of a plan; the marks are filled in as it goes.
pub(crate) async fn perform(
    plan: &GitPlan,
    number: u64,
    clock: SystemClock,
    began: Duration,
    marks: &mut Marks,
) -> Result<(), Fault> {
    let mut clocked = Clocked {
        clock,
        began,
        marks,
    };
    let service = match plan.operation {
        Operation::Push { .. } => "git-receive-pack",
        _ => "git-upload-pack",
    };
    match &plan.remote {
        Remote::Http { target, path } => {
            let mut connection = Connection::open(plan, target, number).await?;
            clocked.marks.connected = Some(clocked.now());
            over_http(plan, number, &mut connection, path, service, &mut clocked).await
        }
        Remote::Ssh {
            host, port, path, ..
        } => {
            let session = ssh::start(plan, host, *port, service, path)?;
            clocked.marks.connected = Some(clocked.now());
            over_ssh(plan, number, session, &mut clocked).await
        }
    }
}

async fn over_http(
    plan: &GitPlan,
    number: u64,
    connection: &mut Connection,
    path: &str,
    service: &str,
    clocked: &mut Clocked<'_>,
) -> Result<(), Fault> {
    let body = connection
        .get(&format!("{path}/info/refs?service={service}"))
        .await?;
    let mut first = Packets::new(Source::Http(body), None, clocked.clock);
    let packet = first.next().await?;
    clocked.marks.first_packet = Some(clocked.now());
    // Before version 2 the name of the service comes first, with HTTP alone.
    let mut advertised = match packet {
        Some(Packet::Data(line)) if line.starts_with(b"# service=") => {
            first.until_mark(10).await?;
            let next = first.next().await?;
            advertised_from(next, &mut first).await?
        }
        packet => advertised_from(packet, &mut first).await?,
    };
    clocked.marks.bytes_in += first.bytes;
    drain(&mut first).await?;
    let to = format!("{path}/{service}");
    if advertised.version == 2 {
        let request = ls_refs();
        clocked.marks.bytes_out += request.len() as u64;
        let mut listing = Packets::new(
            Source::Http(connection.post(&to, service, request).await?),
            None,
            clocked.clock,
        );
        listed(&mut listing, &mut advertised).await?;
        clocked.marks.bytes_in += listing.bytes;
        drain(&mut listing).await?;
    }
    note_refs(clocked, &advertised);
    match &plan.operation {
        Operation::Push { bytes } => {
            let (request, delete, pack) = push(plan, number, *bytes, &advertised)?;
            clocked.marks.pack_bytes += pack;
            clocked.marks.bytes_out += request.len() as u64;
            let body = connection.post(&to, service, request).await?;
            clocked.marks.first_pack = Some(clocked.now());
            let mut answer = Packets::new(Source::Http(body), None, clocked.clock);
            pushed(&mut answer).await?;
            clocked.marks.bytes_in += answer.bytes;
            drain(&mut answer).await?;
            // The branch goes again; that is not part of the time.
            clocked.marks.done = Some(clocked.now());
            let mut answer = Packets::new(
                Source::Http(connection.post(&to, service, delete).await?),
                None,
                clocked.clock,
            );
            drop(pushed(&mut answer).await);
            Ok(())
        }
        operation => {
            let request = want(operation, &advertised)?;
            clocked.marks.bytes_out += request.len() as u64;
            let body = connection.post(&to, service, request).await?;
            let mut answer = Packets::new(Source::Http(body), plan.throttle, clocked.clock);
            pack_from(&mut answer, clocked).await
        }
    }
}

async fn over_ssh(
    plan: &GitPlan,
    number: u64,
    mut session: Session,
    clocked: &mut Clocked<'_>,
) -> Result<(), Fault> {
    let from = session.from.take().ok_or(Fault::Connect)?;
    let mut packets = Packets::new(Source::Pipe(from), plan.throttle, clocked.clock);
    let result = converse(plan, number, &mut session, &mut packets, clocked).await;
    clocked.marks.bytes_in += packets.bytes;
    match result {
        // The pipe ended early: ssh says why.
        Err(Fault::Closed) => match ssh::complaint(session.child).await {
            text if text.is_empty() => Err(Fault::Closed),
            text => Err(Fault::Refused(text)),
        },
        other => other,
    }
}

async fn converse(
    plan: &GitPlan,
    number: u64,
    session: &mut Session,
    packets: &mut Packets,
    clocked: &mut Clocked<'_>,
) -> Result<(), Fault> {
    let mut advertised = advertisement_marked(packets, clocked).await?;
    if advertised.version == 2 {
        send(session, &ls_refs(), clocked).await?;
        listed(packets, &mut advertised).await?;
    }
    note_refs(clocked, &advertised);
    match &plan.operation {
        Operation::Push { bytes } => {
            let (request, delete, pack) = push(plan, number, *bytes, &advertised)?;
            clocked.marks.pack_bytes += pack;
            send(session, &request, clocked).await?;
            clocked.marks.first_pack = Some(clocked.now());
            pushed(packets).await?;
            clocked.marks.done = Some(clocked.now());
            take_back(plan, &delete, clocked.clock).await;
            Ok(())
        }
        operation => {
            let request = want(operation, &advertised)?;
            send(session, &request, clocked).await?;
            pack_from(packets, clocked).await?;
            if advertised.version == 2 {
                // An empty message ends the session; the server may already be gone.
                drop(session.to.write_all(b"0000").await);
            }
            Ok(())
        }
    }
}

/// Deletes the branch of a push by a session of its own: a session takes one push.
async fn take_back(plan: &GitPlan, delete: &[u8], clock: SystemClock) {
    let Remote::Ssh {
        host, port, path, ..
    } = &plan.remote
    else {
        return;
    };
    let Ok(mut session) = ssh::start(plan, host, *port, "git-receive-pack", path) else {
        return;
    };
    let Some(from) = session.from.take() else {
        return;
    };
    let mut packets = Packets::new(Source::Pipe(from), None, clock);
    if packets.until_mark(REFS_MAX).await.is_ok() && session.to.write_all(delete).await.is_ok() {
        drop(session.to.flush().await);
        drop(pushed(&mut packets).await);
    }
}

async fn send(session: &mut Session, bytes: &[u8], clocked: &mut Clocked<'_>) -> Result<(), Fault> {
    clocked.marks.bytes_out += bytes.len() as u64;
    session
        .to
        .write_all(bytes)
        .await
        .map_err(|_| Fault::Closed)?;
    session.to.flush().await.map_err(|_| Fault::Closed)
}

fn note_refs(clocked: &mut Clocked<'_>, advertised: &Advertised) {
    clocked.marks.refs = Some(clocked.now());
    clocked.marks.refs_count = advertised.count;
    clocked.marks.version = advertised.version;
}

async fn advertisement_marked(
    packets: &mut Packets,
    clocked: &mut Clocked<'_>,
) -> Result<Advertised, Fault> {
    let first = packets.next().await?;
    clocked.marks.first_packet = Some(clocked.now());
    advertised_from(first, packets).await
}

/// The server's first message: its capabilities (version 2), or its references.
async fn advertised_from(
    first: Option<Packet>,
    packets: &mut Packets,
) -> Result<Advertised, Fault> {
    let mut advertised = Advertised {
        version: 1,
        ..Advertised::default()
    };
    let mut next = first;
    if let Some(Packet::Data(line)) = &next {
        match line.trim_ascii_end() {
            b"version 2" => {
                advertised.version = 2;
                packets.until_mark(1000).await?;
                return Ok(advertised);
            }
            b"version 1" => next = packets.next().await?,
            _ => {}
        }
    }
    loop {
        match next {
            Some(Packet::Data(line)) => {
                if let Some(message) = line.strip_prefix(b"ERR ") {
                    return Err(refused(message));
                }
                let line = String::from_utf8_lossy(&line).into_owned();
                // What follows the NUL of the first line is the capabilities.
                let line = line.split('\0').next().unwrap_or_default();
                reference(line, &mut advertised)?;
            }
            Some(Packet::Mark(_)) => return Ok(advertised),
            None => return Err(Fault::Closed),
        }
        next = packets.next().await?;
    }
}

/// `id name`, and with version 2 attributes.
fn reference(line: &str, advertised: &mut Advertised) -> Result<(), Fault> {
    let mut words = line.trim_end().split(' ');
    let id = words.next().unwrap_or_default();
    let name = words.next().unwrap_or_default();
    if id.len() < 40 || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Fault::Malformed);
    }
    if name == "capabilities^{}" {
        return Ok(());
    }
    advertised.count += 1;
    let is_wanted =
        name == "HEAD" || name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
    if is_wanted && !name.ends_with("^{}") && advertised.wanted.len() < REFS_MAX {
        advertised.wanted.push(id.to_owned());
    }
    Ok(())
}

fn ls_refs() -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, b"command=ls-refs\n");
    out.extend_from_slice(b"0001");
    for line in [
        "peel\n",
        "symrefs\n",
        "ref-prefix HEAD\n",
        "ref-prefix refs/heads/\n",
        "ref-prefix refs/tags/\n",
    ] {
        put(&mut out, line.as_bytes());
    }
    out.extend_from_slice(b"0000");
    out
}

async fn listed(packets: &mut Packets, advertised: &mut Advertised) -> Result<(), Fault> {
    loop {
        match packets.next().await? {
            Some(Packet::Data(line)) => {
                if let Some(message) = line.strip_prefix(b"ERR ") {
                    return Err(refused(message));
                }
                reference(&String::from_utf8_lossy(&line), advertised)?;
            }
            Some(Packet::Mark(_)) => return Ok(()),
            None => return Err(Fault::Closed),
        }
    }
}

/// The request for a pack.
fn want(operation: &Operation, advertised: &Advertised) -> Result<Vec<u8>, Fault> {
    let mut ids = advertised.wanted.clone();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Err(Fault::Refused("the repository is empty".to_owned()));
    }
    let (depth, have) = match operation {
        Operation::Clone { depth } => (*depth, [].as_slice()),
        Operation::Fetch { have } => (None, have.as_slice()),
        Operation::Push { .. } => (None, [].as_slice()),
    };
    let mut out = Vec::new();
    if advertised.version == 2 {
        put(&mut out, b"command=fetch\n");
        out.extend_from_slice(b"0001");
        for line in ["thin-pack\n", "no-progress\n", "ofs-delta\n"] {
            put(&mut out, line.as_bytes());
        }
        for id in &ids {
            put(&mut out, format!("want {id}\n").as_bytes());
        }
        if let Some(depth) = depth {
            put(&mut out, format!("deepen {depth}\n").as_bytes());
        }
        for id in have {
            put(&mut out, format!("have {id}\n").as_bytes());
        }
        put(&mut out, b"done\n");
        out.extend_from_slice(b"0000");
        return Ok(out);
    }
    let mut capabilities = " side-band-64k ofs-delta thin-pack no-progress".to_owned();
    for id in &ids {
        put(&mut out, format!("want {id}{capabilities}\n").as_bytes());
        capabilities.clear();
    }
    if let Some(depth) = depth {
        put(&mut out, format!("deepen {depth}\n").as_bytes());
    }
    out.extend_from_slice(b"0000");
    for id in have {
        put(&mut out, format!("have {id}\n").as_bytes());
    }
    put(&mut out, b"done\n");
    Ok(out)
}

/// Reads a pack to its end and throws it away; its form is told by its first bytes.
async fn pack_from(packets: &mut Packets, clocked: &mut Clocked<'_>) -> Result<(), Fault> {
    let before = packets.bytes;
    let mut began = false;
    let result = loop {
        match packets.next().await {
            Ok(Some(Packet::Data(line))) => match line.split_first() {
                Some((&DATA, data)) => {
                    if !began {
                        if !data.starts_with(b"PACK") {
                            break Err(Fault::Malformed);
                        }
                        began = true;
                        clocked.marks.first_pack = Some(clocked.now());
                    }
                    clocked.marks.pack_bytes += data.len() as u64;
                }
                Some((&FAILED, message)) => break Err(refused(message)),
                _ if line.starts_with(b"ERR ") => break Err(refused(&line[4..])),
                // Progress, acknowledgements, names of sections.
                _ => {}
            },
            Ok(Some(Packet::Mark(0))) if began => break Ok(()),
            // The end of a section before the pack.
            Ok(Some(Packet::Mark(_))) => {}
            Ok(None) => break Err(Fault::Closed),
            Err(fault) => break Err(fault),
        }
    };
    if matches!(packets.source_kind(), Kind::Http) {
        clocked.marks.bytes_in += packets.bytes - before;
    }
    result
}

/// The request of a push, the one that takes it back, and the size of the pack.
fn push(
    plan: &GitPlan,
    number: u64,
    bytes: usize,
    advertised: &Advertised,
) -> Result<(Vec<u8>, Vec<u8>, u64), Fault> {
    if advertised.version == 2 {
        return Err(Fault::Malformed);
    }
    let pack = PushPack::new(bytes, plan.seed.wrapping_add(number << 1), number as i64);
    let branch = format!("{BRANCH}/{:x}-{number}", plan.seed);
    let capabilities = " report-status side-band-64k agent=bellwether";
    let mut request = Vec::new();
    put(
        &mut request,
        format!("{NOTHING} {} {branch}\0{capabilities}", pack.commit).as_bytes(),
    );
    request.extend_from_slice(b"0000");
    request.extend_from_slice(&pack.bytes);
    let mut delete = Vec::new();
    put(
        &mut delete,
        format!("{} {NOTHING} {branch}\0{capabilities}", pack.commit).as_bytes(),
    );
    delete.extend_from_slice(b"0000");
    Ok((request, delete, pack.bytes.len() as u64))
}

/// The server's report on a push.
async fn pushed(packets: &mut Packets) -> Result<(), Fault> {
    let mut report = Vec::new();
    loop {
        match packets.next().await? {
            Some(Packet::Data(line)) => match line.split_first() {
                Some((&DATA, data)) if report.len() < 64 << 10 => report.extend_from_slice(data),
                Some((&FAILED, message)) => return Err(refused(message)),
                _ => {}
            },
            Some(Packet::Mark(0)) => break,
            Some(Packet::Mark(_)) => {}
            None if report.is_empty() => return Err(Fault::Closed),
            None => break,
        }
    }
    let text = String::from_utf8_lossy(&report);
    if text.contains("unpack ok") && text.contains("ok refs/") && !text.contains("ng refs/") {
        return Ok(());
    }
    let what: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    Err(Fault::Refused(what))
}

fn refused(message: &[u8]) -> Fault {
    let text = String::from_utf8_lossy(message);
    Fault::Refused(text.trim().chars().take(200).collect())
}

/// The rest of a body: the connection can only then be used again.
async fn drain(packets: &mut Packets) -> Result<(), Fault> {
    while packets.next().await?.is_some() {}
    Ok(())
}
