//! The pack of a push: one commit with one file.
//!
//! Form: `gitformat-pack(5)`.

use std::io::Write as _;

use bellwether_stats::random::Random;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest as _, Sha1};

/// A pack and the commit in it.
#[derive(Clone, Debug)]
pub struct PushPack {
    pub commit: String,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Kind {
    Commit = 1,
    Tree = 2,
    Blob = 3,
}

impl PushPack {
    /// A commit without parents, whose file has so many random bytes; equal seeds give equal packs.
    pub fn new(bytes: usize, seed: u64, seconds: i64) -> Self {
        let mut random = Random::new(seed);
        let mut content = Vec::with_capacity(bytes + 8);
        while content.len() < bytes {
            content.extend_from_slice(&random.draw().to_le_bytes());
        }
        content.truncate(bytes);
        let blob = id(Kind::Blob, &content);
        let mut tree = b"100644 load.bin\0".to_vec();
        tree.extend_from_slice(&blob);
        let tree_id = hex(&id(Kind::Tree, &tree));
        let who = format!("bellwether load <load@localhost> {seconds} +0000");
        let commit = format!("tree {tree_id}\nauthor {who}\ncommitter {who}\n\nload\n");
        let mut pack = b"PACK\x00\x00\x00\x02\x00\x00\x00\x03".to_vec();
        add(&mut pack, Kind::Commit, commit.as_bytes());
        add(&mut pack, Kind::Tree, &tree);
        add(&mut pack, Kind::Blob, &content);
        let sum = Sha1::digest(&pack);
        pack.extend_from_slice(&sum);
        Self {
            commit: hex(&id(Kind::Commit, commit.as_bytes())),
            bytes: pack,
        }
    }
}

fn id(kind: Kind, content: &[u8]) -> Vec<u8> {
    let name = match kind {
        Kind::Commit => "commit",
        Kind::Tree => "tree",
        Kind::Blob => "blob",
    };
    let mut sum = Sha1::new();
    sum.update(format!("{name} {}\0", content.len()));
    sum.update(content);
    sum.finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn add(pack: &mut Vec<u8>, kind: Kind, content: &[u8]) {
    let mut size = content.len();
    let mut byte = ((kind as u8) << 4) | (size & 0xf) as u8;
    size >>= 4;
    while size > 0 {
        pack.push(byte | 0x80);
        byte = (size & 0x7f) as u8;
        size >>= 7;
    }
    pack.push(byte);
    let mut packed = ZlibEncoder::new(pack, Compression::fast());
    packed
        .write_all(content)
        .and_then(|()| packed.finish().map(drop))
        .expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_git_s() {
        // `printf hello | git hash-object --stdin`
        assert_eq!(
            hex(&id(Kind::Blob, b"hello")),
            "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"
        );
        let pack = PushPack::new(1000, 1, 0);
        assert_eq!(pack.commit, PushPack::new(1000, 1, 0).commit);
        assert_ne!(pack.commit, PushPack::new(1000, 2, 0).commit);
    }
}
