//! Secrets by reference, looked up when a step is spawned and not before.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_connect::http::{HttpCall, HttpClient, HttpSettings};
use bellwether_model::Secret;
use sha2::{Digest as _, Sha256};

use crate::http::auth::hex;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The value behind a reference; a text that is none is the value itself.
///
/// - `secret://file/etc/…`: the text of a file
/// - `secret://env/NAME`: an environment variable of this program
/// - `secret://vault/MOUNT/data/PATH#FIELD`: a field of HashiCorp Vault's version 2 store at `VAULT_ADDR`
/// - `secret://age/FILE`: a file that `age` decrypts with the identities in `AGE_IDENTITIES`
pub async fn resolve(reference: &str) -> Result<Secret, String> {
    let Some(rest) = reference.strip_prefix("secret://") else {
        return Ok(Secret::new(reference));
    };
    let (kind, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let missing = |name: &str| format!("{reference}: {name} is not set");
    match kind {
        "file" => {
            let read = std::fs::read_to_string(format!("/{rest}"));
            let text = read.map_err(|error| format!("{reference}: {error}"))?;
            Ok(Secret::new(text.trim_end_matches('\n')))
        }
        "env" => {
            let value = bellwether_env::vars::named(rest);
            value.map(Secret::new).ok_or_else(|| missing(rest))
        }
        "vault" => {
            let named = bellwether_env::vars::named;
            let address = named("VAULT_ADDR").ok_or_else(|| missing("VAULT_ADDR"))?;
            let token = named("VAULT_TOKEN").ok_or_else(|| missing("VAULT_TOKEN"))?;
            from_vault(reference, rest, &address, &token).await
        }
        "age" => {
            let identities = bellwether_env::vars::named("AGE_IDENTITIES");
            let identities = identities.ok_or_else(|| missing("AGE_IDENTITIES"))?;
            let mut command = tokio::process::Command::new("age");
            command
                .args(["--decrypt", "--identity", &identities, "--"])
                .arg(format!("/{rest}"));
            let ran = tokio::time::timeout(TIMEOUT, command.kill_on_drop(true).output()).await;
            match ran {
                Ok(Ok(ran)) if ran.status.success() => {
                    let text = String::from_utf8_lossy(&ran.stdout);
                    Ok(Secret::new(text.trim_end_matches('\n')))
                }
                Ok(Ok(ran)) => Err(format!("{reference}: age: {}", ran.status)),
                Ok(Err(error)) => Err(format!("{reference}: age: {error}")),
                Err(_) => Err(format!("{reference}: age gave no answer")),
            }
        }
        _ => Err(format!(
            "{reference:?}: secret://file, env, vault and age are known"
        )),
    }
}

async fn from_vault(
    reference: &str,
    path: &str,
    address: &str,
    token: &str,
) -> Result<Secret, String> {
    let (path, field) = path.split_once('#').unwrap_or((path, "value"));
    let client = HttpClient::new(HttpSettings {
        headers: vec![("X-Vault-Token".to_owned(), Secret::new(token))],
        ..HttpSettings::default()
    });
    let client = client.map_err(|error| format!("{reference}: {error}"))?;
    let call = HttpCall {
        method: "GET".to_owned(),
        url: Secret::new(format!("{}/v1/{path}", address.trim_end_matches('/'))),
        headers: Vec::new(),
        body: Vec::new(),
        idempotency_key: String::new(),
        timeout: TIMEOUT,
    };
    let answer = client
        .call(call)
        .await
        .map_err(|error| format!("{reference}: {error}"))?;
    if answer.status != 200 {
        return Err(format!("{reference}: vault says {}", answer.status));
    }
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let value = body["data"]["data"][field]
        .as_str()
        .or(body["data"][field].as_str());
    value
        .map(Secret::new)
        .ok_or_else(|| format!("{reference}: vault has no field {field:?} there"))
}

/// The values of a step's secrets, by variable.
pub(super) async fn resolve_all(
    references: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Secret>, String> {
    let mut out = BTreeMap::new();
    for (name, reference) in references {
        if !reference.starts_with("secret://") {
            return Err(format!(
                "the secret for {name} is not a reference: secret://…"
            ));
        }
        out.insert(name.clone(), resolve(reference).await?);
    }
    Ok(out)
}

/// Proof of which version of each secret was used, that nobody can turn back: `salt:sha256(salt, value)`.
pub(super) fn versions(secrets: &BTreeMap<String, Secret>) -> BTreeMap<String, String> {
    let salted = |secret: &Secret| {
        let salt = bellwether_env::random_bytes::<8>();
        let mut hash = Sha256::new();
        hash.update(salt);
        hash.update(secret.expose().as_bytes());
        format!("{}:{}", hex(&salt), hex(&hash.finalize()))
    };
    secrets
        .iter()
        .map(|(name, secret)| (name.clone(), salted(secret)))
        .collect()
}
