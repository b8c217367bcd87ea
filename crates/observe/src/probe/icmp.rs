//! ICMP probes: an unprivileged ping socket where the kernel allows one (`net.ipv4.ping_group_range`), else the
//! system's `ping`.

use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use bellwether_env::Clock;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, sockopt};

use super::Failure;
use crate::collect::text::Text;

pub(super) async fn run(
    address: IpAddr,
    timeout: Duration,
    clock: &dyn Clock,
    text: &mut Text,
) -> Result<(), Failure> {
    let begin = clock.monotonic();
    let direct = tokio::task::spawn_blocking(move || ping_socket(address, timeout)).await;
    let result = match direct {
        Ok(Err(Failure::NotAllowed)) | Err(_) => ping_program(address, timeout).await,
        Ok(result) => result,
    };
    if result.is_ok() {
        text.family(
            "probe_icmp_duration_seconds",
            "gauge",
            "Duration of icmp request by phase",
        );
        let seconds = clock.monotonic().saturating_sub(begin).as_secs_f64();
        text.sample("probe_icmp_duration_seconds", &[("phase", "rtt")], seconds);
    }
    result
}

/// Echo request by a datagram socket; the kernel fills in the identifier and sorts the answers.
fn ping_socket(address: IpAddr, timeout: Duration) -> Result<(), Failure> {
    let (family, protocol, kind, reply) = match address {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8, 0),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128, 129),
    };
    let socket = rustix::net::socket(family, SocketType::DGRAM, Some(protocol))
        .map_err(|_| Failure::NotAllowed)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(timeout))
        .map_err(|_| Failure::NotAllowed)?;
    rustix::net::connect(&socket, &SocketAddr::new(address, 0)).map_err(|_| Failure::Connect)?;
    let mut packet = *b"\0\0\0\0\0\0\0\x01bellwether probe";
    packet[0] = kind;
    let sum = checksum(&packet).to_be_bytes();
    packet[2..4].copy_from_slice(&sum);
    rustix::net::send(&socket, &packet, SendFlags::empty()).map_err(|_| Failure::Connect)?;
    let mut answer = [0_u8; 256];
    // Other answers than the one to our question are passed over, but not for ever.
    for _ in 0..16 {
        let (length, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())
            .map_err(|_| Failure::NoAnswer)?;
        if length >= packet.len() && answer[0] == reply && answer[6..packet.len()] == packet[6..] {
            return Ok(());
        }
    }
    Err(Failure::NoAnswer)
}

/// RFC 1071. (For IPv6 the kernel computes it.)
fn checksum(packet: &[u8]) -> u16 {
    let mut sum: u32 = packet
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

async fn ping_program(address: IpAddr, timeout: Duration) -> Result<(), Failure> {
    let seconds = timeout.as_secs().max(1).to_string();
    // The address comes from the resolver, so it is never an option.
    let status = tokio::process::Command::new("ping")
        .args(["-n", "-q", "-c", "1", "-W", &seconds, &address.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await;
    match status {
        Err(_) => Err(Failure::NotAllowed),
        Ok(status) if status.success() => Ok(()),
        // 1: no answer; 2: ping itself could not (no permission, as a rule).
        Ok(status) if status.code() == Some(1) => Err(Failure::NoAnswer),
        Ok(_) => Err(Failure::NotAllowed),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn checksum_of_rfc_1071() {
        assert_eq!(
            super::checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            !0xddf2
        );
        assert_eq!(super::checksum(&[0xff]), 0x00ff);
    }
}
