//! The built-in account keys, in memory, by ring.

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use perennial_core::{Retry, SecretBytes, SecretString, pkcs8};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use zeroize::Zeroizing;

use super::{Algorithm, Signer, SignerError, pair::Pair};
use crate::Jwk;

/// An account key in memory: ECDSA on P-256 or P-384, Ed25519, or RSA with 2048 to 4096 bits.
///
/// Made without further wishes it is P-256, which every ACME server takes (RFC 8555 §6.2) and which is the
/// fastest. Ed25519 is for private CAs: no public one takes it. RSA keys are not made here but read: ring
/// signs with them and makes none.
///
/// It never prints, and its encoding is wiped when dropped. Keep it in a file that only you can read: who
/// has it can have certificates issued in your name.
///
/// ```
/// use perennial_acme::{AccountKey, Algorithm, Signer as _};
///
/// let key = AccountKey::generate()?;
/// assert_eq!(key.algorithm(), Algorithm::Es256);
/// let again = AccountKey::from_pem(&key.to_pkcs8_pem())?;
/// assert_eq!(key.jwk().thumbprint(), again.jwk().thumbprint());
/// # Ok::<(), perennial_acme::KeyError>(())
/// ```
pub struct AccountKey {
    pair: Pair,
    jwk: Jwk,
    pkcs8: SecretBytes,
}

impl AccountKey {
    /// Makes a new P-256 key from the operating system's random numbers.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`] when there are none.
    pub fn generate() -> Result<Self, KeyError> {
        Self::generate_with(Algorithm::Es256)
    }

    /// Makes a new key for that algorithm: [`Es256`](Algorithm::Es256), [`Es384`](Algorithm::Es384) or
    /// [`EdDsa`](Algorithm::EdDsa).
    ///
    /// # Errors
    /// [`KeyError::CannotMake`] for the others, with what to do instead; [`KeyError::NoRandomness`].
    pub fn generate_with(algorithm: Algorithm) -> Result<Self, KeyError> {
        Self::from_pkcs8_der(&SecretBytes::new(Pair::generate(algorithm)?))
    }

    /// Reads a key in PKCS#8 DER (RFC 5958) of any of the four kinds. Elliptic-curve keys have to bring their
    /// public half, as OpenSSL and this library write it.
    ///
    /// # Errors
    /// [`KeyError::OtherKind`] when it is another kind of key, [`KeyError::Rejected`] when it is damaged, or
    /// RSA of another size.
    pub fn from_pkcs8_der(der: &SecretBytes) -> Result<Self, KeyError> {
        let pair = Pair::read(der.expose())?;
        let no_key = || KeyError::Rejected { reason: "its public half is no key".to_owned() };
        Ok(Self { jwk: pair.jwk().ok_or_else(no_key)?, pair, pkcs8: der.clone() })
    }

    /// Reads a key in PKCS#8 PEM: a `PRIVATE KEY` block.
    ///
    /// # Errors
    /// [`KeyError`] when there is no such block, or another kind of key in it.
    pub fn from_pkcs8_pem(pem: &SecretString) -> Result<Self, KeyError> {
        match &*parse_pem(pem)? {
            PrivateKeyDer::Pkcs8(der) => Self::from_pkcs8_der(&SecretBytes::new(der.secret_pkcs8_der())),
            _ => Err(KeyError::NotPkcs8),
        }
    }

    /// Reads a key in any of the PEM forms that other ACME clients keep: `PRIVATE KEY` (PKCS#8),
    /// `RSA PRIVATE KEY` (PKCS#1) or `EC PRIVATE KEY` (SEC 1). Encrypted keys are not read.
    ///
    /// # Errors
    /// [`KeyError`] when there is no such block, or another kind of key in it.
    pub fn from_pem(pem: &SecretString) -> Result<Self, KeyError> {
        match &*parse_pem(pem)? {
            PrivateKeyDer::Pkcs8(der) => Self::from_pkcs8_der(&SecretBytes::new(der.secret_pkcs8_der())),
            PrivateKeyDer::Pkcs1(der) => Self::from_pkcs8_der(&pkcs8::of_pkcs1(der.secret_pkcs1_der())),
            PrivateKeyDer::Sec1(der) => {
                let other = || KeyError::OtherKind { found: "neither P-256 nor P-384".to_owned() };
                Self::from_pkcs8_der(&pkcs8::of_sec1(der.secret_sec1_der()).ok_or_else(other)?)
            }
            _ => Err(KeyError::NotPkcs8),
        }
    }

    /// The key in PKCS#8 DER.
    #[must_use]
    pub fn to_pkcs8_der(&self) -> SecretBytes {
        self.pkcs8.clone()
    }

    /// The key in PKCS#8 PEM (RFC 7468 §10).
    #[must_use]
    pub fn to_pkcs8_pem(&self) -> SecretString {
        let encoded = Zeroizing::new(STANDARD.encode(self.pkcs8.expose()));
        // Reserved whole, so that growing leaves no copy of the key behind in freed memory.
        let mut pem = String::with_capacity(encoded.len() + encoded.len() / 64 + 64);
        pem.push_str("-----BEGIN PRIVATE KEY-----\n");
        for (index, character) in encoded.chars().enumerate() {
            if index > 0 && index % 64 == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str("\n-----END PRIVATE KEY-----\n");
        SecretString::new(pem)
    }
}

fn parse_pem(pem: &SecretString) -> Result<Zeroizing<PrivateKeyDer<'static>>, KeyError> {
    let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| KeyError::NotPem)?;
    Ok(Zeroizing::new(key))
}

/// P-256 and Ed25519 sign at once, in some tens of microseconds. P-384 and RSA are moved to a thread that may
/// block, whatever the runtime, so they never hold up the tasks that share the caller's.
#[async_trait]
impl Signer for AccountKey {
    fn algorithm(&self) -> Algorithm {
        self.pair.algorithm()
    }

    fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.pair.sign(message).await
    }
}

/// Why an account key could not be made or read. It never holds key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Keys of that kind are not made here.
    #[error("no account key for {algorithm} can be made here: {}", remedy(*algorithm))]
    CannotMake {
        /// The algorithm that was wished for.
        algorithm: Algorithm,
    },
    /// The operating system gave no random numbers.
    #[error("the operating system gave no random numbers to make a key from")]
    NoRandomness,
    /// No private key in the PEM.
    #[error("the account key is not PEM: a PRIVATE KEY block that is not encrypted is expected")]
    NotPem,
    /// A private key in an older wrapping.
    #[error("the account key is PEM but not PKCS#8: convert it with `openssl pkcs8 -topk8 -nocrypt`")]
    NotPkcs8,
    /// A key that nothing here can sign with.
    #[error("the account key is {found}: P-256, P-384, Ed25519 and RSA of 2048 to 4096 bits can be used")]
    OtherKind {
        /// What it is, most often its object identifier.
        found: String,
    },
    /// A damaged key, or one of the wrong size.
    #[error("the account key in PKCS#8 is damaged, lacks its public half or has a wrong size: {reason}")]
    Rejected {
        /// What was found.
        reason: String,
    },
}

/// What to do about a key that cannot be made.
const fn remedy(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Rs256 => {
            "make one with PrivateKey::generate (feature `keys`) or `openssl genrsa 3072`, and read it with \
             AccountKey::from_pem"
        }
        _ => "implement Signer for it",
    }
}

impl KeyError {
    /// Whether trying again makes sense: only for want of random numbers.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::NoRandomness => Retry::Backoff,
            Self::CannotMake { .. }
            | Self::NotPem
            | Self::NotPkcs8
            | Self::OtherKind { .. }
            | Self::Rejected { .. } => Retry::Never,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
        UnparsedPublicKey, VerificationAlgorithm,
    };

    fn decode(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    fn read(pem: &str) -> Result<AccountKey, KeyError> {
        AccountKey::from_pem(&SecretString::new(pem))
    }

    fn armoured(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    /// One member of a JWK.
    fn member(key: &AccountKey, name: &str) -> Vec<u8> {
        let jwk: serde_json::Value = serde_json::from_str(&key.jwk().to_json()).unwrap();
        decode(jwk[name].as_str().unwrap())
    }

    fn point(key: &AccountKey) -> Vec<u8> {
        [&[0x04][..], &member(key, "x"), &member(key, "y")].concat()
    }

    async fn verifies(key: &AccountKey, algorithm: &'static dyn VerificationAlgorithm, public: &[u8]) {
        for round in 0..16_u8 {
            let signature = key.sign(&[round]).await.unwrap();
            key.algorithm().check_signature(key.jwk(), &signature).unwrap();
            UnparsedPublicKey::new(algorithm, public).verify(&[round], &signature).unwrap();
        }
    }

    #[tokio::test]
    async fn signatures_of_each_kind_verify_and_have_fixed_width() {
        let key = AccountKey::generate().unwrap();
        verifies(&key, &ECDSA_P256_SHA256_FIXED, &point(&key)).await;
        let key = AccountKey::generate_with(Algorithm::Es384).unwrap();
        verifies(&key, &ECDSA_P384_SHA384_FIXED, &point(&key)).await;
        let key = AccountKey::generate_with(Algorithm::EdDsa).unwrap();
        verifies(&key, &ED25519, &member(&key, "x")).await;
        let key = rfc7515_a_2_key();
        let public = ring::signature::RsaPublicKeyComponents { n: member(&key, "n"), e: member(&key, "e") };
        let signature = key.sign(b"message").await.unwrap();
        public.verify(&RSA_PKCS1_2048_8192_SHA256, b"message", &signature).unwrap();
    }

    /// The parts of the private key in RFC 7515 §A.2.1, in the order of PKCS#1 (RFC 8017 §A.1.2).
    const RFC7515_A_2: [&str; 8] = [
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
        "AQAB",
        "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ",
        "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc",
        "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc",
        "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0",
        "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU",
        "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U",
    ];

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        let length = if high == 0 && low < 0x80 { vec![low] } else { vec![0x82, high, low] };
        // ring wants the shortest form of a length.
        let length = if high == 0 && low >= 0x80 { vec![0x81, low] } else { length };
        [&[tag][..], &length, content].concat()
    }

    fn rfc7515_a_2_pkcs1() -> Vec<u8> {
        let integer = |text: &&str| {
            let digits = decode(text);
            let sign = if digits[0] < 0x80 { &[][..] } else { &[0] };
            der(0x02, &[sign, &digits].concat())
        };
        let integers: Vec<u8> = RFC7515_A_2.iter().flat_map(integer).collect();
        der(0x30, &[der(0x02, &[0]), integers].concat())
    }

    /// The RSA key of RFC 7515 §A.2.
    pub(in crate::key) fn rfc7515_a_2_key() -> AccountKey {
        read(&armoured("RSA PRIVATE KEY", &rfc7515_a_2_pkcs1())).unwrap()
    }

    #[tokio::test]
    async fn rfc7515_a_2_rs256() {
        let input = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
        let key = rfc7515_a_2_key();
        assert_eq!(key.algorithm(), Algorithm::Rs256);
        assert_eq!(member(&key, "n"), decode(RFC7515_A_2[0]));
        assert_eq!(URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()).await.unwrap()), signature);
    }

    #[tokio::test]
    async fn rfc8037_a_4_eddsa() {
        // RFC 8410 §7: the seed in an OCTET STRING in an OCTET STRING, without the public half.
        let seed = decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        let prefix =
            [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
        let key = AccountKey::from_pkcs8_der(&SecretBytes::new([&prefix[..], &seed].concat())).unwrap();
        assert_eq!(key.algorithm().as_str(), "EdDSA");
        assert_eq!(member(&key, "x"), decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"));
        let signature = key.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc").await.unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }

    fn error_of(pem: &str) -> KeyError {
        AccountKey::from_pkcs8_pem(&SecretString::new(pem)).err().unwrap()
    }

    #[test]
    fn each_wrong_file_is_told_what_it_is() {
        assert_eq!(error_of("hello"), KeyError::NotPem);
        assert_eq!(error_of(&armoured("EC PRIVATE KEY", &[0x30, 0])), KeyError::NotPkcs8);
        assert!(matches!(error_of(&armoured("PRIVATE KEY", &[0x30, 0])), KeyError::Rejected { .. }));
        let encrypted = read(&armoured("ENCRYPTED PRIVATE KEY", &[0x30, 0])).err();
        assert_eq!(encrypted, Some(KeyError::NotPem));
    }

    #[test]
    fn a_key_on_another_curve_is_named() {
        // `openssl ecparam -name secp521r1 -genkey`, but for the key itself.
        let p521 = [
            0x30, 0x17, 0x02, 0x01, 0x00, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
            0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23, 0x04, 0x00,
        ];
        let error = AccountKey::from_pkcs8_der(&SecretBytes::new(p521)).err();
        assert_eq!(error, Some(KeyError::OtherKind { found: "1.3.132.0.35".into() }));
    }

    #[test]
    fn a_short_rsa_key_is_refused() {
        let parts: Vec<u8> = [&[0x7f; 128][..], &[1, 0, 1]].iter().flat_map(|part| der(0x02, part)).collect();
        let short = der(0x30, &[der(0x02, &[0]), parts].concat());
        let error = read(&armoured("RSA PRIVATE KEY", &short)).err().unwrap();
        assert!(matches!(error, KeyError::Rejected { .. }), "{error}");
    }

    #[test]
    fn rsa_and_p521_keys_are_not_made_and_the_remedy_is_named() {
        let error = AccountKey::generate_with(Algorithm::Rs256).err().unwrap();
        assert_eq!(error, KeyError::CannotMake { algorithm: Algorithm::Rs256 });
        assert!(error.to_string().contains("openssl genrsa"), "{error}");
        assert!(AccountKey::generate_with(Algorithm::Es512).is_err());
    }

    #[test]
    fn keys_of_rcgen_are_read() {
        for algorithm in
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
        {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let read = read(&key.serialize_pem()).unwrap();
            let public = if read.algorithm() == Algorithm::EdDsa { member(&read, "x") } else { point(&read) };
            assert_eq!(public, key.public_key_raw());
        }
    }

    #[test]
    fn keys_in_sec_1_form_are_read() {
        for (algorithm, at) in [(Algorithm::Es256, 26), (Algorithm::Es384, 24)] {
            let key = AccountKey::generate_with(algorithm).unwrap();
            let pkcs8 = key.to_pkcs8_der();
            // What stands in the OCTET STRING of the PKCS#8 is the SEC 1 key.
            let sec1 = &pkcs8.expose()[at..];
            let sec1 = &sec1[sec1.iter().position(|byte| *byte == 0x30).unwrap()..];
            let again = read(&armoured("EC PRIVATE KEY", sec1)).unwrap();
            assert_eq!(again.jwk(), key.jwk());
            assert!(AccountKey::from_pkcs8_der(&again.to_pkcs8_der()).is_ok());
        }
    }

    #[test]
    fn pem_has_lines_of_64_characters() {
        for key in [AccountKey::generate().unwrap(), rfc7515_a_2_key()] {
            let pem = key.to_pkcs8_pem();
            let lines: Vec<_> = pem.expose().lines().collect();
            assert_eq!(lines.first(), Some(&"-----BEGIN PRIVATE KEY-----"));
            assert_eq!(lines.last(), Some(&"-----END PRIVATE KEY-----"));
            assert!(lines.iter().all(|line| line.len() <= 64));
            assert_eq!(read(pem.expose()).unwrap().jwk(), key.jwk());
        }
    }
}
