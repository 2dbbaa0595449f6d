//! The end of what a program says, on one line and fit to be shown.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::facts::printable;

/// As much of the end as fits into an error.
const MOST: usize = 1_024;

/// The end of what a program says, on both of its outputs.
#[derive(Clone, Default)]
pub(super) struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    /// Listens until the pipe is closed.
    pub(super) async fn listen(self, mut pipe: impl AsyncRead + Unpin) {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
            let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            said.extend_from_slice(buffer.get(..length).unwrap_or_default());
            let surplus = said.len().saturating_sub(MOST);
            said.drain(..surplus);
        }
    }

    /// What was said last.
    pub(super) fn text(&self) -> String {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&said);
        let words: Vec<&str> = text.split_whitespace().collect();
        let line = words.join(" ");
        // What is shown has its end, where programs say why.
        let surplus = line.chars().count().saturating_sub(SHOWN);
        let end: String = line.chars().skip(surplus).collect();
        printable(&end)
    }
}

/// As much as a text that is shown has at most.
const SHOWN: usize = 300;
