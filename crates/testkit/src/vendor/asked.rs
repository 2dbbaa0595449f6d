//! What a request asks for: by whom, on which path, about which name.

use bytes::Bytes;
use http::Request;
use percent_encoding::percent_decode_str;

use super::StoredZone;

/// The credential in `Authorization`, after this word and a space.
pub(super) fn credential<'r>(request: &'r Request<Bytes>, scheme: &str) -> Option<&'r str> {
    let header = request.headers().get("authorization")?.to_str().ok()?;
    header.strip_prefix(scheme)?.strip_prefix(' ')
}

/// The token in `Authorization: Bearer …` (RFC 6750 §2.1).
pub(super) fn bearer(request: &Request<Bytes>) -> Option<&str> {
    credential(request, "Bearer")
}

/// The segments of the path after `root`, percent-encoding undone. None at all at `root` itself; an empty one
/// where the path is not below it.
pub(super) fn parts(request: &Request<Bytes>, root: &str) -> Vec<String> {
    let Some(rest) = request.uri().path().strip_prefix(root) else { return vec![String::new()] };
    let segments = rest.split('/').skip(1);
    segments.map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned()).collect()
}

/// A name as vendors write it in a zone: without the apex, empty at the apex itself.
pub(super) fn relative<'n>(zone: &StoredZone, name: &'n str) -> &'n str {
    name.strip_suffix(&zone.name).map_or(name, |rest| rest.trim_end_matches('.'))
}

/// The name that a relative one stands for; nothing and `@` are the apex.
pub(super) fn absolute(zone: &StoredZone, relative: &str) -> String {
    match relative {
        "" | "@" => zone.name.clone(),
        relative => format!("{relative}.{}", zone.name),
    }
}
