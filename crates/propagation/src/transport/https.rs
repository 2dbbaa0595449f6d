//! DNS over HTTPS: RFC 8484, POST.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use perennial_core::HttpClient;
use tokio::time;

use super::TransportError;
use crate::wire::{Answer, Encoded, Query, Unfit};

/// RFC 8484 §6.
const MEDIA_TYPE: &str = "application/dns-message";

/// Asks over HTTPS, within `limit`.
pub(super) async fn exchange(
    client: &dyn HttpClient,
    url: &str,
    query: &Query,
    limit: Duration,
) -> Result<Answer, TransportError> {
    let question = query.encode(ID).map_err(|error| TransportError::Malformed { reason: error.reason })?;
    let request = request(url, &question)?;
    let response = time::timeout(limit, client.send(request)).await.map_err(|_| TransportError::Timeout)?;
    interpret(
        &response.map_err(|error| TransportError::Http { reason: error.to_string() })?,
        &question,
        query,
    )
}

/// The id is 0, so that HTTP caches see equal questions as equal (RFC 8484 §4.1); TLS keeps forgers out.
const ID: u16 = 0;

fn request(url: &str, question: &Encoded) -> Result<Request<Bytes>, TransportError> {
    Request::post(url)
        .header(header::CONTENT_TYPE, MEDIA_TYPE)
        .header(header::ACCEPT, MEDIA_TYPE)
        .body(Bytes::from(question.octets.clone()))
        .map_err(|error| TransportError::Http { reason: format!("{url} is no URL: {error}") })
}

fn interpret(
    response: &Response<Bytes>,
    question: &Encoded,
    query: &Query,
) -> Result<Answer, TransportError> {
    let http = |reason: String| TransportError::Http { reason };
    if response.status() != StatusCode::OK {
        return Err(http(format!("status {}", response.status())));
    }
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
        return Err(http(format!("the answer is {media_type:?}, not {MEDIA_TYPE}")));
    }
    if response.body().len() > usize::from(u16::MAX) {
        return Err(http(format!("the answer has {} octets; 65535 is the most", response.body().len())));
    }
    question.answer(response.body(), query).map_err(|unfit| TransportError::Malformed {
        reason: match unfit {
            Unfit::Malformed(error) => error.reason,
            Unfit::NotOurs => "it answers another question".to_owned(),
            Unfit::Truncated => "it is truncated".to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{RecordType, ResponseCode};

    fn answered(response: &Response<Bytes>, query: &Query) -> Result<Answer, TransportError> {
        interpret(response, &query.encode(ID).unwrap(), query)
    }

    use hickory_proto::op;

    fn query() -> Query {
        Query::recursive("a.example".parse().unwrap(), RecordType::Txt)
    }

    fn response(content_type: &str) -> Response<Bytes> {
        let question = op::Message::from_vec(&query().encode(ID).unwrap().octets).unwrap();
        let mut message = op::Message::response(ID, op::OpCode::Query);
        message.add_queries(question.queries);
        let body = Bytes::from(message.to_vec().unwrap());
        Response::builder().header(header::CONTENT_TYPE, content_type).body(body).unwrap()
    }

    #[test]
    fn the_question_is_posted_with_id_zero() {
        let request = request("https://dns.example/dns-query", &query().encode(ID).unwrap()).unwrap();
        assert_eq!(request.method(), http::Method::POST);
        assert_eq!(request.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        assert_eq!(request.headers()[header::ACCEPT], MEDIA_TYPE);
        assert_eq!(request.body()[..2], [0, 0]);
    }

    #[test]
    fn only_a_dns_message_that_answers_the_question_is_taken() {
        let good = answered(&response("Application/DNS-message; x=y"), &query());
        assert_eq!(good.unwrap().code, ResponseCode::NOERROR);
        assert!(matches!(answered(&response("text/html"), &query()), Err(TransportError::Http { .. })));
        let mut failed = response(MEDIA_TYPE);
        *failed.status_mut() = StatusCode::BAD_GATEWAY;
        let error = answered(&failed, &query()).unwrap_err();
        assert_eq!(error.to_string(), "no DNS answer over HTTPS: status 502 Bad Gateway");
        let other = Query::recursive("b.example".parse().unwrap(), RecordType::Txt);
        let error = answered(&response(MEDIA_TYPE), &other).unwrap_err();
        assert!(matches!(error, TransportError::Malformed { .. }));
        let mut cut = response(MEDIA_TYPE);
        *cut.body_mut() = {
            let mut octets = cut.body().to_vec();
            octets[2] |= 0x02;
            octets.into()
        };
        let error = answered(&cut, &query()).unwrap_err();
        assert_eq!(error.to_string(), "the server sent something that is no answer: it is truncated");
    }
}
