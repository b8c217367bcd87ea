use std::sync::Arc;

use bellwether_env::SystemClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::testing::serve_text;

const SECOND: Duration = Duration::from_secs(1);

/// A server that answers each connection's first bytes with `answer`.
async fn raw_server(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 512];
            drop(stream.read(&mut buffer).await);
            drop(stream.write_all(answer).await);
        }
    });
    address
}

#[test]
fn addresses_of_proc_net_are_read() {
    if cfg!(target_endian = "big") {
        println!("skipped: written for little-endian words");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let head = "  sl  local_address rem_address   st\n";
    let tcp = "   0: 0100007F:1F90 00000000:0000 0A x\n   1: 00000000:0050 00000000:0000 0A x\n   2: 0100007F:0001 0100007F:0002 01 x\n   3: 0200A8C0:0003 0:0 0A\n";
    let tcp6 = "   0: 00000000000000000000000001000000:0051 0:0 0A\n   1: 00000000000000000000000000000000:1F90 0:0 0A\n odd\n";
    std::fs::write(folder.path().join("tcp"), format!("{head}{tcp}")).unwrap();
    std::fs::write(folder.path().join("tcp6"), format!("{head}{tcp6}")).unwrap();
    let got: Vec<String> = listening(folder.path())
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(got, ["127.0.0.1:80", "[::1]:81", "127.0.0.1:8080"]);
}

#[tokio::test]
async fn redis_is_known_by_its_answers() {
    let info = b"$130\r\n# Server\r\nredis_version:7.0.1\r\nrole:master\r\nuptime_in_seconds:42\r\nused_memory:1000\r\nmaster_link_status:up\r\n# Keyspace\r\ndb0:keys=5,expires=0\r\n\r\n";
    let open = raw_server(info).await;
    let closed = raw_server(b"-NOAUTH Authentication required.\r\n").await;
    let other = raw_server(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(
        look_at_redis(open, SECOND)
            .await
            .unwrap()
            .detail
            .contains("INFO")
    );
    assert!(
        look_at_redis(closed, SECOND)
            .await
            .unwrap()
            .detail
            .contains("password")
    );
    assert!(look_at_redis(other, SECOND).await.is_none());
    let text = redis::collect(open, SECOND, &SystemClock::new()).await;
    for line in [
        "redis_up 1\n",
        "redis_uptime_in_seconds 42\n",
        "redis_memory_used_bytes 1000\n",
        "redis_master_link_up 1\n",
        "redis_db_keys{db=\"db0\"} 5\n",
        "redis_instance_info{redis_version=\"7.0.1\",role=\"master\"} 1\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert!(
        redis::collect(other, SECOND, &SystemClock::new())
            .await
            .contains("redis_up 0\n")
    );
}

#[tokio::test]
async fn postgres_and_nginx_are_known_by_their_answers() {
    let clock = Arc::new(SystemClock::new());
    let postgres_server = raw_server(b"N").await;
    assert!(
        postgres::collect(postgres_server, SECOND, &*clock)
            .await
            .contains("pg_up 1\n")
    );
    assert!(!postgres::answers(raw_server(b"HTTP").await, SECOND).await);
    let page = "Active connections: 1 \nserver accepts handled requests\n 2 3 4 \nReading: 5 Writing: 6 Waiting: 7 \n";
    let server: SocketAddr = serve_text("Server: nginx/1.22\r\n", page)
        .await
        .parse()
        .unwrap();
    let found = look_at_web(server, SECOND).await.unwrap();
    assert_eq!(
        (found.name.as_str(), found.detail.as_str()),
        ("nginx", "stub_status at /nginx_status")
    );
    let text = nginx::collect(server, Some("/nginx_status"), SECOND).await;
    assert!(
        text.contains("nginx_http_requests_total 4\n")
            && text.contains("nginx_connections_waiting 7\n"),
        "{text}"
    );
    let apache: SocketAddr = serve_text("Server: Apache\r\n", "x").await.parse().unwrap();
    assert!(look_at_web(apache, SECOND).await.is_none());
}

#[tokio::test]
async fn ports_to_be_left_alone_are() {
    let options = FindOptions {
        skip_ports: (0..=u16::MAX).collect(),
        ..FindOptions::default()
    };
    assert!(find_services(&options).await.is_empty());
}
