//! The gate's comment on a GitLab merge request or a GitHub pull request: one, renewed each time.

use std::time::Duration;

use bellwether_env::vars;
use bellwether_model::Secret;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::Fault;
use crate::cli::CommentArgs;
use crate::commands::say;

/// The comment is found again by this.
const MARK: &str = "<!-- bellwether-gate -->";
/// Pages of 100 comments that are looked through.
const PAGES_MAX: usize = 30;
/// Characters that GitHub takes; GitLab takes more.
const LENGTH_MAX: usize = 60_000;
const LIMIT: Duration = Duration::from_secs(30);

/// Where comments are, and how one is written.
struct Place {
    token: Secret,
    is_gitlab: bool,
    /// Of the list; new ones are posted to it.
    list: String,
    /// Of one comment, before its number.
    one: String,
}

/// Writes or renews the comments that the arguments ask for.
pub(super) fn post(args: &CommentArgs, text: &str) -> Result<(), Fault> {
    let places = places(args)?;
    if places.is_empty() {
        return Ok(());
    }
    let mut body = format!("{MARK}\n{text}");
    if body.len() > LENGTH_MAX {
        let end = (0..=LENGTH_MAX)
            .rev()
            .find(|at| body.is_char_boundary(*at))
            .unwrap_or(0);
        body.truncate(end);
        body.push_str("\n\n(cut off; the whole is in the job's output)\n");
    }
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Fault::failed)?;
    runtime.block_on(async {
        let http = Client::builder()
            .timeout(LIMIT)
            .user_agent("bellwether")
            .build()
            .map_err(Fault::failed)?;
        for place in places {
            place.renew(&http, &body).await?;
        }
        Ok(())
    })
}

fn places(args: &CommentArgs) -> Result<Vec<Place>, Fault> {
    let mut places = Vec::new();
    if let Some(request) = &args.gitlab {
        let (project, number) = parts(request, '!').ok_or_else(|| {
            Fault::input(format_args!(
                "--gitlab {request:?}: write it as group/project!12"
            ))
        })?;
        let token = vars::GITLAB_TOKEN
            .secret()
            .ok_or_else(|| Fault::input("GITLAB_TOKEN is not set"))?;
        let list = format!(
            "{}/projects/{}/merge_requests/{number}/notes",
            args.gitlab_api.trim_end_matches('/'),
            bellwether_ui::path::encode(project)
        );
        places.push(Place {
            token,
            is_gitlab: true,
            one: list.clone(),
            list,
        });
    }
    if let Some(request) = &args.github {
        let wrong = || {
            Fault::input(format_args!(
                "--github {request:?}: write it as owner/repository#12"
            ))
        };
        let (repository, number) = parts(request, '#').ok_or_else(wrong)?;
        let (owner, name) = repository.split_once('/').ok_or_else(wrong)?;
        let token = vars::GITHUB_TOKEN
            .secret()
            .ok_or_else(|| Fault::input("GITHUB_TOKEN is not set"))?;
        let issues = format!(
            "{}/repos/{}/{}/issues",
            args.github_api.trim_end_matches('/'),
            bellwether_ui::path::encode(owner),
            bellwether_ui::path::encode(name)
        );
        places.push(Place {
            token,
            is_gitlab: false,
            list: format!("{issues}/{number}/comments"),
            one: format!("{issues}/comments"),
        });
    }
    Ok(places)
}

/// What is before and after the sign, the latter a number.
fn parts(text: &str, sign: char) -> Option<(&str, u64)> {
    let (before, after) = text.rsplit_once(sign)?;
    Some((before, after.parse().ok()?)).filter(|(before, _)| !before.is_empty())
}

impl Place {
    async fn renew(&self, http: &Client, body: &str) -> Result<(), Fault> {
        let comment = json!({ "body": body }).to_string();
        let answer = match self.find(http).await? {
            Some(number) => {
                let method = if self.is_gitlab {
                    Method::PUT
                } else {
                    Method::PATCH
                };
                self.send(
                    self.request(http, method, &format!("{}/{number}", self.one))
                        .body(comment.clone()),
                )
                .await?
            }
            None => {
                self.send(
                    self.request(http, Method::POST, &self.list)
                        .body(comment.clone()),
                )
                .await?
            }
        };
        let link = answer["html_url"]
            .as_str()
            .map_or(String::new(), |link| format!(": {link}"));
        say(format_args!(
            "commented on the {} request{link}",
            if self.is_gitlab { "merge" } else { "pull" }
        ));
        Ok(())
    }

    /// The number of our comment, when there is one.
    async fn find(&self, http: &Client) -> Result<Option<u64>, Fault> {
        for page in 1..=PAGES_MAX {
            let url = format!("{}?per_page=100&page={page}", self.list);
            let request = self.request(http, Method::GET, &url);
            let comments = self.send(request).await?;
            let list = comments.as_array().cloned().unwrap_or_default();
            let ours = list.iter().find(|comment| {
                comment["body"]
                    .as_str()
                    .is_some_and(|body| body.starts_with(MARK))
            });
            if let Some(number) = ours.and_then(|comment| comment["id"].as_u64()) {
                return Ok(Some(number));
            }
            if list.len() < 100 {
                break;
            }
        }
        Ok(None)
    }

    fn request(&self, http: &Client, method: Method, url: &str) -> RequestBuilder {
        let request = http
            .request(method, url)
            .header("Content-Type", "application/json");
        if self.is_gitlab {
            request.header("PRIVATE-TOKEN", self.token.expose())
        } else {
            request
                .bearer_auth(self.token.expose())
                .header("Accept", "application/vnd.github+json")
                .header("X-GitHub-Api-Version", "2022-11-28")
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value, Fault> {
        let answer = request
            .send()
            .await
            .map_err(|error| Fault::failed(format_args!("comment: {}", error.without_url())))?;
        let status = answer.status();
        let body = answer
            .text()
            .await
            .map_err(|error| Fault::failed(format_args!("comment: {}", error.without_url())))?;
        if !status.is_success() {
            let why: String = body.chars().take(300).collect();
            return Err(Fault::failed(format_args!(
                "comment: the server answered {status}: {why}"
            )));
        }
        serde_json::from_str(&body).map_err(|error| {
            Fault::failed(format_args!(
                "comment: the server's answer is not JSON: {error}"
            ))
        })
    }
}
