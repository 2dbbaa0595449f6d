//! An issuer that signs at once.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial::{
    core::{Clock, SystemClock},
    lifecycle::{IssueError, IssuedChain, Issuer, Journal, SigningRequest},
};
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, KeyPair};

pub(crate) struct Authority {
    clock: Arc<dyn Clock>,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self { clock: Arc::new(SystemClock::new()), key: KeyPair::generate().unwrap() }
    }
}

#[async_trait]
impl Issuer for Authority {
    async fn issue(&self, request: &SigningRequest, _: &Journal) -> Result<IssuedChain, IssueError> {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = request.csr_der.as_slice().into();
        let mut asked = CertificateSigningRequestParams::from_der(&der).unwrap();
        let now = time::OffsetDateTime::from_unix_timestamp(self.clock.now().unix()).unwrap();
        asked.params.not_before = now;
        asked.params.not_after = now + Duration::from_secs(90 * 86_400);
        let signed = asked.signed_by(&rcgen::Issuer::new(ca, &self.key)).unwrap();
        Ok(IssuedChain::from_pem(signed.pem()).unwrap())
    }
}
