//! Drives a run from the command line without the rest of the program: for measuring the generator itself.
//!
//! `drive URL open|closed RATE SECONDS CONNECTIONS THREADS`

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::time::Duration;

use bellwether_load::arrival::Arrival;
use bellwether_load::plan::{Model, Plan};
use bellwether_load::scenario::{Endpoint, Scenario};
use bellwether_load::{Stop, Target, run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let arg = |at: usize| args.get(at).map_or("", String::as_str);
    let target = Target::resolve(arg(1))?;
    target.must_be_near()?;
    let model = match arg(2) {
        "closed" => Model::Closed,
        _ => Model::Open(Arrival::Constant {
            rate: arg(3).parse()?,
        }),
    };
    let scenario = Scenario::single("GET".to_owned(), Endpoint::get(&target.path));
    let mut plan = Plan::new(&target, scenario, model).with_connections(arg(5).parse()?);
    plan.duration = Duration::from_secs_f64(arg(4).parse()?);
    plan.threads = arg(6).parse()?;
    plan.rate_max = 1e9;
    let report = run(plan, &Stop::default(), false, |_| {})?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}
