//! E-mail by SMTP.

use std::time::{Duration, SystemTime};

use bellwether_model::Secret;
use bellwether_model::state::Receipt;
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message as Mail, Tokio1Executor};

use sha2::{Digest as _, Sha256};

use crate::channel::{Attempt, Blame, BoxFuture, Channel, Outcome, Priority};

const MAX_SUBJECT: usize = 300;

/// How the connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not at all.
    None,
    /// STARTTLS, or no mail.
    #[default]
    StartTls,
    /// STARTTLS if the server offers it.
    IfOffered,
    /// TLS from the first byte.
    Implicit,
}

/// Where to send.
#[derive(Clone, Debug, Default)]
pub struct EmailTarget {
    pub host: String,
    pub port: u16,
    pub tls: SmtpTls,
    /// Accept any certificate. The caller warns about it.
    pub insecure: bool,
    /// Name in EHLO; the machine's if empty.
    pub hello: String,
    pub user: String,
    pub password: Secret,
    pub from: String,
    /// Addresses, separated by commas.
    pub to: String,
}

/// Sends to one set of addresses.
#[derive(Debug)]
pub struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Mailboxes,
}

/// Why a target cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    #[error("not an e-mail address: {address:?}")]
    Address { address: String },
    #[error("cannot set up TLS: {reason}")]
    Tls { reason: String },
}

// === impl Email ===

impl Email {
    /// A channel to one set of addresses.
    pub fn new(target: EmailTarget) -> Result<Self, EmailError> {
        let bad = |address: &str| EmailError::Address {
            address: address.to_owned(),
        };
        let from = target.from.parse().map_err(|_| bad(&target.from))?;
        let to: Mailboxes = target.to.parse().map_err(|_| bad(&target.to))?;
        if to.iter().next().is_none() {
            return Err(bad(&target.to));
        }
        let parameters = || {
            TlsParameters::builder(target.host.clone())
                .dangerous_accept_invalid_certs(target.insecure)
                .build()
                .map_err(|error| EmailError::Tls {
                    reason: error.to_string(),
                })
        };
        let tls = match target.tls {
            SmtpTls::None => Tls::None,
            SmtpTls::StartTls => Tls::Required(parameters()?),
            SmtpTls::IfOffered => Tls::Opportunistic(parameters()?),
            SmtpTls::Implicit => Tls::Wrapper(parameters()?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&target.host)
            .port(target.port)
            .tls(tls)
            .timeout(Some(Duration::from_secs(30)));
        if !target.hello.is_empty() {
            builder = builder.hello_name(ClientId::Domain(target.hello));
        }
        if !target.user.is_empty() {
            let password = target.password.expose().to_owned();
            builder = builder.credentials(Credentials::new(target.user, password));
        }
        Ok(Self {
            transport: builder.build(),
            from,
            to,
        })
    }

    fn mail(&self, attempt: &Attempt) -> Result<Mail, String> {
        let message = &attempt.message;
        let domain = self.from.email.domain();
        let date = SystemTime::UNIX_EPOCH
            + Duration::from_secs(u64::try_from(attempt.now.as_second()).unwrap_or(0));
        let thread = format!("<{}@{domain}>", id_text(&attempt.thread));
        // Said here, because a header of the configuration may replace `To` by words for people.
        let recipients = self.to.iter().map(|to| to.email.clone()).collect();
        let envelope = Envelope::new(Some(self.from.email.clone()), recipients)
            .map_err(|error| error.to_string())?;
        let mut builder = Mail::builder()
            .envelope(envelope)
            .from(self.from.clone())
            .subject(one_line(&message.title, MAX_SUBJECT))
            .date(date)
            .message_id(Some(format!("<{}@{domain}>", attempt.id)))
            .in_reply_to(thread.clone())
            .references(thread);
        for to in self.to.iter() {
            builder = builder.to(to.clone());
        }
        let mut extra = vec![
            ("Auto-Submitted".to_owned(), "auto-generated".to_owned()),
            (
                "X-Bellwether-Key".to_owned(),
                one_line(&attempt.key, MAX_SUBJECT),
            ),
        ];
        if message.priority == Priority::High {
            extra.push(("X-Priority".to_owned(), "1".to_owned()));
        }
        extra.extend(message.headers.iter().cloned());
        for (name, value) in extra {
            let name = HeaderName::new_from_ascii(name.clone())
                .map_err(|_| format!("not a header name: {name:?}"))?;
            builder = builder.raw_header(HeaderValue::new(name, one_line(&value, 1000)));
        }
        let mut text = message.text.clone();
        if let Some(link) = &message.link {
            text.push_str("\n\n");
            text.push_str(link);
            text.push('\n');
        }
        let text = SinglePart::builder()
            .header(ContentType::TEXT_PLAIN)
            .body(text);
        let mail = match &message.html {
            Some(html) => {
                let html = SinglePart::builder()
                    .header(ContentType::TEXT_HTML)
                    .body(html.clone());
                builder.multipart(MultiPart::alternative().singlepart(text).singlepart(html))
            }
            None => builder.singlepart(text),
        };
        mail.map_err(|error| error.to_string())
    }

    async fn send(&self, attempt: &Attempt) -> Outcome {
        let mail = match self.mail(attempt) {
            Ok(mail) => mail,
            Err(error) => return Outcome::failed(error, Blame::Operator),
        };
        match tokio::time::timeout(attempt.timeout, self.transport.send(mail)).await {
            // The server has queued it; a bounce may still come.
            Ok(Ok(answer)) => {
                let id: String = answer.message().collect::<Vec<_>>().join(" ");
                Outcome::done(Receipt::Accepted, one_line(&id, 200))
            }
            Ok(Err(error)) => {
                let text = one_line(&error.to_string(), MAX_SUBJECT);
                if error.is_permanent() || error.is_client() {
                    Outcome::failed(text, Blame::Operator)
                } else {
                    // A 4xx answer is a refusal; anything else may have come after the mail was taken.
                    Outcome::retry(text, None, error.is_transient())
                }
            }
            Err(_) => Outcome::retry("the mail server does not answer", None, false),
        }
    }
}

impl Channel for Email {
    fn name(&self) -> &'static str {
        "email"
    }

    fn deliver(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(async move { self.send(&attempt).await })
    }
}

/// Without line breaks, which would start another header.
fn one_line(text: &str, max: usize) -> String {
    let line = text.replace(|c: char| c.is_control(), " ");
    line[..line.floor_char_boundary(max)].to_owned()
}

/// The left side of a message id: a short plain text as it is, anything else by its hash, so that different threads
/// stay different.
fn id_text(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !text.is_empty() && text.len() <= 64 && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let mut id = "thread-".to_owned();
    for byte in Sha256::digest(text.as_bytes()).iter().take(16) {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}
