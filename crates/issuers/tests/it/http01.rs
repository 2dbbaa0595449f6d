//! Names proven by what a web server answers.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use perennial_core::DomainName;
use perennial_issuers::{
    AcmeIssuer, Error, Http01, Proof, Solver as _, Task,
    solver::http01::{Http01Listener, Http01Report, Policy, SelfCheck, Verdict, Webroot},
};
use perennial_lifecycle::{
    CertificateSpec, IssueError, IssueErrorClass, IssuedChain, Issuer as _, KeyAlgorithm, PrivateKey,
    SigningRequest,
};
use perennial_testkit::{
    CertificateAuthority, World,
    ca::{OrderStatus, Verb},
    dns::Data,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::scene::{builder, checker, dns01, journal};

const APP: &str = "app.site.example.com";

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A world whose CA looks at http-01 challenges at that port, where the name leads.
async fn world(port: u16) -> World {
    let authority = CertificateAuthority::builder().validate_http_at(loopback(port));
    let world = World::builder().zone("example.com").authority(authority).build().await.unwrap();
    world.zone().add(APP, Data::A(Ipv4Addr::LOCALHOST)).unwrap();
    world
}

async fn listener() -> Http01Listener {
    Http01Listener::bind([loopback(0)]).await.unwrap()
}

fn port(listener: &Http01Listener) -> u16 {
    listener.addresses()[0].port()
}

fn solver(world: &World, listener: &Http01Listener, port: u16) -> Http01 {
    let check = SelfCheck::new().checker(checker(world)).ports(port, 443);
    Http01::new(listener.responder()).self_check(check).timeout(Duration::from_millis(1500))
}

async fn issue(issuer: &AcmeIssuer) -> Result<IssuedChain, IssueError> {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let spec = CertificateSpec::new("site", [APP]).unwrap();
    issuer.issue(&SigningRequest::of(&spec, &key).unwrap(), &journal().await).await
}

/// A server that gives everybody the same answer.
async fn saying(answer: &str) -> (u16, JoinHandle<()>) {
    let socket = TcpListener::bind(loopback(0)).await.unwrap();
    let (port, answer) = (socket.local_addr().unwrap().port(), answer.to_owned());
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            let mut question = [0; 4096];
            let _ = stream.read(&mut question).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, serving)
}

fn says(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_page_without_end_is_read_no_further_than_it_takes_to_tell_what_it_is() {
    let socket = TcpListener::bind(loopback(0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            tokio::spawn(async move {
                let mut question = [0; 4096];
                let _ = stream.read(&mut question).await;
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
                let mut written = stream.write_all(head.as_bytes()).await;
                while written.is_ok() {
                    written = stream.write_all(&[b'x'; 4096]).await;
                }
            });
        }
    });
    let (world, listener) = (world(port).await, listener().await);
    let solver = solver(&world, &listener, port);
    let proofs = presented(&solver).await;
    let error = solver.wait(&proofs, Duration::from_secs(30)).await.unwrap_err();
    serving.abort();
    let Error::NotServed { reports } = error else { panic!("{error}") };
    assert_eq!(advice(&reports[0]), ["wrong_content"]);
}

/// A proof that is presented nowhere but where the solver puts it.
async fn presented(solver: &Http01) -> Vec<Proof> {
    let name: DomainName = APP.parse().unwrap();
    let token =
        perennial_acme::challenge::Token::parse("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA").unwrap();
    let jwk = perennial_acme::Jwk::ed25519([7; 32]);
    let key = perennial_acme::challenge::KeyAuthorization::new(&token, &jwk.thumbprint());
    let proofs = vec![solver.proof(&Task::new(&name, &key)).unwrap()];
    solver.present(&proofs).await.unwrap();
    proofs
}

/// What one look has found where everybody is given the same answer.
async fn look(answer: &str) -> Http01Report {
    let (port, serving) = saying(answer).await;
    let (world, listener) = (world(port).await, listener().await);
    let solver = solver(&world, &listener, port);
    let proofs = presented(&solver).await;
    let error = solver.wait(&proofs, Duration::from_secs(30)).await.unwrap_err();
    serving.abort();
    let Error::NotServed { mut reports } = error else { panic!("{error}") };
    assert_eq!(reports.len(), 1);
    reports.remove(0)
}

fn advice(report: &Http01Report) -> Vec<&'static str> {
    report.advice.iter().map(|advice| advice.code()).collect()
}

#[tokio::test]
async fn a_certificate_is_had_by_a_listener_of_our_own_and_nothing_is_left_there() {
    let listener = listener().await;
    let world = world(port(&listener)).await;
    let reports = Arc::new(Mutex::new(Vec::new()));
    let seen = reports.clone();
    let solver = solver(&world, &listener, port(&listener))
        .on_report(move |report| seen.lock().unwrap().push(report.clone()));
    let issuer = builder(&world).solver(solver).build().unwrap();
    issue(&issuer).await.unwrap();
    assert_eq!(format!("{:?}", listener.responder()), "Http01Responder { answers: 0 }");
    let reports = reports.lock().unwrap();
    assert_eq!(reports.iter().map(|report| report.verdict).collect::<Vec<_>>(), [Verdict::Pass]);
    let said = reports[0].to_string();
    assert!(said.contains("127.0.0.1: the right answer") && said.starts_with("http://app.site"), "{said}");
}

#[tokio::test]
async fn what_is_not_seen_is_not_shown_to_the_ca_and_the_next_solver_goes_on_with_the_same_order() {
    let (port, _serving) = saying(&says("404 Not Found", "", "404 page not found")).await;
    let (world, listener) = (world(port).await, listener().await);
    let http01 = || solver(&world, &listener, port);
    let error = issue(&builder(&world).solver(http01()).build().unwrap()).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Validation);
    assert!(error.message.contains("wrong status code 404, expected 200"), "{error}");
    assert!(!error.is_the_issuers());
    let issuer = builder(&world).solver(http01()).solver(dns01(&world)).build().unwrap();
    issue(&issuer).await.unwrap();
    let count = |verb| world.ca().requests().iter().filter(|request| request.verb == Some(verb)).count();
    assert_eq!((count(Verb::NewOrder), count(Verb::Challenge)), (2, 1));
    let orders: Vec<_> = world.ca().orders().iter().map(|order| order.status).collect();
    assert_eq!(orders, [OrderStatus::Pending, OrderStatus::Valid]);
}

#[tokio::test]
async fn whoever_stands_in_between_is_told_by_what_it_answers() {
    let other = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.AAAA6WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";
    let page = "<!doctype html><title>Access denied</title>";
    let html = "Content-Type: text/html\r\nServer: cloudflare\r\n";
    for (answer, code, words) in [
        (says("200 OK", "", other), "intercepted", "evaGxfADs6….AAAA6WB3rR… (truncated)"),
        (says("403 Forbidden", html, page), "shielded", "cloudflare (server)"),
        (says("200 OK", "", "hello"), "wrong_content", "\"hello\""),
        (says("301 Moved Permanently", "Location: /.well-known/\r\n", ""), "redirect_loop", "circle"),
        (says("302 Found", "Location: http://app.site.example.com:8443/\r\n", ""), "redirected", "8443"),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "no_http", "plain HTTP"),
    ] {
        let report = look(&answer).await;
        assert_eq!((report.verdict, advice(&report)), (Verdict::Fail, vec![code]), "{report}");
        assert!(report.to_string().contains(words), "{report}");
    }
}

#[tokio::test]
async fn a_closed_port_is_a_failure_unless_this_machine_shows_the_answer_elsewhere() {
    let (closed, serving) = saying("").await;
    serving.abort();
    let _ = serving.await;
    let (world, listener) = (world(closed).await, listener().await);
    // The listener itself is seen: the name's address may be one that cannot be reached from inside.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let solver = solver(&world, &listener, closed);
    let http01 = solver.clone().on_report(move |report| told.lock().unwrap().push(report.clone()));
    let proofs = presented(&http01).await;
    http01.wait(&proofs, Duration::from_secs(30)).await.unwrap();
    let report = seen.lock().unwrap().last().cloned().unwrap();
    assert_eq!((report.verdict, advice(&report)), (Verdict::Inconclusive, vec!["hairpin"]), "{report}");
    drop(listener);
    let error = solver.wait(&proofs, Duration::from_secs(30)).await.unwrap_err();
    assert!(error.to_string().contains("port 80 of 127.0.0.1 is closed"), "{error}");
    let warned = solver.clone().policy(Policy::Warn);
    warned.wait(&proofs, Duration::from_secs(30)).await.unwrap();
    solver.policy(Policy::Skip).wait(&proofs, Duration::from_secs(30)).await.unwrap();
}

#[tokio::test]
async fn an_ipv6_address_that_leads_elsewhere_is_told_beside_the_one_that_is_right() {
    let listener = listener().await;
    let port = port(&listener);
    let world = world(port).await;
    world.zone().add(APP, Data::Aaaa(Ipv6Addr::LOCALHOST)).unwrap();
    let elsewhere = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await.unwrap();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = elsewhere.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(says("404 Not Found", "", "nginx").as_bytes()).await;
        }
    });
    let solver = solver(&world, &listener, port);
    let proofs = presented(&solver).await;
    let error = solver.wait(&proofs, Duration::from_secs(30)).await.unwrap_err();
    serving.abort();
    let Error::NotServed { reports } = error else { panic!("{error}") };
    assert_eq!(advice(&reports[0]), ["wrong_status", "elsewhere"]);
    let said = reports[0].to_string();
    assert!(said.contains("::1 leads to another server than 127.0.0.1"), "{said}");
}

#[tokio::test]
async fn a_redirect_to_another_host_is_followed_as_a_ca_follows_it() {
    let listener = listener().await;
    let port = port(&listener);
    let (redirecting, _serving) =
        saying(&says("301 Moved Permanently", &format!("Location: http://www.example.com:{port}/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA\r\n"), "")).await;
    let world = world(redirecting).await;
    world.zone().add("www.example.com", Data::A(Ipv4Addr::LOCALHOST)).unwrap();
    // The ports that stand for 80 and 443.
    let check = SelfCheck::new().checker(checker(&world)).ports(redirecting, port);
    let solver = Http01::new(listener.responder()).self_check(check).timeout(Duration::from_millis(500));
    let proofs = presented(&solver).await;
    solver.wait(&proofs, Duration::from_secs(30)).await.unwrap();
}

/// Redirects everybody to another path, where it says this.
async fn moved(at: SocketAddr, there: String) -> SocketAddr {
    let socket = TcpListener::bind(at).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            let mut question = [0; 4096];
            let read = stream.read(&mut question).await.unwrap_or_default();
            let is_moved = question[..read].starts_with(b"GET /moved ");
            let away = says("302 Found", "Location: /moved\r\n", "");
            let _ = stream.write_all(if is_moved { there.as_bytes() } else { away.as_bytes() }).await;
        }
    });
    address
}

#[tokio::test]
async fn a_redirect_to_the_same_name_is_followed_at_the_address_that_has_sent_it() {
    const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
    let key = {
        let (world, listener) = (world(9).await, listener().await);
        presented(&solver(&world, &listener, 9)).await.remove(0).value
    };
    let right = moved(loopback(0), says("200 OK", "", &key)).await;
    moved((SECOND, right.port()).into(), says("404 Not Found", "", "")).await;
    let (world, listener) = (world(right.port()).await, listener().await);
    world.zone().add(APP, Data::A(SECOND)).unwrap();
    let solver = solver(&world, &listener, right.port());
    let proofs = presented(&solver).await;
    let error = solver.wait(&proofs, Duration::from_secs(30)).await.unwrap_err();
    let Error::NotServed { reports } = error else { panic!("{error}") };
    let text = reports[0].to_string();
    assert!(text.contains("127.0.0.1: the right answer") && text.contains("404"), "{text}");
}

#[tokio::test]
async fn where_to_connect_can_be_said() {
    let listener = listener().await;
    let world = world(1).await;
    let check = SelfCheck::new().checker(checker(&world)).connect_to(listener.addresses().iter().copied());
    let solver = Http01::new(listener.responder()).self_check(check).timeout(Duration::from_millis(500));
    let proofs = presented(&solver).await;
    solver.wait(&proofs, Duration::from_secs(30)).await.unwrap();
    solver.clean_up(&proofs).await.unwrap();
    assert!(solver.wait(&proofs, Duration::from_secs(30)).await.is_err());
}

#[tokio::test]
async fn the_listener_answers_its_path_and_nothing_else_and_hangs_up() {
    let listener = Http01Listener::everywhere(0).await.unwrap();
    assert!((1..=2).contains(&listener.addresses().len()));
    let solver = Http01::new(listener.responder());
    let proofs = presented(&solver).await;
    let path = proofs[0].at.strip_prefix("http://app.site.example.com").unwrap().to_owned();
    for address in listener.addresses() {
        let at = match address.ip() {
            IpAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let ask = async |question: String| {
            let mut stream = TcpStream::connect((at, address.port())).await.unwrap();
            stream.write_all(question.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let found = ask(format!("GET {path} HTTP/1.1\r\nHost: {APP}\r\n\r\n")).await;
        assert!(found.starts_with("HTTP/1.1 200") && found.ends_with(&proofs[0].value), "{found}");
        let head = ask(format!("HEAD {path} HTTP/1.1\r\nHost: {APP}\r\n\r\n")).await;
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()).await.starts_with("HTTP/1.1 404"));
        let large = format!("GET {path} HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
        assert!(ask(large).await.starts_with("HTTP/1.1 431"));
        assert!(!ask("\0\0\0\0 nonsense \r\n\r\n".to_owned()).await.contains("200"));
    }
    let taken = Http01Listener::bind(listener.addresses().to_vec()).await.unwrap_err();
    assert!(taken.to_string().contains("Http01Responder"), "{taken}");
}

#[tokio::test]
async fn a_wildcard_has_no_answer() {
    let listener = listener().await;
    let token =
        perennial_acme::challenge::Token::parse("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA").unwrap();
    let thumbprint = perennial_acme::Jwk::ed25519([7; 32]).thumbprint();
    let key = perennial_acme::challenge::KeyAuthorization::new(&token, &thumbprint);
    let name: DomainName = "*.example.com".parse().unwrap();
    let error = Http01::new(listener.responder()).proof(&Task::new(&name, &key)).unwrap_err();
    assert!(matches!(error, Error::Unsolvable { .. }), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_certificate_is_had_by_files_below_a_document_root() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().to_owned();
    let socket = TcpListener::bind(loopback(0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let _serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            let mut question = vec![0; 4096];
            let length = stream.read(&mut question).await.unwrap_or_default();
            let question = String::from_utf8_lossy(&question[..length]).into_owned();
            let path = question.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
            let answer = match std::fs::read_to_string(directory.join(path)) {
                Ok(body) => says("200 OK", "", &body),
                Err(_) => says("404 Not Found", "", ""),
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let world = world(port).await;
    let check = SelfCheck::new().checker(checker(&world)).ports(port, 443);
    let issuer =
        builder(&world).solver(Http01::new(Webroot::new(root.path())).self_check(check)).build().unwrap();
    issue(&issuer).await.unwrap();
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}
