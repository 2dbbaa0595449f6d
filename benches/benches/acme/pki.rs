//! The certificate that is issued: made once, outside of what is measured.

use perennial_core::{DomainName, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, Error, IsCa, Issuer, KeyPair,
    PublicKeyData as _, date_time_ymd,
};

/// When everything happens: 2026-11-21T12:00:00Z.
pub(crate) const NOON: Timestamp = Timestamp::from_unix(1_795_262_400);

/// Names, their certificate signing request, and the chain that answers it.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) names: Vec<DomainName>,
    pub(crate) csr: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
    /// The leaf and one intermediate.
    pub(crate) chain_pem: String,
}

impl Certificate {
    /// For `example.com`, `a1.example.com` and so on; everything on P-256.
    pub(crate) fn new(count: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let name =
            |index| if index == 0 { "example.com".to_owned() } else { format!("a{index}.example.com") };
        let names = (0..count).map(|index| name(index).parse()).collect::<Result<Vec<DomainName>, _>>()?;
        let (root, key) = (ca("Root X1")?, KeyPair::generate()?);
        let (params, ca_key) = (ca_params("Intermediate 1"), KeyPair::generate()?);
        let intermediate = params.signed_by(&ca_key, &root)?;
        let issuer = Issuer::new(params, ca_key);

        let mut leaf = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        leaf.distinguished_name = DistinguishedName::new();
        leaf.not_before = date_time_ymd(2026, 11, 1);
        leaf.not_after = date_time_ymd(2027, 1, 30);
        let csr = leaf.serialize_request(&key)?.der().to_vec();
        let chain_pem = leaf.signed_by(&key, &issuer)?.pem() + &intermediate.pem();
        Ok(Self { names, csr, public_key: key.subject_public_key_info(), chain_pem })
    }

    /// The names as text.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.names.iter().map(ToString::to_string).collect()
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn ca(name: &str) -> Result<Issuer<'static, KeyPair>, Error> {
    Ok(Issuer::new(ca_params(name), KeyPair::generate()?))
}
