//! What arrives is judged right: signatures made by another implementation of RFC 8945, forgeries, noise.

use hickory_proto::{
    op::Query,
    rr::{
        Name, RecordType, TSigResponseContext, TSigner,
        rdata::tsig::{TsigAlgorithm, TsigError},
    },
};
use proptest::prelude::*;

use super::*;
use crate::rfc2136::{Algorithm, TsigKey};

const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(NOW + seconds)
}

fn key() -> TsigKey {
    TsigKey::new("Acme-Key", Algorithm::HmacSha256, &"c2VjcmV0".into()).unwrap()
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// The other side's idea of the key.
fn signer(secret: &str) -> TSigner {
    let secret = secret.as_bytes().to_vec();
    TSigner::new(secret, TsigAlgorithm::HmacSha256, name("acme-key."), 300).unwrap()
}

fn message(op_code: OpCode) -> Message {
    let mut message = Message::new(7, MessageType::Query, op_code);
    message.add_query(Query::query(name("example.com."), RecordType::SOA));
    message
}

fn signed_update(key: &TsigKey) -> Request<'_> {
    Request::new(message(OpCode::Update), Some(key), at(0)).unwrap()
}

fn answer(code: ResponseCode) -> Message {
    let mut answer = message(OpCode::Update).into_response();
    answer.metadata.response_code = code;
    answer
}

/// The answer as a server signs it that knows this secret, so many seconds after our clock.
fn signed(request: &Request<'_>, mut answer: Message, secret: &str, late: i64) -> Vec<u8> {
    let request = Message::from_vec(request.bytes()).unwrap();
    let mac = request.signature().unwrap().data.mac.clone();
    let time = u64::try_from(NOW + late).unwrap();
    let context = TSigResponseContext::new(7, time, signer(secret), mac, None);
    let signature = context.sign(&answer.to_vec().unwrap()).unwrap();
    answer.set_signature(signature);
    answer.to_vec().unwrap()
}

#[test]
fn another_implementation_verifies_what_we_sign() {
    for (algorithm, wire) in [
        (Algorithm::HmacSha256, TsigAlgorithm::HmacSha256),
        (Algorithm::HmacSha384, TsigAlgorithm::HmacSha384),
        (Algorithm::HmacSha512, TsigAlgorithm::HmacSha512),
    ] {
        let key = TsigKey::new("acme-key", algorithm, &"c2VjcmV0".into()).unwrap();
        let request = signed_update(&key);
        let signer = TSigner::new(b"secret".to_vec(), wire, name("acme-key."), 300).unwrap();
        let (_, time, _) = signer.verify_message_byte(request.bytes(), None, true).unwrap();
        assert_eq!(time, u64::try_from(NOW).unwrap());
    }
}

#[test]
fn an_answer_signed_with_our_key_is_believed() {
    let key = key();
    let request = signed_update(&key);
    for code in [ResponseCode::NoError, ResponseCode::Refused, ResponseCode::NotAuth] {
        let Reading::Answer(read) = request.read(&signed(&request, answer(code), "secret", 20)) else {
            panic!("{code} was not believed")
        };
        assert_eq!(read.metadata.response_code, code);
    }
}

#[test]
fn an_answer_that_is_not_signed_with_our_key_is_not() {
    let key = key();
    let request = signed_update(&key);
    let bare = answer(ResponseCode::NoError).to_vec().unwrap();
    assert_eq!(request.read(&bare), Reading::Failed(Failure::Unsigned { code: 0 }));
    let other_secret = signed(&request, answer(ResponseCode::NoError), "another", 0);
    assert_eq!(request.read(&other_secret), Reading::Failed(Failure::Forged));
    // Signed with our key, but in reply to another request.
    let other_request = Request::new(message(OpCode::Update), Some(&key), at(1)).unwrap();
    let replayed = signed(&other_request, answer(ResponseCode::NoError), "secret", 0);
    assert_eq!(request.read(&replayed), Reading::Failed(Failure::Forged));
}

#[test]
fn a_signature_with_fewer_octets_is_not_enough() {
    let key = key();
    let request = signed_update(&key);
    let bytes = signed(&request, answer(ResponseCode::NoError), "secret", 0);
    let mut cut = Message::from_vec(&bytes).unwrap();
    cut.signature.as_mut().unwrap().data.mac.truncate(16);
    assert_eq!(request.read(&cut.to_vec().unwrap()), Reading::Failed(Failure::Forged));
}

#[test]
fn each_error_of_a_signature_is_told_apart() {
    let key = key();
    let request = signed_update(&key);
    let failed = |context: TSigResponseContext| {
        let mut answer = answer(ResponseCode::NotAuth);
        answer.set_signature(context.sign(&answer.to_vec().unwrap()).unwrap());
        request.read(&answer.to_vec().unwrap())
    };
    let time = u64::try_from(NOW).unwrap();
    let unknown = TSigResponseContext::unknown_key(7, time, name("acme-key."));
    assert_eq!(failed(unknown), Reading::Failed(Failure::BadKey));
    let bad = TSigResponseContext::bad_signature(7, time, signer("another"));
    assert_eq!(failed(bad), Reading::Failed(Failure::BadSig));
    let mac = Message::from_vec(request.bytes()).unwrap().signature().unwrap().data.mac.clone();
    let cut = TSigResponseContext::new(7, time, signer("secret"), mac, Some(TsigError::BadTrunc));
    assert_eq!(failed(cut), Reading::Failed(Failure::BadTrunc));
}

#[test]
fn a_signature_of_another_time_is_a_matter_of_clocks() {
    let key = key();
    let request = signed_update(&key);
    let read = |late| request.read(&signed(&request, answer(ResponseCode::NoError), "secret", late));
    assert!(matches!(read(300), Reading::Answer(_)));
    assert!(matches!(read(-300), Reading::Answer(_)));
    for late in [301, -301] {
        assert_eq!(read(late), Reading::Failed(Failure::BadTime { here: at(0), there: at(late) }));
    }
}

#[test]
fn queries_are_signed_and_their_answers_need_not_be() {
    let key = key();
    let request = Request::new(message(OpCode::Query), Some(&key), at(0)).unwrap();
    assert!(Message::from_vec(request.bytes()).unwrap().signature().is_some());
    let bare = message(OpCode::Query).into_response();
    assert!(matches!(request.read(&bare.to_vec().unwrap()), Reading::Answer(_)));
    let forged = signed(&request, bare, "another", 0);
    assert_eq!(request.read(&forged), Reading::Failed(Failure::Forged));
}

#[test]
fn what_answers_another_question_is_ignored() {
    let request = Request::new(message(OpCode::Query), None, at(0)).unwrap();
    let read = |change: &dyn Fn(&mut Message)| {
        let mut answer = message(OpCode::Query).into_response();
        change(&mut answer);
        request.read(&answer.to_vec().unwrap())
    };
    assert!(matches!(read(&|_| {}), Reading::Answer(_)));
    assert_eq!(read(&|answer| answer.metadata.id = 8), Reading::Foreign);
    assert_eq!(read(&|answer| answer.metadata.message_type = MessageType::Query), Reading::Foreign);
    assert_eq!(read(&|answer| answer.metadata.op_code = OpCode::Notify), Reading::Foreign);
    assert_eq!(read(&|answer| answer.queries.clear()), Reading::Foreign);
    assert_eq!(
        read(&|answer| answer.queries = vec![Query::query(name("example.net."), RecordType::SOA)]),
        Reading::Foreign
    );
    assert_eq!(read(&|answer| answer.metadata.truncation = true), Reading::Truncated);
    let silent_error = read(&|answer| {
        answer.queries.clear();
        answer.metadata.response_code = ResponseCode::FormErr;
    });
    assert!(matches!(silent_error, Reading::Answer(_)));
}

#[test]
fn no_damaged_bit_and_no_cut_of_a_signed_answer_gets_through() {
    let key = key();
    let request = signed_update(&key);
    let whole = signed(&request, answer(ResponseCode::NoError), "secret", 0);
    assert!(matches!(request.read(&whole), Reading::Answer(_)));
    // RFC 8945 §4.3.3: the names of the key and of the algorithm are signed in lower case, however they are
    // written.
    let place = |name: &[u8]| whole.windows(name.len()).position(|window| window == name).unwrap();
    let (key_name, algorithm) = (place(b"acme-key"), place(b"hmac-sha256"));
    for octet in 0..whole.len() {
        assert!(!matches!(request.read(&whole[..octet]), Reading::Answer(_)), "cut at {octet}");
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[octet] ^= 1 << bit;
            let believed = matches!(request.read(&damaged), Reading::Answer(_));
            let in_name =
                (key_name..key_name + 8).contains(&octet) || (algorithm..algorithm + 11).contains(&octet);
            let of_case = in_name && damaged[octet].is_ascii_uppercase();
            assert_eq!(believed, of_case && bit == 5, "octet {octet}, bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let key = key();
        let request = signed_update(&key);
        prop_assert_eq!(request.read(&bytes), Reading::Foreign);
        // The same, past the check of the header.
        let mut bytes = bytes;
        if let Some(header) = bytes.first_chunk_mut::<4>() {
            header.copy_from_slice(&[0, 7, 0xa8, 0]);
        }
        prop_assert!(!matches!(request.read(&bytes), Reading::Answer(_)));
        let _ = crate::rfc2136::read_any_answer(&bytes);
    }
}
