//! What a batch comes to: the last word on each value. Pure.

use std::time::Duration;

use perennial_core::DomainName;

use crate::{Action, Change};

/// The last word of a batch on one value at one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Net<'c> {
    pub(super) name: &'c DomainName,
    pub(super) value: &'c str,
    pub(super) action: Action,
    pub(super) ttl: Option<Duration>,
}

impl Net<'_> {
    pub(super) fn is_of(&self, change: &Change) -> bool {
        *self.name == change.name && self.value == change.value
    }

    pub(super) fn is_at(&self, name: &DomainName, value: &str) -> bool {
        self.name == name && self.value == value
    }
}

/// The last words of a batch, in the order of the first ones.
pub(super) fn net(changes: &[Change]) -> Vec<Net<'_>> {
    let mut net: Vec<Net<'_>> = Vec::new();
    for change in changes {
        match net.iter_mut().find(|it| it.is_of(change)) {
            Some(earlier) => {
                earlier.action = change.action;
                earlier.ttl = change.ttl.or(earlier.ttl);
            }
            None => net.push(Net {
                name: &change.name,
                value: &change.value,
                action: change.action,
                ttl: change.ttl,
            }),
        }
    }
    net
}

/// The names of a batch, each once, in the order of their first change.
pub(super) fn names(net: &[Net<'_>]) -> Vec<DomainName> {
    let mut names: Vec<DomainName> = Vec::new();
    for it in net {
        if !names.contains(it.name) {
            names.push(it.name.clone());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts_and_names_come_once() {
        let name = |text: &str| text.parse::<DomainName>().unwrap();
        let changes = [
            Change::add(name("a.example"), "v"),
            Change::remove(name("b.example"), "v"),
            Change::remove(name("a.example"), "v"),
            Change::add(name("a.example"), "w").with_ttl(Duration::from_secs(5)),
            Change::add(name("a.example"), "w"),
        ];
        let words: Vec<_> =
            net(&changes).iter().map(|it| (it.name.as_str(), it.value, it.action, it.ttl)).collect();
        let five = Some(Duration::from_secs(5));
        assert_eq!(
            words,
            [
                ("a.example", "v", Action::Remove, None),
                ("b.example", "v", Action::Remove, None),
                ("a.example", "w", Action::Add, five)
            ]
        );
        assert_eq!(names(&net(&changes)), [name("a.example"), name("b.example")]);
    }
}
