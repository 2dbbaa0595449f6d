//! One life of the program that keeps a certificate: what it is told, what it says, and how it ends.

use std::{os::unix::process::ExitStatusExt as _, path::PathBuf, process::Stdio, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
};

use super::{super::surroundings::Surroundings, place::Place, text};
use crate::shell::Stopwatch;

/// What the program is told, on its standard input: there is a secret in it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Life {
    pub(super) world: Surroundings,
    /// Where the next issuer is that is asked, if there is one.
    pub(super) fallback: Option<Surroundings>,
    /// The id of the certificate.
    pub(super) id: String,
    pub(super) names: Vec<String>,
    pub(super) store: Place,
    /// The directory that it is delivered to.
    pub(super) target: PathBuf,
    /// By how many seconds its clock is wrong.
    pub(super) shift: i64,
    /// The life is over when a later generation than this one serves.
    pub(super) newer_than: u32,
    pub(super) temper: Temper,
}

/// What becomes of the program when something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Temper {
    /// It keeps its certificate as programs do, and kills itself on the way if it is told where.
    Mortal(Option<Death>),
    /// It wishes for nothing, and does what is due.
    Restored,
    /// It tries again until there is a certificate. Where others wait for minutes, it sets its clock forward.
    Stubborn,
}

/// An operation that writes to the store, counted from 1, at which the program kills itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Death {
    // In the order in which they come.
    Before(u32),
    After(u32),
}

/// What the program says, a line each, on its standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Word {
    /// An operation that writes to the store is done.
    Did {
        what: String,
        /// How far the order has come after it, in the words of the walk, if there is one.
        progress: Option<String>,
    },
    /// An operation that writes to the store has failed.
    Failed { what: String, progress: Option<String>, why: String },
    /// It has come to its end: there is nothing left to do.
    Over,
}

impl Word {
    fn deed(&self) -> Option<&str> {
        match self {
            Self::Did { what, .. } => Some(what),
            Self::Failed { .. } | Self::Over => None,
        }
    }
}

/// How a life ended.
pub(super) struct Ended {
    /// By SIGKILL, and not by coming to its end.
    pub(super) killed: bool,
    pub(super) words: Vec<Word>,
    pub(super) elapsed: Duration,
}

impl Ended {
    /// The last that it is known to have done.
    pub(super) fn last_deed(&self) -> &str {
        self.words.iter().rev().find_map(Word::deed).unwrap_or("nothing")
    }

    /// Whether it died where ACME has a gap (RFC 8555 §7.4): the order was about to be placed, and its URL is
    /// not known to be written down.
    pub(super) fn is_in_the_gap(&self) -> bool {
        let last = self.words.iter().rev().find_map(|word| match word {
            Word::Did { progress, .. } => progress.as_deref(),
            Word::Failed { .. } | Word::Over => None,
        });
        self.killed && last == Some("ordering")
    }

    /// How many orders were placed whose URL could not be written down, which is the same gap without a
    /// death.
    pub(super) fn lost_orders(&self) -> usize {
        let lost = self.words.iter().filter(|word| match word {
            Word::Failed { progress, .. } => progress.as_deref() == Some("ordered"),
            Word::Did { .. } | Word::Over => false,
        });
        lost.count()
    }

    /// What failed on the way, in a few words.
    pub(super) fn failures(&self) -> impl Iterator<Item = String> {
        self.words.iter().filter_map(|word| match word {
            Word::Failed { what, why, .. } => Some(format!("{what}: {why}")),
            Word::Did { .. } | Word::Over => None,
        })
    }
}

impl Life {
    /// Lives it, and kills the program from outside after a while, if that is wanted and it has not ended by
    /// then.
    ///
    /// An error is an end of its own kind: the program failed, or never came to an end.
    pub(super) async fn live(&self, killed_after: Option<Duration>) -> Result<Ended, String> {
        let mut command = Command::new(text(std::env::current_exe())?);
        command.arg(VERB);
        self.live_as(command, killed_after).await
    }

    /// The same by a command that starts the program in a way of its own.
    pub(super) async fn live_as(
        &self,
        mut command: Command,
        killed_after: Option<Duration>,
    ) -> Result<Ended, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let watch = Stopwatch::start();
        let mut child = text(command.spawn())?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let told = text(serde_json::to_vec(self))?;
        let telling = async {
            if let Some(mut stdin) = stdin {
                // It may be dead already.
                let _ = stdin.write_all(&told).await;
            }
        };
        let listening = async {
            let mut said = (Vec::new(), Vec::new());
            if let (Some(mut stdout), Some(mut stderr)) = (stdout, stderr) {
                let _ = tokio::join!(stdout.read_to_end(&mut said.0), stderr.read_to_end(&mut said.1));
            }
            said
        };
        let ending = async {
            let (after, hangs) = killed_after.map_or((LONGEST_LIFE, true), |after| (after, false));
            let late = tokio::time::timeout(after, child.wait()).await.is_err();
            if late {
                // It may have ended in this very moment.
                let _ = child.start_kill();
            }
            child.wait().await.map(|status| (status, late && hangs))
        };
        let ((), (stdout, stderr), ended) = tokio::join!(telling, listening, ending);
        let (status, hung) = text(ended)?;
        let killed = status.signal() == Some(SIGKILL);
        let said = String::from_utf8_lossy(&stderr);
        if !killed && !status.success() {
            return Err(format!("it ended with {status}: {}", said.trim()));
        }
        // A kill may have cut the last line.
        let words = stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        let ended = Ended { killed, words: words.collect(), elapsed: watch.read() };
        if hung {
            let deeds = ended.words.iter().filter_map(Word::deed).collect::<Vec<_>>().join(", ");
            return Err(format!("still running after {LONGEST_LIFE:?}; it did {deeds}; {}", said.trim()));
        }
        Ok(ended)
    }
}

/// The hidden verb of this program that begins a life.
pub(super) const VERB: &str = "crash-worker";

/// A life takes a second; whoever takes a minute hangs.
const LONGEST_LIFE: Duration = Duration::from_secs(60);

/// signal(7); the same number everywhere.
const SIGKILL: i32 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn did(progress: Option<&str>) -> Word {
        Word::Did { what: "a commit".to_owned(), progress: progress.map(str::to_owned) }
    }

    fn ended(killed: bool, words: Vec<Word>) -> Ended {
        Ended { killed, words, elapsed: Duration::ZERO }
    }

    #[test]
    fn only_who_died_between_the_order_and_its_url_died_in_the_gap() {
        assert!(ended(true, vec![did(None), did(Some("ordering"))]).is_in_the_gap());
        assert!(ended(true, vec![did(Some("ordering")), did(None)]).is_in_the_gap());
        assert!(!ended(true, vec![did(Some("ordering")), did(Some("ordered"))]).is_in_the_gap());
        assert!(!ended(false, vec![did(Some("ordering"))]).is_in_the_gap());
        assert!(!ended(true, Vec::new()).is_in_the_gap());
    }

    #[test]
    fn a_word_survives_its_own_json() {
        for word in [did(Some("ordering")), did(None), Word::Over] {
            let line = serde_json::to_string(&word).unwrap();
            assert_eq!(serde_json::from_str::<Word>(&line).unwrap(), word, "{line}");
        }
    }
}
