//! The exporters: one process, one port on loopback for each.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;

use bellwether_env::{Clock as _, SystemClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::workload::Workload;

struct Fleet {
    workload: Workload,
    clock: SystemClock,
    gzip: bool,
    /// Kept between answers.
    body: RefCell<String>,
}

/// Serves until ended.
pub(crate) async fn serve(folder: &str, targets: usize, series: usize, gzip: bool) {
    let fleet = Rc::new(Fleet {
        workload: Workload::new(series),
        clock: SystemClock::new(),
        gzip,
        body: RefCell::default(),
    });
    let mut addresses = String::new();
    let mut listeners = Vec::new();
    for _ in 0..targets {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let comma = if addresses.is_empty() { "" } else { "," };
        write!(addresses, "{comma}\"{}\"", listener.local_addr().unwrap()).unwrap();
        listeners.push(listener);
    }
    let local = tokio::task::LocalSet::new();
    for (number, listener) in listeners.into_iter().enumerate() {
        let fleet = Rc::clone(&fleet);
        local.spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(answer(Rc::clone(&fleet), number as u64, stream));
            }
        });
    }
    // Written last and moved into place: whoever sees the file finds the ports open.
    let file = Path::new(folder).join("targets.json");
    let part = file.with_extension("part");
    std::fs::write(&part, format!("[{{\"targets\":[{addresses}]}}]\n")).unwrap();
    std::fs::rename(part, file).unwrap();
    local.await;
}

/// Answers each request on a connection with the metrics of now, whatever was asked for.
async fn answer(fleet: Rc<Fleet>, target: u64, mut stream: TcpStream) {
    let mut request = Vec::new();
    let mut answer = Vec::new();
    loop {
        request.clear();
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read_buf(&mut request).await {
                Ok(1..) if request.len() < 16_384 => {}
                _ => return,
            }
        }
        fleet.render(target, &mut answer);
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

// === impl Fleet ===

impl Fleet {
    fn render(&self, target: u64, answer: &mut Vec<u8>) {
        let mut text = self.body.borrow_mut();
        let t = self.clock.monotonic().as_secs();
        self.workload.render(target, t, &mut text);
        let packed;
        let (body, encoding) = if self.gzip {
            packed = pack(text.as_bytes());
            (&*packed, "Content-Encoding: gzip\r\n")
        } else {
            (text.as_bytes(), "")
        };
        answer.clear();
        write!(
            answer,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
             {encoding}Content-Length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        answer.extend_from_slice(body);
    }
}

fn pack(text: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}
