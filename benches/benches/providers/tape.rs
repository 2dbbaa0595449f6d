//! Who carries requests to nowhere.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, header};
use perennial_core::{HttpClient, HttpError};
use perennial_testkit::vendor::{Service, TxtStore};

use crate::ZONE;

/// A fake of a vendor in this process while it records, and what the fake said when it plays: again and again, and
/// at the cost of a copy.
pub(crate) struct Tape(Mutex<State>);

struct State {
    service: Option<Box<dyn Service>>,
    store: TxtStore,
    answers: Vec<Response<Bytes>>,
    next: usize,
}

impl Tape {
    /// One that records what this fake says of a zone without records.
    pub(crate) fn of(service: impl Service) -> Arc<Self> {
        let mut store = TxtStore::default();
        store.add_zone(ZONE);
        let service: Box<dyn Service> = Box::new(service);
        Arc::new(Self(Mutex::new(State { service: Some(service), store, answers: Vec::new(), next: 0 })))
    }

    /// The vendor's identifier of the zone.
    pub(crate) fn zone_id(&self) -> String {
        self.state().store.zone_named(ZONE).map(|zone| zone.id.clone()).unwrap_or_default()
    }

    /// How many answers it has.
    pub(crate) fn answers(&self) -> usize {
        self.state().answers.len()
    }

    /// From now on it plays.
    pub(crate) fn rewind(&self) {
        self.state().service = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl HttpClient for Tape {
    async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let State { service, store, answers, next } = &mut *self.state();
        if let Some(service) = service {
            // As it would be on the wire, for a signature has it.
            let host = request.uri().host().and_then(|host| host.parse().ok());
            request.headers_mut().extend(host.map(|host| (header::HOST, host)));
            answers.push(service.answer(&request, store));
            return Ok(answers.last().cloned().unwrap_or_default());
        }
        let answer = answers.get(*next).cloned().unwrap_or_default();
        *next = (*next + 1) % answers.len().max(1);
        Ok(answer)
    }
}
