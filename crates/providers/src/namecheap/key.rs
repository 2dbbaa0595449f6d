//! The key and its user travel in every form.

use std::net::Ipv4Addr;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use perennial_core::Timestamp;

use crate::{
    Error,
    vendor::{Authorize, Credential, Fingerprint, Secrets, segment},
};

/// Puts the four fields of every command before those of this one.
pub(super) struct Key {
    pub(super) user: String,
    pub(super) key: Credential,
    pub(super) client_ip: Ipv4Addr,
}

#[async_trait]
impl Authorize for Key {
    async fn authorize(&self, request: &mut Request<Bytes>, _: Timestamp) -> Result<Secrets, Error> {
        let key = self.key.current();
        let user = segment(&self.user);
        let mut form = format!(
            "ApiUser={user}&ApiKey={}&UserName={user}&ClientIp={}&",
            segment(key.expose()),
            self.client_ip
        )
        .into_bytes();
        form.extend_from_slice(request.body());
        *request.body_mut() = form.into();
        Ok(Secrets::of(key))
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(Fingerprint::of([&*self.user, self.key.current().expose()]))
    }
}
