//! The developer's one entry: `cargo xtask` lists what there is.
//!
//! Invariants: every check that CI runs is a command here, so that it can be run alone; nothing here is needed to
//! build or run the product.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool talks to its terminal"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a development tool reads the environment and the clock itself; it must build without the product"
)]

mod policy;
mod prepare;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// What a command answers: an error is a sentence for the person at the terminal.
type Outcome = Result<(), String>;

/// What runs, with the arguments behind the command's name.
type Step = fn(&[String]) -> Outcome;

/// A command: name, meaning, what runs.
type Task = (&'static str, &'static str, Step);

const TASKS: &[Task] = &[
    (
        "demo",
        "build and run the demo (arguments go to `bellwether demo`)",
        demo,
    ),
    (
        "test",
        "install or build what the tests need, then run all of them",
        test,
    ),
    (
        "ci",
        "everything CI runs: test, fmt, lint, docs, policy, tidy, conformance",
        ci,
    ),
    ("fmt", "check the formatting", fmt),
    ("lint", "clippy with warnings denied", lint),
    (
        "docs",
        "build the API documentation with warnings denied",
        docs,
    ),
    (
        "policy",
        "licences, sources and owners of dependencies",
        policy::check,
    ),
    (
        "tidy",
        "dependency direction, file lengths, links, paths",
        tidy::check,
    ),
    ("conformance", "scores on the public corpora", conformance),
    (
        "sim",
        "simulate: --seed N --days N (arguments go to `bellwether sim`)",
        sim,
    ),
    (
        "screenshots",
        "make the pictures of the README with headless Chromium",
        screenshots,
    ),
    ("bench", "run a bench of bench/ by name", bench),
    (
        "rebuild-time",
        "how long a one-line change in a leaf engine takes to rebuild",
        rebuild_time,
    ),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((_, _, run)) = args
        .first()
        .and_then(|name| TASKS.iter().find(|task| task.0 == name))
    else {
        println!("cargo xtask <command>\n");
        for (name, meaning, _) in TASKS {
            println!("  {name:<14}{meaning}");
        }
        return if args.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(64)
        };
    };
    match run(&args[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the root")
        .to_owned()
}

/// Runs a program in the root and waits; its output goes to the terminal.
fn run(program: &str, args: &[&str]) -> Outcome {
    run_with(program, args, &[])
}

fn run_with(program: &str, args: &[&str], env: &[(&str, &str)]) -> Outcome {
    eprintln!("$ {program} {}", args.join(" "));
    let status = Command::new(program)
        .args(args)
        .envs(env.iter().copied())
        .current_dir(root())
        .status()
        .map_err(|error| format!("start {program}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{program} {} ended with {status}", args.join(" ")))
    }
}

fn cargo(args: &[&str]) -> Outcome {
    run(env!("CARGO"), args)
}

/// Runs the product with arguments.
fn bellwether(command: &[&str], args: &[String]) -> Outcome {
    let mut all = vec!["run", "--quiet", "--package", "bellwether", "--"];
    all.extend(command);
    all.extend(args.iter().map(String::as_str));
    cargo(&all)
}

fn demo(args: &[String]) -> Outcome {
    cargo(&["build", "--package", "bellwether"])?;
    bellwether(&["demo"], args)
}

fn sim(args: &[String]) -> Outcome {
    bellwether(&["sim"], args)
}

fn test(args: &[String]) -> Outcome {
    prepare::install_what_tests_need()?;
    // The real binary is part of the tests (crashes, demo, browser), so it is built first and its time shown apart.
    timed("build", || cargo(&["test", "--workspace", "--no-run"]))?;
    timed("tests", || {
        let mut all = vec!["test", "--workspace"];
        all.extend(args.iter().map(String::as_str));
        cargo(&all)
    })
}

fn fmt(_: &[String]) -> Outcome {
    cargo(&["fmt", "--all", "--check"])
}

fn lint(_: &[String]) -> Outcome {
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])
}

fn docs(_: &[String]) -> Outcome {
    let args = [
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ];
    run_with(env!("CARGO"), &args, &[("RUSTDOCFLAGS", "-D warnings")])
}

/// The public corpora, beside the repository.
fn corpus() -> PathBuf {
    root().join("../shared/corpus")
}

fn conformance(_: &[String]) -> Outcome {
    let corpus = corpus();
    if !corpus.is_dir() {
        let ci = std::env::var("CI").is_ok_and(|value| value == "true");
        let message = "the public corpora are not beside the repository";
        if ci {
            return Err(message.to_owned());
        }
        println!("skipped: {message}");
        return Ok(());
    }
    let corpus = corpus
        .to_str()
        .ok_or("the path of the corpora is not UTF-8")?
        .to_owned();
    bellwether(&["conformance"], &[corpus])
}

fn ci(_: &[String]) -> Outcome {
    let steps: [(&str, Step); 7] = [
        ("test", test),
        ("fmt", fmt),
        ("lint", lint),
        ("docs", docs),
        ("policy", policy::check),
        ("tidy", tidy::check),
        ("conformance", conformance),
    ];
    let mut failed = Vec::new();
    for (name, step) in steps {
        if let Err(error) = timed(name, || step(&[])) {
            eprintln!("error: {name}: {error}");
            failed.push(name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")))
    }
}

fn screenshots(args: &[String]) -> Outcome {
    prepare::install(&["chromium", "chromium-driver"])?;
    bellwether(&["demo", "--screenshots", "docs/pictures"], args)
}

fn bench(args: &[String]) -> Outcome {
    let Some(name) = args.first() else {
        return Err(
            "name a bench: cargo xtask bench <name>; bench/README.md lists them".to_owned(),
        );
    };
    run("bash", &[&format!("bench/{name}/run")])
}

/// Touches a leaf engine and rebuilds the program, as an everyday edit does.
fn rebuild_time(_: &[String]) -> Outcome {
    cargo(&["build", "--package", "bellwether"])?;
    for krate in ["act", "page", "judge", "promql"] {
        let file = root().join(format!("crates/{krate}/src/lib.rs"));
        let text =
            std::fs::read_to_string(&file).map_err(|error| format!("read {krate}: {error}"))?;
        let write = |text: &str| {
            std::fs::write(&file, text).map_err(|error| format!("write {krate}: {error}"))
        };
        write(&format!("{text}\nconst _: () = ();\n"))?;
        let result = timed(&format!("rebuild after one line in {krate}"), || {
            cargo(&["build", "--quiet", "--package", "bellwether"])
        });
        write(&text)?;
        result?;
    }
    Ok(())
}

fn timed(what: &str, run: impl FnOnce() -> Outcome) -> Outcome {
    let start = Instant::now();
    let outcome = run();
    eprintln!("{what}: {:.1} s", start.elapsed().as_secs_f64());
    outcome
}
