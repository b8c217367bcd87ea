//! `bellwether exp queries`, and the gate's query budgets.

use std::process::ExitCode;
use std::time::Duration;

use bellwether_env::vars;
use bellwether_lab::gate::QueryBudget;
use bellwether_lab::queries::{QueryReport, SizeMeasured, judge};
use bellwether_measure::command::{Subject, measure};
use bellwether_measure::statements::Counter;
use bellwether_model::Secret;
use serde_json::json;

use super::Fault;
use crate::cli::Exp;
use crate::commands::say;

const REQUEST_LIMIT: Duration = Duration::from_mins(1);
const REQUESTS_MAX: u64 = 100_000;

pub(super) fn run(command: Exp) -> Result<ExitCode, Fault> {
    let Exp::Queries {
        database,
        small,
        large,
        small_items,
        large_items,
        requests,
        budget,
        json,
    } = command
    else {
        return Err(Fault::failed("not a query budget"));
    };
    let database = database
        .map(Secret::new)
        .or_else(|| vars::QUERIES_DATABASE.secret())
        .ok_or_else(|| Fault::input("no database\nhint: --database postgres://user@host/database, or BELLWETHER_QUERIES_DATABASE"))?;
    if !(large_items > small_items && (1..=REQUESTS_MAX).contains(&requests)) {
        return Err(Fault::input(format_args!(
            "--large-items must be more than --small-items, and --requests from 1 to {REQUESTS_MAX}"
        )));
    }
    let wanted = QueryBudget {
        name: "queries".to_owned(),
        database,
        small: (small, small_items),
        large: (large, large_items),
        requests,
        budget,
    };
    let report = measure_budget(&wanted)?;
    if json {
        say(json!(report));
    } else {
        say(report.text().trim_end());
    }
    Ok(if report.passes() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Measures both sizes and judges.
pub(super) fn measure_budget(wanted: &QueryBudget) -> Result<QueryReport, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Fault::failed)?;
    runtime.block_on(async {
        drop(rustls::crypto::ring::default_provider().install_default());
        let counter = Counter::connect(&wanted.database)
            .await
            .map_err(Fault::failed)?;
        let http = reqwest::Client::builder()
            .timeout(REQUEST_LIMIT)
            .build()
            .map_err(Fault::failed)?;
        // Once each before counting: caches and prepared statements are filled.
        for (subject, _) in [&wanted.small, &wanted.large] {
            request(&http, subject).await?;
        }
        let small = one_size(&counter, &http, &wanted.small, wanted.requests).await?;
        let large = one_size(&counter, &http, &wanted.large, wanted.requests).await?;
        Ok(judge(small, large, wanted.budget))
    })
}

async fn one_size(
    counter: &Counter,
    http: &reqwest::Client,
    (subject, size): &(String, f64),
    requests: u64,
) -> Result<SizeMeasured, Fault> {
    let before = counter.read().await.map_err(Fault::failed)?;
    for _ in 0..requests {
        request(http, subject).await?;
    }
    let after = counter.read().await.map_err(Fault::failed)?;
    Ok(SizeMeasured {
        size: *size,
        requests,
        before,
        after,
    })
}

async fn request(http: &reqwest::Client, subject: &str) -> Result<(), Fault> {
    if subject.starts_with("http://") || subject.starts_with("https://") {
        let answer = http
            .get(subject)
            .send()
            .await
            .map_err(|error| Fault::failed(format_args!("{subject}: {error}")))?;
        let status = answer.status();
        answer
            .bytes()
            .await
            .map_err(|error| Fault::failed(format_args!("{subject}: {error}")))?;
        if !status.is_success() {
            return Err(Fault::failed(format_args!("{subject} answered {status}")));
        }
        return Ok(());
    }
    let subject = Subject {
        shell: subject.to_owned(),
        ..Subject::default()
    };
    let work = tokio::task::spawn_blocking(move || measure(&subject, REQUEST_LIMIT));
    work.await
        .map_err(Fault::failed)?
        .map(drop)
        .map_err(Fault::failed)
}
