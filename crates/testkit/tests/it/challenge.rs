//! http-01 and tls-alpn-01, proved by small servers on loopback, and what else a CA may offer.

use std::{net::SocketAddr, sync::Arc};

use perennial_testkit::CertificateAuthority;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{
    ServerConfig,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::acme_client::{Client, csr};

/// A place to answer at, with the text that there is to answer.
async fn place() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A CA that looks at these addresses, a client, and the challenge of an order for one name.
async fn challenged(
    kind: &str,
    http: SocketAddr,
    tls: SocketAddr,
) -> (CertificateAuthority, Client, Value, String) {
    let builder = CertificateAuthority::builder().validate_http_at(http).validate_tls_at(tls);
    let ca = builder.start().await.unwrap();
    let client = Client::registered(&ca).await;
    let order = client.order(&["example.com"]).await.json();
    let url = order["authorizations"][0].as_str().unwrap().to_owned();
    let authorization = client.get(&url).await.json();
    let challenges = authorization["challenges"].as_array().unwrap();
    let challenge = challenges.iter().find(|challenge| challenge["type"] == kind).unwrap().clone();
    (ca, client, challenge, url)
}

fn key_authorization(client: &Client, challenge: &Value) -> String {
    format!("{}.{}", challenge["token"].as_str().unwrap(), client.thumbprint())
}

/// The challenge, once it is answered and the CA has looked.
async fn judged(client: &Client, challenge: &Value, authorization: &str) -> Value {
    let url = challenge["url"].as_str().unwrap();
    assert_eq!(client.post(url, &json!({})).await.status, 200);
    client.settled(authorization).await;
    client.get(url).await.json()
}

/// Answers one request with this text, and tells what the request was.
async fn serve_file(listener: TcpListener, body: String) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = vec![0; 4096];
    let length = stream.read(&mut request).await.unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    String::from_utf8(request[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn a_file_proves_a_name_and_another_file_does_not() {
    for (right, status) in [(true, "valid"), (false, "invalid")] {
        let (listener, at) = place().await;
        let (_ca, client, challenge, authorization) = challenged("http-01", at, at).await;
        let token = challenge["token"].as_str().unwrap().to_owned();
        let body = if right { key_authorization(&client, &challenge) + "\n" } else { "no".into() };
        let server = tokio::spawn(serve_file(listener, body));
        let challenge = judged(&client, &challenge, &authorization).await;
        assert_eq!(challenge["status"], status, "{challenge}");
        let request = server.await.unwrap();
        assert!(
            request.starts_with(&format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\n")),
            "{request}"
        );
        assert!(request.contains("host: example.com\r\n"), "{request}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_failed_connection() {
    for kind in ["http-01", "tls-alpn-01"] {
        let (listener, at) = place().await;
        drop(listener);
        let (_ca, client, challenge, authorization) = challenged(kind, at, at).await;
        let challenge = judged(&client, &challenge, &authorization).await;
        assert_eq!(challenge["error"]["type"], "urn:ietf:params:acme:error:connection", "{challenge}");
    }
}

/// RFC 8737 §3.
fn proof(key_authorization: &str, name: &str, critical: bool, protocol: &[u8]) -> TlsAcceptor {
    let digest = ring::digest::digest(&ring::digest::SHA256, key_authorization.as_bytes());
    let content = [&[0x04, 0x20], digest.as_ref()].concat();
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 31], content);
    extension.set_criticality(critical);
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.custom_extensions = vec![extension];
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let private =
        provider.key_provider.load_private_key(PrivatePkcs8KeyDer::from(key.serialize_der()).into());
    // Not `with_single_cert`: it refuses critical extensions that rustls does not know.
    let certified = CertifiedKey::new(vec![certificate.into()], private.unwrap());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![protocol.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn a_certificate_proves_a_name_when_all_of_it_is_right() {
    let acme = b"acme-tls/1".as_slice();
    for (name, critical, protocol, text, kind) in [
        ("example.com", true, acme, None, None),
        ("example.com", true, acme, Some("another"), Some("incorrectResponse")),
        ("example.com", false, acme, None, Some("incorrectResponse")),
        ("www.example.com", true, acme, None, Some("incorrectResponse")),
        ("example.com", true, b"http/1.1", None, Some("tls")),
    ] {
        let (listener, at) = place().await;
        let (_ca, client, challenge, authorization) = challenged("tls-alpn-01", at, at).await;
        let text = text.map_or_else(|| key_authorization(&client, &challenge), str::to_owned);
        let acceptor = proof(&text, name, critical, protocol);
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0]).await; // until the CA has seen enough
            }
        });
        let challenge = judged(&client, &challenge, &authorization).await;
        let found = challenge["error"]["type"].as_str().and_then(|kind| kind.rsplit(':').next());
        assert_eq!(found, kind, "{challenge}");
        assert_eq!(challenge["status"] == "valid", kind.is_none(), "{challenge}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn an_address_is_certified_when_a_file_at_it_is_right() {
    let (listener, at) = place().await;
    let ca = CertificateAuthority::builder().certify_addresses().validate_http_at(at).start().await.unwrap();
    let client = Client::registered(&ca).await;
    let wanted = |value: &str| json!({"identifiers": [{"type": "ip", "value": value}]});
    for unfit in ["2001:DB8:0::1", "example.com"] {
        assert_eq!(client.post("newOrder", &wanted(unfit)).await.problem(), (400, "malformed".into()));
    }
    let order = client.post("newOrder", &wanted("2001:db8::1")).await;
    let url = order.json()["authorizations"][0].as_str().unwrap().to_owned();
    let authorization = client.get(&url).await.json();
    assert_eq!(authorization["identifier"], json!({"type": "ip", "value": "2001:db8::1"}));
    let challenges = authorization["challenges"].as_array().unwrap();
    assert!(challenges.iter().all(|challenge| challenge["type"] != "dns-01"), "{authorization}");
    let challenge = challenges.iter().find(|challenge| challenge["type"] == "http-01").unwrap();
    let server = tokio::spawn(serve_file(listener, key_authorization(&client, challenge)));
    assert_eq!(judged(&client, challenge, &url).await["status"], "valid");
    assert!(server.await.unwrap().contains("host: [2001:db8::1]\r\n"));

    let other = client.finalize(&order.json(), &csr(&["2001:db8::2"]).0).await;
    assert_eq!(other.problem(), (400, "badCSR".into()));
    assert_eq!(client.finalize(&order.json(), &csr(&["2001:db8::1"]).0).await.status, 200);
    let issued = &ca.certificates()[0];
    assert_eq!(
        (issued.addresses.as_slice(), issued.names.len()),
        (["2001:db8::1".parse().unwrap()].as_slice(), 0)
    );
    assert_eq!(ca.orders()[0].addresses, issued.addresses);
}

#[tokio::test]
async fn a_name_that_was_proved_ahead_makes_the_next_order_ready() {
    let (listener, at) = place().await;
    let ca = CertificateAuthority::builder().pre_authorization().validate_http_at(at).start().await.unwrap();
    let client = Client::registered(&ca).await;
    let wanted = |name: &str| json!({"identifier": {"type": "dns", "value": name}});
    let wildcard = client.post("newAuthz", &wanted("*.example.com")).await;
    assert_eq!(wildcard.problem(), (400, "malformed".into()));
    let made = client.post("newAuthz", &wanted("example.com")).await;
    assert_eq!((made.status, &made.json()["status"]), (201, &json!("pending")));
    let url = made.header("location").to_owned();
    // An order meanwhile waits for the same one.
    assert_eq!(client.order(&["example.com"]).await.json()["authorizations"], json!([url]));
    let authorization = made.json();
    let challenges = authorization["challenges"].as_array().unwrap();
    let challenge = challenges.iter().find(|challenge| challenge["type"] == "http-01").unwrap();
    let server = tokio::spawn(serve_file(listener, key_authorization(&client, challenge)));
    judged(&client, challenge, &url).await;
    server.await.unwrap();
    assert_eq!(client.order(&["example.com"]).await.json()["status"], "ready");
    let without = CertificateAuthority::builder().start().await.unwrap();
    assert_eq!(Client::new(&without).await.directory.get("newAuthz"), None);
}

#[tokio::test]
async fn a_long_list_of_orders_comes_in_pages() {
    let ca = CertificateAuthority::builder().orders_per_page(2).start().await.unwrap();
    let client = Client::registered(&ca).await;
    for _ in 0..5 {
        client.order(&["example.com"]).await;
    }
    let account = client.account.clone().unwrap();
    let (mut url, mut sizes) =
        (client.get(&account).await.json()["orders"].as_str().unwrap().to_owned(), vec![]);
    loop {
        let page = client.get(&url).await;
        sizes.push(page.json()["orders"].as_array().unwrap().len());
        let links: Vec<&str> =
            page.headers.get_all("link").iter().map(|link| link.to_str().unwrap()).collect();
        let Some(next) = links.iter().find_map(|link| link.strip_suffix(">;rel=\"next\"")) else { break };
        url = next[1..].to_owned();
    }
    assert_eq!(sizes, [2, 2, 1]);
}
