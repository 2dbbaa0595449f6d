//! Reading a list to its end.

use std::future::Future;

use crate::Error;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // A list and where it goes on; there is nothing else to a page.
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// What to ask the next page by; `None` on the last one.
    pub next: Option<String>,
}

/// More pages than any honest list of one account has: with 100 on each, fifty thousand items.
const MOST_PAGES: usize = 500;

/// Reads a list to its end: `fetch` gets `None` for the first page, and then what the page before it said.
///
/// A list that is cut short silently is how records are leaked for ever, so the end is the only good end.
///
/// # Errors
/// What `fetch` returns; [`Error::Misbehaved`] when the list refers to the same page again, or has more than
/// 500.
///
/// ```
/// use perennial_providers::engine::{Page, pages};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), perennial_providers::Error> {
/// let all = pages("paper", async |cursor| match cursor.as_deref() {
///     None => Ok(Page { items: vec![1, 2], next: Some("2".to_owned()) }),
///     Some(_) => Ok(Page { items: vec![3], next: None }),
/// });
/// assert_eq!(all.await?, [1, 2, 3]);
/// # Ok(()) }
/// ```
pub async fn pages<T, F, P>(kind: &str, mut fetch: F) -> Result<Vec<T>, Error>
where
    F: FnMut(Option<String>) -> P,
    P: Future<Output = Result<Page<T>, Error>>,
{
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let page = fetch(cursor.clone()).await?;
        all.extend(page.items);
        match page.next {
            None => return Ok(all),
            next if next == cursor => break,
            next => cursor = next,
        }
    }
    Err(Error::Misbehaved {
        provider: kind.to_owned(),
        server: "its interface".to_owned(),
        reason: format!(
            "a list goes on after {} items and does not end; nothing is decided on a part of it",
            all.len()
        ),
        fault: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn numbered(last: usize) -> Result<Vec<usize>, Error> {
        pages("paper", |cursor| {
            let here: usize = cursor.map_or(1, |cursor| cursor.parse().unwrap());
            let next = (here < last).then(|| (here + 1).to_string());
            std::future::ready(Ok(Page { items: vec![here], next }))
        })
        .await
    }

    #[tokio::test]
    async fn a_list_is_read_to_its_end_or_not_at_all() {
        assert_eq!(numbered(1).await.unwrap(), [1]);
        assert_eq!(numbered(MOST_PAGES).await.unwrap().len(), MOST_PAGES);
        let error = numbered(MOST_PAGES + 1).await.unwrap_err();
        assert!(matches!(error, Error::Misbehaved { .. }), "{error}");
        let mut asked = 0;
        let circle = pages("paper", |_| {
            asked += 1;
            std::future::ready(Ok(Page { items: vec![()], next: Some("same".to_owned()) }))
        });
        assert!(circle.await.is_err());
        assert_eq!(asked, 2);
    }
}
