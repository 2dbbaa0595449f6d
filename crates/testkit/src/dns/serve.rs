//! Messages in and out of the sockets: UDP, and TCP with the length in front (RFC 1035 §4.2.2, RFC 7766).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::{AbortHandle, JoinSet},
};

use super::{Endpoint, Transport};

/// Who answers messages.
#[async_trait]
pub(super) trait Respond: Send + Sync + 'static {
    /// The answer to one message, or `None` for silence.
    async fn respond(&self, bytes: &[u8], transport: Transport, from: SocketAddr) -> Option<Vec<u8>>;
}

/// The tasks of a server; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Running([AbortHandle; 2]);

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Answers at an endpoint until the result is dropped.
pub(super) fn serve(endpoint: Endpoint, respond: Arc<dyn Respond>) -> Running {
    let tcp = tokio::spawn(serve_tcp(endpoint.tcp, Arc::clone(&respond)));
    let udp = tokio::spawn(serve_udp(endpoint.udp, respond));
    Running([tcp.abort_handle(), udp.abort_handle()])
}

async fn serve_udp(socket: UdpSocket, respond: Arc<dyn Respond>) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; usize::from(u16::MAX)];
    // Dropping the set ends what it holds, so nothing outlives the server.
    let mut pending = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = pending.join_next(), if !pending.is_empty() => {}
            received = socket.recv_from(&mut buffer), if pending.len() < MOST_PENDING => {
                // On some systems an earlier answer to a closed port comes back as an error here.
                let Ok((length, from)) = received else { continue };
                let Some(bytes) = buffer.get(..length).map(<[u8]>::to_vec) else { continue };
                let (socket, respond) = (Arc::clone(&socket), Arc::clone(&respond));
                pending.spawn(async move {
                    if let Some(answer) = respond.respond(&bytes, Transport::Udp, from).await {
                        let _ = socket.send_to(&answer, from).await;
                    }
                });
            }
        }
    }
}

async fn serve_tcp(listener: TcpListener, respond: Arc<dyn Respond>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MOST_PENDING => {
                let Ok((stream, from)) = accepted else { continue };
                connections.spawn(serve_connection(stream, from, Arc::clone(&respond)));
            }
        }
    }
}

/// Answers in the order of the questions; ends the connection where the answer is silence.
async fn serve_connection(mut stream: TcpStream, from: SocketAddr, respond: Arc<dyn Respond>) -> Option<()> {
    loop {
        let bytes = tokio::time::timeout(IDLE, read_message(&mut stream)).await.ok()??;
        let answer = respond.respond(&bytes, Transport::Tcp, from).await?;
        write_message(&mut stream, &answer).await?;
    }
}

/// One message from a stream; `None` when there is none whole.
pub(super) async fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = stream.read_u16().await.ok()?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

/// One message to a stream, in one piece (RFC 7766 §8).
pub(super) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> Option<()> {
    let length = u16::try_from(message.len()).ok()?;
    let framed = [&length.to_be_bytes(), message].concat();
    stream.write_all(&framed).await.ok()
}

/// Reads a request, or says what to answer to something that is none.
pub(super) fn read_request(bytes: &[u8]) -> Result<Message, Option<Vec<u8>>> {
    let Some(&[high, low, flags, ..]) = bytes.get(..12) else { return Err(None) };
    if flags & 0x80 != 0 {
        return Err(None); // an answer; answering it would never end
    }
    let error = |code| {
        let message = Message::error_msg(u16::from_be_bytes([high, low]), OpCode::Query, code);
        Err(message.to_vec().ok())
    };
    match Message::from_vec(bytes) {
        Err(_) => error(ResponseCode::FormErr),
        Ok(message) if message.queries.len() != 1 => error(ResponseCode::FormErr),
        Ok(message) => Ok(message),
    }
}

/// The response that says nothing yet: same id, question and operation.
pub(super) fn reply_to(request: &Message) -> Message {
    let mut response = Message::new(request.metadata.id, MessageType::Response, request.metadata.op_code);
    response.metadata.recursion_desired = request.metadata.recursion_desired;
    response.queries.clone_from(&request.queries);
    if let Some(edns) = &request.edns {
        let mut own = Edns::new();
        own.set_max_payload(PAYLOAD);
        if edns.version() > 0 {
            response.metadata.response_code = ResponseCode::BADVERS;
        }
        response.set_edns(own);
    }
    response
}

/// The bytes of a response; cut to its head, with TC=1, where it does not fit the client's datagrams.
pub(super) fn encode(response: &Message, request: &Message, transport: Transport) -> Option<Vec<u8>> {
    let bytes = response.to_vec().ok()?;
    let room = match transport {
        Transport::Tcp => u16::MAX,
        Transport::Udp => request.max_payload().min(PAYLOAD),
    };
    if bytes.len() <= usize::from(room) { Some(bytes) } else { response.truncate().to_vec().ok() }
}

/// The size that the 2020 flag day agreed on: fits an unfragmented IPv6 packet everywhere.
pub(super) const PAYLOAD: u16 = 1232;
/// Far more than any test has open, and a bound all the same.
const MOST_PENDING: usize = 1024;
/// RFC 7766 §6.2.3 wants "on the order of seconds".
const IDLE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_request_is_answered_as_the_protocol_says() {
        assert_eq!(read_request(b"short").unwrap_err(), None);
        let answer = [0x12, 0x34, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read_request(&answer).unwrap_err(), None);
        let no_question = [0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let reply = Message::from_vec(&read_request(&no_question).unwrap_err().unwrap()).unwrap();
        assert_eq!((reply.metadata.id, reply.metadata.response_code), (0x1234, ResponseCode::FormErr));
        let broken = [0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 63];
        assert!(read_request(&broken).unwrap_err().is_some());
    }
}
