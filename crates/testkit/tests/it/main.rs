//! The little internet, used over real sockets as a program would use it.

mod acme_client;
mod ca;
mod dns;
mod dns_client;
mod world;
