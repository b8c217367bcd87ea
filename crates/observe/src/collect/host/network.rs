//! Network devices, sockets and protocol counters.

use super::super::proc_files::{number, read};
use super::super::text::Text;
use super::Host;

/// Devices that are listed.
const DEVICES_MAX: usize = 300;

/// Metric and column in `/proc/net/dev`.
const COLUMNS: [(&str, usize); 10] = [
    ("receive_bytes_total", 0),
    ("receive_packets_total", 1),
    ("receive_errs_total", 2),
    ("receive_drop_total", 3),
    ("receive_multicast_total", 7),
    ("transmit_bytes_total", 8),
    ("transmit_packets_total", 9),
    ("transmit_errs_total", 10),
    ("transmit_drop_total", 11),
    ("transmit_colls_total", 13),
];

pub(super) fn devices(host: &Host, text: &mut Text) {
    let Some(content) = host.proc_text("net/dev") else {
        return;
    };
    let devices: Vec<(&str, Vec<&str>)> = content
        .lines()
        .filter_map(|line| line.rsplit_once(':').or_else(|| line.split_once(':')))
        .map(|(name, rest)| (name.trim(), rest.split_ascii_whitespace().collect()))
        .take(DEVICES_MAX)
        .collect();
    for (name, column) in COLUMNS {
        let metric = format!("node_network_{name}");
        text.family(
            &metric,
            "counter",
            &format!(
                "Network device statistic {}.",
                name.trim_end_matches("_total")
            ),
        );
        for (device, words) in &devices {
            if let Some(value) = number(words, column) {
                text.sample(&metric, &[("device", device)], value);
            }
        }
    }
    text.family(
        "node_network_up",
        "gauge",
        "Value is 1 if operstate is 'up', 0 otherwise.",
    );
    for (device, _) in &devices {
        // Names come from the kernel and hold no slash.
        if let Some(state) = read(
            &host
                .sys_dir
                .join("class/net")
                .join(device)
                .join("operstate"),
        ) {
            text.sample(
                "node_network_up",
                &[("device", device)],
                f64::from(u8::from(state.trim() == "up")),
            );
        }
    }
}

pub(super) fn sockets(host: &Host, text: &mut Text) {
    for file in ["net/sockstat", "net/sockstat6"] {
        for line in host.proc_text(file).unwrap_or_default().lines().take(50) {
            let Some((protocol, rest)) = line.split_once(':') else {
                continue;
            };
            let words: Vec<&str> = rest.split_ascii_whitespace().collect();
            for pair in words.chunks(2) {
                if let [name, value] = pair
                    && let Ok(value) = value.parse::<f64>()
                {
                    let metric = format!("node_sockstat_{protocol}_{name}");
                    text.gauge(
                        &metric,
                        &format!("Number of {protocol} sockets in state {name}."),
                        value,
                    );
                }
            }
        }
    }
}

pub(super) fn netstat(host: &Host, text: &mut Text) {
    /// Fields that rules and dashboards use, of the some hundred there are.
    const WANTED: [&str; 26] = [
        "Icmp_InErrors",
        "Icmp_InMsgs",
        "Icmp_OutMsgs",
        "Ip_Forwarding",
        "Tcp_ActiveOpens",
        "Tcp_CurrEstab",
        "Tcp_InErrs",
        "Tcp_InSegs",
        "Tcp_OutRsts",
        "Tcp_OutSegs",
        "Tcp_PassiveOpens",
        "Tcp_RetransSegs",
        "TcpExt_ListenDrops",
        "TcpExt_ListenOverflows",
        "TcpExt_SyncookiesFailed",
        "TcpExt_SyncookiesRecv",
        "TcpExt_SyncookiesSent",
        "TcpExt_TCPSynRetrans",
        "TcpExt_TCPTimeouts",
        "Udp_InDatagrams",
        "Udp_InErrors",
        "Udp_NoPorts",
        "Udp_OutDatagrams",
        "Udp_RcvbufErrors",
        "Udp_SndbufErrors",
        "IpExt_InOctets",
    ];
    for file in ["net/snmp", "net/netstat"] {
        let content = host.proc_text(file).unwrap_or_default();
        let lines: Vec<&str> = content.lines().collect();
        for pair in lines.chunks(2) {
            let [names, values] = pair else { continue };
            let (Some((protocol, names)), Some((_, values))) =
                (names.split_once(':'), values.split_once(':'))
            else {
                continue;
            };
            for (name, value) in names
                .split_ascii_whitespace()
                .zip(values.split_ascii_whitespace())
            {
                let full = format!("{protocol}_{name}");
                if WANTED.contains(&full.as_str())
                    && let Ok(value) = value.parse::<f64>()
                {
                    let metric = format!("node_netstat_{full}");
                    text.family(&metric, "untyped", &format!("Statistic {protocol}{name}."));
                    text.sample(&metric, &[], value);
                }
            }
        }
    }
}
