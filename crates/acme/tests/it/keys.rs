//! Account keys of each kind, before a CA that checks every signature.

use std::sync::Arc;

use perennial_acme::{AccountKey, Algorithm, Client, NewAccount, Signer as _};
use perennial_core::{ReqwestClient, SecretString};
use perennial_testkit::World;

/// Keys as `openssl genpkey`, `genrsa` and `ecparam` write them, and what they sign with.
const FILES: [(&str, Algorithm); 4] = [
    (include_str!("data/account-ed25519.pem"), Algorithm::EdDsa),
    (include_str!("data/account-p384-sec1.pem"), Algorithm::Es384),
    (include_str!("data/account-rsa-3072.pem"), Algorithm::Rs256),
    (include_str!("data/account-rsa-4096-pkcs1.pem"), Algorithm::Rs256),
];

fn keys() -> Vec<AccountKey> {
    let of_files = FILES.iter().map(|(pem, algorithm)| {
        let key = AccountKey::from_pem(&SecretString::new(*pem)).unwrap();
        assert_eq!(key.algorithm(), *algorithm);
        key
    });
    let made = [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
    of_files.chain(made.map(|algorithm| AccountKey::generate_with(algorithm).unwrap())).collect()
}

#[tokio::test]
async fn a_ca_takes_accounts_of_each_kind_of_key() {
    let world = World::builder().zone("example.com").build().await.unwrap();
    let root = world.ca().https_root_pem();
    let http = ReqwestClient::builder().root_certificates_pem(root).build().unwrap();
    let client = Client::builder(world.ca().directory_url()).http(Arc::new(http)).build().unwrap();
    for key in keys() {
        let key = Arc::new(key);
        let made = client.register(NewAccount::new().agree_to_terms(), key.clone()).await.unwrap();
        let again = Arc::new(AccountKey::from_pkcs8_der(&key.to_pkcs8_der()).unwrap());
        let found = client.register(NewAccount::new().only_existing(), again).await.unwrap();
        assert_eq!(made.url(), found.url(), "{}", key.algorithm());
    }
}
