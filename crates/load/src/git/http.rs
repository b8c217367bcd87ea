//! Smart HTTP: one connection, requests one after another.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Fault, GitPlan};
use crate::target::Target;
use crate::tls;

/// A connection to a server.
pub(crate) struct Connection {
    sends: SendRequest<Full<Bytes>>,
    host: String,
    headers: Vec<(String, String)>,
    /// Ends with us.
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    pub(crate) async fn open(plan: &GitPlan, target: &Target, number: u64) -> Result<Self, Fault> {
        let addresses = &target.addresses;
        let address = addresses[number as usize % addresses.len()];
        let tcp = TcpStream::connect(address)
            .await
            .map_err(|_| Fault::Connect)?;
        drop(tcp.set_nodelay(true));
        if !target.tls {
            return Self::begin(TokioIo::new(tcp), plan, target).await;
        }
        let local = |error: tls::TlsError| Fault::Local(error.to_string());
        let config = tls::config(&plan.tls, &["http/1.1"]).map_err(local)?;
        let name = tls::server_name(&target.name).map_err(local)?;
        let session = tokio_rustls::TlsConnector::from(Arc::clone(&config))
            .connect(name, tcp)
            .await
            .map_err(|_| Fault::Tls)?;
        Self::begin(TokioIo::new(session), plan, target).await
    }

    async fn begin<T>(io: T, plan: &GitPlan, target: &Target) -> Result<Self, Fault>
    where
        T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let (sends, connection) = handshake(io).await.map_err(|_| Fault::Malformed)?;
        let driver = tokio::spawn(async move {
            // Its errors reach the requests.
            drop(connection.await);
        });
        Ok(Self {
            sends,
            host: target.host.clone(),
            headers: plan.headers.clone(),
            driver,
        })
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Incoming, Fault> {
        let request = self.request("GET", path);
        self.send(request, Bytes::new()).await
    }

    pub(crate) async fn post(
        &mut self,
        path: &str,
        service: &str,
        body: Vec<u8>,
    ) -> Result<Incoming, Fault> {
        let request = self
            .request("POST", path)
            .header("Content-Type", format!("application/x-{service}-request"))
            .header("Accept", format!("application/x-{service}-result"));
        self.send(request, body.into()).await
    }

    fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("Host", &self.host)
            .header("User-Agent", "git/2.40 (bellwether)")
            .header("Git-Protocol", "version=2");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }

    async fn send(
        &mut self,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<Incoming, Fault> {
        let request = request
            .body(Full::new(body))
            .map_err(|error| Fault::Local(error.to_string()))?;
        self.sends.ready().await.map_err(|_| Fault::Closed)?;
        let response = self.sends.send_request(request).await.map_err(|error| {
            if error.is_parse() {
                Fault::Malformed
            } else {
                Fault::Closed
            }
        })?;
        match response.status().as_u16() {
            200 => Ok(response.into_body()),
            status => Err(Fault::Status(status)),
        }
    }
}
