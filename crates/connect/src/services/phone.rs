//! SMS and voice by Twilio's API (2010-04-01).

use bellwether_model::Secret;
use bellwether_model::state::Receipt;

use super::{Request, Twilio, by_status, cut, form, json_of, segment, taken};
use crate::channel::{Blame, Message, Outcome, Verdict};
use crate::http::HttpAnswer;

/// Ten parts of an SMS.
const SMS_TEXT: usize = 1500;
/// What is read out.
const SPOKEN: usize = 600;

/// What a state of Twilio's (of a message or a call) proves; unknown words prove nothing.
pub fn twilio_receipt(state: &str) -> Receipt {
    match state {
        "queued" | "scheduled" => Receipt::Queued,
        "accepted" => Receipt::Accepted,
        "sending" | "sent" | "initiated" | "ringing" => Receipt::Sent,
        "delivered" => Receipt::Delivered,
        "read" => Receipt::Read,
        "in-progress" | "answered" | "completed" => Receipt::Answered,
        // Nobody took it now; another channel may do better.
        "busy" | "no-answer" => Receipt::FailedTemporarily,
        "undelivered" | "failed" | "canceled" => Receipt::FailedPermanently,
        _ => Receipt::Unknown,
    }
}

fn request(twilio: &Twilio, kind: &str, pairs: &[(&str, &str)]) -> Request {
    let address = format!(
        "{}/2010-04-01/Accounts/{}/{kind}.json",
        twilio.url.trim_end_matches('/'),
        segment(&twilio.account),
    );
    let mut all = vec![("To", twilio.to.as_str())];
    if kind == "Messages" && twilio.from.starts_with("MG") {
        all.push(("MessagingServiceSid", &twilio.from));
    } else {
        all.push(("From", &twilio.from));
    }
    if let Some(callback) = &twilio.status_callback {
        all.push(("StatusCallback", callback.expose()));
    }
    all.extend_from_slice(pairs);
    Request {
        method: "POST",
        url: Secret::new(address),
        content_type: "application/x-www-form-urlencoded",
        body: form(&all),
        read,
        idempotent: false,
    }
}

fn read(answer: &HttpAnswer) -> Outcome {
    let body = json_of(answer);
    let made = by_status(answer);
    if made.verdict != Verdict::Done {
        let Some(text) = body["message"].as_str() else {
            return made;
        };
        // Twilio's own words instead of the whole answer, which holds the number.
        let error = format!("HTTP {}: {text} ({})", answer.status, body["code"]);
        return match made.verdict {
            Verdict::Retry { after } => Outcome::retry(error, after, made.retry_safe),
            _ => Outcome::failed(error, Blame::Operator),
        };
    }
    let receipt = twilio_receipt(body["status"].as_str().unwrap_or_default());
    let id = body["sid"].as_str().unwrap_or_default();
    match receipt {
        Receipt::FailedPermanently => Outcome::failed("Twilio could not send it", Blame::Peer),
        receipt => taken(answer, receipt, id),
    }
}

pub(super) fn sms(twilio: &Twilio, message: &Message) -> Request {
    let mut body = format!("{}\n{}", message.title, message.text);
    let mut tail = String::new();
    for action in &message.actions {
        tail.push_str(&format!("\n{}: {}", action.label, action.url.expose()));
    }
    body.truncate(body.floor_char_boundary(SMS_TEXT.saturating_sub(tail.len())));
    body.push_str(&tail);
    request(twilio, "Messages", &[("Body", &body)])
}

fn xml(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || *c == '\n')
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            '\n' => ". ".to_owned(),
            c => c.to_string(),
        })
        .collect()
}

/// Said twice: whoever wakes up misses the first words. A key sends the answer; silence sends nothing.
pub(super) fn voice(twilio: &Twilio, message: &Message) -> Request {
    let words = xml(cut(&format!("{}\n{}", message.title, message.text), SPOKEN));
    let say = format!("<Say>This is Bellwether. {words}</Say>");
    let inner = match message.actions.first() {
        Some(action) => format!(
            "<Gather numDigits=\"1\" timeout=\"10\" method=\"POST\" action=\"{}\">{say}<Say>Press 1 to take it.</Say>\
             <Pause length=\"2\"/>{say}<Say>Press 1 to take it.</Say></Gather><Say>No key was pressed. Good bye.</Say>",
            xml(action.url.expose())
        ),
        None => format!("{say}<Pause length=\"1\"/>{say}"),
    };
    let twiml = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>{inner}</Response>");
    request(
        twilio,
        "Calls",
        &[
            ("Twiml", &twiml),
            ("Timeout", "45"),
            ("MachineDetection", "Enable"),
        ],
    )
}
