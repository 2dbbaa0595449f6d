//! What the handles of an order do with certificates (RFC 8555 §7.4.2).

use super::{Account, Order};
use crate::{
    CertificateChain, CertificationRequest, ChainSelector, Error, Misbehaved, Misuse, OrderState,
    OrderStatus, Url,
    call::{self, Download},
};

impl Order {
    /// Sends the certification request as [`finalize`](Self::finalize) does, after a look at what is in it.
    ///
    /// # Errors
    /// [`Misuse::CertificationRequest`] when it is for other names than the order, or for the account's own
    /// key (RFC 8555 §7.4, §11.1): nothing is sent, and the order stays good for a better one. Otherwise as
    /// [`finalize`](Self::finalize).
    pub async fn finalize_with(&self, request: &CertificationRequest) -> Result<OrderState, Error> {
        request.check_identifiers(&self.latest().identifiers).map_err(Misuse::from)?;
        request.check_key(&self.account().thumbprint()).map_err(Misuse::from)?;
        self.finalize(request.der()).await
    }

    /// Fetches the server's default chain. [`verify`](CertificateChain::verify) it before it replaces
    /// anything.
    ///
    /// # Errors
    /// [`Error::Misuse`] while the order is not valid; [`Error::Certificate`] when what comes is no chain.
    pub async fn certificate(&self) -> Result<CertificateChain, Error> {
        Ok(self.download().await?.chain)
    }

    /// Fetches the chain that the selector wants; the server's default chain when no chain fits. Alternates
    /// are fetched only while one could be better.
    ///
    /// An alternate that cannot be fetched, or is for another certificate, is passed over with a warning: a
    /// good chain is not given up for a better one.
    ///
    /// # Errors
    /// As [`certificate`](Self::certificate).
    pub async fn certificate_with(&self, selector: &ChainSelector) -> Result<CertificateChain, Error> {
        Ok(self.account().choose_chain(self.download().await?, selector).await)
    }

    async fn download(&self) -> Result<Download, Error> {
        let state = self.latest();
        if state.status != OrderStatus::Valid {
            return Err(self.not_ready("the certificate", state.status.clone()));
        }
        let missing = || Misbehaved::Field { resource: "order", field: "certificate", expected: "a URL" };
        self.account().run(call::certificate(state.certificate.clone().ok_or_else(missing)?)).await
    }
}

impl Account {
    /// The chain that the selector wants, of a certificate that was fetched; the server's default chain when no
    /// chain fits. Alternates are fetched only while one could be better.
    ///
    /// An alternate that cannot be fetched, or is for another certificate, is passed over with a warning: a
    /// good chain is not given up for a better one.
    pub async fn choose_chain(&self, download: Download, selector: &ChainSelector) -> CertificateChain {
        let Download { chain, alternates } = download;
        let mut alternates = alternates.into_iter();
        let mut chains = vec![chain];
        let chosen = loop {
            if let Some(index) = selector.choose(&chains, alternates.len() == 0) {
                break index;
            }
            let Some(url) = alternates.next() else {
                break 0;
            };
            match self.alternate(&url, &chains).await {
                Ok(alternate) => chains.push(alternate),
                Err(error) => {
                    tracing::warn!(%url, %error, "an alternate chain is passed over");
                    if matches!(error, Error::Network(_)) {
                        // The other alternates are on the same wire.
                        alternates = Vec::new().into_iter();
                    }
                }
            }
        };
        // The selector chooses among what it is shown, and it is shown the default chain at least.
        chains.swap_remove(chosen)
    }

    /// An alternate chain for the certificate of the chains that are there already.
    async fn alternate(&self, url: &Url, chains: &[CertificateChain]) -> Result<CertificateChain, Error> {
        let alternate = self.run(call::certificate(url.clone())).await?.chain;
        if chains.first().is_some_and(|default| default.leaf() != alternate.leaf()) {
            return Err(Misbehaved::AlternateLeaf { url: url.to_string() }.into());
        }
        Ok(alternate)
    }
}
