//! What a name server was asked.

use std::net::SocketAddr;

use hickory_proto::op::{Message, OpCode};
use tokio::sync::watch;

use super::data::name_text;

/// One message that a server received, readable or not acted on alike.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// What was wanted.
    pub operation: Operation,
    /// The name in question, lower case, without the final dot; `.` is the root. The zone, for an update.
    pub name: String,
    /// The type in question as text: `TXT`, `SOA`, or `TYPE65280`.
    pub kind: String,
    /// How it came.
    pub transport: Transport,
    /// Whether recursion was desired (RD=1).
    pub recursion_desired: bool,
    /// Whether it carried EDNS (RFC 6891).
    pub edns: bool,
    /// Who asked.
    pub from: SocketAddr,
}

/// What a message wants (RFC 6895 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// An answer.
    Query,
    /// A dynamic update (RFC 2136).
    Update,
    /// Something that these servers do not do.
    Other,
}

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // These servers listen on two.
pub enum Transport {
    /// Over TCP (RFC 7766).
    Tcp,
    /// Over UDP.
    Udp,
}

/// All queries of one server, oldest first.
#[derive(Debug, Default)]
pub(super) struct QueryLog(watch::Sender<Vec<Query>>);

impl QueryLog {
    pub(super) fn record(&self, message: &Message, transport: Transport, from: SocketAddr) {
        let query = Query {
            operation: match message.metadata.op_code {
                OpCode::Query => Operation::Query,
                OpCode::Update => Operation::Update,
                _ => Operation::Other,
            },
            name: message.queries.first().map_or_else(String::new, |query| name_text(query.name())),
            kind: message.queries.first().map_or_else(String::new, |query| query.query_type().to_string()),
            transport,
            recursion_desired: message.metadata.recursion_desired,
            edns: message.edns.is_some(),
            from,
        };
        self.0.send_modify(|queries| {
            if queries.len() >= LONGEST {
                queries.drain(..LONGEST / 2);
            }
            queries.push(query);
        });
    }

    pub(super) fn all(&self) -> Vec<Query> {
        self.0.borrow().clone()
    }

    pub(super) fn clear(&self) {
        self.0.send_modify(Vec::clear);
    }

    pub(super) async fn wait_for(&self, mut wanted: impl FnMut(&Query) -> bool) {
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = self.0.subscribe().wait_for(|queries| queries.iter().any(&mut wanted)).await;
    }
}

/// More than any test reads; a program that hammers must not eat the memory. Half is forgotten at a time.
const LONGEST: usize = 200_000;
