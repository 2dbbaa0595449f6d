//! Which of the chains that a CA offers for a certificate is taken (RFC 8555 §7.4.2).

use std::{fmt, sync::Arc};

use super::CertificateChain;
use crate::text::printable;

/// Which chain is wanted when a CA offers several for the same certificate.
///
/// A CA that changes its root offers the old and the new chain side by side for years, and its default does
/// not suit everybody: old clients do not know the new root, small ones want a short chain. Wishes are
/// ordered; when no chain fits any, the CA's default is taken.
///
/// ```
/// use perennial_acme::ChainSelector;
///
/// // A chain to either root, the first sooner than the second, else whatever is shortest.
/// let selector = ChainSelector::issuer("ISRG Root X2")
///     .or(ChainSelector::issuer("ISRG Root X1"))
///     .or(ChainSelector::shortest());
/// assert!(!selector.is_default());
/// assert!(ChainSelector::default().is_default());
/// ```
#[derive(Clone, Default)]
pub struct ChainSelector(Vec<Wish>);

#[derive(Clone)]
enum Wish {
    Issuer(String),
    IssuerKey(Vec<u8>),
    Matching(Arc<dyn Fn(&CertificateChain) -> bool + Send + Sync>),
    Shortest,
}

impl ChainSelector {
    /// A chain with an issuer of that common name, such as `ISRG Root X1`: the root, which is not in the
    /// chain itself, or an intermediate. Alternates are fetched until one fits.
    #[must_use]
    pub fn issuer(common_name: impl Into<String>) -> Self {
        Self(vec![Wish::Issuer(common_name.into())])
    }

    /// A chain with an issuer whose key has that identifier (RFC 5280 §4.2.1.1, §4.2.1.2): a name can be
    /// shared by two roots, a key cannot. Alternates are fetched until one fits.
    #[must_use]
    pub fn issuer_key(key_id: impl Into<Vec<u8>>) -> Self {
        Self(vec![Wish::IssuerKey(key_id.into())])
    }

    /// [`issuer_key`](Self::issuer_key) from hexadecimal digits, with or without colons between, as browsers
    /// and OpenSSL show key identifiers. `None` when the text is something else.
    ///
    /// ```
    /// use perennial_acme::ChainSelector;
    ///
    /// assert!(ChainSelector::issuer_key_hex("79:B4:59:E6:7B:B6:E5:E4").is_some());
    /// assert!(ChainSelector::issuer_key_hex("79b459e67bb6e5e4").is_some());
    /// assert!(ChainSelector::issuer_key_hex("ISRG Root X1").is_none());
    /// ```
    #[must_use]
    pub fn issuer_key_hex(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text
            .chars()
            .filter(|character| *character != ':')
            .map(|character| character.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()?;
        let (pairs, rest) = digits.as_chunks::<2>();
        let octets: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        (rest.is_empty() && !octets.is_empty()).then(|| Self::issuer_key(octets))
    }

    /// A chain of one's own liking. Alternates are fetched until one fits.
    #[must_use]
    pub fn matching(fits: impl Fn(&CertificateChain) -> bool + Send + Sync + 'static) -> Self {
        Self(vec![Wish::Matching(Arc::new(fits))])
    }

    /// The chain with the fewest certificates, and of those the first. All alternates are fetched.
    #[must_use]
    pub fn shortest() -> Self {
        Self(vec![Wish::Shortest])
    }

    /// The wishes of `other`, in case that none of the chains fits these.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Whether nothing is wished for: the CA's default is taken, and no alternate is looked at.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        self.0.is_empty()
    }

    /// Which of the chains to take, by its index; the first one is the CA's default. `None` while an
    /// alternate that is not there yet could be better: fetch another one and ask again. `complete` says that
    /// there are no more, and then there is always an answer.
    #[must_use]
    pub fn choose(&self, chains: &[CertificateChain], complete: bool) -> Option<usize> {
        for wish in &self.0 {
            let fits: Box<dyn Fn(&CertificateChain) -> bool + '_> = match wish {
                Wish::Issuer(name) => Box::new(|chain| chain.has_issuer(name)),
                Wish::IssuerKey(key_id) => Box::new(|chain| chain.has_issuer_key(key_id)),
                Wish::Matching(fits) => Box::new(|chain| fits(chain)),
                Wish::Shortest if complete => return Some(shortest(chains)),
                Wish::Shortest => return None,
            };
            if let Some(index) = chains.iter().position(fits) {
                return Some(index);
            }
            if !complete {
                return None;
            }
        }
        Some(0)
    }
}

fn shortest(chains: &[CertificateChain]) -> usize {
    let lengths = chains.iter().map(|chain| chain.intermediates().len()).enumerate();
    lengths.min_by_key(|(_, length)| *length).map_or(0, |(index, _)| index)
}

impl fmt::Debug for ChainSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer(name) => f.debug_tuple("Issuer").field(&printable(name, 200)).finish(),
            Self::IssuerKey(key_id) => f.debug_tuple("IssuerKey").field(key_id).finish(),
            Self::Matching(_) => f.write_str("Matching"),
            Self::Shortest => f.write_str("Shortest"),
        }
    }
}
