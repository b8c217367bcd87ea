//! Who may do what: users, sessions, API tokens, scopes.
//!
//! Data flow: a request carries a session cookie or a bearer token -> [`Auth::identify`] -> [`Identity`] with scopes ->
//! each route asks for one. State lives in records (`user`, `session`, `api_token`); this struct is their cache, and
//! every change is a [`Batch`] that the caller commits first.
//!
//! Invariants: passwords are stored as Argon2id hashes, session and API tokens as SHA-256 only; whatever changes
//! something needs a session *and* its CSRF token, or an API token; nobody is let in anonymously except to read, and
//! that only over loopback.

use std::collections::BTreeMap;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use bellwether_env::random_token;
use bellwether_model::state::{Kind, Record};
use bellwether_model::{Batch, Secret};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Kind of a user's record.
pub const USER: Kind = Kind("user");
/// Kind of a session's record, by hash of its cookie.
pub const SESSION: Kind = Kind("session");
/// Kind of an API token's record, by hash.
pub const API_TOKEN: Kind = Kind("api_token");
/// Name of the session cookie.
pub const COOKIE: &str = "bellwether_session";

const SESSION_LIFE: SignedDuration = SignedDuration::from_hours(24 * 14);
const TICKET_LIFE: SignedDuration = SignedDuration::from_hours(24);
/// Failed logins per name and minute before further ones wait.
const FAILURES_MAX: usize = 5;
/// Names whose attempts are counted; strangers have their own limit besides.
const NAMES_MAX: usize = 10_000;
const NAME_MAX: usize = 64;
const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=200;

/// What a caller may do. Later ones include nothing of the earlier ones: scopes are given one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See everything but secrets.
    Read,
    /// Acknowledge, resolve, snooze, comment, silence, post alerts.
    Respond,
    /// Run steps that change something.
    Run,
    /// Users, tokens, reload.
    Admin,
}

/// A caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `user:ana`, `token:ci`, `anonymous`.
    pub actor: String,
    pub scopes: Vec<Scope>,
    /// Token that forms of this session carry; none for API tokens, which cannot be forged by a page.
    pub csrf: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    version: u32,
    name: String,
    password_hash: String,
    scopes: Vec<Scope>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Session {
    version: u32,
    user: String,
    csrf: String,
    expires_at: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ApiToken {
    version: u32,
    name: String,
    scopes: Vec<Scope>,
    created_at: Timestamp,
}

/// Users, sessions and tokens of this server.
#[derive(Debug, Default)]
pub struct Auth {
    users: BTreeMap<String, User>,
    sessions: BTreeMap<String, Session>,
    tokens: BTreeMap<String, ApiToken>,
    ticket: Option<(String, Timestamp)>,
    /// Links that log somebody in once: hash of the ticket, who, until when.
    links: BTreeMap<String, (String, Timestamp)>,
    failures: BTreeMap<String, Vec<Timestamp>>,
}

/// Why somebody was not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("the name or the password is wrong")]
    Wrong,
    #[error("too many attempts: wait a minute")]
    TooMany,
    #[error("this link was used already or is too old: restart the server for a new one")]
    Ticket,
    #[error("{0}")]
    Invalid(String),
}

/// A session that has just begun: the batch to commit and the cookie to set.
#[derive(Debug)]
pub struct Login {
    pub batch: Batch,
    pub cookie: Secret,
    pub max_age: Duration,
}

fn hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Hash of a password, to be made off the event loop: it takes tens of milliseconds on purpose.
pub fn hash_password(password: &Secret) -> Result<String, AuthError> {
    if !PASSWORD_LENGTH.contains(&password.expose().chars().count()) {
        return Err(AuthError::Invalid(
            "a password has 8 to 200 characters".to_owned(),
        ));
    }
    let salt = SaltString::generate(&mut OsRng);
    let hashed = Argon2::default().hash_password(password.expose().as_bytes(), &salt);
    hashed
        .map(|hash| hash.to_string())
        .map_err(|error| AuthError::Invalid(error.to_string()))
}

/// Whether a password is the hashed one; off the event loop too.
pub fn verify_password(password: &Secret, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.expose().as_bytes(), &hash)
            .is_ok()
    })
}

// === impl Auth ===

impl Auth {
    /// What was stored. Records that cannot be read are left out: their holders log in again.
    pub fn restore(records: &[Record]) -> Self {
        let mut auth = Self::default();
        for record in records {
            let body = record.body.clone();
            match record.kind.as_str() {
                "user" => {
                    if let Ok(user) = serde_json::from_value(body) {
                        auth.users.insert(record.id.clone(), user);
                    }
                }
                "session" => {
                    if let Ok(session) = serde_json::from_value(body) {
                        auth.sessions.insert(record.id.clone(), session);
                    }
                }
                "api_token" => {
                    if let Ok(token) = serde_json::from_value(body) {
                        auth.tokens.insert(record.id.clone(), token);
                    }
                }
                _ => {}
            }
        }
        auth
    }

    /// A one-time link's ticket, while there is no user yet.
    pub fn open_setup(&mut self, now: Timestamp) -> Option<String> {
        if !self.needs_setup() {
            return None;
        }
        let ticket = random_token();
        self.ticket = Some((hash(&ticket), now + TICKET_LIFE));
        Some(ticket)
    }

    /// Whether the first administrator is still to be set. Who came by a link alone has no password to come back with.
    pub fn needs_setup(&self) -> bool {
        self.users
            .values()
            .all(|user| user.password_hash.is_empty())
    }

    /// Whether a setup link is good (it stays so until it is used).
    pub fn ticket_is_good(&self, ticket: &str, now: Timestamp) -> bool {
        self.ticket
            .as_ref()
            .is_some_and(|(hashed, until)| *hashed == hash(ticket) && now < *until)
    }

    /// Sets the administrator, uses up the ticket, and logs in.
    pub fn set_up(
        &mut self,
        ticket: &str,
        name: &str,
        password_hash: String,
        now: Timestamp,
    ) -> Result<Login, AuthError> {
        if !self.ticket_is_good(ticket, now) {
            return Err(AuthError::Ticket);
        }
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
            return Err(AuthError::Invalid(
                "a name has up to 64 letters, digits, - _ . @".to_owned(),
            ));
        }
        self.ticket = None;
        let scopes = vec![Scope::Read, Scope::Respond, Scope::Run, Scope::Admin];
        let user = User {
            version: 1,
            name: name.to_owned(),
            password_hash,
            scopes,
        };
        let mut batch = Batch::default();
        batch.put(USER, name, &user, None);
        self.users.insert(name.to_owned(), user);
        Ok(self.begin(batch, name, now))
    }

    /// The stored hash to verify a login against, or why no attempt is allowed now. For an unknown name a hash that
    /// nothing matches is given, so that both take the same time.
    pub fn attempt(&mut self, name: &str, now: Timestamp) -> Result<String, AuthError> {
        self.failures.retain(|_, times| {
            times.retain(|time| now.duration_since(*time) < SignedDuration::from_secs(60));
            !times.is_empty()
        });
        let counted: String = name.chars().take(NAME_MAX).collect();
        if self
            .failures
            .get(&counted)
            .is_some_and(|times| times.len() >= FAILURES_MAX)
        {
            return Err(AuthError::TooMany);
        }
        // Counted before the slow check: many at once must not pass together.
        if self.failures.len() < NAMES_MAX || self.failures.contains_key(&counted) {
            self.failures.entry(counted).or_default().push(now);
        }
        const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
            AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        Ok(self
            .users
            .get(name)
            .map_or_else(|| NOBODY.to_owned(), |user| user.password_hash.clone()))
    }

    /// Ends a login attempt whose password was verified or not.
    pub fn log_in(
        &mut self,
        name: &str,
        verified: bool,
        now: Timestamp,
    ) -> Result<Login, AuthError> {
        if !verified || !self.users.contains_key(name) {
            return Err(AuthError::Wrong);
        }
        self.failures.remove(name);
        Ok(self.begin(Batch::default(), name, now))
    }

    fn begin(&mut self, mut batch: Batch, user: &str, now: Timestamp) -> Login {
        let cookie = random_token();
        let expired: Vec<String> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.expires_at <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in expired {
            batch.delete(SESSION, &id);
            self.sessions.remove(&id);
        }
        let session = Session {
            version: 1,
            user: user.to_owned(),
            csrf: random_token(),
            expires_at: now + SESSION_LIFE,
        };
        batch.put(SESSION, hash(&cookie), &session, None);
        self.sessions.insert(hash(&cookie), session);
        Login {
            batch,
            cookie: Secret::new(cookie),
            max_age: SESSION_LIFE.unsigned_abs(),
        }
    }

    /// A ticket that logs a browser in, once, within five minutes, as `actor` with all that a user may do.
    pub fn open_link(&mut self, actor: &str, now: Timestamp) -> String {
        self.links.retain(|_, (_, until)| now < *until);
        let ticket = random_token();
        let name = actor
            .split_once(':')
            .map_or(actor, |(_, name)| name)
            .to_owned();
        self.links
            .insert(hash(&ticket), (name, now + SignedDuration::from_mins(5)));
        ticket
    }

    /// Uses up a ticket of [`Auth::open_link`]. A user that does not exist yet is made, without a password.
    pub fn follow_link(&mut self, ticket: &str, now: Timestamp) -> Result<Login, AuthError> {
        let (name, until) = self.links.remove(&hash(ticket)).ok_or(AuthError::Ticket)?;
        if now >= until {
            return Err(AuthError::Ticket);
        }
        let mut batch = Batch::default();
        if !self.users.contains_key(&name) {
            let scopes = vec![Scope::Read, Scope::Respond, Scope::Run, Scope::Admin];
            let user = User {
                version: 1,
                name: name.clone(),
                password_hash: String::new(),
                scopes,
            };
            batch.put(USER, &name, &user, None);
            self.users.insert(name.clone(), user);
        }
        Ok(self.begin(batch, &name, now))
    }

    /// Ends a session.
    pub fn log_out(&mut self, cookie: &str) -> Batch {
        let mut batch = Batch::default();
        if self.sessions.remove(&hash(cookie)).is_some() {
            batch.delete(SESSION, hash(cookie));
        }
        batch
    }

    /// A new API token; it is shown once, only its hash is kept.
    pub fn issue_token(
        &mut self,
        name: &str,
        scopes: Vec<Scope>,
        now: Timestamp,
    ) -> (Secret, Batch) {
        let token = format!("bw_{}", random_token());
        let record = ApiToken {
            version: 1,
            name: name.to_owned(),
            scopes,
            created_at: now,
        };
        let mut batch = Batch::default();
        batch.put(API_TOKEN, hash(&token), &record, None);
        self.tokens.insert(hash(&token), record);
        (Secret::new(token), batch)
    }

    /// Ends the tokens of a name.
    pub fn revoke_token(&mut self, name: &str) -> Batch {
        let mut batch = Batch::default();
        self.tokens.retain(|id, token| {
            let keep = token.name != name;
            if !keep {
                batch.delete(API_TOKEN, id);
            }
            keep
        });
        batch
    }

    /// Names and scopes of the API tokens.
    pub fn tokens(&self) -> Vec<(String, Vec<Scope>, Timestamp)> {
        self.tokens
            .values()
            .map(|t| (t.name.clone(), t.scopes.clone(), t.created_at))
            .collect()
    }

    /// Who is behind a cookie or a bearer token.
    pub fn identify(
        &self,
        cookie: Option<&str>,
        bearer: Option<&str>,
        now: Timestamp,
    ) -> Option<Identity> {
        if let Some(token) = bearer.and_then(|bearer| self.tokens.get(&hash(bearer))) {
            let actor = format!("token:{}", token.name);
            return Some(Identity {
                actor,
                scopes: token.scopes.clone(),
                csrf: None,
            });
        }
        let session = self
            .sessions
            .get(&hash(cookie?))
            .filter(|session| now < session.expires_at)?;
        let user = self.users.get(&session.user)?;
        Some(Identity {
            actor: format!("user:{}", user.name),
            scopes: user.scopes.clone(),
            csrf: Some(session.csrf.clone()),
        })
    }
}

// === impl Identity ===

impl Identity {
    /// Somebody on this machine who has not said who: may read.
    pub fn anonymous() -> Self {
        Self {
            actor: "anonymous".to_owned(),
            scopes: vec![Scope::Read],
            csrf: None,
        }
    }

    /// Whether nobody has said who is asking.
    pub fn is_anonymous(&self) -> bool {
        self.actor == "anonymous"
    }

    /// Whether a scope was given.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
    }

    #[test]
    fn setup_works_once_and_gives_a_session() {
        let mut auth = Auth::default();
        // Who came by a link has no password: the first administrator is still to be set.
        let link = auth.open_link("token:local", at(0));
        auth.follow_link(&link, at(0)).unwrap();
        let ticket = auth.open_setup(at(0)).unwrap();
        assert_eq!(
            auth.set_up("wrong", "ana", "x".into(), at(1)).unwrap_err(),
            AuthError::Ticket
        );
        let login = auth.set_up(&ticket, "ana", "x".into(), at(1)).unwrap();
        let identity = auth
            .identify(Some(login.cookie.expose()), None, at(2))
            .unwrap();
        assert!(identity.may(Scope::Admin) && identity.actor == "user:ana");
        assert_eq!(
            auth.set_up(&ticket, "bo", "x".into(), at(1)).unwrap_err(),
            AuthError::Ticket
        );
        assert!(auth.open_setup(at(3)).is_none());
        assert!(
            auth.identify(Some(login.cookie.expose()), None, at(60 * 24 * 15))
                .is_none()
        );
        auth.log_out(login.cookie.expose());
        assert!(
            auth.identify(Some(login.cookie.expose()), None, at(2))
                .is_none()
        );
    }

    #[test]
    fn failed_logins_are_limited_and_tokens_have_scopes() {
        let mut auth = Auth::default();
        for _ in 0..5 {
            auth.attempt("ana", at(0)).unwrap();
            assert_eq!(
                auth.log_in("ana", false, at(0)).unwrap_err(),
                AuthError::Wrong
            );
        }
        assert_eq!(auth.attempt("ana", at(0)).unwrap_err(), AuthError::TooMany);
        assert!(auth.attempt("ana", at(2)).is_ok());
        let (token, batch) = auth.issue_token("ci", vec![Scope::Read], at(0));
        assert!(
            !serde_json::to_string(&batch)
                .unwrap()
                .contains(token.expose())
        );
        let identity = auth.identify(None, Some(token.expose()), at(0)).unwrap();
        assert!(identity.may(Scope::Read) && !identity.may(Scope::Run));
        auth.revoke_token("ci");
        assert!(auth.identify(None, Some(token.expose()), at(0)).is_none());
    }

    #[test]
    fn stored_passwords_verify() {
        let password = Secret::new("correct horse");
        let hash = hash_password(&password).unwrap();
        assert!(
            verify_password(&password, &hash) && !verify_password(&Secret::new("wrong"), &hash)
        );
        assert!(hash_password(&Secret::new("short")).is_err());
    }
}
