use std::fs;

use super::*;
use crate::exposition::{Entry, Format, Parser, decode_series};

fn samples(text: &str) -> Vec<String> {
    Parser::new(text.as_bytes(), Format::Text)
        .filter_map(|entry| match entry.expect("we write what we can read") {
            Entry::Sample(sample) => Some(format!(
                "{} {}",
                decode_series(sample.series).unwrap().to_labels(),
                sample.value
            )),
            Entry::Metadata { .. } => None,
        })
        .collect()
}

#[test]
fn a_small_proc_gives_node_exporters_names() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join("proc").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "stat",
        "cpu  1 2 3\ncpu0 100 0 50 1000 5 0 1 0 0 0\nctxt 7\nbtime 1700000000\nprocs_running 2\n",
    );
    write("loadavg", "0.50 0.25 0.10 1/100 4242\n");
    write(
        "meminfo",
        "MemTotal:  1000 kB\nActive(anon): 5 kB\nHugePages_Total: 3\nodd line\n",
    );
    write(
        "pressure/io",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0 total=1000000\n",
    );
    write("vmstat", "oom_kill 4\nnr_other 1\n");
    write("sys/fs/file-nr", "100\t0\t9000\n");
    write(
        "diskstats",
        "8 0 sda 10 1 200 30 4 5 60 70 0 80 90\n8 1 sda1 1 1 1 1 1 1 1 1 1 1 1\n7 0 loop0 1\n259 1 nvme0n1p2 1 1\n",
    );
    write(
        "net/dev",
        "Inter-| Receive\n face |bytes\n eth0: 1 2 3 4 0 0 0 8 9 10 11 12 0 14 0 0\n",
    );
    write("net/sockstat", "sockets: used 9\nTCP: inuse 3 orphan 0\n");
    write("net/snmp", "Tcp: CurrEstab RetransSegs\nTcp: 5 6\n");
    let text = collect(folder.path(), "2026-01-01T00:00:00Z".parse().unwrap());
    let got = samples(&text);
    for wanted in [
        "node_time_seconds 1767225600",
        r#"node_cpu_seconds_total{cpu="0", mode="idle"} 10"#,
        "node_boot_time_seconds 1700000000",
        "node_load1 0.5",
        "node_memory_MemTotal_bytes 1024000",
        "node_memory_Active_anon_bytes 5120",
        "node_memory_HugePages_Total 3",
        "node_pressure_io_waiting_seconds_total 2.5",
        "node_pressure_io_stalled_seconds_total 1",
        "node_vmstat_oom_kill 4",
        "node_filefd_maximum 9000",
        r#"node_disk_read_bytes_total{device="sda"} 102400"#,
        r#"node_network_transmit_bytes_total{device="eth0"} 9"#,
        "node_sockstat_TCP_inuse 3",
        "node_netstat_Tcp_RetransSegs 6",
    ] {
        assert!(
            got.iter().any(|line| line == wanted),
            "{wanted}\n{}",
            got.join("\n")
        );
    }
    assert!(!text.contains("sda1") && !text.contains("loop0") && !text.contains("nvme0n1p2"));
}

#[test]
fn nothing_readable_gives_little_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let text = collect(folder.path(), Timestamp::UNIX_EPOCH);
    assert!(
        samples(&text)
            .iter()
            .any(|line| line.starts_with("node_uname_info"))
    );
}

#[test]
fn this_host_can_be_read() {
    let text = collect(Path::new("/"), Timestamp::UNIX_EPOCH);
    let got = samples(&text);
    for wanted in [
        "node_cpu_seconds_total{",
        "node_memory_MemTotal_bytes ",
        "node_load1 ",
        "node_network_receive_bytes_total{",
    ] {
        assert!(
            got.iter().any(|line| line.starts_with(wanted)),
            "{wanted}\n{}",
            got.join("\n")
        );
    }
    let mut sorted = got
        .iter()
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect::<Vec<_>>();
    sorted.sort_unstable();
    assert!(
        sorted.windows(2).all(|pair| pair[0] != pair[1]),
        "no series twice"
    );
}
