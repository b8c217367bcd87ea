//! Silences of a running server.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{complain, say};
use crate::cli::Silence;
use crate::client::{Client, ClientError};

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn failed(error: ClientError) -> ExitCode {
    complain(error);
    ExitCode::FAILURE
}

pub(super) async fn run(command: Silence) -> ExitCode {
    perform(command).await.unwrap_or_else(failed)
}

async fn perform(command: Silence) -> Result<ExitCode, ClientError> {
    match command {
        Silence::Add {
            matchers,
            lasts,
            comment,
            server,
        } => {
            let body = json!({"matchers": matchers.join(","), "for": lasts, "comment": comment});
            let client = Client::new(&server);
            let made = client.post("/silences", &body).await?;
            let id = made["why"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|why| text(why, "reason") == "silence_created")
                .map(|why| text(why, "id").to_owned())
                .unwrap_or_default();
            if server.json {
                say(json!({"id": id}));
            } else {
                say(id);
            }
        }
        Silence::Preview { matchers, server } => {
            let body = json!({"matchers": matchers.join(",")});
            let found = Client::new(&server).post("/silence-preview", &body).await?;
            if server.json {
                say(&found);
            } else {
                let alerts = found["alerts"].as_array().map_or(&[][..], Vec::as_slice);
                for alert in alerts {
                    let labels: bellwether_model::Labels =
                        serde_json::from_value(alert["labels"].clone()).unwrap_or_default();
                    say(format_args!("{labels}  since {}", text(alert, "startsAt")));
                }
                match alerts.len() {
                    0 => say("hides nothing now"),
                    1 => say("hides 1 alert now"),
                    n => say(format_args!("hides {n} alerts now")),
                }
            }
        }
        Silence::List { all, server } => {
            let mut found = Client::new(&server).get("/silences").await?;
            if let Some(list) = found.as_array_mut()
                && !all
            {
                list.retain(|one| text(one, "state") != "expired");
            }
            if server.json {
                say(&found);
            } else {
                let list = found.as_array().map_or(&[][..], Vec::as_slice);
                for one in list {
                    let sets: Vec<&str> = one["matchers"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_str)
                        .collect();
                    say(format_args!(
                        "{}  {:<8} until {}  {}  hides {}  by {}: {}",
                        text(one, "id"),
                        text(one, "state"),
                        text(one, "ends_at"),
                        sets.join(" or "),
                        one["hides"],
                        text(one, "created_by"),
                        text(one, "comment"),
                    ));
                }
                if list.is_empty() {
                    say("no silences");
                }
            }
        }
        Silence::Expire { ids, server } => {
            let client = Client::new(&server);
            for id in ids {
                client.delete(&format!("/silences/{id}")).await?;
                if !server.json {
                    say(format_args!("{id}: ended"));
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
