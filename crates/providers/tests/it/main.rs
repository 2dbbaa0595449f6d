//! The provider for dynamic updates against servers: our own on loopback, a real BIND, a real Knot, and a wire
//! that loses and forges; vendors' interfaces over their fakes and, where there are some, over real servers.
#![allow(clippy::unwrap_used)] // A helper of a test fails the test, as the test itself does.

mod acme_dns;
mod akamai;
mod alidns;
mod azure;
mod bind;
mod broken;
mod bunny;
mod cloudflare;
mod desec;
mod digitalocean;
mod dnsimple;
mod dnspod;
mod documented;
mod duckdns;
mod exec;
mod gandi;
mod godaddy;
mod google;
mod hetzner;
mod hook;
mod infoblox;
mod inwx;
mod ionos;
mod knot;
mod law;
mod line_breaks;
mod linode;
mod mangled;
mod moto;
mod namecheap;
mod netcup;
mod ns1;
mod ovh;
mod pages;
mod pdns;
mod porkbun;
mod powerdns;
mod primary;
mod route53;
mod scaleway;
mod signatures;
mod vultr;
mod wire;

use std::net::SocketAddr;

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RData, RecordType},
};
use perennial_providers::rfc2136::{Algorithm, Rfc2136, Rfc2136Builder, TsigKey};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The TXT records at a name with their times to live, sorted, as the server has them.
async fn texts(server: SocketAddr, name: &str) -> Vec<(String, u32)> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), RecordType::TXT));
    let bytes = message.to_vec().unwrap();
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(&u16::try_from(bytes.len()).unwrap().to_be_bytes()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    let answer = Message::from_vec(&answer).unwrap();
    let mut texts: Vec<_> = answer
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::TXT(txt) => Some((String::from_utf8(txt.txt_data.concat()).unwrap(), record.ttl)),
            _ => None,
        })
        .collect();
    texts.sort();
    texts
}

fn signed(server: SocketAddr, key_name: &str, algorithm: Algorithm, secret: &str) -> Rfc2136Builder {
    let key = TsigKey::new(key_name, algorithm, &secret.into()).unwrap();
    Rfc2136::builder(server.into()).key(key)
}
