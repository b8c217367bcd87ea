//! Signed links: acknowledge from an e-mail or a push message, without a session.
//!
//! A link names the case, the person and the step it was sent for, and is signed with a key of this server
//! (HMAC-SHA256). Opening it shows a page with a button: programs that look at links in mails change nothing.

use bellwether_env::random_bytes;
use bellwether_model::Secret;
use bellwether_model::state::{Kind, Record};
use bellwether_model::{Batch, CaseId};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::http::auth::hex;

/// Kind of the record that holds the key.
pub const SIGNING_KEY: Kind = Kind("signing_key");
const ID: &str = "links";
/// Bytes of a signature that a link carries.
const SIGNATURE_BYTES: usize = 20;

/// Signs and checks links.
#[derive(Clone, Debug)]
pub struct Links {
    key: Secret,
}

/// What a good link says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckLink {
    pub case: CaseId,
    pub person: String,
    pub as_of: u32,
}

// === impl Links ===

impl Links {
    /// The stored key, or a new one and the batch that stores it.
    pub fn restore(records: &[Record]) -> (Self, Batch) {
        let stored = records
            .iter()
            .find(|record| record.id == ID)
            .and_then(|record| record.body["key"].as_str());
        if let Some(key) = stored {
            return (
                Self {
                    key: Secret::new(key),
                },
                Batch::default(),
            );
        }
        let key = hex(&random_bytes::<32>());
        let mut batch = Batch::default();
        batch.put(
            SIGNING_KEY,
            ID,
            &serde_json::json!({"version": 1, "key": key}),
            None,
        );
        (
            Self {
                key: Secret::new(key),
            },
            batch,
        )
    }

    fn mac_of(&self, text: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(text.as_bytes());
        mac
    }

    fn mac(&self, link: &AckLink) -> Hmac<Sha256> {
        self.mac_of(&format!(
            "ack\0{}\0{}\0{}",
            link.case, link.person, link.as_of
        ))
    }

    /// Signature of a calendar's address: calendar programs cannot sign in.
    pub fn calendar_signature(&self, kind: &str, name: &str) -> String {
        let signature = self.mac_of(&format!("calendar\0{kind}\0{name}")).finalize();
        hex(&signature.into_bytes()[..SIGNATURE_BYTES])
    }

    /// Whether a signature is that of a calendar; takes the same time for every wrong one.
    pub fn verify_calendar(&self, kind: &str, name: &str, signature: &str) -> bool {
        let mac = self.mac_of(&format!("calendar\0{kind}\0{name}"));
        from_hex(signature).is_some_and(|bytes| mac.verify_truncated_left(&bytes).is_ok())
    }

    /// Path of the link, below the external address.
    pub fn ack_path(&self, link: &AckLink) -> String {
        let signature = self.mac(link).finalize().into_bytes();
        let signature = hex(&signature[..SIGNATURE_BYTES]);
        format!(
            "/a/{}/{}/{}/{signature}",
            link.case, link.person, link.as_of
        )
    }

    /// Whether a signature is that of a link; takes the same time for every wrong one.
    pub fn verify(&self, link: &AckLink, signature: &str) -> bool {
        from_hex(signature)
            .is_some_and(|bytes| self.mac(link).verify_truncated_left(&bytes).is_ok())
    }
}

/// A signature's bytes, when it has the right number of them.
fn from_hex(signature: &str) -> Option<Vec<u8>> {
    let bytes: Option<Vec<u8>> = (0..signature.len() / 2)
        .map(|index| u8::from_str_radix(signature.get(2 * index..2 * index + 2)?, 16).ok())
        .collect();
    bytes.filter(|bytes| bytes.len() == SIGNATURE_BYTES && signature.len() == 2 * SIGNATURE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signed_link_is_good() {
        let (links, batch) = Links::restore(&[]);
        assert_eq!(batch.records.len(), 1);
        let link = AckLink {
            case: CaseId::from_raw(7),
            person: "ana".to_owned(),
            as_of: 1,
        };
        let path = links.ack_path(&link);
        let signature = path.rsplit('/').next().unwrap();
        assert!(links.verify(&link, signature));
        assert!(!links.verify(
            &AckLink {
                as_of: 2,
                ..link.clone()
            },
            signature
        ));
        assert!(!links.verify(&link, &signature[2..]) && !links.verify(&link, "zz"));
        let calendar = links.calendar_signature("person", "ana");
        assert!(links.verify_calendar("person", "ana", &calendar));
        assert!(!links.verify_calendar("schedule", "ana", &calendar));
        assert!(!links.verify_calendar("person", "ana", ""));
        let (others, _) = Links::restore(&[]);
        assert!(!others.verify(&link, signature));
    }
}
