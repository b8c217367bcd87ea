//! The files that pages refer to, inside the binary.

use std::sync::LazyLock;

/// A file served as it is, cacheable for ever under its versioned address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// `/assets/ui.css`.
    pub path: &'static str,
    pub content_type: &'static str,
    pub bytes: &'static [u8],
    /// Hash of the bytes, without quotes; pages link `path?v=etag`.
    pub etag: &'static str,
}

/// Nothing from elsewhere, nothing inline. `data:` images are not needed either.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

const FILES: [(&str, &str, &str); 4] = [
    (
        "/assets/ui.css",
        "text/css; charset=utf-8",
        include_str!("../assets/ui.css"),
    ),
    (
        "/assets/ui.js",
        "text/javascript; charset=utf-8",
        include_str!("../assets/ui.js"),
    ),
    (
        "/assets/icons.svg",
        "image/svg+xml",
        include_str!("../assets/icons.svg"),
    ),
    (
        "/assets/manifest.json",
        "application/manifest+json",
        include_str!("../assets/manifest.json"),
    ),
];
const LOGO: (&str, &str, &str) = (
    "/assets/logo.svg",
    "image/svg+xml",
    include_str!("../assets/logo.svg"),
);

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    FILES
        .into_iter()
        .chain([LOGO])
        .map(|(path, content_type, text)| Asset {
            path,
            content_type,
            bytes: text.as_bytes(),
            etag: hash(text.as_bytes()).leak(),
        })
        .collect()
});

/// Every file, in a fixed order.
pub fn assets() -> &'static [Asset] {
    &ASSETS
}

/// The file at a path, without its query.
pub fn asset(path: &str) -> Option<&'static Asset> {
    assets().iter().find(|asset| asset.path == path)
}

/// The address with the version of the bytes in it.
pub(crate) fn link(path: &str) -> String {
    match asset(path) {
        Some(asset) => format!("{path}?v={}", asset.etag),
        None => path.to_owned(),
    }
}

/// FNV-1a, 64 bits: only tells versions of our own files apart.
fn hash(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
