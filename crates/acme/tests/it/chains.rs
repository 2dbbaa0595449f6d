//! Which chain is taken, and how many requests that takes.

use perennial_acme::{
    CertificateChain, CertificateFault, ChainSelector, Error, Expected, Misuse, Order, OrderStatus,
};
use x509_parser::pem::parse_x509_pem;

use crate::{
    pki::{Authority, Key},
    script::{NOON, Reply, Stage, identifiers, lost, names, problem, reply},
};

/// A certificate with the chains that its CA offers.
struct Offer {
    key: Key,
    old: Authority,
    new: Authority,
    intermediate: Authority,
    /// The same intermediate name and key under the new root is what a cross-signature is.
    crossed: String,
    leaf: String,
}

const LINKS: &str = r#"</cert/1/1>;rel="alternate", </cert/1/2>;rel="alternate""#;

impl Offer {
    fn new() -> Self {
        let key = Key::new();
        let (old, new) = (Authority::root("Old Root"), Authority::root("New Root"));
        let intermediate = old.intermediate("Intermediate 1");
        let leaf = intermediate.leaf(&key, &names(1));
        let crossed = new.cross_sign("Intermediate 1", &intermediate);
        Self { key, old, new, intermediate, crossed, leaf }
    }

    /// The default: to the old root, which comes with it.
    fn old(&self) -> String {
        self.leaf.clone() + &self.intermediate.pem() + &self.old.pem()
    }

    fn new_root(&self) -> String {
        self.leaf.clone() + &self.crossed
    }

    /// Nothing above the leaf.
    fn bare(&self) -> String {
        self.leaf.clone()
    }

    async fn stage(&self) -> (Stage, Order) {
        let stage = Stage::new();
        let order = stage.order("valid").await;
        stage.on("POST /cert/1", reply(200, self.old()).header("link", LINKS));
        (stage, order)
    }

    /// What comes of a selector when the alternates are answered like that; each has to be asked for.
    async fn select(&self, selector: &ChainSelector, alternates: &[Reply]) -> CertificateChain {
        let (stage, order) = self.stage().await;
        for (number, alternate) in alternates.iter().enumerate() {
            stage.on(&format!("POST /cert/1/{}", number + 1), alternate.clone());
        }
        let chain = order.certificate_with(selector).await.unwrap();
        stage.script.requests();
        chain
    }
}

fn chain(pem: &str) -> CertificateChain {
    CertificateChain::parse(pem.as_bytes()).unwrap()
}

/// The identifier of a CA's key, as a browser shows it.
fn key_id(authority: &Authority) -> String {
    let (_, pem) = parse_x509_pem(authority.pem().as_bytes()).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let id = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    });
    id.unwrap().iter().map(|octet| format!("{octet:02X}")).collect::<Vec<_>>().join(":")
}

#[tokio::test]
async fn no_alternate_is_asked_for_when_the_default_fits() {
    let offer = Offer::new();
    let key = ChainSelector::issuer_key_hex(&key_id(&offer.old)).unwrap();
    let any = ChainSelector::matching(|_| true);
    for selector in [ChainSelector::default(), ChainSelector::issuer("Old Root"), key, any] {
        assert_eq!(offer.select(&selector, &[]).await, chain(&offer.old()), "{selector:?}");
    }
}

#[tokio::test]
async fn alternates_are_fetched_only_until_one_fits() {
    let offer = Offer::new();
    let key = ChainSelector::issuer_key_hex(&key_id(&offer.new)).unwrap();
    let without_root = ChainSelector::matching(|chain| chain.intermediates().len() == 1);
    for selector in [ChainSelector::issuer("New Root"), key, without_root] {
        let chosen = offer.select(&selector, &[reply(200, offer.new_root())]).await;
        assert!(chosen.has_issuer("New Root"), "{selector:?}");
        let (public_key, identifiers) = (offer.key.spki(), identifiers(&names(1)));
        let expected = Expected { public_key: &public_key, identifiers: &identifiers, now: NOON };
        assert_eq!(chosen.verify(&expected), Ok(()));
    }
}

#[tokio::test]
async fn the_shortest_is_known_only_when_all_are() {
    let offer = Offer::new();
    let both = [reply(200, offer.new_root()), reply(200, offer.bare())];
    assert_eq!(offer.select(&ChainSelector::shortest(), &both).await, chain(&offer.bare()));
    // Of two that are as short the CA's first.
    let same = [reply(200, offer.new_root()), reply(200, offer.new_root())];
    assert_eq!(offer.select(&ChainSelector::shortest(), &same).await, chain(&offer.new_root()));
}

#[tokio::test]
async fn wishes_are_tried_in_their_order_and_the_default_is_the_last() {
    let offer = Offer::new();
    let both = [reply(200, offer.new_root()), reply(200, offer.bare())];
    let selector = ChainSelector::issuer("No Root").or(ChainSelector::issuer("New Root"));
    assert!(offer.select(&selector, &both).await.has_issuer("New Root"));
    let selector = ChainSelector::issuer("No Root").or(ChainSelector::shortest());
    assert_eq!(offer.select(&selector, &both).await, chain(&offer.bare()));
    assert_eq!(offer.select(&ChainSelector::issuer("No Root"), &both).await, chain(&offer.old()));
}

#[tokio::test]
async fn a_bad_alternate_does_not_cost_the_good_chain() {
    let offer = Offer::new();
    let selector = ChainSelector::issuer("New Root");
    let other_leaf = offer.intermediate.leaf(&Key::new(), &names(1));
    let forged = other_leaf + &offer.crossed;
    for bad in
        [reply(200, forged), reply(200, "<html>"), reply(201, offer.new_root()), problem(404, "malformed")]
    {
        let chosen = offer.select(&selector, &[bad.clone(), reply(200, offer.bare())]).await;
        assert_eq!(chosen, chain(&offer.old()));
        // And the next alternate may still be the one.
        let chosen = offer.select(&selector, &[bad, reply(200, offer.new_root())]).await;
        assert_eq!(chosen, chain(&offer.new_root()));
    }
}

#[tokio::test]
async fn a_wire_that_breaks_ends_the_search() {
    let offer = Offer::new();
    let chosen = offer.select(&ChainSelector::issuer("New Root"), &[lost()]).await;
    assert_eq!(chosen, chain(&offer.old()));
}

#[tokio::test]
async fn a_default_chain_that_is_none_is_an_error_and_so_is_an_order_without() {
    let stage = Stage::new();
    let order = stage.order("valid").await;
    stage.on("POST /cert/1", reply(200, ""));
    let error = order.certificate_with(&ChainSelector::shortest()).await.unwrap_err();
    assert_eq!(error, Error::Certificate(CertificateFault::Empty));

    let stage = Stage::new();
    let order = stage.order("ready").await;
    let error = order.certificate().await.unwrap_err();
    assert!(matches!(error, Error::Misuse(Misuse::NotReady { status: OrderStatus::Ready, .. })), "{error}");
    stage.script.requests();
}

#[test]
fn a_selector_shows_what_it_wishes_for_and_reads_hexadecimal_digits_only() {
    let selector = ChainSelector::issuer("Root \u{1b}X").or(ChainSelector::matching(|_| true));
    let selector = selector.or(ChainSelector::issuer_key_hex("0aFF").unwrap()).or(ChainSelector::shortest());
    assert_eq!(format!("{selector:?}"), r#"[Issuer("Root X"), Matching, IssuerKey([10, 255]), Shortest]"#);
    for text in ["", ":", "abc", "0x12", "ab cd", "ä1"] {
        assert!(ChainSelector::issuer_key_hex(text).is_none(), "{text}");
    }
}
