//! What the tests of several modules need: a sink in memory and small servers on port 0.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use bellwether_model::Labels;
use bellwether_model::series::{
    AppendReport, RefSample, SampleSink, SeriesRef, SinkError, Value, is_stale,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Keeps everything.
#[derive(Default)]
pub(crate) struct MemorySink(pub(crate) Mutex<Stored>);

#[derive(Default)]
pub(crate) struct Stored {
    pub(crate) series: BTreeMap<Labels, u64>,
    pub(crate) samples: BTreeMap<u64, Vec<(i64, f64)>>,
    pub(crate) resolved: usize,
    /// References below this are forgotten.
    pub(crate) forget_below: u64,
    next: u64,
}

impl SampleSink for MemorySink {
    fn resolve(&self, labels: &Labels) -> Result<SeriesRef, SinkError> {
        let mut stored = self.0.lock().unwrap();
        stored.resolved += 1;
        let next = stored.next + 1;
        let forget_below = stored.forget_below;
        let known = stored
            .series
            .get(labels)
            .copied()
            .filter(|id| *id >= forget_below);
        let id = known.unwrap_or(next);
        if id == next {
            stored.next = next;
            stored.series.insert(labels.clone(), id);
        }
        Ok(SeriesRef(id))
    }

    fn append(&self, samples: &[RefSample]) -> Result<AppendReport, SinkError> {
        let mut stored = self.0.lock().unwrap();
        let mut report = AppendReport::default();
        for sample in samples {
            if sample.series.0 < stored.forget_below {
                report.unknown += 1;
                continue;
            }
            let Value::Float(value) = sample.value else {
                continue;
            };
            report.appended += 1;
            stored
                .samples
                .entry(sample.series.0)
                .or_default()
                .push((sample.timestamp, value));
        }
        Ok(report)
    }
}

impl MemorySink {
    /// Every series with its samples: `name{...} 1@0 stale@1`.
    pub(crate) fn dump(&self) -> Vec<String> {
        let stored = self.0.lock().unwrap();
        stored
            .series
            .iter()
            .filter_map(|(labels, id)| {
                let points: Vec<String> = stored
                    .samples
                    .get(id)?
                    .iter()
                    .map(|(at, value)| {
                        if is_stale(*value) {
                            format!("stale@{at}")
                        } else {
                            format!("{value}@{at}")
                        }
                    })
                    .collect();
                Some(format!("{labels} {}", points.join(" ")))
            })
            .collect()
    }

    /// The last value of the series whose text starts so; `None` when there is none.
    pub(crate) fn last(&self, start: &str) -> Option<f64> {
        let stored = self.0.lock().unwrap();
        let (_, id) = stored
            .series
            .iter()
            .find(|(labels, _)| labels.to_string().starts_with(start))?;
        stored.samples.get(id)?.last().map(|(_, value)| *value)
    }
}

/// A server that hands each connection, its request head read, to `answer`.
pub(crate) async fn serve<F, Fut>(answer: F) -> String
where
    F: Fn(String, TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut head = Vec::new();
                let mut buffer = [0; 4096];
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => return,
                        Ok(n) => head.extend_from_slice(&buffer[..n]),
                    }
                }
                answer(String::from_utf8_lossy(&head).into_owned(), stream).await;
            });
        }
    });
    address
}

/// A server that always answers with this body.
pub(crate) async fn serve_text(head: &'static str, body: impl Into<Vec<u8>>) -> String {
    let body: Arc<[u8]> = body.into().into();
    serve(move |_, mut stream| {
        let body = Arc::clone(&body);
        async move {
            let head = format!(
                "HTTP/1.1 200 OK\r\n{head}Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            drop(stream.write_all(head.as_bytes()).await);
            drop(stream.write_all(&body).await);
        }
    })
    .await
}

/// Waits until something holds; a minute at most, for a loaded machine.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("still waiting until {what}");
}
