//! History for a backtest: which samples, over which time.

use std::path::Path;
use std::sync::Arc;

use bellwether_env::{Clock, SystemClock};
use bellwether_model::Secret;
use bellwether_model::series::SeriesSource;
use bellwether_series::{Options, PrometheusFolder, Store};

use crate::cli::HistoryArgs;

/// Samples to replay over, and the time they cover.
pub(crate) struct History {
    pub(crate) source: Arc<dyn SeriesSource>,
    /// Where the requests to a server run.
    _runtime: Option<tokio::runtime::Runtime>,
    /// Milliseconds since 1970.
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// What could not be read.
    pub(crate) warnings: Vec<String>,
}

/// Opens what the arguments name. The error is for people, a hint on its second line.
pub(crate) fn open(args: &HistoryArgs) -> Result<History, String> {
    let mut runtime = None;
    let (source, newest, warnings) = match (&args.prometheus, &args.server) {
        (Some(folder), _) => open_prometheus(folder)?,
        (None, Some(address)) => {
            let own = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .map_err(|error| format!("start the runtime: {error}"))?;
            drop(rustls::crypto::ring::default_provider().install_default());
            let token = args.token.clone().map(Secret::new);
            let source = {
                let _inside = own.enter();
                crate::fetch::remote_source(address, token)?
            };
            runtime = Some(own);
            let source: Arc<dyn SeriesSource> = Arc::new(source);
            (source, None, Vec::new())
        }
        (None, None) => open_store(&args.data)?,
    };
    let time = |text: &String| {
        bellwether_backtest::incidents::parse_time(text).map(jiff::Timestamp::as_millisecond)
    };
    let now = SystemClock::new().now().as_millisecond();
    let to = match &args.to {
        Some(text) => time(text).map_err(|error| format!("--to: {error}"))?,
        None => newest.unwrap_or(now).min(now),
    };
    let from = match &args.from {
        Some(text) => time(text).map_err(|error| format!("--from: {error}"))?,
        None => to.saturating_sub(i64::try_from(args.last.as_millis()).unwrap_or(i64::MAX)),
    };
    if from >= to {
        return Err("the range is empty: its begin is not before its end".to_owned());
    }
    // The calendar that times are printed in ends somewhere.
    if from < -(1 << 46) || to > 1 << 46 {
        return Err("the range is beyond every calendar".to_owned());
    }
    Ok(History {
        _runtime: runtime,
        source,
        from,
        to,
        warnings,
    })
}

type Opened = (Arc<dyn SeriesSource>, Option<i64>, Vec<String>);

fn open_store(data: &Path) -> Result<Opened, String> {
    let folder = data.join("series");
    if !folder.is_dir() {
        return Err(format!(
            "{} has no samples\nhint: name a data folder with --data, or a Prometheus' with --prometheus",
            data.display()
        ));
    }
    let options = Options {
        // Nothing is deleted here.
        retention: std::time::Duration::from_hours(100 * 365 * 24),
        max_selected_series: usize::MAX,
        ..Options::default()
    };
    let (store, report) = Store::open(&folder, options).map_err(|error| {
        format!("{error}\nhint: a server that uses this folder runs backtests on its own page, or must be stopped")
    })?;
    let newest = store.stats().time.map(|(_, newest)| newest);
    let warnings = report.damage.iter().map(ToString::to_string).collect();
    Ok((Arc::new(store), newest, warnings))
}

fn open_prometheus(folder: &Path) -> Result<Opened, String> {
    let (prometheus, damage) = PrometheusFolder::open(folder).map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    })?;
    if prometheus.blocks() == 0 {
        return Err(format!(
            "{} has no blocks of a Prometheus\nhint: name the folder that --storage.tsdb.path names",
            folder.display()
        ));
    }
    let warnings = damage.iter().map(ToString::to_string).collect();
    Ok((Arc::new(prometheus), newest_block(folder), warnings))
}

/// End of the newest block, from the blocks' descriptions.
fn newest_block(folder: &Path) -> Option<i64> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries
        .flatten()
        .filter_map(|entry| {
            let text = std::fs::read_to_string(entry.path().join("meta.json")).ok()?;
            let meta: serde_json::Value = serde_json::from_str(&text).ok()?;
            meta["maxTime"].as_i64()
        })
        .max()
        .map(|end| end - 1)
}
