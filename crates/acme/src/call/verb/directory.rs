//! The directory (RFC 8555 §7.1.1).

use std::sync::Arc;

use super::spec;
use crate::{
    Directory,
    call::{Call, Credential, Payload, Spec, Target},
};

/// Fetches the directory (RFC 8555 §7.1.1), also if it is known.
pub fn directory() -> Call<Arc<Directory>> {
    Call::new(Spec {
        credential: Credential::None,
        ..spec("directory", Target::Directory, Payload::Fixed("".into()), |answer| {
            let directory = Directory::parse(answer.body)?;
            Ok(answer.session.server().learn(directory, answer.now)?)
        })
    })
}
