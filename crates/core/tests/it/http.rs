use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ::http::{Method, Request};
use bytes::Bytes;
use perennial_core::{HttpClient as _, HttpError, ReqwestClient, Retry, http::NoRedirects};

use crate::server::{Server, ok, redirect};

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).header("authorization", "Bearer secret").body(Bytes::new()).unwrap()
}

fn plain() -> ReqwestClient {
    ReqwestClient::builder().dangerous_allow_http().timeout(Duration::from_secs(20)).build().unwrap()
}

#[tokio::test]
async fn plain_http_is_refused_before_anything_is_sent() {
    let server = Server::plain(|_| panic!("asked")).await;
    let client = ReqwestClient::new().unwrap();
    let error = client.send(get(&server.url("/dir"))).await.unwrap_err();
    assert_eq!(error, HttpError::InsecureUrl { url: server.url("/dir") });
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test]
async fn an_unknown_ca_is_refused_and_an_added_root_is_trusted() {
    let server = Server::tls(|_| ok("hello")).await;
    let stranger = ReqwestClient::new().unwrap().send(get(&server.url("/"))).await.unwrap_err();
    assert!(matches!(stranger, HttpError::Tls { .. }), "{stranger}");
    let client = ReqwestClient::builder().root_certificates_pem(&server.root_pem).build().unwrap();
    let response = client.send(get(&server.url("/"))).await.unwrap();
    assert_eq!((response.status().as_u16(), response.body().as_ref()), (200, b"hello".as_slice()));
}

#[tokio::test]
async fn roots_that_are_no_certificates_are_refused() {
    for pem in ["hello", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"] {
        let error = ReqwestClient::builder().root_certificates_pem(pem).build().unwrap_err();
        assert!(matches!(error, HttpError::Tls { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_body_is_cut_off_at_its_limit_whether_announced_or_not() {
    let server = Server::plain(|head| {
        if head.starts_with("GET /announced") {
            ok(&"x".repeat(2000))
        } else {
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", "x".repeat(2000)).into_bytes()
        }
    })
    .await;
    let client = ReqwestClient::builder().dangerous_allow_http().body_limit(1000).build().unwrap();
    for path in ["/announced", "/endless"] {
        let url = server.url(path);
        assert_eq!(client.send(get(&url)).await.unwrap_err(), HttpError::BodyTooLarge { url, limit: 1000 });
    }
}

#[tokio::test]
async fn get_follows_redirects_and_post_never_does() {
    let server =
        Server::plain(|head| if head.contains(" /old ") { redirect(302, "/new") } else { ok("new") }).await;
    let response = plain().send(get(&server.url("/old"))).await.unwrap();
    assert_eq!(response.body().as_ref(), b"new");
    for status in [301, 302, 303, 307, 308] {
        let server = Server::plain(move |head| {
            assert!(head.starts_with("POST /old "), "followed: {head}");
            redirect(status, "/new")
        })
        .await;
        let request = Request::post(server.url("/old")).body(Bytes::from_static(b"signed")).unwrap();
        assert_eq!(plain().send(request).await.unwrap().status().as_u16(), status);
    }
}

#[tokio::test]
async fn a_redirect_is_returned_to_whoever_wants_none() {
    let server = Server::plain(|head| {
        assert!(head.starts_with("GET /old "), "followed: {head}");
        redirect(302, "/new")
    })
    .await;
    let mut request = get(&server.url("/old"));
    request.extensions_mut().insert(NoRedirects);
    assert_eq!(plain().send(request).await.unwrap().status().as_u16(), 302);
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_refused() {
    let server = Server::tls(|_| redirect(302, "http://127.0.0.1:1/")).await;
    let client = ReqwestClient::builder().root_certificates_pem(&server.root_pem).build().unwrap();
    let error = client.send(get(&server.url("/"))).await.unwrap_err();
    assert_eq!(error, HttpError::InsecureUrl { url: "http://127.0.0.1:1/".to_owned() });
}

#[tokio::test]
async fn a_loop_of_redirects_ends() {
    let server = Server::plain(|_| redirect(302, "/again")).await;
    let error = plain().send(get(&server.url("/"))).await.unwrap_err();
    assert!(matches!(error, HttpError::TooManyRedirects { .. }), "{error}");
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_host() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heads = seen.clone();
    let elsewhere = Server::plain(move |head| {
        heads.lock().unwrap().push(head.to_owned());
        ok("elsewhere")
    })
    .await;
    let target = elsewhere.url("/");
    let server = Server::plain(move |head| {
        assert!(head.contains("Bearer secret"));
        redirect(307, &target)
    })
    .await;
    plain().send(get(&server.url("/"))).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    assert!(!seen[0].contains("secret"), "{}", seen[0]);
}

#[tokio::test]
async fn a_server_that_says_nothing_ends_in_a_timeout_that_names_it() {
    let server = Server::plain(|_| Vec::new()).await;
    let client =
        ReqwestClient::builder().dangerous_allow_http().timeout(Duration::from_millis(200)).build().unwrap();
    let url = server.url("/slow");
    assert_eq!(client.send(get(&url)).await.unwrap_err(), HttpError::Timeout { url });
}

#[tokio::test]
async fn nobody_there_is_told_from_a_broken_exchange() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = plain().send(get(&url)).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect { .. }), "{error}");
    let server = Server::plain(|_| b"this is no HTTP\r\n\r\n".to_vec()).await;
    let error = plain().send(get(&server.url("/"))).await.unwrap_err();
    assert!(matches!(error, HttpError::Exchange { .. }), "{error}");
}

#[tokio::test]
async fn a_proxy_is_used_and_its_password_never_shown() {
    let proxy = Server::plain(|head| {
        assert!(head.starts_with("GET http://ca.example/dir "), "{head}");
        assert!(head.to_lowercase().contains("proxy-authorization: basic"), "{head}");
        ok("through the proxy")
    })
    .await;
    let url = format!("http://user:hunter2@{}", proxy.address);
    let builder = ReqwestClient::builder().dangerous_allow_http().proxy(url);
    assert!(!format!("{builder:?}").contains("hunter2"));
    let client = builder.build().unwrap();
    assert!(!format!("{client:?}").contains("hunter2"));
    let response = client.send(get("http://ca.example/dir")).await.unwrap();
    assert_eq!(response.body().as_ref(), b"through the proxy");
    let error = ReqwestClient::builder().proxy("http://user:hunter2@:::").build().unwrap_err();
    assert!(error.to_string().contains("the proxy") && !error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_taken() {
    for announced in [true, false] {
        let server = Server::plain(move |_| {
            if announced {
                ok(&"x".repeat(1000))
            } else {
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", "x".repeat(1000)).into_bytes()
            }
        })
        .await;
        let client = ReqwestClient::builder().dangerous_allow_http().body_limit(1000).build().unwrap();
        assert_eq!(client.send(get(&server.url("/"))).await.unwrap().body().len(), 1000);
    }
}

#[tokio::test]
async fn the_server_is_told_who_asks() {
    let server = Server::plain(|head| {
        let agent = head.lines().find_map(|line| line.strip_prefix("user-agent: "));
        ok(agent.unwrap_or("nobody"))
    })
    .await;
    for (client, agent) in [
        (ReqwestClient::builder(), concat!("perennial/", env!("CARGO_PKG_VERSION"))),
        (ReqwestClient::builder().user_agent("shop/7"), "shop/7"),
    ] {
        let client = client.dangerous_allow_http().build().unwrap();
        assert_eq!(client.send(get(&server.url("/"))).await.unwrap().body().as_ref(), agent.as_bytes());
    }
}

#[tokio::test]
async fn every_status_is_a_response() {
    let server =
        Server::plain(|_| b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec())
            .await;
    let mut request = get(&server.url("/"));
    *request.method_mut() = Method::HEAD;
    assert_eq!(plain().send(request).await.unwrap().status().as_u16(), 503);
}
