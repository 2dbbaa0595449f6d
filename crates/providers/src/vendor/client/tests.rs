//! A client against a vendor that answers as the test says.

use std::{collections::VecDeque, sync::Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, header};
use perennial_core::{Retry, http::NoRedirects};
use perennial_testkit::SkippingClock;

use super::*;
use crate::{
    Rate,
    vendor::{Bearer, Blame},
};

type Scripted = Result<Response<Bytes>, HttpError>;

/// Answers one after the other, and remembers what it was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Scripted>>,
    asked: Mutex<Vec<Request<Bytes>>>,
}

#[async_trait]
impl HttpClient for Script {
    async fn send(&self, request: Request<Bytes>) -> Scripted {
        self.asked.lock().unwrap().push(request);
        self.answers.lock().unwrap().pop_front().expect("asked more often than the script says")
    }
}

fn status(status: u16) -> Scripted {
    Ok(Response::builder().status(status).body(Bytes::from_static(b"{\"message\": \"m\"}")).unwrap())
}

fn with(answer: Scripted, name: header::HeaderName, value: &str) -> Scripted {
    answer.map(|mut answer| {
        answer.headers_mut().insert(name, value.parse().unwrap());
        answer
    })
}

fn body(text: &str) -> Scripted {
    Ok(Response::new(Bytes::copy_from_slice(text.as_bytes())))
}

fn lost() -> Scripted {
    Err(HttpError::Timeout { url: "https://api.example.com/v1/x?token=t0k3n".into() })
}

fn refused() -> Scripted {
    Err(HttpError::Connect { url: "https://api.example.com/v1/x".into(), reason: "refused".into() })
}

struct Scene {
    script: Arc<Script>,
    clock: SkippingClock,
    client: Client,
}

impl Scene {
    fn new(answers: impl IntoIterator<Item = Scripted>) -> Self {
        Self::built(answers, |builder| builder)
    }

    fn built(
        answers: impl IntoIterator<Item = Scripted>,
        build: impl Fn(ClientBuilder) -> ClientBuilder,
    ) -> Self {
        let script = Arc::new(Script::default());
        script.answers.lock().unwrap().extend(answers);
        let clock = SkippingClock::new(Timestamp::from_unix(1_800_000_000));
        let bearer = Bearer::new("t0k3n".into());
        let builder = Client::builder("paper", "https://api.example.com/v1/", bearer)
            .http(script.clone())
            .clock(Arc::new(clock.clone()));
        Self { script, clock, client: build(builder).build().unwrap() }
    }

    fn asked(&self) -> usize {
        self.script.asked.lock().unwrap().len()
    }
}

#[tokio::test]
async fn a_call_is_what_its_parts_say() {
    let scene = Scene::new([status(200)]);
    let call =
        scene.client.post("/zones/a%2Fb").query("name", "a b&c").query("n", "ü").header("x-filter", "{}");
    call.json(&[1, 2]).send().await.unwrap();
    let asked = scene.script.asked.lock().unwrap().pop().unwrap();
    assert_eq!(asked.uri(), "https://api.example.com/v1/zones/a%2Fb?name=a%20b%26c&n=%C3%BC");
    assert_eq!((asked.method(), asked.body().as_ref()), (&Method::POST, b"[1,2]".as_slice()));
    assert_eq!(asked.headers()["authorization"], "Bearer t0k3n");
    assert_eq!(asked.headers()["x-filter"], "{}");
    assert_eq!(asked.headers()["content-type"], "application/json");
    assert!(asked.extensions().get::<NoRedirects>().is_some());
}

#[tokio::test]
async fn what_can_be_done_twice_is_tried_again_and_what_cannot_is_not() {
    for trouble in [lost(), status(502), status(503), status(504)] {
        let scene = Scene::new([trouble.clone(), trouble.clone(), status(200)]);
        assert!(scene.client.get("/x").send().await.is_ok());
        assert_eq!(scene.asked(), 3);
        let scene = Scene::new([trouble.clone()]);
        let error = scene.client.post("/x").send().await.unwrap_err();
        assert!(error.is_uncertain() && error.retry() == Retry::Backoff, "{error}");
        let scene = Scene::new([trouble.clone(), status(200)]);
        assert!(scene.client.post("/x").repeatable().send().await.is_ok());
        let scene = Scene::new([trouble.clone()]);
        assert!(scene.client.put("/x").once().send().await.is_err());
    }
    for surely_undone in [refused(), status(429)] {
        let scene = Scene::new([surely_undone, status(200)]);
        assert!(scene.client.post("/x").send().await.is_ok());
    }
    let scene = Scene::new((0..4).map(|_| refused()));
    let error = scene.client.get("/x").send().await.unwrap_err();
    assert_eq!((scene.asked(), error.retry()), (4, Retry::Backoff));
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_tried_again() {
    for (code, expected) in [
        (400, Retry::Never),
        (401, Retry::Never),
        (403, Retry::Never),
        (404, Retry::Never),
        (409, Retry::Backoff),
        (412, Retry::Backoff),
        (422, Retry::Never),
        (500, Retry::Backoff),
    ] {
        let scene = Scene::new([status(code)]);
        let error = scene.client.get("/x").send().await.unwrap_err();
        assert_eq!((error.retry(), error.status()), (expected, Some(code)), "{error}");
    }
}

#[tokio::test]
async fn a_short_wait_is_waited_and_a_long_one_is_told_to_all_clones() {
    let short = with(status(429), header::RETRY_AFTER, "7");
    let scene = Scene::new([short, status(200)]);
    scene.client.get("/x").send().await.unwrap();
    let waited: Duration = scene.clock.naps().iter().sum();
    assert!(waited >= Duration::from_secs(7) && waited < Duration::from_secs(9), "{waited:?}");

    let long = with(status(429), header::RETRY_AFTER, "300");
    let scene = Scene::new([long]);
    let clone = scene.client.clone();
    let error = scene.client.get("/x").send().await.unwrap_err();
    let until = Timestamp::from_unix(1_800_000_300);
    assert_eq!(error.retry(), Retry::At(until), "{error}");
    let error = clone.get("/y").send().await.unwrap_err();
    assert_eq!((error.retry(), scene.asked()), (Retry::At(until), 1), "{error}");
    scene.clock.sleep(Duration::from_secs(300)).await;
    scene.script.answers.lock().unwrap().push_back(status(200));
    assert!(clone.get("/y").send().await.is_ok());
}

#[tokio::test]
async fn a_rate_is_kept_by_all_clones_together() {
    let rate = Rate::new(4, Duration::from_secs(40));
    let scene = Scene::built((0..4).map(|_| status(200)), |builder| builder.rate(rate));
    for client in [scene.client.clone(), scene.client.clone()] {
        for _ in 0..2 {
            client.get("/x").send().await.unwrap();
        }
    }
    let ten = Duration::from_secs(10);
    assert_eq!(scene.clock.naps(), [ten, ten]);
}

/// A client of its own at the scene's place, by the scene's clock.
fn another(clock: &Arc<dyn Clock>, token: &str, answers: Vec<Scripted>, rate: Option<Rate>) -> Client {
    let script = Script { answers: Mutex::new(answers.into()), ..Script::default() };
    let builder = Client::builder("paper", "https://shared.example.com/v1/", Bearer::new(token.into()));
    let builder = builder.http(Arc::new(script)).clock(Arc::clone(clock));
    rate.into_iter().fold(builder, ClientBuilder::rate).build().unwrap()
}

#[tokio::test]
async fn clients_that_were_built_apart_keep_one_rate_for_one_credential() {
    let skipping = SkippingClock::new(Timestamp::from_unix(1_800_000_000));
    let clock: Arc<dyn Clock> = Arc::new(skipping.clone());
    let rate = Some(Rate::new(4, Duration::from_secs(40)));
    let client = |token| another(&clock, token, vec![status(200), status(200)], rate);
    let [one, same, other] = ["t0k3n", "t0k3n", "0th3r"].map(client);
    for client in [&one, &same, &other] {
        client.get("/x").send().await.unwrap();
    }
    assert!(skipping.naps().is_empty());
    same.get("/x").send().await.unwrap();
    assert_eq!(skipping.naps(), [Duration::from_secs(10)]);
    other.get("/x").send().await.unwrap();
    assert_eq!(skipping.naps().len(), 1);
}

#[tokio::test]
async fn a_client_is_held_back_by_what_another_of_the_same_credential_was_told() {
    let clock: Arc<dyn Clock> = Arc::new(SkippingClock::new(Timestamp::from_unix(1_800_000_000)));
    let told = another(&clock, "h3ld", vec![with(status(429), header::RETRY_AFTER, "300")], None);
    let [same, other] = ["h3ld", "fr33"].map(|token| another(&clock, token, vec![status(200)], None));
    let until = Retry::At(Timestamp::from_unix(1_800_000_300));
    assert_eq!(told.get("/x").send().await.unwrap_err().retry(), until);
    let error = same.get("/x").send().await.unwrap_err();
    assert_eq!(error.retry(), until, "{error}");
    assert!(other.get("/x").send().await.is_ok());
    clock.sleep(Duration::from_secs(300)).await;
    assert!(same.get("/x").send().await.is_ok());
    let shown = format!("{same:?} {:?} {:?} {error:?}", same.0.pace, same.fingerprint());
    assert!(shown.contains("Fingerprint") && !shown.contains("h3ld"), "{shown}");
}

/// A clock by which something happens while somebody sleeps.
struct Meanwhile {
    clock: SkippingClock,
    happens: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meanwhile")
    }
}

#[async_trait::async_trait]
impl Clock for Meanwhile {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Option<Duration> {
        self.clock.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        if let Some(happens) = self.happens.lock().unwrap().take() {
            happens();
        }
        self.clock.sleep(duration).await;
    }
}

#[tokio::test]
async fn whoever_waits_for_its_turn_hears_what_others_are_told_meanwhile() {
    for (told, is_asked) in [(20, true), (600, false)] {
        let skipping = SkippingClock::new(Timestamp::from_unix(1_800_000_000));
        let meanwhile = Arc::new(Meanwhile { clock: skipping.clone(), happens: Mutex::default() });
        let clock: Arc<dyn Clock> = meanwhile.clone();
        let rate = Some(Rate::new(4, Duration::from_secs(40)));
        let client =
            another(&clock, &format!("m3anwhile{told}"), vec![status(200), status(200), status(200)], rate);
        for _ in 0..2 {
            client.get("/x").send().await.unwrap();
        }
        let (other, now) = (client.clone(), skipping.now());
        let hold = move || other.0.pace.hold(now, now + Duration::from_secs(told));
        *meanwhile.happens.lock().unwrap() = Some(Box::new(hold));
        assert_eq!(client.get("/x").send().await.is_ok(), is_asked, "{told}");
        let naps = skipping.naps();
        assert_eq!(
            naps.iter().sum::<Duration>(),
            Duration::from_secs(if is_asked { 20 } else { 10 }),
            "{naps:?}"
        );
    }
}

#[tokio::test]
async fn another_credential_for_the_same_place_shares_the_limit() {
    let rate = Rate::new(4, Duration::from_secs(40));
    let cookies = [("set-cookie", "a=1"), ("set-cookie", "b=2; path=/")];
    let with_cookies =
        Response::builder().header(cookies[0].0, cookies[0].1).header(cookies[1].0, cookies[1].1);
    let with_cookies = with_cookies.body(Bytes::from_static(b"{}")).unwrap();
    let scene = Scene::built([status(200), status(200), Ok(with_cookies)], |builder| builder.rate(rate));
    let desk = scene.client.authorized_by(Bearer::new("p4ssword".into()));
    for _ in 0..2 {
        scene.client.get("/x").send().await.unwrap();
    }
    let answer = desk.get("/login").send().await.unwrap();
    assert_eq!(scene.clock.naps(), [Duration::from_secs(10)]);
    assert_eq!(answer.all("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2; path=/"]);
    let asked = scene.script.asked.lock().unwrap().pop().unwrap();
    assert_eq!(asked.uri(), "https://api.example.com/v1/login");
    assert_eq!(asked.headers()["authorization"], "Bearer p4ssword");
}

#[tokio::test]
async fn a_redirect_is_an_error_that_says_where_it_pointed() {
    for code in [301, 302, 303, 307, 308] {
        let answer = with(status(code), header::LOCATION, "https://evil.example/steal?token=t0k3n");
        let scene = Scene::new([answer]);
        let text = scene.client.get("/x").send().await.unwrap_err().to_string();
        assert!(text.contains("redirects GET /x to https://evil.example/steal,"), "{text}");
        assert!(!text.contains("t0k3n"), "{text}");
    }
}

#[tokio::test]
async fn a_web_page_or_a_broken_answer_is_no_data() {
    let page = "<!DOCTYPE html><title>Sign in</title> t0k3n";
    for answer in [body(page), with(body("Sign in"), header::CONTENT_TYPE, "text/html; charset=utf-8")] {
        let error = Scene::new([answer]).client.get("/x").send().await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Misbehaved { .. }) && text.contains("web page"), "{text}");
        assert!(text.contains("Sign in") && !text.contains("t0k3n"), "{text}");
    }
    let answer = Scene::new([body("{\"a\": \"t0k3n\x1b")]).client.get("/x").send().await.unwrap();
    let text = answer.json::<Vec<u8>>().unwrap_err().to_string();
    assert!(text.contains("not as documented") && text.contains("[secret]"), "{text}");
    assert!(!text.contains("t0k3n") && !text.contains('\x1b'), "{text}");
    let huge = Ok(Response::new(Bytes::from(vec![b' '; BODY_LIMIT + 1])));
    let error = Scene::new([huge]).client.get("/x").send().await.unwrap_err();
    assert!(error.to_string().contains("more than 4194304 bytes"), "{error}");
}

#[tokio::test]
async fn no_error_shows_the_secret_or_the_query() {
    let echo = |code| {
        let text = "token t0k3n is not known; neither is Bearer%20t0k3n";
        Ok(Response::builder().status(code).body(Bytes::from_static(text.as_bytes())).unwrap())
    };
    for answer in [echo(400), echo(401), echo(403), echo(500), lost()] {
        let scene = Scene::new([answer]);
        let error = scene.client.post("/x").query("token", "t0k3n").send().await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("t0k3n"), "{error:?}");
    }
}

#[tokio::test]
async fn clocks_that_differ_are_told_when_a_credential_is_not_accepted() {
    let date = "Fri, 15 Jan 2027 09:00:00 GMT"; // an hour later than it is here
    let scene = Scene::new([with(status(401), header::DATE, date)]);
    let error = scene.client.get("/x").send().await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }), "{error}");
    assert!(error.to_string().contains("the clocks differ, too: 2027-01-15T08:00:00Z here"), "{error}");

    struct Signs;
    #[async_trait]
    impl Authorize for Signs {
        async fn authorize(&self, _: &mut Request<Bytes>, _: Timestamp) -> Result<Secrets, Error> {
            Ok(Secrets::none())
        }
        fn signs_time(&self) -> bool {
            true
        }
    }
    let script = Arc::new(Script::default());
    script.answers.lock().unwrap().push_back(with(status(401), header::DATE, date));
    let client = Client::builder("paper", "https://api.example.com", Signs).http(script);
    let client =
        client.clock(Arc::new(SkippingClock::new(Timestamp::from_unix(1_800_000_000)))).build().unwrap();
    let error = client.get("/x").send().await.unwrap_err();
    assert!(matches!(error, Error::ClockSkew { .. }), "{error}");
}

#[tokio::test]
async fn a_token_that_was_refused_is_replaced_once() {
    struct Fetched(std::sync::atomic::AtomicUsize);
    #[async_trait]
    impl Authorize for Fetched {
        async fn authorize(&self, request: &mut Request<Bytes>, _: Timestamp) -> Result<Secrets, Error> {
            let number = self.0.load(std::sync::atomic::Ordering::SeqCst);
            request.headers_mut().insert("x-token", number.into());
            Ok(Secrets::none())
        }
        fn refused(&self) -> bool {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            true
        }
    }
    let script = Arc::new(Script::default());
    script.answers.lock().unwrap().extend([status(401), status(200), status(401), status(401)]);
    let authorize = Fetched(std::sync::atomic::AtomicUsize::new(0));
    let client = Client::builder("paper", "https://api.example.com", authorize);
    let client = client.http(script.clone()).build().unwrap();
    assert!(client.post("/x").send().await.is_ok());
    assert!(matches!(client.post("/x").send().await, Err(Error::Auth { .. })));
    let tokens: Vec<_> = script
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|it| it.headers()["x-token"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(tokens, ["0", "1", "1", "2"]);
}

#[tokio::test]
async fn a_vendor_may_complain_in_its_own_way() {
    fn complaint(answer: &Answer) -> Option<Complaint> {
        answer.text().contains("TooFast").then(|| {
            Complaint::new(Blame::RateLimit).code("TooFast").request_id("r1\n").message("slow\x1bly")
        })
    }
    let scene = Scene::built((0..5).map(|_| body("TooFast")), |builder| builder.complaints(complaint));
    let error = scene.client.get("/x").send().await.unwrap_err();
    assert_eq!((scene.asked(), error.code()), (4, Some("TooFast")));
    assert!(error.to_string().ends_with("(HTTP 200, code TooFast, request r1)"), "{error}");
}

#[tokio::test]
async fn links_are_followed_below_the_base_url_only() {
    let scene = Scene::new([status(200), status(200)]);
    let follow = |url: &str| scene.client.follow(url);
    follow("https://api.example.com/v1/zones?page=2&x=%20").unwrap().send().await.unwrap();
    follow("/zones?page=3").unwrap().send().await.unwrap();
    let asked: Vec<_> = scene.script.asked.lock().unwrap().iter().map(|it| it.uri().to_string()).collect();
    assert_eq!(
        asked,
        ["https://api.example.com/v1/zones?page=2&x=%20", "https://api.example.com/v1/zones?page=3"]
    );
    for elsewhere in [
        "https://evil.example/v1/zones",
        "//evil.example/",
        "https://api.example.com/v1.evil.example/",
        "zones",
    ] {
        let error = follow(elsewhere).err().unwrap();
        assert!(error.to_string().contains("nothing is sent there"), "{error}");
    }
}

#[test]
fn a_base_url_is_one_that_a_credential_may_go_to() {
    let build = |url: &str, plain: bool| {
        let client = Client::builder("paper", url, Bearer::new("t".into())).plain_http(plain);
        client.http(Arc::new(Script::default())).build().map(|client| client.base_url().to_owned())
    };
    for (url, base) in [
        ("https://api.example.com/", "https://api.example.com"),
        (" https://api.example.com:8443/v1 ", "https://api.example.com:8443/v1"),
        ("http://127.0.0.1:80", "http://127.0.0.1:80"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("http://localhost", "http://localhost"),
    ] {
        assert_eq!(build(url, false).unwrap(), base);
    }
    assert!(build("http://192.0.2.1", true).is_ok());
    for (url, part) in [
        ("http://192.0.2.1", "plain http"),
        ("http://localhost.example.com", "plain http"),
        ("ftp://api.example.com", "not an https URL"),
        ("api.example.com", "not an https URL"),
        ("/v1", "no host"),
        ("https://user:s3cret@api.example.com", "holds a user"),
        ("https://api.example.com?key=s3cret", "query"),
        ("", "not a URL"),
    ] {
        let text = build(url, false).unwrap_err().to_string();
        assert!(text.starts_with("paper: option `base-url`: ") && text.contains(part), "{url}: {text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}
